# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API servers' audit logs say of a run that restarts nodes, held against what must be.

A request whose answer got lost with its API server is not in any log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from labs import USER_AGENT

MARK = "bound-tokens.openshift/restart"
RESTART_NAMESPACE = "bound-tokens-node-restart"
QUESTIONS = ("selfsubjectaccessreviews", "selfsubjectreviews")


@dataclass(frozen=True, order=True)
class Deed:
    """Something that was done, or tried. ``what`` is cordon, uncordon, mark, unmark, boot or restart (the target is a node),
    or evict or delete (namespace/pod); ``code`` is the answer's status, ``boot_id`` what a node reports."""

    moment: str
    what: str
    target: str
    is_ours: bool = True
    code: int = 200
    boot_id: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run was asked for, and what it found.

    ``pools`` has the pool of each node and ``limits`` how many of a pool may be away at once; ``cordoned`` are the nodes that
    others had cordoned before; ``proven_at`` is when the rollout had its proof; ``may_delete`` whether pods may be deleted
    past their budgets.
    """

    pools: Mapping[str, str]
    limits: Mapping[str, int] = field(default_factory=dict)
    control_plane: frozenset[str] = frozenset()
    cordoned: frozenset[str] = frozenset()
    proven_at: str = ""
    may_delete: bool = False


def read_deeds(events: Iterable[Mapping]) -> list[Deed]:
    """Return what was done to nodes, and to pods by us, in the order in which it was begun."""
    return sorted(deed for event in events for deed in _read_deeds(event))


def _read_deeds(event: Mapping) -> Iterator[Deed]:
    what, body = event.get("objectRef") or {}, event.get("requestObject") or {}
    kind = "/".join(filter(None, (event["verb"], what.get("resource"), what.get("subresource"))))
    name, is_ours = what.get("name") or "", event["userAgent"] == USER_AGENT
    pod = f"{what.get('namespace')}/{name}"
    code = event["responseStatus"]["code"]
    found = []
    if kind == "patch/nodes" and code < 300:
        spec, notes = body.get("spec") or {}, (body.get("metadata") or {}).get("annotations") or {}
        if "unschedulable" in spec:
            found.append(("cordon" if spec["unschedulable"] else "uncordon", name, ""))
        if MARK in notes:
            found.append(("mark" if notes[MARK] else "unmark", name, ""))
    elif kind == "patch/nodes/status" and code < 300:
        boot_id = ((body.get("status") or {}).get("nodeInfo") or {}).get("bootID")
        found += [("boot", name, boot_id)] if boot_id else []
    elif is_ours and kind == "create/pods/eviction" and not is_dry(event):
        found.append(("evict", pod, ""))
    elif is_ours and kind == "delete/pods" and what["namespace"] != RESTART_NAMESPACE:
        found.append(("delete", pod, ""))
    elif is_ours and kind == "create/pods" and what["namespace"] == RESTART_NAMESPACE and code < 300:
        found.append(("restart", name.removeprefix("restart-"), ""))
    for deed, target, boot_id in found:
        yield Deed(event["requestReceivedTimestamp"], deed, target, is_ours, code, boot_id)


def is_dry(event: Mapping) -> bool:
    return "dryRun=" in event["requestURI"]


def find_writes(events: Iterable[Mapping]) -> list[str]:
    """Return what we have written, or tried to; questions and dry runs are none."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in events
        if event["userAgent"] == USER_AGENT
        and event["verb"] not in ("get", "list", "watch")
        and (event.get("objectRef") or {}).get("resource") not in QUESTIONS
        and not is_dry(event)
    ]


@dataclass
class State:
    """Who has cordoned which node, at one moment; and where our mark is."""

    theirs: set[str]
    ours: set[str] = field(default_factory=set)
    marked: set[str] = field(default_factory=set)

    def apply(self, deed: Deed) -> None:
        node = deed.target
        if deed.what == "cordon" and deed.is_ours:
            self.ours |= {node} - self.theirs
        elif deed.what == "cordon":
            self.theirs |= {node} - self.ours
        elif deed.what == "uncordon":
            self.ours.discard(node)
            self.theirs.discard(node)
        elif deed.what == "mark":
            self.marked.add(node)
        elif deed.what == "unmark":
            self.marked.discard(node)


def find_violations(deeds: Iterable[Deed], plan: Plan) -> list[str]:
    """Return what must not be, a sentence each; nothing when all was right."""
    state, found = State(set(plan.cordoned)), []
    refused, boots = set(), {}
    for deed in sorted(deeds):
        before = {*state.ours, *state.theirs}
        found += _judge(deed, state, plan, refused)
        state.apply(deed)
        if deed.what == "evict" and deed.code == 429:
            refused.add(deed.target)
        if deed.what == "boot":
            boots.setdefault(deed.target, set()).add(deed.boot_id)
        if before != {*state.ours, *state.theirs} and deed.is_ours and deed.what == "cordon":
            found += _count_away(deed, {*state.ours, *state.theirs}, plan)
    found += [f"{node} is still cordoned by the run" for node in sorted(state.ours)]
    found += [f"{node} still bears the run's mark" for node in sorted(state.marked)]
    found += [f"{node} has restarted {len(ids)} times" for node, ids in boots.items() if len(ids) > 1]
    return found


def _judge(deed: Deed, state: State, plan: Plan, refused: set[str]) -> Iterator[str]:
    """What one deed must not be, in the state before it."""
    words = f"{deed.what} of {deed.target} at {deed.moment}"
    if deed.is_ours and deed.moment < plan.proven_at:
        yield f"{words}: before the rollout was proven at {plan.proven_at}"
    if deed.is_ours and deed.what == "uncordon" and deed.target in state.theirs:
        yield f"{words}: it was somebody else's cordon"
    if deed.what in ("restart", "boot") and deed.target not in state.ours | state.theirs:
        yield f"{words}: it was not cordoned"
    if deed.what == "delete" and deed.target in refused and not plan.may_delete:
        yield f"{words}: a budget had refused its eviction"


def _count_away(deed: Deed, away: set[str], plan: Plan) -> Iterator[str]:
    """What a cordon must not lead to."""
    words = f"after the cordon of {deed.target} at {deed.moment}"
    for pool, count in Counter(plan.pools[node] for node in away).items():
        if count > plan.limits.get(pool, 1) and plan.pools[deed.target] == pool:
            yield f"{words} {count} nodes of {pool} are away: {', '.join(sorted(away))}"
    if deed.target in plan.control_plane and len(away & plan.control_plane) > 1:
        yield f"{words} several control-plane nodes are away: {', '.join(sorted(away & plan.control_plane))}"
