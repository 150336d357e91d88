# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What a wait tells while it happens: one line per change. Pure; for people, never decided upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .._model import NodeRevision, Outcome, RolloutFacts, RolloutVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStory:
    """What has been told. ``begun`` holds when (monotonic) each node was sent to its target, where that was seen;
    ``took`` the seconds from one node's arrival to the next one's."""

    reason: str = ""
    revision: int = 0
    nodes: Mapping[str, NodeRevision] | None = None
    begun: Mapping[str, float] = field(default_factory=dict)
    last_arrival: float | None = None
    took: tuple[float, ...] = ()


def tell_rollout(
    story: RolloutStory, facts: RolloutFacts, verdict: RolloutVerdict, now: float
) -> tuple[RolloutStory, list[str]]:
    """Return the lines for what this look shows beyond the last one, and what has been told then."""
    nodes = {n.name: n for n in facts.nodes}
    former = nodes if story.nodes is None else story.nodes
    lines = [f"{name}: is no control-plane node any more" for name in sorted(former.keys() - nodes.keys())]
    begun = {name: moment for name, moment in story.begun.items() if name in nodes}
    last_arrival, took = story.last_arrival, story.took
    for name, node in nodes.items():
        before = former.get(name) or NodeRevision(name=name)
        if node.current != before.current:
            since = begun.pop(name, None)
            start = since if last_arrival is None else last_arrival
            took = took if start is None else (*took, now - start)
            last_arrival = now
            lines.append(_arrival(node, facts, since, took, now))
        if node.target and node.target != before.target:
            begun.setdefault(name, now)
            lines.append(f"{name}: from revision {node.current} to {node.target}")
    if verdict.reason != story.reason or (verdict.reason == "NodesBehind" and facts.revision != story.revision):
        lines.insert(len(lines) if verdict.outcome is Outcome.DONE else 0, verdict.message)
    told = RolloutStory(
        reason=verdict.reason, revision=facts.revision, nodes=nodes, begun=begun, last_arrival=last_arrival, took=took
    )
    return told, lines


def _arrival(node: NodeRevision, facts: RolloutFacts, since: float | None, took: tuple[float, ...], now: float) -> str:
    count = len(facts.nodes)
    left = sum(n.current != facts.revision for n in facts.nodes)
    duration = "" if since is None else f" after {format_seconds(now - since)}"
    estimate = f", about {format_seconds(left * sum(took) / len(took))} to go" if left and took else ""
    return f"{node.name}: at revision {node.current}{duration}; {count - left} of {count} at {facts.revision}{estimate}"


def format_seconds(seconds: float) -> str:
    """Return a duration as people say it: 8 s, 3 min 5 s, 1 h 4 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
