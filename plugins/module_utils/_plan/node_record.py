# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The record of a run that restarts nodes, with which another run goes on where it stopped. Pure.

What decides is what the cluster shows: a node whose boot ID is not the recorded one has restarted, one that bears the
run's mark is not put back yet.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from .._errors import CollectionError
from .._model import parse_time
from .._node_model import NodeFacts
from .run_record import SCHEMA, RunRecord

KEY = "nodes.json"


class Step(enum.Enum):
    """How far a node is."""

    PLANNED = "planned"
    DRAINING = "draining"
    RESTARTING = "restarting"
    RETURNING = "returning"
    DONE = "done"
    FAILED = "failed"
    GONE = "gone"


#: Steps after which nothing more is done about a node in this run.
ENDED = frozenset({Step.DONE, Step.FAILED, Step.GONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgress:
    """One node of a run. ``boot_id`` is the one before the restart, ``new_boot_id`` the one after it; ``unwell`` is what was not
    Ready before it. ``restarted_at`` is when the restart was asked for, or when the node was left empty for it, ``done_at`` when
    the node was seen to be done (cluster time, RFC 3339). Times are in seconds."""

    boot_id: str
    new_boot_id: str = ""
    step: Step = Step.PLANNED
    reason: str = ""
    message: str = ""
    restarted_at: str | None = None
    done_at: str | None = None
    unwell: tuple[str, ...] = ()
    evicted: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """The nodes of one run, in the order of its plan. ``former_ids`` are the runs that it has taken over, whose marks are
    its own now. All that has restarted has done so after ``begun_at`` (cluster time, RFC 3339). The record of a run that
    somebody has named (``is_named``) stays when it is finished, any other is removed then."""

    run_id: str
    is_named: bool = False
    begun_at: str | None = None
    nodes: Mapping[str, NodeProgress] = field(default_factory=dict)
    former_ids: tuple[str, ...] = ()
    #: ClusterOperators that were not at rest, and budgets that were satisfied (namespace/name), when the run began.
    unwell_operators: tuple[str, ...] = ()
    satisfied_budgets: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The runs whose marks are this one's."""
        return frozenset({self.run_id, *self.former_ids})

    @property
    def is_done(self) -> bool:
        return all(p.step in (Step.DONE, Step.GONE) for p in self.nodes.values())


def dump_nodes(record: NodeRecord) -> dict[str, str]:
    """Return the data of the ConfigMap that keeps ``record``."""
    nodes = {name: {**asdict(p), "step": p.step.value} for name, p in record.nodes.items()}
    return {KEY: json.dumps({"schema": SCHEMA, **asdict(record), "nodes": nodes})}


def parse_nodes(config_map: Mapping[str, Any] | None, where: str) -> NodeRecord | None:
    """Return the record in a ConfigMap, None when there is none. Raises CollectionError for one not to be understood."""
    text = ((config_map or {}).get("data") or {}).get(KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        if found["schema"] > SCHEMA:
            raise CollectionError(
                f"The record of node restarts in {where} was written by a newer version of this collection; "
                "use that version here too."
            )
        nodes = {
            name: NodeProgress(**{**p, "step": Step(p["step"]), "unwell": tuple(p["unwell"])})
            for name, p in found["nodes"].items()
        }
        record = NodeRecord(
            run_id=found["run_id"],
            is_named=found["is_named"],
            begun_at=found["begun_at"],
            nodes=nodes,
            former_ids=tuple(found["former_ids"]),
            unwell_operators=tuple(found["unwell_operators"]),
            satisfied_budgets=tuple(found["satisfied_budgets"]),
        )
        _require_sound(record)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CollectionError(
            f"The record of node restarts in {where} is damaged; look at it, and delete the ConfigMap to begin anew."
        ) from None
    return record


def _require_sound(record: NodeRecord) -> None:
    """Raise TypeError or ValueError for a value that would be taken for something else later on."""
    if not all(isinstance(t, str) for t in (*record.names, *(p.boot_id for p in record.nodes.values()))):
        raise TypeError
    for moment in (record.begun_at, *(m for p in record.nodes.values() for m in (p.restarted_at, p.done_at))):
        parse_time(moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRunVerdict:
    """``action`` is begin, continue or refuse."""

    action: str
    message: str


def judge_nodes(record: NodeRecord | None, *, run_id: str | None, take_over: bool) -> NodeRunVerdict:
    """Return what a run does about the record of node restarts that it finds; ``run_id`` None means any.

    A run that is finished is gone on with when it is named: its nodes are not restarted again. One that nobody has named and
    that is finished has only its own traces to remove.
    """
    if record is None or (record.is_done and run_id != record.run_id and (record.is_named or run_id is not None)):
        return NodeRunVerdict(action="begin", message="No restart of nodes is under way.")
    if run_id in (None, record.run_id) or take_over:
        return NodeRunVerdict(action="continue", message=f"The run {record.run_id} goes on.")
    left = ", ".join(f"{n} ({p.step.value})" for n, p in record.nodes.items() if p.step not in (Step.DONE, Step.GONE))
    return NodeRunVerdict(
        action="refuse",
        message=f"No node was touched, because the run {record.run_id} is not finished: {left}; give run_id {record.run_id}, or "
        "none, to finish it, or set take_over to true to finish it under another name.",
    )


def find_restarted(record: NodeRecord | None, run_id: str | None) -> dict[str, datetime]:
    """Return the nodes that the run has restarted and proven, each with a moment after which it did (cluster time)."""
    begun_at = parse_time(record.begun_at) if record else None
    if record is None or record.run_id != run_id or begun_at is None:
        return {}
    return {name: parse_time(p.restarted_at) or begun_at for name, p in record.nodes.items() if p.step is Step.DONE}


def find_outdated(record: NodeRecord, rotation: RunRecord | None) -> frozenset[str]:
    """Return the nodes that are done and were restarted for something else than what the run restarts nodes for.

    Only a rotation of the same name says what for: for its issuer, which nothing that started before the end of the rollout
    knows (nor before the beginning of the rotation, where that end is not known). It may have taken a run over that restarted
    nodes for another issuer. Without a rotation a run is about the restart itself, whoever began it.
    """
    if rotation is None or rotation.run_id != record.run_id:
        return frozenset()
    moment = parse_time(rotation.finished_at or rotation.started_at)
    restarted = find_restarted(record, record.run_id)
    return frozenset(name for name, since in restarted.items() if moment and since < moment)


def find_pause(record: NodeRecord, seconds: int, now: datetime | None) -> float:
    """Return how many of the ``seconds`` after the first node that was done are left at ``now``; none before there is one.

    Where nobody tells the time, all of them are.
    """
    first = min((moment for p in record.nodes.values() if (moment := parse_time(p.done_at))), default=None)
    if first is None or now is None:
        return 0.0 if first is None else float(seconds)
    return max(0.0, seconds - (now - first).total_seconds())


def judge_step(node: NodeFacts | None, progress: NodeProgress, run_ids: frozenset[str], *, is_empty: bool) -> Step:
    """Return how far a node is, by what the cluster shows. ``run_ids`` are the runs whose marks are ours.

    ``is_empty``: nothing is left on it that a drain would take away.
    """
    if progress.step in ENDED:
        return progress.step
    if node is None:
        return Step.GONE
    has_restarted = bool(node.boot_id and progress.boot_id) and node.boot_id != progress.boot_id
    if node.mark is None or node.mark.run_id not in run_ids:
        return Step.DONE if has_restarted else Step.PLANNED
    if has_restarted:
        return Step.RETURNING
    return Step.RESTARTING if is_empty or node.mark.requested_at else Step.DRAINING
