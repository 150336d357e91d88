# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Which old tokens are in use: from the audit events of all kube-apiservers to verdicts. Pure.

A kube-apiserver notes the ID of every token that it issues, and with every request the ID of the token that it was made with
(KEP-4193, on by default since Kubernetes 1.30). A token in use that nobody has issued since the first switch is an old one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from .._model import SwitchTime, format_time, one_line, parse_time
from .audit_log import LogRange, parse_event
from .holders import BLOCKING, RENEWED_SINCE, HolderVerdict, JudgedPod, Verdict
from .pods import is_platform
from .rejections import ServerLog, find_server_problem

#: In the one order and without the spaces in which a kube-apiserver writes its events.
_ISSUED = re.compile(rb'"authentication\.kubernetes\.io/issued-credential-id":"JTI=([^"]{1,64})"')
_USED = re.compile(rb'"authentication\.kubernetes\.io/credential-id":\["JTI=([^"]{1,64})"')
_BOUND_TO_POD = b'"authentication.kubernetes.io/pod-uid":['
_RECEIVED_KEY = b'"requestReceivedTimestamp":"'
_RECEIVED = re.compile(_RECEIVED_KEY + rb'([^"\n]{20,40})"')
#: What stands behind the user who made the request, and may hold another one: such as whom a proxy asks the access of.
_OTHERS = (b'"requestObject":{', b'"responseObject":{', b'"impersonatedUser":{')
_ACCOUNT = "system:serviceaccount:"
_EXTRA = "authentication.kubernetes.io/"
#: More IDs are not told apart, so that the memory has a limit: about 100 bytes for each that was issued, and 1,000 for each in
#: use that is not known to have been issued.
MAX_ISSUED = 1_000_000
MAX_USED = 20_000
#: How long after a file was rewritten a program may still use what it read before: client-go reads a file every minute.
REREAD = timedelta(minutes=2)
#: How long the tokens live that the controllers of kube-controller-manager have
#: (k8s.io/controller-manager/pkg/clientbuilder, client_builder_dynamic.go).
CONTROLLER_LIFETIME = timedelta(hours=1)
#: When a client used its first new token and its last one for the first time.
Moved: TypeAlias = "tuple[datetime, datetime]"
#: So far apart two moments may be told that are one: pods tell whole seconds, clocks differ, and a kube-apiserver takes a token
#: that it has just checked for 10 s more.
BLUR = timedelta(seconds=10)


@dataclass(slots=True, kw_only=True)
class IssuedIds:
    """What all API servers have issued since the first switch, by a hash of the ID; shared by all that read their logs.

    ``doubtful`` are those that a server issued while it is not known whether it had switched.
    """

    fresh: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        return len(self.fresh) + len(self.doubtful) >= MAX_ISSUED


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """The last use of a token that is not known to be new. ``pod`` and ``pod_uid`` are empty for one that is bound to none."""

    token_id: str
    namespace: str
    service_account: str
    pod: str
    pod_uid: str
    node: str
    last: datetime
    source_ip: str
    user_agent: str

    @property
    def client(self) -> tuple[str, str, str, str]:
        """Who used it, as far as a token that is bound to no pod tells."""
        return self.namespace, self.service_account, self.source_ip, self.user_agent

    def record(self, is_old: bool | None) -> dict[str, Any]:
        return {
            "token_id": self.token_id,
            "namespace": self.namespace,
            "service_account": self.service_account,
            "pod": self.pod or None,
            "pod_uid": self.pod_uid or None,
            "node": self.node or None,
            "last": format_time(self.last),
            "source_ip": self.source_ip,
            "user_agent": self.user_agent,
            "is_old": is_old,
        }


@dataclass(slots=True, kw_only=True)
class UseReader:
    """Reads one API server's log block by block. Requests from ``since`` on count; ``switched`` is when this server switched.

    Lines are searched and not parsed, but for those with an ID that is not known to be new.
    """

    switched: SwitchTime
    since: datetime
    issued: IssuedIds
    #: The first use of each token.
    uses: dict[int, TokenUse] = field(default_factory=dict)
    #: Of clients outside of pods, when each was first seen with its first new token and with its last.
    moved: dict[tuple[str, str, str, str], Moved] = field(default_factory=dict)
    has_issued: bool = False
    is_full: bool = False
    _looked_at: set[int] = field(default_factory=set)
    #: Of tokens in ``uses``, where one was seen again: the moment as the API server wrote it.
    _again: dict[int, bytes] = field(default_factory=dict)

    def take(self, block: bytes) -> None:
        for match in _ISSUED.finditer(block):
            self._note_issue(block, match)
        found: dict[int, list[re.Match[bytes]]] = {}
        for match in _USED.finditer(block):
            found.setdefault(hash(match[1]), []).append(match)
        for number, matches in found.items():
            if number in self.issued.fresh and number in self._looked_at:
                continue
            own = next((m for m in reversed(matches) if _is_own(block, m)), None)
            if own is None:
                continue
            if number in self.issued.fresh:
                if not _is_bound(block, own):
                    self._looked_at.add(number)
                    use = self._read_first(block, matches, own)
                    if use and len(self.moved) < MAX_USED:
                        self.moved[use.client] = _join(self.moved.get(use.client), (use.last, use.last))
            elif number in self.uses:
                self._again[number] = _find_received(_line_at(block, own.start()))
            else:
                use = self._read_first(block, matches, own)
                if use and self._keep(number, use):
                    self._again[number] = _find_received(_line_at(block, own.start()))

    def moves(self) -> Iterator[tuple[tuple[str, str, str, str], Moved]]:
        """Yield clients outside of pods with when each used tokens that are known to be new."""
        yield from self.moved.items()
        fresh = (u for n, u in self.uses.items() if n in self.issued.fresh and not u.pod_uid)
        yield from ((u.client, (u.last, u.last)) for u in fresh)

    def last_uses(self) -> dict[int, TokenUse]:
        """Return the last use of each token that was not known to be new, by a hash of its ID."""
        again = {n: parse_time(text.decode()) for n, text in self._again.items() if text}
        return {n: replace(u, last=again.get(n) or u.last) for n, u in self.uses.items()}

    def _note_issue(self, block: bytes, match: re.Match[bytes]) -> None:
        start, end = _bounds_at(block, match.start())
        if block.find(_RECEIVED_KEY, match.end(), end) >= 0:
            return  # an object that somebody sent: annotations of an event are the last in its line
        self.has_issued = True
        received = _find_received(block[start : match.start()])
        moment = parse_time(received.decode()) if received else None
        if moment is None or self.issued.is_full:
            self.is_full = self.is_full or self.issued.is_full
        elif self.switched.not_after and moment > self.switched.not_after:
            self.issued.fresh.add(hash(match[1]))
        elif not self.switched.not_before or moment >= self.switched.not_before:
            self.issued.doubtful.add(hash(match[1]))

    def _keep(self, number: int, use: TokenUse) -> bool:
        """Tell whether there was room for it."""
        if number not in self.uses and len(self.uses) >= MAX_USED:
            self.uses = {n: u for n, u in self.uses.items() if n not in self.issued.fresh}
            self._again = {n: text for n, text in self._again.items() if n in self.uses}
        if number in self.uses or len(self.uses) < MAX_USED:
            self.uses[number] = use
            return True
        self.is_full = True
        return False

    def _read_first(self, block: bytes, matches: Iterable[re.Match[bytes]], last: re.Match[bytes]) -> TokenUse | None:
        """Return the first use that counts of those of one token in a block, of which ``last`` is the last one."""
        use = self._read_use(block, last)
        if use is None:
            return None
        earlier = (self._read_use(block, m) for m in matches if m is not last and _is_own(block, m))
        return next((u for u in earlier if u), use)

    def _read_use(self, block: bytes, match: re.Match[bytes]) -> TokenUse | None:
        """Return a use that counts: by a service account, since the moment asked for."""
        event = parse_event(_line_at(block, match.start()))
        user = event.get("user") or {}
        name, extra = user.get("username") or "", user.get("extra") or {}
        moment = parse_time(event.get("requestReceivedTimestamp"))
        if not moment or moment <= self.since or not name.startswith(_ACCOUNT):
            return None
        namespace, _colon, account = name[len(_ACCOUNT) :].partition(":")
        return TokenUse(
            token_id=match[1].decode("ascii", "replace"),
            namespace=namespace,
            service_account=account,
            pod=_first(extra, "pod-name"),
            pod_uid=_first(extra, "pod-uid"),
            node=_first(extra, "node-name"),
            last=moment,
            source_ip=(event.get("sourceIPs") or [""])[-1],
            user_agent=one_line(event.get("userAgent") or ""),
        )


def _is_bound(block: bytes, match: re.Match[bytes]) -> bool:
    """Tell whether a token in use is bound to a pod: what the user's extra holds after the ID is in alphabetic order."""
    return block.find(_BOUND_TO_POD, match.end(), block.find(b"}", match.end())) >= 0


def _is_own(block: bytes, match: re.Match[bytes]) -> bool:
    """Tell whether it is the user who made the request that has this token."""
    start = block.rfind(b"\n", 0, match.start()) + 1
    return all(block.find(other, start, match.start()) < 0 for other in _OTHERS)


def _find_received(line: bytes) -> bytes:
    """Return when a request was received; empty where that is not told. It stands behind the objects that were sent."""
    received = _RECEIVED.match(line, max(0, line.rfind(_RECEIVED_KEY)))
    return received[1] if received else b""


def _bounds_at(block: bytes, offset: int) -> tuple[int, int]:
    end = block.find(b"\n", offset)
    return block.rfind(b"\n", 0, offset) + 1, end if end >= 0 else len(block)


def _line_at(block: bytes, offset: int) -> bytes:
    start, end = _bounds_at(block, offset)
    return block[start:end]


def _first(extra: Mapping[str, Any], name: str) -> str:
    return str(next(iter(extra.get(_EXTRA + name) or ()), ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class UseLog:
    """What was read of one API server's log, with why not where nothing was."""

    name: str
    found: LogRange | None = None
    problem: str = ""
    reader: UseReader | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseVerdict:
    """The uses of old tokens, each with True, and of those that may be, with None; ``problems`` are why that can't be told."""

    uses: Sequence[tuple[TokenUse, bool | None]] = ()
    problems: Sequence[str] = ()


def judge_uses(
    logs: Sequence[UseLog],
    issued: IssuedIds,
    *,
    first: datetime | None,
    last: datetime,
    until: datetime,
    audit_gap: str = "",
) -> UseVerdict:
    """Return which tokens were used since ``last`` that no API server has issued since ``first``; both are switch times.

    ``audit_gap`` says what the cluster's audit policy leaves out.
    """
    since = first or last
    problems = [audit_gap] if audit_gap else []
    if first is None:
        problems.append(
            "it is not known when the first API server switched, so tokens issued just before the last one did may be new"
        )
    for log in logs:
        plain = ServerLog(name=log.name, found=log.found, problem=log.problem)
        problem = find_server_problem(plain, since, until)
        if not problem and log.reader and log.reader.is_full:
            problem = f"the audit log of {log.name} names more tokens than can be kept"
        if problem:
            problems.append(problem)
    readers = [log.reader for log in logs if log.reader]
    if readers and not any(r.has_issued for r in readers):
        problems.append("the audit logs name no token that was issued since")
    merged, moved = _merge(readers, issued)
    uses = [
        (u, None if problems or n in issued.doubtful else True)
        for n, u in merged.items()
        if u.pod_uid or not _is_given_up(u, moved.get(u.client), until)
    ]
    uses.sort(key=lambda found: (found[1] is None, found[0].namespace, found[0].service_account, found[0].pod))
    return UseVerdict(uses=uses, problems=problems)


def _join(known: Moved | None, found: Moved) -> Moved:
    return found if known is None else (min(known[0], found[0]), max(known[1], found[1]))


def _is_given_up(use: TokenUse, moved: Moved | None, until: datetime) -> bool:
    """Tell whether a client has left its old token, last in ``use``, for new ones.

    Where clients can't be told apart, as behind one address, the new token of one must not hide that another goes on with an old
    one. So a client is given the time that a program takes to read its file again, and no more. The cluster's own controllers
    have several tokens for one account, each for an hour.
    """
    if moved is None:
        return False
    first, last = moved
    is_replaced = is_platform(use.namespace) and use.last + CONTROLLER_LIFETIME <= last
    return is_replaced or use.last <= first + REREAD < until


def _merge(
    readers: Iterable[UseReader], issued: IssuedIds
) -> tuple[dict[int, TokenUse], dict[tuple[str, str, str, str], Moved]]:
    """Return the last use of each token that is not known to be new, and when clients outside of pods had new ones."""
    merged: dict[int, TokenUse] = {}
    moved: dict[tuple[str, str, str, str], Moved] = {}
    for reader in readers:
        for client, found in reader.moves():
            moved[client] = _join(moved.get(client), found)
        for number, use in reader.last_uses().items():
            if number not in issued.fresh and (number not in merged or use.last > merged[number].last):
                merged[number] = use
    return merged, moved


def apply_uses(
    pods: Iterable[JudgedPod], uses: Iterable[tuple[TokenUse, bool | None]], now: datetime
) -> Iterator[JudgedPod]:
    """Yield the pods with what the uses of old tokens tell of them."""
    last: dict[str, datetime] = {}
    for use, is_old in uses:
        if is_old and use.pod_uid:
            last[use.pod_uid] = max(use.last, last.get(use.pod_uid, use.last))
    for pod in pods:
        yield replace(pod, found=judge_use(pod.found, last[pod.uid], now)) if pod.uid in last else pod


def count_unsure(pods: Iterable[JudgedPod], uses: Iterable[tuple[TokenUse, bool | None]], now: datetime) -> int:
    """Return how many of the tokens that may be old would still need the former issuer if they were."""
    unsure = [(use, True) for use, is_old in uses if is_old is None]
    renewed = [p for p in pods if p.found.verdict not in BLOCKING]
    needing = {p.uid for p in apply_uses(renewed, unsure, now) if p.found.verdict in BLOCKING}
    return sum(not use.pod_uid or use.pod_uid in needing for use, _is_old in unsure)


def find_watched_since(found: HolderVerdict, since: datetime, now: datetime) -> datetime | None:
    """Return from when on the audit logs show a program of this pod that keeps an old token though its file was rewritten.

    They hold the uses from ``since`` to ``now``. None where no time is left in which such a use could have been seen.
    """
    begins = max(since, found.until + REREAD) if found.until else since
    return begins if now > begins else None


def judge_use(found: HolderVerdict, last: datetime, now: datetime) -> HolderVerdict:
    """Return the verdict about a pod that has used an old token, for the last time at ``last``.

    A use while the file was not rewritten is no news. One after it is of a token that a program keeps, until it expires or
    the program starts anew; for a while it may be of one that is about to read the file again. A use that can't have been by what
    else is known leaves it open who is wrong.
    """
    is_no_news = found.verdict is Verdict.NO_TOKEN and found.until and last <= found.until + BLUR
    if is_no_news or found.reason == "Gone" or (found.reason == "Finished" and found.until is None):
        return found
    if found.verdict in (Verdict.NO_TOKEN, Verdict.LEGACY) or found.reason in RENEWED_SINCE:
        return _contradict(found)
    if found.verdict is Verdict.FILE_RENEWS:
        return replace(found, reason="OldTokenInUse", source="use")
    ends = found.until if found.verdict in BLOCKING else found.expires
    if ends and last > ends + BLUR:
        return _contradict(found)
    if ends and now >= ends:
        return found
    verdict = Verdict.OLD_UNTIL if ends else Verdict.OLD_UNTIL_RESTARTED
    if found.verdict is Verdict.RENEWED and found.until and last <= found.until + REREAD:
        if last <= found.until or now > found.until + REREAD:
            return found
        verdict, ends = Verdict.FILE_RENEWS, min(m for m in (found.until + REREAD, ends) if m)
    return replace(found, verdict=verdict, reason="OldTokenInUse", source="use", until=ends, may_be_cached=False)


def _contradict(found: HolderVerdict) -> HolderVerdict:
    """Return the verdict about a pod that has used a token which it can't have: nobody knows for how long that lives."""
    unknown = replace(found, verdict=Verdict.UNKNOWN, reason="UseContradictsSpec", source="use")
    return replace(unknown, until=None, expires=None, may_be_cached=False)
