# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The record of a run, with which another run goes on where the first one stopped. Pure.

What is in it is never lost: moments and the former issuer stay as they were first seen, counts only grow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from .._errors import CollectionError, InvalidOption
from .._model import MANAGED_BY, RUN_ID, format_time, parse_time

#: Raised when an older collection could not understand a record any more.
SCHEMA = 1
KEY = "record.json"
NAME = "bound-tokens-run"

#: How a rotation makes holders take new tokens, and which of that it may do by namespace.
STRATEGIES = ("pods", "workloads", "nodes", "kubelets", "wait", "all_pods")
NAMESPACE_STRATEGIES = ("pods", "workloads", "wait", "all_pods")
PHASES = ("planned", "issuer", "rollout", "renewal", "verification", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord:
    """When one API server took over the issuer, as two bounds in cluster time; None where it is not known."""

    not_before: str | None = None
    not_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceRecord:
    """What all runs together have planned and renewed in one namespace, and for how many seconds they worked."""

    tier: str = ""
    planned: int = 0
    renewed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One change of the issuer, with all that is known of how far it has come. All moments are cluster time (RFC 3339)."""

    run_id: str
    issuer: str
    former_issuer: str | None = None
    phase: str = "planned"
    started_at: str | None = None
    updated_at: str | None = None
    holder: str = ""
    finished_at: str | None = None
    #: How holders of tokens are renewed, as whoever ran it last wanted it (see STRATEGIES); empty when nobody said.
    strategy: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, SwitchRecord] = field(default_factory=dict)
    namespaces: Mapping[str, NamespaceRecord] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.phase == "done"

    def describe(self, now: datetime | None) -> str:
        """Return the run for people, with how long nothing has been heard of it at ``now`` (cluster time, None: not told)."""
        heard = parse_time(self.updated_at)
        age = f", last heard of {_describe_age((now - heard).total_seconds())} ago" if heard and now else ""
        who = f" by {self.holder}" if self.holder else ""
        return f"the run {self.run_id} to the issuer {self.issuer}{who} is not finished (phase {self.phase}{age})"

    def shown(self) -> dict[str, Any]:
        """Return the record in the shape that the module rotation_record documents as ``run``."""
        record = asdict(self)
        record["nodes"] = [
            {"name": n, "switched_not_before": s.not_before, "switched_not_after": s.not_after}
            for n, s in sorted(self.nodes.items())
        ]
        record["namespaces"] = [{"name": n, **asdict(p)} for n, p in self.namespaces.items()]
        return record


def _describe_age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} seconds"


def validate_run_id(run_id: str) -> str:
    """Return ``run_id`` unchanged. Raises InvalidOption for one that could not be a name."""
    if not RUN_ID.fullmatch(run_id):
        raise InvalidOption(
            f"The run_id {run_id!r} is not a name; give up to 63 letters, digits, dots, dashes and underscores."
        )
    return run_id


def build_run_namespace(name: str) -> dict[str, Any]:
    """Return the namespace in which runs keep their record, their lease and pods that are away."""
    labels = {**MANAGED_BY, "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def dump_record(record: RunRecord) -> dict[str, str]:
    """Return the data of the ConfigMap that keeps ``record``."""
    return {KEY: json.dumps({"schema": SCHEMA, **asdict(record)}, sort_keys=True)}


def _read_strategy(found: Any) -> Mapping[str, Any]:
    """Return the strategy in a record. Raises ValueError, TypeError or KeyError for what no rotation wrote."""
    if not found:
        return {}
    entries = [
        {"namespaces": [str(n) for n in e["namespaces"]], "strategy": e["strategy"]} for e in found["namespaces"]
    ]
    if found["name"] not in STRATEGIES or any(e["strategy"] not in NAMESPACE_STRATEGIES for e in entries):
        raise ValueError(found)
    return {"name": found["name"], "namespaces": entries}


def parse_record(config_map: Mapping[str, Any] | None, where: str) -> RunRecord | None:
    """Return the record in a ConfigMap, None when there is none. Raises CollectionError for one not to be understood."""
    text = ((config_map or {}).get("data") or {}).get(KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        schema = found.pop("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise CollectionError(
                f"The record of the last run in {where} was written by a newer version of this collection; "
                "use that version here too."
            )
        nodes = {n: SwitchRecord(**s) for n, s in found.pop("nodes").items()}
        namespaces = {n: NamespaceRecord(**p) for n, p in found.pop("namespaces").items()}
        strategy = _read_strategy(found.pop("strategy", {}))
        record = RunRecord(**found, strategy=strategy, nodes=nodes, namespaces=namespaces)
        PHASES.index(record.phase)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CollectionError(
            f"The record of the last run in {where} is damaged; look at it, and delete the ConfigMap to begin anew."
        ) from None
    return record


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """``action`` is begin, continue or refuse."""

    action: str
    reason: str
    message: str


def judge_record(
    record: RunRecord | None, *, wanted: str, current: str, run_id: str | None, take_over: bool, now: datetime | None
) -> RunVerdict:
    """Return what a run to the issuer ``wanted`` does about the record it finds.

    ``current`` is the issuer that the cluster's configuration asks for now; ``run_id`` None means any.
    """
    if record is None:
        return RunVerdict(action="begin", reason="NoRecord", message="There is no record of an earlier run.")
    is_same_issuer, is_same_run = record.issuer == wanted, run_id in (None, record.run_id)
    if record.is_done and not (is_same_issuer and is_same_run and current == wanted):
        return RunVerdict(action="begin", reason="Finished", message=f"The last run, {record.run_id}, is finished.")
    if is_same_issuer and (is_same_run or take_over):
        reason = "SameRun" if is_same_run else "TakenOver"
        return RunVerdict(action="continue", reason=reason, message=f"The run {record.run_id} goes on.")
    if not is_same_issuer and has_done_nothing(record, current):
        message = f"The run {record.run_id} ended before it had changed anything."
        return RunVerdict(action="begin", reason="NothingDone", message=message)
    if take_over:
        return RunVerdict(action="begin", reason="TakenOver", message=f"The run {record.run_id} is given up.")
    if is_same_issuer:
        way = f"give run_id {record.run_id}, or none, to continue it"
    else:
        way = f"run the playbook with the issuer {record.issuer} to finish it"
    return RunVerdict(
        action="refuse",
        reason="OtherRun",
        message=f"No run was begun: {record.describe(now)}; {way}, or set take_over to true to put this run in its place.",
    )


def has_done_nothing(record: RunRecord, current: str) -> bool:
    """Tell whether the run ended before its one edit: the cluster is still set to the issuer of before."""
    return record.phase in ("planned", "issuer") and current == record.former_issuer


def require_run(record: RunRecord | None, run_id: str) -> RunRecord:
    """Return ``record``. Raises CollectionError when it is not the one of the run ``run_id``."""
    if record is None or record.run_id != run_id:
        found = f"the record is of the run {record.run_id}" if record else "there is no record"
        raise CollectionError(
            f"The run {run_id} can't go on, since {found}; begin it with bound_tokens.openshift.rotation_record."
        )
    return record


def advance(record: RunRecord, phase: str) -> RunRecord:
    """Return ``record`` in ``phase``, or in its own when that is a later one."""
    return replace(record, phase=max(record.phase, phase, key=PHASES.index))


def absorb_issuer(record: RunRecord, issuer: Mapping[str, Any], *, changed: bool) -> RunRecord:
    """Return ``record`` after the issuer was set. One that had to be set again makes the switch times void."""
    if changed and (record.finished_at or record.nodes):
        record = replace(record, phase="issuer", finished_at=None, nodes={})
    if changed and record.former_issuer is None and issuer.get("previous") != record.issuer:
        record = replace(record, former_issuer=issuer.get("previous"))
    return advance(record, "rollout")


def absorb_rollout(record: RunRecord, rollout: Mapping[str, Any]) -> RunRecord:
    """Return ``record`` with the switch times of a finished rollout where it did not know them."""
    if not rollout.get("complete") or rollout.get("issuer") != record.issuer:
        return record
    nodes = dict(record.nodes)
    for node in rollout["nodes"]:
        known = nodes.get(node["name"], SwitchRecord())
        nodes[node["name"]] = SwitchRecord(
            not_before=known.not_before or node["switched_not_before"],
            not_after=known.not_after or node["switched_not_after"],
        )
    finished_at = record.finished_at or rollout.get("finished_at")
    return advance(replace(record, nodes=nodes, finished_at=finished_at), "renewal")


def overlay_rollout(record: RunRecord, rollout: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``rollout`` with the moments that the record knows; an earlier run may have seen what can't be seen now."""
    if not rollout.get("complete") or rollout.get("issuer") != record.issuer:
        return dict(rollout)
    nodes = []
    for node in rollout["nodes"]:
        known = record.nodes.get(node["name"], SwitchRecord())
        nodes.append({**node, "switched_not_before": known.not_before, "switched_not_after": known.not_after})
    return {**rollout, "nodes": nodes, "finished_at": record.finished_at}


def merge_namespaces(
    earlier: Mapping[str, NamespaceRecord], now: Iterable[Mapping[str, Any]]
) -> dict[str, NamespaceRecord]:
    """Return the progress of all runs in the namespaces of ``now``: what ``earlier`` ones reached and what this one has so far.

    A pod that an earlier run had planned and this one need not plan any more has been renewed in between.
    """
    merged = {}
    for namespace in now:
        before = earlier.get(namespace["name"])
        if before is None and not namespace["planned"]:
            continue
        before = before or NamespaceRecord()
        done = max(before.renewed, before.planned - namespace["planned"])
        merged[namespace["name"]] = NamespaceRecord(
            tier=namespace["tier"],
            planned=done + namespace["planned"],
            renewed=done + namespace["renewed"],
            seconds=round(before.seconds + (namespace["seconds"] or 0.0), 1),
        )
    return merged


def touch(record: RunRecord, now: datetime | None, holder: str) -> RunRecord:
    """Return ``record`` as written at ``now`` (cluster time, None when nobody tells) by ``holder``."""
    moment = format_time(now)
    return replace(record, updated_at=moment, started_at=record.started_at or moment, holder=holder)
