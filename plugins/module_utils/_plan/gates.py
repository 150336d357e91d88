# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Whether another batch of nodes may begin. Pure: one function per gate, which tells why it is closed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .._errors import InvalidOption
from .._model import NO_CONDITION, Condition, Judgement, Outcome, RolloutVerdict, format_time, read_moment
from .._node_model import BudgetFacts, NodeFacts, PoolFacts
from .nodes import NodeRequest, find_room

JudgementT = TypeVar("JudgementT", bound=Judgement)

#: Seconds in which the gates must open, and for which they must stay open.
GATE_TIMEOUT = 1800
STABLE_SECONDS = 10

#: The gates that a task may skip; the user's own are skipped by not giving them.
GATE_NAMES = ("budgets", "etcd", "operators", "pools", "rollout", "room", "update")

#: Longer words of servers and values are cut; a line is to be read at a glance.
MAX_WORDS = 200
#: What a ClusterOperator at rest reports, and how people call what it is otherwise.
_AT_REST = {"Available": "True", "Degraded": "False", "Progressing": "False"}
_TROUBLE = {"Available": "is not available", "Degraded": "is degraded", "Progressing": "is progressing"}
#: With fewer members than this, the loss of one is the loss of etcd's quorum.
_MEMBERS_TO_SPARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A daily span of time, its end not included; one that ends before it starts goes over midnight."""

    text: str
    start: time
    end: time
    zone: timezone


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceGate:
    """Open when the JMESPath ``expression`` gives ``value`` for every object that is selected, and there is one."""

    description: str
    api_version: str
    kind: str
    expression: str
    value: Any
    name: str | None = None
    namespace: str | None = None
    label_selectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeGate:
    """Open when ``url`` answers with the HTTP status ``status``; redirects are answers, too."""

    description: str
    url: str
    status: int = 200
    ca_cert: str | None = None
    validate_certs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """What must hold between nodes. Times are in seconds."""

    gates: tuple[ResourceGate | ProbeGate, ...] = ()
    timeout: int = GATE_TIMEOUT
    stable_seconds: int = STABLE_SECONDS
    skip: frozenset[str] = frozenset()
    window: Window | None = None
    deadline: datetime | None = None

    def wants(self, gate: str) -> bool:
        return gate not in self.skip

    @property
    def needs_time(self) -> bool:
        """Whether the cluster's time decides anything."""
        return self.window is not None or self.deadline is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """How one of the user's gates was found; ``problem`` is empty for an open one."""

    description: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why nodes under way are left as they are, in words; ``places`` tell how far that is, see find_places."""

    words: str
    places: frozenset[tuple[str, int, int]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFacts:
    """One look at everything between nodes. What the cluster does not have, or nobody asked for, is empty or None.

    ``etcd_members`` and ``api_servers`` tell for each node that has one whether it is Ready; ``updating`` is the
    ClusterVersion's condition Progressing, ``now`` the cluster's time.
    """

    nodes: Sequence[NodeFacts] = ()
    pools: Sequence[PoolFacts] = ()
    budgets: Sequence[BudgetFacts] = ()
    operators: Mapping[str, Mapping[str, Condition]] = field(default_factory=dict)
    updating: Condition | None = None
    etcd_members: Mapping[str, bool] = field(default_factory=dict)
    api_servers: Mapping[str, bool] = field(default_factory=dict)
    rollout: RolloutVerdict | None = None
    results: Sequence[GateResult] = ()
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict(Judgement):
    """A judgement of all gates. ``notes`` are what people should know and what stops nothing, by what they are about."""

    notes: Mapping[str, str] = field(default_factory=dict)


GATE_ARG_SPEC: dict[str, dict[str, Any]] = {
    "gates": {
        "type": "list",
        "elements": "dict",
        "default": [],
        # without defaults, so that what is given tells which of the two kinds is meant
        "options": {
            "description": {"type": "str"},
            "api_version": {"type": "str"},
            "kind": {"type": "str"},
            "name": {"type": "str"},
            "namespace": {"type": "str"},
            "label_selectors": {"type": "list", "elements": "str"},
            "expression": {"type": "str"},
            "value": {"type": "raw"},
            "url": {"type": "str"},
            "status": {"type": "int"},
            "ca_cert": {"type": "path"},
            "validate_certs": {"type": "bool"},
        },
    },
    "gate_timeout": {"type": "int", "default": GATE_TIMEOUT},
    "stable_seconds": {"type": "int", "default": STABLE_SECONDS},
    "skip_gates": {"type": "list", "elements": "str", "default": [], "choices": list(GATE_NAMES)},
    "window": {"type": "str"},
    "deadline": {"type": "str"},
}


def read_gate_request(params: Mapping[str, Any]) -> GateRequest:
    """Return what the options about gates ask for. Raises InvalidOption where they can't be meant."""
    timeout, stable = params["gate_timeout"], params["stable_seconds"]
    if not 0 <= stable <= timeout:
        raise InvalidOption(
            f"The options stable_seconds ({stable}) and gate_timeout ({timeout}) do not fit together; give 0 or more "
            "seconds, and gates no less time than they must be open."
        )
    return GateRequest(
        gates=tuple(_read_gate(g, f"gate {number}") for number, g in enumerate(params["gates"], start=1)),
        timeout=timeout,
        stable_seconds=stable,
        skip=frozenset(params["skip_gates"]),
        window=parse_window(params["window"]) if params["window"] else None,
        deadline=read_moment(params["deadline"], "The option deadline"),
    )


def _read_gate(given: Mapping[str, Any], title: str) -> ResourceGate | ProbeGate:
    given = {n: v for n, v in given.items() if v is not None and (n, v) != ("label_selectors", [])}
    about_probe = sorted({"url", "status", "ca_cert", "validate_certs"} & set(given))
    about_object = sorted(set(given) - set(about_probe) - {"description"})
    if about_probe and about_object:
        raise InvalidOption(
            f"The {title} has {about_object[0]} and {about_probe[0]}; give it either an object with an expression, or a url."
        )
    if about_probe:
        return _read_probe(given, title)
    missing = [name for name in ("api_version", "kind", "expression", "value") if name not in given]
    if missing:
        raise InvalidOption(
            f"The {title} lacks {', '.join(missing)}; give it api_version, kind, expression and value, or a url."
        )
    if "name" in given and "label_selectors" in given:
        raise InvalidOption(f"The {title} has both name and label_selectors; give it one of them.")
    place = "/".join(given[part] for part in ("namespace", "name") if part in given)
    return ResourceGate(
        description=given.get("description") or " ".join(filter(None, (given["kind"], place))),
        api_version=given["api_version"],
        kind=given["kind"],
        expression=given["expression"],
        value=given["value"],
        name=given.get("name"),
        namespace=given.get("namespace"),
        label_selectors=tuple(given.get("label_selectors") or ()),
    )


def _read_probe(given: Mapping[str, Any], title: str) -> ProbeGate:
    try:
        parts = urlsplit(given.get("url") or "")
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or parts.username is not None:
        # what is wrong may hold a password, so it is not repeated
        raise InvalidOption(
            f"The url of the {title} can't be used; give an http or https address without a user's name."
        )
    probe = ProbeGate(
        description=given.get("description") or given["url"],
        url=given["url"],
        status=given.get("status", 200),
        ca_cert=given.get("ca_cert"),
        validate_certs=given.get("validate_certs", True),
    )
    if not 100 <= probe.status <= 599:
        raise InvalidOption(f"The status of the {title} is {probe.status}; give an HTTP status such as 200.")
    return probe


_WINDOW = re.compile(
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:Z|(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>[0-5]\d))?", re.ASCII
)


def parse_window(text: str) -> Window:
    """Return the daily window in a text such as 22:00-05:00 (UTC) or 22:00-05:00+02:00. Raises InvalidOption."""
    found = _WINDOW.fullmatch(text.strip())
    try:
        if not found:
            raise ValueError
        start, end = time.fromisoformat(found["start"]), time.fromisoformat(found["end"])
        offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
        zone = timezone(-offset if found["sign"] == "-" else offset)
        if start == end:
            raise ValueError
    except ValueError:
        raise InvalidOption(
            f"The option window is {text!r}, which is not a span of time; give one such as 22:00-05:00 (UTC) or "
            "22:00-05:00+02:00."
        ) from None
    return Window(text=text.strip(), start=start, end=end, zone=zone)


def is_in_window(now: datetime, window: Window) -> bool:
    """Return whether ``now`` lies in the daily window."""
    moment = now.astimezone(window.zone).time()
    if window.start < window.end:
        return window.start <= moment < window.end
    return moment >= window.start or moment < window.end


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a gate is judged by."""

    request: GateRequest
    facts: GateFacts
    limits: NodeRequest = field(default_factory=NodeRequest)
    batch: Collection[str] = ()
    own: Collection[str] = ()
    satisfied_before: Collection[str] = ()
    unwell_before: Collection[str] = ()


def judge_gates(
    request: GateRequest,
    facts: GateFacts,
    *,
    limits: NodeRequest,
    batch: Collection[str],
    own: Collection[str] = (),
    satisfied_before: Collection[str] = (),
    unwell_before: Collection[str] = (),
) -> GateVerdict:
    """Return DONE when the nodes ``batch`` may begin, WAITING with why not, FAILED where waiting can't help.

    ``limits`` says how many nodes may be unavailable.
    ``own`` are the nodes whose cordon is ours. A batch that is all ours has begun before, and leaving it as it is helps nobody:
    only what its restart would endanger holds it up. Held against the run are only budgets of ``satisfied_before`` (as
    namespace/name) and no ClusterOperator of ``unwell_before``: what was so before the run is not its doing.
    """
    look = _Look(
        request=request,
        facts=facts,
        limits=limits,
        batch=batch,
        own=own,
        satisfied_before=satisfied_before,
        unwell_before=unwell_before,
    )
    notes = dict(_find_notes(look))
    has_begun = set(batch) <= set(own)
    ended = None if has_begun else _judge_time(request, facts.now)
    if ended:
        return ended
    for name, (reason, gate) in GATES.items():
        if has_begun and name not in _OF_BEGUN:
            continue
        message = next(gate(look), None) if request.wants(name) else None
        if message:
            return GateVerdict(outcome=Outcome.WAITING, reason=reason, message=message, notes=notes)
    return GateVerdict(outcome=Outcome.DONE, reason="Open", message="all gates are open", notes=notes)


def find_unrest(request: GateRequest, facts: GateFacts) -> list[str]:
    """Return all that forbids to begin at all: what others do with the nodes, and the time."""
    look = _Look(request=request, facts=facts)
    ended = _judge_time(request, facts.now)
    found = [ended.message] if ended else []
    for name in OF_OTHERS:
        if request.wants(name):
            found += [f"{words} (it is not looked at with {name} in skip_gates)" for words in GATES[name][1](look)]
    return found


def judge_stability(
    verdict: JudgementT, since: float | None, now: float, seconds: float
) -> tuple[JudgementT, float | None]:
    """Return ``verdict``, but WAITING where it has not been DONE for ``seconds`` yet, and since when it is.

    ``since`` is what the last look returned; moments are monotonic.
    """
    if verdict.outcome is not Outcome.DONE:
        return verdict, None
    since = now if since is None else since
    if now - since >= seconds:
        return verdict, since
    message = f"{verdict.message}, for {now - since:.0f} of {seconds:g} s"
    return replace(verdict, outcome=Outcome.WAITING, reason="Settling", message=message), since


def find_unwell_operators(facts: GateFacts) -> dict[str, str]:
    """Return what is the matter with each ClusterOperator that is not at rest, by its name."""
    found = {}
    for name, conditions in sorted(facts.operators.items()):
        for kind, wanted in _AT_REST.items():
            condition = conditions.get(kind, NO_CONDITION)
            if condition.status != wanted:
                trouble = f"reports {kind} Unknown" if condition.status == "Unknown" else _TROUBLE[kind]
                found[name] = f"ClusterOperator {name} {trouble}{_quote(condition.message or condition.reason)}"
                break
    return found


def find_satisfied(facts: GateFacts) -> frozenset[str]:
    """Return the budgets that are satisfied, as namespace/name."""
    return frozenset(str(b) for b in facts.budgets if b.is_satisfied)


def judge_objects(gate: ResourceGate, found: Sequence[tuple[str, Any]]) -> GateResult:
    """Return how the user's gate stands; ``found`` holds each selected object's name and what the expression gives."""
    problem = "" if found else "there is no such object"
    for name, value in found:
        if not _is_same(value, gate.value):
            problem = f"{gate.expression} is {_show(value)} in {name}, not {_show(gate.value)}"
            break
    return GateResult(description=gate.description, problem=problem)


def judge_answer(gate: ProbeGate, status: int) -> GateResult:
    """Return how the user's gate stands when its address has answered ``status``."""
    problem = "" if status == gate.status else f"it answers HTTP {status}, not {gate.status}"
    return GateResult(description=gate.description, problem=problem)


def _is_same(found: Any, wanted: Any) -> bool:
    """Whether they are equal, or read the same: templates turn numbers and booleans into text, and conditions are text."""
    if isinstance(found, (Mapping, list)) or isinstance(wanted, (Mapping, list)):
        return bool(found == wanted)
    return str(found).lower() == str(wanted).lower()


def _show(value: Any) -> str:
    return json.dumps(value, default=str)[:MAX_WORDS]


def _quote(words: str) -> str:
    """Return a server's words as the end of a sentence."""
    words = " ".join(words.split())[:MAX_WORDS].rstrip(". ")
    return f": {words}" if words else ""


def _judge_time(request: GateRequest, now: datetime | None) -> GateVerdict | None:
    if not request.needs_time:
        return None
    if now is None:
        return GateVerdict(outcome=Outcome.WAITING, reason="TimeUnknown", message="no API server tells the time")
    if request.deadline and now >= request.deadline:
        return GateVerdict(
            outcome=Outcome.FAILED,
            reason="DeadlinePassed",
            message=f"the deadline {format_time(request.deadline)} has passed; run it again with a later one, and it "
            "goes on where it stopped",
        )
    if request.window and not is_in_window(now, request.window):
        return GateVerdict(
            outcome=Outcome.FAILED,
            reason="WindowClosed",
            message=f"the time window {request.window.text} is closed at {format_time(now)}; run it again when it is "
            "open, and it goes on where it stopped",
        )
    return None


def _judge_update(look: _Look) -> Iterator[str]:
    updating = look.facts.updating
    if updating and updating.status == "True":
        yield f"the cluster is being updated{_quote(updating.message)}"


def _judge_rollout(look: _Look) -> Iterator[str]:
    rollout = look.facts.rollout
    if rollout and rollout.outcome is not Outcome.DONE:
        yield f"a rollout of the kube-apiservers is running{_quote(rollout.message)}"


def _judge_pools(look: _Look) -> Iterator[str]:
    """By the nodes' annotations: our own cordon makes a pool's conditions say that it is updating."""
    for pool in look.facts.pools:
        if pool.degraded:
            yield f"MachineConfigPool {pool.name} is degraded{_quote(pool.degraded)}"
    for node in look.facts.nodes:
        if node.update:
            yield f"the machine-config operator is at work on node {node.name}{_quote(node.update)}"


def _judge_room(look: _Look) -> Iterator[str]:
    words = find_room(look.batch, look.facts.nodes, look.facts.pools, look.limits)
    if words:
        left = sorted(
            n.name for n in look.facts.nodes if n.is_unavailable and n.name in set(look.own) - set(look.batch)
        )
        yield words + (f" (left cordoned by this run: {', '.join(left)})" if left else "")


def _judge_control_plane(look: _Look) -> Iterator[str]:
    """Before a control-plane node, every other etcd member and API server must be Ready: what is left then has a quorum."""
    leaving = _find_leaving(look)
    if not leaving:
        return
    for title, members in _control_plane_members(look.facts):
        unready = sorted(node for node, is_ready in members.items() if not is_ready and node not in leaving)
        if unready:
            yield f"the {title} on {', '.join(unready)} is not Ready"


def _find_leaving(look: _Look) -> list[str]:
    return [n.name for n in look.facts.nodes if n.is_control_plane and n.name in look.batch]


def _control_plane_members(facts: GateFacts) -> Iterator[tuple[str, Mapping[str, bool]]]:
    """Yield whether the one on each node is Ready. Where some have a pod, a node without one lacks it.

    An arbiter has an etcd member and no API server.
    """
    nodes = [n for n in facts.nodes if n.is_control_plane]
    servers = [n for n in nodes if "arbiter" not in n.roles]
    for title, expected, members in (
        ("etcd member", nodes, facts.etcd_members),
        ("kube-apiserver", servers, facts.api_servers),
    ):
        yield title, {**dict.fromkeys((n.name for n in expected), False), **members} if members else {}


def _judge_operators(look: _Look) -> Iterator[str]:
    for name, words in find_unwell_operators(look.facts).items():
        if name not in look.unwell_before:
            yield words


def _judge_budgets(look: _Look) -> Iterator[str]:
    for budget in look.facts.budgets:
        if str(budget) in look.satisfied_before and not budget.is_satisfied:
            yield f"budget {budget} has {budget.healthy} healthy pods of the {budget.desired} that it needs"


def _judge_own(look: _Look) -> Iterator[str]:
    for result in look.facts.results:
        if result.problem:
            yield f"the gate {result.description} is closed{_quote(result.problem)}"


def _find_notes(look: _Look) -> Iterator[tuple[str, str]]:
    """Yield each note with what it is about, by which it is told from others; its words may change from look to look."""
    facts, wants = look.facts, look.request.wants
    for pool in facts.pools if wants("pools") else ():
        if pool.is_paused:
            words = f"MachineConfigPool {pool.name} is paused; a restart does not bring its nodes what it holds back"
            yield f"pool {pool.name}", words
    for name, words in find_unwell_operators(facts).items() if wants("operators") else ():
        if name in look.unwell_before:
            yield f"operator {name}", f"{words}; it was so at the start of the run, so nothing waits for it"
    leaving, members = _find_leaving(look), len(facts.etcd_members)
    if leaving and 0 < members < _MEMBERS_TO_SPARE and wants("etcd"):
        where = ", ".join(leaving)
        yield f"etcd {where}", f"of {members} etcd members none is to spare: the API is away while {where} restarts"


Gate = Callable[[_Look], Iterator[str]]

#: The gates by name, with the reason that a closed one gives, in the order in which they are told.
GATES: dict[str, tuple[str, Gate]] = {
    "update": ("ClusterUpdating", _judge_update),
    "rollout": ("RolloutRunning", _judge_rollout),
    "pools": ("PoolBusy", _judge_pools),
    "room": ("NoRoom", _judge_room),
    "etcd": ("ControlPlaneNotReady", _judge_control_plane),
    "operators": ("OperatorUnwell", _judge_operators),
    "budgets": ("BudgetNotSatisfied", _judge_budgets),
    "own": ("GateClosed", _judge_own),
}
#: What others are busy with; no run begins meanwhile.
OF_OTHERS = ("update", "rollout", "pools")
#: What the restart of nodes that are cordoned already may endanger.
_OF_BEGUN = ("rollout", "etcd")
