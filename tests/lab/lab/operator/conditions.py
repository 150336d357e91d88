# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of kubeapiservers/cluster and of the ClusterOperator, in the real operator's words (plurals included)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .installer import NodeStatus

Condition = dict[str, Any]

CREATING = {"waiting": {"reason": "ContainerCreating"}}


def condition(kind: str, status: bool, reason: str | None = None, message: str | None = None) -> Condition:
    """A condition without its time; reason and message only when given, as the real writers do."""
    fields = {"type": kind, "status": str(status), "reason": reason, "message": message}
    return {key: value for key, value in fields.items() if value is not None}


def installer_conditions(nodes: Sequence[NodeStatus], latest: int) -> list[Condition]:
    """What the installer controller says. "N nodes are" but "1 node is"; yet always "N nodes are active"."""
    counts = Counter(node.current for node in nodes)
    behind = any(node.current != latest for node in nodes)
    clauses = [f"{n} {'nodes are' if n > 1 else 'node is'} at revision {r}" for r, n in sorted(counts.items())]
    if behind and not counts[latest]:
        clauses.append(f"0 nodes have achieved new revision {latest}")
    text = "; ".join(clauses)
    active = sum(node.current > 0 for node in nodes)
    failing: dict[int, list[NodeStatus]] = {}
    for node in nodes:  # a failure of an earlier revision stays on the node and means nothing
        if node.failed_revision and node.failed_revision == node.target:
            failing.setdefault(node.target, []).append(node)
    failures = "; ".join(
        f"{len(group)} nodes are failing on revision {revision}:\n"
        + "\n".join(e for n in group for e in n.failed_errors)
        for revision, group in sorted(failing.items())
    )
    return [
        condition(
            "StaticPodsAvailable", active > 0, "" if active else "ZeroNodesActive", f"{active} nodes are active; {text}"
        ),
        condition("NodeInstallerProgressing", behind, "" if behind else "AllNodesAtLatestRevision", text),
        condition("NodeInstallerDegraded", True, "InstallerPodFailed", failures)
        if failing
        else condition("NodeInstallerDegraded", False),
        condition("InstallerControllerDegraded", False),
    ]


def static_pods_condition(pods: Iterable[Mapping[str, Any]]) -> Condition:
    """StaticPodsDegraded from the mirror pods: true for a moment in every healthy rollout, while containers are created.

    A pending pod whose kubelet has not said anything of its containers yet counts as the kubelet's own first word for it.
    """
    lines = []
    for pod in sorted(pods, key=lambda pod: pod["metadata"]["name"]):
        silent = [{"name": c["name"], "state": CREATING} for c in pod.get("spec", {}).get("containers", [])]
        pending = pod.get("status", {}).get("phase") == "Pending"
        for status in pod.get("status", {}).get("containerStatuses") or (silent if pending else []):
            where = f'pod/{pod["metadata"]["name"]} container "{status["name"]}"'
            waiting = status.get("state", {}).get("waiting")
            terminated = status.get("state", {}).get("terminated")
            if waiting and waiting.get("reason") not in (None, "PodInitializing"):
                lines.append(f"{where} is waiting: {waiting['reason']}: {waiting.get('message', '')}")
            elif terminated and terminated.get("exitCode"):
                lines.append(f"{where} is terminated: {terminated.get('reason', '')}: {terminated.get('message', '')}")
    if lines:
        return condition("StaticPodsDegraded", True, "Error", "\n".join(lines))
    return condition("StaticPodsDegraded", False)


def nodes_condition(nodes: Iterable[Mapping[str, Any]]) -> Condition:
    """NodeControllerDegraded, whose reason is the same word either way."""
    bad = []
    for node in nodes:
        ready = next((c for c in node.get("status", {}).get("conditions", []) if c["type"] == "Ready"), None)
        if ready is None or ready["status"] != "True":
            known = ready or {}
            since, reason, message = (known.get(key, "") for key in ("lastTransitionTime", "reason", "message"))
            bad.append(f'node "{node["metadata"]["name"]}" not ready since {since} because {reason} ({message})')
    text = f"The master nodes not ready: {', '.join(bad)}" if bad else "All master nodes are ready"
    return condition("NodeControllerDegraded", bool(bad), "MasterNodesReady", text)


def observation_condition(problem: str) -> Condition:
    """ConfigObservationDegraded: the only sign of an issuer that the operator cannot parse."""
    if problem:
        return condition("ConfigObservationDegraded", True, "Error", problem)
    return condition("ConfigObservationDegraded", False)


STEADY = (  # conditions that this stand-in never changes, as they are on a healthy cluster
    condition("RevisionControllerDegraded", False, "AsExpected"),
    condition("TargetConfigControllerDegraded", False),
    condition("KubeletMinorVersionUpgradeable", True, "AsExpected", "Kubelet and API server versions are synced."),
)


def same(one: Condition | None, other: Condition) -> bool:
    """Whether two conditions say the same; an empty reason or message is as good as none."""
    return one is not None and all(
        (one.get(key) or "") == (other.get(key) or "") for key in ("status", "reason", "message")
    )


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type."""
    return next((c for c in conditions if c["type"] == kind), None)


def merged(conditions: Sequence[Condition], changes: Iterable[Condition], now: str) -> list[Condition]:
    """The list with the changed ones replaced; lastTransitionTime moves with the status only."""
    result = {c["type"]: c for c in conditions}
    for change in changes:
        former = result.get(change["type"])
        kept = former["lastTransitionTime"] if former and former["status"] == change["status"] else now
        result[change["type"]] = {**change, "lastTransitionTime": kept}
    return list(result.values())


def cluster_operator_conditions(
    conditions: Sequence[Condition], age: Mapping[str, float], inertia: Mapping[str, float]
) -> list[Condition]:
    """The ClusterOperator's four conditions: a union of all that end in the same word.

    ``age``: seconds since each condition last changed its status; ``inertia``: for how long a Degraded one is borne.
    """
    return [
        _union("Degraded", False, conditions, age, inertia),
        _union("Progressing", False, conditions),
        _union("Available", True, conditions),
        _union("Upgradeable", True, conditions),
    ]


def _union(
    kind: str,
    good: bool,
    conditions: Sequence[Condition],
    age: Mapping[str, float] | None = None,
    inertia: Mapping[str, float] | None = None,
) -> Condition:
    those = [c for c in conditions if c["type"].endswith(kind)]
    bad = [c for c in those if c["status"] != str(good)]
    if age is not None and inertia is not None:
        elder = [c for c in bad if age.get(c["type"], 0.0) > inertia.get(c["type"], inertia[""])]
        bad = bad if elder else []
    if not those:
        return {"type": kind, "status": "Unknown", "reason": "NoData"}
    if not bad:
        return condition(kind, good, "AsExpected", _messages(those) or "All is well")
    reasons = [c["type"].removesuffix(kind) + (f"_{c['reason']}" if c.get("reason") else "") for c in bad]
    return condition(kind, not good, "::".join(sorted(reasons)), _messages(bad))


def _messages(conditions: Iterable[Condition]) -> str:
    return "\n".join(
        f"{c['type']}: {line}" for c in conditions if c.get("message") for line in c["message"].split("\n")
    )


def status_changed(before: Sequence[Condition], after: Sequence[Condition]) -> str:
    """The text of the event OperatorStatusChanged, or "" when there is nothing to say."""
    parts = []
    for new in after:
        old = find(before, new["type"])
        kind, status, message = new["type"], new["status"], new.get("message", "")
        if old is None:
            parts.append(f'{kind} set to {status} ("{message}")')
        elif old["status"] != status:
            parts.append(f'{kind} changed from {old["status"]} to {status} ("{message}")')
        elif (old.get("message") or "") != message:
            parts.append(f'{kind} message changed from "{old.get("message", "")}" to "{message}"')
    return f"Status for clusteroperator/kube-apiserver changed: {','.join(parts)}" if parts else ""
