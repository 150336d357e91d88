# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine config operator, as far as one sees it from outside.

An update begins when somebody changes a pool's ``spec.configuration.name``. Its nodes then go one after the other (as many at
once as the pool allows) through desiredConfig, Working, a cordon, some time, the end of the cordon, and Done. Nothing is
evicted and nothing restarts. A node with the annotation ``lab.local/update-fails`` becomes Degraded instead, until that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

PREFIX = "machineconfiguration.openshift.io/"
CURRENT, DESIRED, STATE, REASON = (f"{PREFIX}{name}" for name in ("currentConfig", "desiredConfig", "state", "reason"))
DESIRED_DRAIN, LAST_DRAIN = f"{PREFIX}desiredDrain", f"{PREFIX}lastAppliedDrain"
FAILS = "lab.local/update-fails"
ZONE = "topology.kubernetes.io/zone"
POOLS = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools"


@dataclass(frozen=True)
class Write:
    """A merge patch."""

    path: str
    body: Object
    note: str


def find_pool(node: Object, pools: Iterable[Object]) -> str | None:
    """The pool that a node belongs to: master before all, a custom one before worker."""
    labels = node["metadata"].get("labels", {})
    names = [
        pool["metadata"]["name"]
        for pool in pools
        if pool["spec"]["nodeSelector"]["matchLabels"].items() <= labels.items()
    ]
    return min(names, key=lambda name: {"master": 0, "worker": 2}.get(name, 1), default=None)


def is_ready(node: Object) -> bool:
    """Ready, and people may schedule to it: for the operator a cordon is as bad as a node that is down."""
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions", [])}
    healthy = conditions.get("Ready") == "True" and conditions.get("DiskPressure", "False") == "False"
    return healthy and not node.get("spec", {}).get("unschedulable")


def is_done(node: Object) -> bool:
    notes = _notes(node)
    return bool(notes.get(CURRENT)) and notes.get(CURRENT) == notes.get(DESIRED) and notes.get(STATE) == "Done"


def is_unavailable(node: Object) -> bool:
    """Not Ready, cordoned by whomever, or being updated; a node whose update has failed may be sent elsewhere."""
    return not is_ready(node) or (not is_done(node) and _notes(node).get(STATE) != "Degraded")


def max_unavailable(pool: Object, nodes: int) -> int:
    """Percentages are rounded down, and one node may always go."""
    wanted = pool["spec"].get("maxUnavailable", 1)
    if isinstance(wanted, str) and wanted.endswith("%"):
        wanted = int(wanted[:-1]) * nodes // 100
    return max(int(wanted), 1)


def choose_candidates(pool: Object, nodes: list[Object]) -> list[Object]:
    """The nodes that may begin now, by zone and age."""
    if pool["spec"].get("paused"):
        return []
    target = pool["spec"]["configuration"]["name"]
    capacity = max_unavailable(pool, len(nodes)) - sum(map(is_unavailable, nodes))
    capacity -= sum(_notes(node).get(DESIRED) == target and _notes(node).get(STATE) == "Degraded" for node in nodes)
    waiting = [node for node in nodes if _notes(node).get(DESIRED) not in (None, target) and is_ready(node)]
    waiting.sort(key=lambda node: (node["metadata"]["labels"].get(ZONE, "~"), node["metadata"]["creationTimestamp"]))
    return waiting[: max(capacity, 0)]


def judge_pool(pool: Object, nodes: list[Object], now: str) -> Object:
    """The pool's status."""
    target, before = pool["spec"]["configuration"], pool.get("status") or {}
    updated = [node for node in nodes if is_done(node) and _notes(node).get(DESIRED) == target["name"]]
    ready = [node for node in updated if is_ready(node)]
    unavailable = [node for node in nodes if is_unavailable(node)]
    degraded = [node for node in nodes if _notes(node).get(STATE) == "Degraded"]
    whole = len(updated) == len(ready) == len(nodes) and not unavailable
    line = f"MachineConfig {target['name']}"
    paused = pool["spec"].get("paused", False)
    updating = f"Pool is paused; will not update to {line}" if paused else f"All nodes are updating to {line}"
    said = ", ".join(
        f'Node {node["metadata"]["name"]} is reporting: "{_notes(node).get(REASON, "")}"' for node in degraded
    )
    wanted = [
        _condition("RenderDegraded", False),
        _condition("Updated", whole, message=f"All nodes are updated with {line}" if whole else ""),
        _condition("Updating", not whole and not paused, message="" if whole else updating),
        _condition(
            "NodeDegraded",
            bool(degraded),
            f"{len(degraded)} nodes are reporting degraded status on sync" if degraded else "",
            said,
        ),
        _condition("Degraded", bool(degraded), message=said),
    ]
    return {
        "observedGeneration": pool["metadata"].get("generation", 0),
        "machineCount": len(nodes),
        "updatedMachineCount": len(updated),
        "readyMachineCount": len(ready),
        "unavailableMachineCount": len(unavailable),
        "degradedMachineCount": len(degraded),
        "configuration": target if whole else before.get("configuration") or target,
        "conditions": merge_conditions(before.get("conditions") or [], wanted, now),
    }


def judge_operator(degraded: list[str]) -> list[Object]:
    """Conditions of the ClusterOperator machine-config, from the pools that are degraded."""
    text = f"one or more machine config pools are degraded: {', '.join(degraded)}" if degraded else ""
    reason = "RequiredPoolsFailed" if degraded else "AsExpected"
    return [
        _condition("Degraded", bool(degraded), reason, text),
        _condition("Progressing", False, "AsExpected", "Cluster version is the wanted one"),
        _condition("Available", True, "AsExpected", "Cluster has deployed the wanted version"),
        _condition("Upgradeable", not degraded, "DegradedPool" if degraded else "AsExpected", text),
    ]


def merge_conditions(before: list[Object], wanted: list[Object], now: str) -> list[Object]:
    """The wanted ones, each with the time since which it has had its status."""
    former = {condition["type"]: condition for condition in before}
    merged = []
    for condition in wanted:
        old = former.get(condition["type"])
        same = old and old["status"] == condition["status"]
        merged.append(condition | {"lastTransitionTime": old["lastTransitionTime"] if old and same else now})
    return merged


class Pools:
    """What remains to be written, from look to look. Its only memory is since when a node is being updated."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}

    def decide(self, pools: Mapping[str, Object], nodes: Iterable[Object], moment: float, now: str) -> list[Write]:
        """Writes in order; `moment` is monotonic, `now` is for the conditions."""
        members: dict[str, list[Object]] = {name: [] for name in pools}
        for node in nodes:
            if pool := find_pool(node, pools.values()):
                members[pool].append(node)
        writes = []
        for name, pool in pools.items():
            if not (pool["spec"].get("configuration") or {}).get("name"):
                continue
            candidates = [node["metadata"]["name"] for node in choose_candidates(pool, members[name])]
            for node in members[name]:
                writes += self._step(pool, node, node["metadata"]["name"] in candidates, moment)
            status = judge_pool(pool, members[name], now)
            if {key: (pool.get("status") or {}).get(key) for key in status} != status:
                writes.append(Write(f"{POOLS}/{name}/status", {"status": status}, f"pool {name}: {_brief(status)}"))
        return writes

    def _step(self, pool: Object, node: Object, may_begin: bool, moment: float) -> list[Write]:
        """The next thing that happens to a node, if any."""
        notes, name = _notes(node), node["metadata"]["name"]
        target = pool["spec"]["configuration"]["name"]
        desired = notes.get(DESIRED, "")
        uncordon = f"uncordon-{desired}"
        if not notes.get(CURRENT):
            have = (pool.get("status") or {}).get("configuration", {}).get("name") or target
            drained = f"uncordon-{have}"
            first = {CURRENT: have, DESIRED: have, STATE: "Done", DESIRED_DRAIN: drained, LAST_DRAIN: drained}
            return [_patch(name, "joins its pool", first)]
        if may_begin:
            return [_patch(name, f"shall have {target}", {DESIRED: target})]
        if notes[CURRENT] == desired:
            return []
        if FAILS in notes:
            failed = {STATE: "Degraded", REASON: "the lab was told that this update fails"}
            return [] if notes.get(STATE) == "Degraded" else [_patch(name, "fails", failed)]
        if notes.get(STATE) != "Working":
            self._since.pop(name, None)
            return [_patch(name, "begins", {STATE: "Working", REASON: "", DESIRED_DRAIN: f"drain-{desired}"})]
        if notes.get(DESIRED_DRAIN) != uncordon:
            if notes.get(LAST_DRAIN) != notes.get(DESIRED_DRAIN):
                return [_patch(name, "is cordoned", {LAST_DRAIN: notes[DESIRED_DRAIN]}, unschedulable=True)]
            if moment - self._since.setdefault(name, moment) < self._seconds:
                return []
            return [_patch(name, "has its update", {DESIRED_DRAIN: uncordon})]
        if notes.get(LAST_DRAIN) != uncordon:
            return [_patch(name, "is not cordoned any more", {LAST_DRAIN: uncordon}, unschedulable=False)]
        return [_patch(name, "is done", {CURRENT: desired, STATE: "Done", REASON: ""})]


def _notes(node: Object) -> Mapping[str, str]:
    notes: Mapping[str, str] = node["metadata"].get("annotations", {})
    return notes


def _patch(node: str, what: str, annotations: Mapping[str, str], unschedulable: bool | None = None) -> Write:
    body: Object = {"metadata": {"annotations": dict(annotations)}}
    if unschedulable is not None:
        body["spec"] = {"unschedulable": unschedulable or None}
    return Write(f"/api/v1/nodes/{node}", body, f"node {node} {what}")


def _condition(kind: str, true: bool, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}


def _brief(status: Object) -> str:
    counts = " ".join(f"{status[f'{name}MachineCount']} {name}" for name in ("updated", "ready", "unavailable"))
    return f"{counts} of {status['machineCount']}"
