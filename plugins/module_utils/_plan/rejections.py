# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Who is refused with 401, and who is so in a loop: from the audit events of all kube-apiservers to one verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .._errors import InvalidOption
from .._model import Address, format_time, one_line, read_moment
from .audit_log import LogRange, find_lines, parse_event, time_of

#: In every line about a refused request. A kube-apiserver writes objects' fields in one order and without spaces.
SIGN = b'"code":401'
#: How long before the change it is looked whether a client was refused then already.
EARLIER = timedelta(hours=1)
#: A log whose last event is older than this is not being written: under OpenShift's Default profile every node's lease makes
#: an event every ten seconds.
STALE = timedelta(minutes=5)
#: After so many minutes of silence a loop may be over, if it had never paused for half as long.
SHORTEST_SILENCE = 10
#: More clients than this are not told apart on one server, so that whoever invents names can't fill the memory.
MAX_CLIENTS = 500
OTHERS = ("", "")
#: How many clients a sentence names.
MAX_NAMED = 5

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionRequest:
    """What a task asks for. ``loop_minutes`` and ``loop_pause`` define a loop, see is_loop; times in minutes."""

    since: datetime | None
    issuer: str | None
    max_bytes: int
    loop_minutes: int
    loop_pause: int


def rejection_request(params: Mapping[str, Any]) -> RejectionRequest:
    """Return the request that the options make. Raises InvalidOption for those that can't be meant."""
    for name, least in (("max_bytes", 1), ("loop_minutes", 2), ("loop_pause", 1)):
        if params[name] < least:
            raise InvalidOption(f"The option {name} is {params[name]}; give at least {least}.")
    return RejectionRequest(
        since=read_moment(params["since"], "The option since"),
        issuer=params["issuer"],
        max_bytes=params["max_bytes"],
        loop_minutes=params["loop_minutes"],
        loop_pause=params["loop_pause"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Refusals from ``since`` on count. Those in the hour before ``changed_at``, the beginning of the change, tell who was
    refused anyway; those between are the rollout's own, when API servers of two issuers ran side by side, and nobody's fault.
    """

    since: datetime
    changed_at: datetime | None

    @property
    def begins(self) -> datetime:
        """From when on the logs are to be read."""
        return min(self.since, self.changed_at - EARLIER) if self.changed_at else self.since

    def is_earlier(self, moment: datetime) -> bool:
        return self.changed_at is not None and self.begins <= moment < self.changed_at


@dataclass(slots=True, kw_only=True)
class Rejections:
    """What one client was refused. ``minutes`` has a bit for each minute since the window's ``since`` in which it was."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    minutes: int = 0
    example: Mapping[str, Any] = field(default_factory=dict)
    refused_before: bool = False

    def add(self, moment: datetime, minute: int, example: Mapping[str, Any]) -> None:
        self.count += 1
        self.first = min(self.first or moment, moment)
        self.minutes |= 1 << minute
        if self.last is None or moment >= self.last:
            self.last, self.example = moment, example

    def merge(self, other: Rejections) -> None:
        """Add what another API server has refused the same client."""
        self.count += other.count
        self.minutes |= other.minutes
        self.refused_before = self.refused_before or other.refused_before
        if other.first and other.last:
            self.first = min(self.first or other.first, other.first)
            if self.last is None or other.last >= self.last:
                self.last, self.example = other.last, other.example


Client = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class RejectionTally:
    """Counts what one API server has refused, by source address and user agent; reads its audit log block by block."""

    server: str
    window: Window
    clients: dict[Client, Rejections] = field(default_factory=dict)

    def take(self, block: bytes) -> None:
        for line in find_lines(block, SIGN):
            self._add(parse_event(line))

    def _add(self, event: dict[str, Any]) -> None:
        moment = time_of(event)
        status, user = event.get("responseStatus") or {}, event.get("user") or {}
        # Who has a name was let in: the 401 is that of whatever stands behind a proxied request.
        if moment is None or status.get("code") != 401 or user.get("username"):
            return
        if moment >= self.window.since:
            example = {
                "verb": event.get("verb") or "",
                "path": one_line((event.get("requestURI") or "").partition("?")[0]),  # a query may hold a token
                "server": self.server,
                "audit_id": event.get("auditID") or "",
            }
            self._of(event).add(moment, int((moment - self.window.since) / MINUTE), example)
        elif self.window.is_earlier(moment):
            self._of(event).refused_before = True

    def _of(self, event: dict[str, Any]) -> Rejections:
        # The last address is the one that the API server saw; any before it are what a client may claim in a header.
        client = ((event.get("sourceIPs") or [""])[-1], one_line(event.get("userAgent") or ""))
        if client not in self.clients and len(self.clients) >= MAX_CLIENTS:
            client = OTHERS
        return self.clients.setdefault(client, Rejections())


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLog:
    """What was read of one API server; ``problem`` tells why nothing was, and ``found`` is None then."""

    name: str
    found: LogRange | None = None
    problem: str = ""
    clients: Mapping[Client, Rejections] = field(default_factory=dict)


def is_loop(minutes: Sequence[int], until: int, request: RejectionRequest) -> bool:
    """Tell whether a client that was refused in these minutes, in order, is in a loop at the minute ``until``.

    It was refused in at least ``loop_minutes`` different minutes without ever pausing for longer than ``loop_pause``
    minutes, and it goes on: its silence since is not longer than that either, nor than twice its longest pause or 10
    minutes, whichever is more. Minutes are counted and not requests, since one command or one start of a program makes many
    requests at once. A crash loop pauses for 5 minutes, a controller's queue for 17, and a job that is started every hour
    for an hour.
    """
    if not minutes:
        return False
    streak, longest = 1, 0
    for earlier, later in zip(reversed(minutes[:-1]), reversed(minutes[1:]), strict=True):
        if later - earlier > request.loop_pause:
            break
        streak, longest = streak + 1, max(longest, later - earlier)
    silence = until - minutes[-1]
    allowed = min(request.loop_pause, max(SHORTEST_SILENCE, 2 * longest))
    return streak >= request.loop_minutes and silence <= allowed


def find_server_problem(log: ServerLog, since: datetime, until: datetime) -> str:
    """Return why a server's log leaves open what happened between two moments; empty when it does not."""
    if log.problem or log.found is None:
        return log.problem
    begins, ends = log.found.begins, log.found.ends
    if begins is None or ends is None:
        return f"the audit log of {log.name} holds no event since {format_time(since)}"
    if until - ends > STALE:
        return f"the last event in the audit log of {log.name} is of {format_time(ends)}"
    if begins > since and log.found.is_cut:
        return f"max_bytes allows to read the audit log of {log.name} from {format_time(begins)} on only"
    if begins > since:
        return f"the audit log of {log.name} reaches back to {format_time(begins)} only"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionVerdict:
    """``in_loop`` is None when it is not known; ``problems`` tell what is not known, also beside a loop that is."""

    in_loop: bool | None
    clients: Sequence[Mapping[str, Any]]
    problems: Sequence[str]
    message: str


def judge_rejections(
    logs: Sequence[ServerLog],
    addresses: Mapping[str, Address],
    *,
    since: datetime,
    until: datetime,
    profile: str,
    request: RejectionRequest,
) -> RejectionVerdict:
    """Return who was refused between two moments in cluster time; ``profile`` is that of the cluster's audit logs."""
    problems = [p for log in logs if (p := find_server_problem(log, since, until))]
    if profile == "None":
        problems.insert(
            0, "the audit profile of apiservers.config.openshift.io/cluster is None, which logs no refused request"
        )
    if until - since < request.loop_minutes * MINUTE:
        problems.append(f"a loop shows after {request.loop_minutes} minutes, and it is {format_time(until)} now")
    merged: dict[Client, Rejections] = {}
    for log in logs:
        for client, found in log.clients.items():
            merged.setdefault(client, Rejections()).merge(found)
    records = [_record(c, r, addresses, since, until, request) for c, r in merged.items() if r.count]
    records.sort(key=lambda r: (not r["in_loop"], -r["count"], r["source_ip"], r["user_agent"]))
    loops = [r for r in records if r["in_loop"] and not r["refused_before"]]
    in_loop = True if loops else None if problems else False
    message = _explain(records, problems, since, [log.name for log in logs])
    return RejectionVerdict(in_loop=in_loop, clients=records, problems=problems, message=message)


def _record(
    client: Client,
    found: Rejections,
    addresses: Mapping[str, Address],
    since: datetime,
    until: datetime,
    request: RejectionRequest,
) -> dict[str, Any]:
    address = addresses.get(client[0], Address())
    if address.started and found.last and address.started > found.last:
        address = Address()  # an address goes from one pod to another, and this one was not there yet
    minutes = [n for n in range(found.minutes.bit_length()) if found.minutes >> n & 1]
    return {
        "source_ip": client[0],
        "user_agent": client[1],
        "pod": {"namespace": address.namespace, "name": address.pod} if address.pod else None,
        "node": address.node or None,
        "count": found.count,
        "first": format_time(found.first),
        "last": format_time(found.last),
        "in_loop": is_loop(minutes, int((until - since) / MINUTE), request),
        "refused_before": found.refused_before,
        "example": dict(found.example),
    }


def _explain(
    records: Sequence[Mapping[str, Any]], problems: Sequence[str], since: datetime, servers: Sequence[str]
) -> str:
    loops = [r for r in records if r["in_loop"]]
    new, old = ([r for r in loops if r["refused_before"] is before] for before in (False, True))
    moment, told = format_time(since), []
    if new:
        told.append(f"Refused with 401 in a loop since {moment}: {_name_all(new)}.")
    if old:
        told.append(f"Refused with 401 in a loop as before the change: {_name_all(old)}.")
    more = " else" if loops else ""
    if problems:
        told.append(
            f"Whether anything{more} is refused with 401 in a loop since {moment} is unknown, because {'; '.join(problems)}."
        )
    elif not new:
        logs = ", ".join(servers)
        told.append(f"Nothing{more} is refused with 401 in a loop since {moment}, by the audit logs of {logs}.")
    return " ".join(told)


def _name_all(records: Sequence[Mapping[str, Any]]) -> str:
    names = [_name(r) for r in records[:MAX_NAMED]]
    more = [f"and {len(records) - MAX_NAMED} more"] if len(records) > MAX_NAMED else []
    return ", ".join(names + more)


def _name(record: Mapping[str, Any]) -> str:
    """Return a client and what it did, for people."""
    pod, node, ip, agent = (record[k] for k in ("pod", "node", "source_ip", "user_agent"))
    if pod:
        who = f"pod {pod['namespace']}/{pod['name']} ({ip}, {agent or 'no user agent'})"
    elif node:
        who = f"{agent or 'no user agent'} from the network of node {node} ({ip})"
    elif (ip, agent) == OTHERS:
        who = f"clients beyond the first {MAX_CLIENTS}"
    else:
        who = f"{agent or 'no user agent'} from {ip}"
    example = record["example"]
    return f"{who} {record['count']} times until {record['last']}, last for {example['verb']} {example['path']}"
