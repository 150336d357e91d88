# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Plain facts about nodes, the pods on them and the budgets of those. API objects enter as mappings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ._model import MANAGED_BY, NO_CONDITION, RUN_ID, PodFacts, conditions_of, parse_time, pod_facts

#: Holds a NodeMark while a node is drained, restarted and proven; goes with the cordon.
MARK = "bound-tokens.openshift/restart"
#: Of the pod that restarts a node; the drain leaves it alone.
RESTART_LABELS = {**MANAGED_BY, "app.kubernetes.io/component": "node-restart"}
#: Of a pod that runs a command on a node; the drain leaves it alone, too.
COMMAND_LABELS = {**MANAGED_BY, "app.kubernetes.io/component": "node-command"}
#: Nodes with one of these hold an etcd member.
CONTROL_PLANE_ROLES = ("control-plane", "master", "arbiter")

_ROLE = "node-role.kubernetes.io/"
_ZONE = "topology.kubernetes.io/zone"
_MCO = "machineconfiguration.openshift.io/"
_UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMark:
    """Whose cordon it is, written in one patch with the cordon and removed in one patch with it.

    ``boot_id`` is the node's boot ID before the restart, ``was_cordoned`` whether somebody else had cordoned it before,
    ``requested_at`` when this collection asked for the restart, ``emptied_at`` when the node was left empty for its restart by
    other means (cluster time, RFC 3339).
    """

    run_id: str
    boot_id: str
    was_cordoned: bool = False
    requested_at: str | None = None
    emptied_at: str | None = None

    def dump(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def parse_mark(text: str | None) -> NodeMark | None:
    """Return the mark in an annotation; None when there is none or it is none of ours: a kubelet may annotate its own node."""
    try:
        mark = NodeMark(**json.loads(text or "null"))
        is_sound = isinstance(mark.boot_id, str) and isinstance(mark.was_cordoned, bool)
        for moment in (mark.requested_at, mark.emptied_at):
            is_sound = is_sound and isinstance(moment, str | None)
            parse_time(moment)
        is_sound = is_sound and bool(RUN_ID.fullmatch(mark.run_id))
    except (TypeError, ValueError, AttributeError, RecursionError):
        return None
    return mark if is_sound else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A node as the API shows it. ``heartbeat`` is when its kubelet last reported (cluster time)."""

    name: str
    version: str = ""
    boot_id: str = ""
    roles: tuple[str, ...] = ()
    zone: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    is_ready: bool = False
    heartbeat: datetime | None = None
    is_unreachable: bool = False
    is_cordoned: bool = False
    mark: NodeMark | None = None
    #: What keeps the machine-config operator busy with the node; empty when nothing does.
    update: str = ""
    #: Taints as (key, value, effect), and what pods may request of each resource, as the API writes it.
    taints: tuple[tuple[str, str, str], ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_control_plane(self) -> bool:
        return any(role in CONTROL_PLANE_ROLES for role in self.roles)

    @property
    def is_unavailable(self) -> bool:
        """Whether it takes no pods now: what the machine-config operator counts as unavailable."""
        return self.is_cordoned or not self.is_ready


def node_facts(node: Mapping[str, Any]) -> NodeFacts:
    """Return the facts of a node."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    ready = conditions_of(node).get("Ready", NO_CONDITION)
    heartbeats = (c.get("lastHeartbeatTime") for c in status.get("conditions") or () if c.get("type") == "Ready")
    taints = tuple((t["key"], t.get("value") or "", t.get("effect") or "") for t in spec.get("taints") or ())
    return NodeFacts(
        name=metadata["name"],
        version=metadata.get("resourceVersion") or "",
        boot_id=(status.get("nodeInfo") or {}).get("bootID") or "",
        roles=tuple(sorted(label[len(_ROLE) :] for label in labels if label.startswith(_ROLE))),
        zone=labels.get(_ZONE) or "",
        labels=labels,
        is_ready=ready.status == "True",
        heartbeat=parse_time(next(heartbeats, None)),
        is_unreachable=any(key == _UNREACHABLE for key, _value, _effect in taints),
        is_cordoned=bool(spec.get("unschedulable")),
        mark=parse_mark(annotations.get(MARK)),
        update=_describe_update(annotations),
        taints=taints,
        allocatable=status.get("allocatable") or {},
    )


def _describe_update(annotations: Mapping[str, str]) -> str:
    """Return what the machine-config operator has yet to do on a node, by its annotations (a cordon is none of them)."""
    for kind in ("Config", "Image"):
        current, desired = (annotations.get(f"{_MCO}{which}{kind}") or "nothing" for which in ("current", "desired"))
        if current != desired:
            return f"it is on its way from {current} to {desired}"
    state = annotations.get(f"{_MCO}state") or "Done"
    if state != "Done":
        return f"the machine-config daemon reports {state}"
    if annotations.get(f"{_MCO}desiredDrain") != annotations.get(f"{_MCO}lastAppliedDrain"):
        return "the machine-config operator drains it"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePod:
    """A pod on a node, with what a drain must know besides PodFacts."""

    facts: PodFacts
    #: Data that goes with the pod: an emptyDir.
    has_local_data: bool = False
    is_restart_pod: bool = False
    is_command_pod: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    deletion_time: datetime | None = None
    #: How a container ended, in its own or the kubelet's words; empty when none has.
    words: str = ""
    #: When the last container ended, and when the first of those that run was started (the node's clock).
    finished_at: datetime | None = None
    started_at: datetime | None = None
    #: Requests of all containers by resource, as the API writes them; and what limits where it may run.
    requests: tuple[tuple[str, str], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.facts.namespace}/{self.facts.name}"


def node_pod(pod: Mapping[str, Any]) -> NodePod:
    """Return the facts of a pod on a node."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    labels = metadata.get("labels") or {}
    states = [s.get("state") or {} for s in status.get("containerStatuses") or ()]
    ended = [s.get("terminated") or {} for s in states]
    words = [e.get("message") or e.get("reason") or "" for e in ended]
    finished = [moment for e in ended if (moment := parse_time(e.get("finishedAt")))]
    started = [moment for s in states if (moment := parse_time((s.get("running") or {}).get("startedAt")))]
    requests = [
        pair
        for container in spec.get("containers") or ()
        for pair in ((container.get("resources") or {}).get("requests") or {}).items()
    ]
    return NodePod(
        facts=pod_facts(pod),
        has_local_data=any("emptyDir" in volume for volume in spec.get("volumes") or ()),
        is_restart_pod=RESTART_LABELS.items() <= labels.items(),
        is_command_pod=COMMAND_LABELS.items() <= labels.items(),
        labels=labels,
        created_at=parse_time(metadata.get("creationTimestamp")),
        deletion_time=parse_time(metadata.get("deletionTimestamp")),
        words=" ".join(" ".join(words).split()) or status.get("message") or "",
        finished_at=max(finished, default=None),
        started_at=min(started, default=None),
        requests=tuple(requests),
        node_selector=spec.get("nodeSelector") or {},
        tolerations=tuple(spec.get("tolerations") or ()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFacts:
    """A PodDisruptionBudget and where it stands. ``selector`` is a label selector as the API writes it, None for none.

    ``spares_unready`` is False where pods that are not Ready may always be evicted.
    """

    namespace: str
    name: str
    selector: Mapping[str, Any] | None = field(default_factory=dict)
    allowed: int = 0
    healthy: int = 0
    desired: int = 0
    expected: int = 0
    spares_unready: bool = True

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def never_allows(self) -> bool:
        """Whether all pods must be healthy, so that none may ever go."""
        return self.desired >= self.expected > 0

    @property
    def is_satisfied(self) -> bool:
        return self.healthy >= self.desired

    def covers(self, pod: NodePod) -> bool:
        return pod.facts.namespace == self.namespace and matches(self.selector, pod.labels)


def budget_facts(budget: Mapping[str, Any]) -> BudgetFacts:
    """Return the facts of a PodDisruptionBudget."""
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    return BudgetFacts(
        namespace=budget["metadata"]["namespace"],
        name=budget["metadata"]["name"],
        selector=spec.get("selector"),
        allowed=status.get("disruptionsAllowed") or 0,
        healthy=status.get("currentHealthy") or 0,
        desired=status.get("desiredHealthy") or 0,
        expected=status.get("expectedPods") or 0,
        spares_unready=spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow",
    )


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector fits ``labels``; an empty one fits everything, none at all (None) nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(k) == v for k, v in wanted.items()) and all(
        _fits(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _fits(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], list(expression.get("values") or ())
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    return bool((labels.get(key) in values) == (operator == "In"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """A MachineConfigPool: which nodes are its own, and how many of them may be unavailable (None: not said)."""

    name: str
    selector: Mapping[str, Any]
    max_unavailable: int | str | None = None
    is_paused: bool = False
    degraded: str = ""


def pool_facts(pool: Mapping[str, Any]) -> PoolFacts:
    """Return the facts of a MachineConfigPool."""
    spec, degraded = pool.get("spec") or {}, conditions_of(pool).get("Degraded", NO_CONDITION)
    return PoolFacts(
        name=pool["metadata"]["name"],
        selector=spec.get("nodeSelector") or {},
        max_unavailable=spec.get("maxUnavailable"),
        is_paused=bool(spec.get("paused")),
        degraded=(degraded.message or degraded.reason) if degraded.status == "True" else "",
    )
