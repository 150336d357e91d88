# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What will hold the restart of nodes up, before the first cordon, and how long it may take. Pure: one function per check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from .._model import format_time
from .._node_model import BudgetFacts, NodeFacts, NodePod
from .drain import choose_blocking, choose_targets
from .nodes import NodeRequest, Surroundings, find_room
from .story import format_seconds

#: So many pods or nodes are named in a sentence; the others are counted.
MAX_NAMED = 3
#: How long after it should have been gone a pod is worth a word.
LONG_TERMINATING = timedelta(minutes=10)

_TROUBLE = {
    "NoOwner": (
        "has no controller, so that nobody creates it anew",
        "have no controller, so that nobody creates them anew",
    ),
    "LocalData": ("has an emptyDir", "have an emptyDir"),
    "DaemonSet": ("belongs to a DaemonSet", "belong to a DaemonSet"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinding:
    """Something to know before ``node`` is begun. ``option`` decides it, if any does; a blocking one forbids to begin."""

    node: str
    check: str
    message: str
    option: str = ""
    is_blocking: bool = False

    def record(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "check": self.check,
            "message": self.message,
            "option": self.option or None,
            "blocking": self.is_blocking,
        }


Found = Iterator[NodeFinding]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What the checks look at. ``targets`` are the pods that leave each chosen node."""

    chosen: Sequence[NodeFacts]
    around: Surroundings
    request: NodeRequest
    batches: Sequence[Sequence[str]]
    now: datetime | None
    targets: Mapping[str, Sequence[NodePod]]


def find_blockers(
    chosen: Sequence[NodeFacts],
    around: Surroundings,
    request: NodeRequest,
    *,
    batches: Sequence[Sequence[str]],
    now: datetime | None,
) -> list[NodeFinding]:
    """Return what is to be known before the first of the nodes ``chosen`` is cordoned, the most hindering first.

    ``batches`` are the names of those that are away together, ``now`` is the cluster's time. The pods of a node without
    another one stay on it, so nothing holds them up.
    """
    pods = around.pods if len(around.nodes) > 1 else {}
    plan = _Plan(
        chosen=chosen,
        around=replace(around, pods=pods),
        request=request,
        batches=batches,
        now=now,
        targets={n.name: choose_targets(pods.get(n.name, ()), request.drain) for n in chosen},
    )
    return [finding for check in CHECKS for finding in check(plan)]


def estimate_seconds(batches: Sequence[Sequence[str]], seconds_per_node: float, finished: Sequence[float]) -> int:
    """Return how long ``batches`` are going to take; the nodes of one go side by side.

    ``finished`` are the seconds that each finished batch took; until there is one, ``seconds_per_node`` is believed.
    """
    return round(len(batches) * (sum(finished) / len(finished) if finished else seconds_per_node))


def _check_own_pod(plan: _Plan) -> Found:
    """The pod that the automation runs in: it does not outlive the restart of its node, whether a drain takes it or not."""
    pod = plan.around.own_pod
    if pod is None or pod.facts.node not in [n.name for n in plan.chosen]:
        return
    node, consents = pod.facts.node, plan.request.allow_disruption
    ways = "" if consents else "run it from elsewhere, leave the node out, or set allow_disruption to true and "
    yield NodeFinding(
        node=node,
        check="OwnPod",
        message=f"{node}: this run is in {pod}, which is on it, and ends with that pod; {ways}run it again "
        "then: another run goes on where it stopped.",
        option="allow_disruption",
        is_blocking=not consents,
    )


def _check_room(plan: _Plan) -> Found:
    """Nodes that are away already, for whatever reason: the gates wait for them. What bears a mark is a run's and comes back."""
    told: set[str] = set()
    if any(n.mark for n in plan.around.nodes):
        return
    for batch in plan.batches:
        words = find_room(batch, plan.around.nodes, plan.around.pools, plan.request)
        if words and words not in told:
            told.add(words)
            yield NodeFinding(
                node=batch[0],
                check="Room",
                message=f"{', '.join(batch)} will not be begun before there is room: {words}; see to those, or let more be away "
                "(max_unavailable, max_unavailable_per_pool, and the pool's own maxUnavailable).",
                option="max_unavailable",
            )


def _check_pods(plan: _Plan) -> Found:
    """Pods that the drain leaves alone unless an option lets them go."""
    for node in plan.chosen:
        by_reason: dict[tuple[str, str], list[NodePod]] = {}
        for pod, decision in choose_blocking(plan.around.pods.get(node.name, ()), plan.request.drain):
            by_reason.setdefault((decision.reason, decision.option), []).append(pod)
        for (reason, option), pods in by_reason.items():
            words = _TROUBLE[reason][len(pods) > 1]
            them = "them" if len(pods) > 1 else "it"
            advice = f"leave {them} there" if reason == "DaemonSet" else f"let {them} go"
            more = " (and allow_disruption)" if reason == "NoOwner" else ""
            yield NodeFinding(
                node=node.name,
                check=reason,
                message=f"{node.name}: {_name(pods)} {words}; set {option} to true{more} to {advice}.",
                option=option,
                is_blocking=True,
            )


def _check_budgets(plan: _Plan) -> Found:
    """Budgets that do not let a pod go, now or ever; of no interest to who deletes past them."""
    options = plan.request.drain
    if options.disable_eviction:
        return
    guarded = [(n.name, p) for n in plan.chosen for p in plan.targets[n.name] if _is_guarded(p)]
    for budget in plan.around.budgets:
        covered = [
            (node, pod) for node, pod in guarded if budget.covers(pod) and (pod.facts.is_ready or budget.spares_unready)
        ]
        if covered and budget.allowed == 0:
            yield _describe_budget(plan, budget, covered)
    for node, pod in guarded:
        names = [b.name for b in plan.around.budgets if b.covers(pod)]
        if len(names) > 1:
            yield NodeFinding(
                node=node,
                check="Budgets",
                message=f"{node}: {pod} is covered by several budgets ({_name(names)}), and no server evicts such a pod; "
                f"leave it one{_advise_deletion(plan)}.",
                option="delete_options.disable_eviction",
                is_blocking=options.delete_after is None,
            )


def _is_guarded(pod: NodePod) -> bool:
    """Whether the server asks a budget before it evicts the pod: not for those that do not run, or are going."""
    return pod.facts.phase == "Running" and not pod.facts.is_terminating


def _describe_budget(plan: _Plan, budget: BudgetFacts, covered: Sequence[tuple[str, NodePod]]) -> NodeFinding:
    nodes = list(dict.fromkeys(node for node, _pod in covered))
    owners = list(dict.fromkeys(str(pod.facts.owner or pod) for _node, pod in covered))
    of = f"{_name(nodes)}: budget {budget} (of {_name(owners)})"
    options = plan.request.drain
    if budget.never_allows:
        return NodeFinding(
            node=nodes[0],
            check="Budget",
            message=f"{of} never lets a pod go: {budget.desired} of {budget.expected} must be healthy, {budget.healthy} are; "
            f"have more replicas, or change it{_advise_deletion(plan)}.",
            option="delete_options.disable_eviction",
            is_blocking=options.delete_after is None,
        )
    limit = options.timeout if options.delete_after is None else min(options.timeout, options.delete_after)
    return NodeFinding(
        node=nodes[0],
        check="Budget",
        message=f"{of} lets no pod go now: {budget.healthy} of {budget.expected} are healthy, {budget.desired} must be; "
        f"a drain waits for it for {format_seconds(limit)}.",
        option="delete_options.wait_timeout" if options.delete_after is None else "delete_options.delete_after",
    )


def _advise_deletion(plan: _Plan) -> str:
    after = plan.request.drain.delete_after
    if after is not None:
        return f"; it is deleted all the same after {format_seconds(after)}"
    return ", or set delete_options.disable_eviction or delete_options.delete_after (and allow_disruption)"


def _check_capacity(plan: _Plan) -> Found:
    """Whether the pods of each batch find room on the other nodes. Affinities and volumes are not looked at."""
    free = {n.name: _find_free(n, plan.around.pods.get(n.name, ())) for n in plan.around.nodes if not n.is_unavailable}
    nodes = [n for n in plan.around.nodes if n.name in free]
    for batch in plan.batches:
        others = [n for n in nodes if n.name not in batch]
        moving = [p for name in batch for p in plan.targets.get(name, ()) if _is_created_anew(p)]
        homeless = _find_homeless(moving, others, free)
        if homeless:
            yield NodeFinding(
                node=batch[0],
                check="Capacity",
                message=f"{_name(list(batch))}: approximately {len(homeless)} of {len(moving)} pods will be Pending until it "
                f"is back, such as {_name(homeless)}: the other nodes lack what they request, or their taints and labels "
                "keep them away.",
                option="max_unavailable" if len(batch) > 1 else "",
            )


def _is_created_anew(pod: NodePod) -> bool:
    return pod.facts.owner is not None and pod.facts.phase in ("Running", "Pending")


def _find_free(node: NodeFacts, pods: Iterable[NodePod]) -> dict[str, Decimal]:
    """Return what is left of each resource of a node for more pods."""
    free = {resource: parse_quantity(amount) for resource, amount in node.allocatable.items()}
    for pod in pods:
        if pod.facts.phase not in ("Succeeded", "Failed"):
            for resource, amount in _sum_requests(pod).items():
                free[resource] = free.get(resource, Decimal(0)) - amount
    return free


def _sum_requests(pod: NodePod) -> dict[str, Decimal]:
    """Return what a pod takes of each resource; it is one of the pods that a node can have."""
    wanted = {"pods": Decimal(1)}
    for resource, amount in pod.requests:
        wanted[resource] = wanted.get(resource, Decimal(0)) + parse_quantity(amount)
    return wanted


def _find_homeless(
    moving: Iterable[NodePod], others: Sequence[NodeFacts], free: Mapping[str, Mapping[str, Decimal]]
) -> list[NodePod]:
    """Return the pods that find no place when the largest choose first; ``free`` is left as it is."""
    left = {n.name: dict(free[n.name]) for n in others}
    wants = sorted(((_sum_requests(p), p) for p in moving), key=lambda pair: _rank(pair[0]), reverse=True)
    homeless = []
    for wanted, pod in wants:
        fitting = (
            left[n.name]
            for n in others
            if all(left[n.name].get(r, 0) >= amount for r, amount in wanted.items()) and _accepts(n, pod)
        )
        place = next(fitting, None)
        if place is None:
            homeless.append(pod)
            continue
        for resource, amount in wanted.items():
            place[resource] = place.get(resource, Decimal(0)) - amount
    return homeless


def _rank(wanted: Mapping[str, Decimal]) -> tuple[Decimal, Decimal]:
    return wanted.get("cpu", Decimal(0)), wanted.get("memory", Decimal(0))


def _accepts(node: NodeFacts, pod: NodePod) -> bool:
    """Whether a node has the labels that a pod selects, and no taint that it does not tolerate."""
    return pod.node_selector.items() <= node.labels.items() and all(
        effect == "PreferNoSchedule" or any(_tolerates(t, key, value, effect) for t in pod.tolerations)
        for key, value, effect in node.taints
    )


def _tolerates(toleration: Mapping[str, Any], key: str, value: str, effect: str) -> bool:
    """As the API defines it: without a key, and with Exists, every taint is meant; without an effect, every effect."""
    if toleration.get("effect") not in (None, "", effect) or toleration.get("key") not in (None, "", key):
        return False
    return toleration.get("operator") == "Exists" or (toleration.get("value") or "") == value


_QUANTITY = re.compile(
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+))([eE](?P<exponent>[+-]?\d+)|(?P<suffix>[numkMGTPE]|[KMGTPE]i))?"
)
_DECIMAL = {suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("num", start=-3)} | {
    suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate("kMGTPE", start=1)
}
_BINARY = {f"{suffix}i": Decimal(2) ** (10 * power) for power, suffix in enumerate("KMGTPE", start=1)}


def parse_quantity(text: str) -> Decimal:
    """Return a resource quantity such as 250m, 1Gi, 2 or 1e3 (apimachinery's pkg/api/resource). Raises ValueError."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no quantity")
    scale = {**_DECIMAL, **_BINARY}.get(found["suffix"] or "", Decimal(1))
    return Decimal(found["number"]).scaleb(int(found["exponent"] or 0)) * scale


def _check_single_replicas(plan: _Plan) -> Found:
    """Pods whose owner has no other Ready one: what they do is not done until their successors are Ready."""
    ready = Counter(
        p.facts.owner.uid for pods in plan.around.pods.values() for p in pods if p.facts.is_ready and p.facts.owner
    )
    for node in plan.chosen:
        single = [
            p
            for p in plan.targets[node.name]
            if p.facts.is_ready and p.facts.owner and ready[p.facts.owner.uid] == 1 and not p.facts.runs_to_completion
        ]
        if single:
            words = (
                "are the only Ready ones of their owners" if len(single) > 1 else "is the only Ready one of its owner"
            )
            yield NodeFinding(
                node=node.name,
                check="SingleReplica",
                message=f"{node.name}: {_name(single)} {words}: down until a successor is Ready; have more replicas.",
            )


def _check_finalizers(plan: _Plan) -> Found:
    for node in plan.chosen:
        for pod in plan.targets[node.name]:
            if held := pod.facts.held_by:
                yield NodeFinding(
                    node=node.name,
                    check="Finalizers",
                    message=f"{node.name}: {pod} is not gone before somebody removes its finalizers: {', '.join(held)}.",
                )


def _check_terminating(plan: _Plan) -> Found:
    for node in plan.chosen:
        for pod in plan.targets[node.name]:
            if plan.now and pod.deletion_time and pod.deletion_time + LONG_TERMINATING < plan.now:
                yield NodeFinding(
                    node=node.name,
                    check="Terminating",
                    message=f"{node.name}: {pod} should have been gone at {format_time(pod.deletion_time)} and is still there.",
                )


def _check_control_plane(plan: _Plan) -> Found:
    """The reminder that the documentation begins with, and what a single control-plane node means."""
    members = [n.name for n in plan.chosen if n.is_control_plane]
    if not members:
        return
    yield NodeFinding(
        node=members[0],
        check="EtcdBackup",
        message=f"{members[0]}: back up etcd before the control plane is restarted.",
    )
    if sum(n.is_control_plane for n in plan.around.nodes) == 1:
        yield NodeFinding(
            node=members[0],
            check="SingleControlPlane",
            message=f"{members[0]}: it is the only control-plane node, so the API is away while it restarts.",
        )


def _check_alone(plan: _Plan) -> Found:
    for node in plan.chosen if len(plan.around.nodes) == 1 else ():
        yield NodeFinding(
            node=node.name,
            check="SingleNode",
            message=f"{node.name}: there is no other node, so it is restarted with its pods on it, and all of them are down.",
        )


def _name(things: Sequence[object]) -> str:
    """Return the first of ``things`` and how many more there are."""
    named = ", ".join(str(t) for t in things[:MAX_NAMED])
    return f"{named} and {len(things) - MAX_NAMED} more" if len(things) > MAX_NAMED else named


#: In the order in which their findings are best looked at.
CHECKS: Sequence[Callable[[_Plan], Found]] = (
    _check_own_pod,
    _check_room,
    _check_pods,
    _check_budgets,
    _check_capacity,
    _check_single_replicas,
    _check_finalizers,
    _check_terminating,
    _check_alone,
    _check_control_plane,
)
