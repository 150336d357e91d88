# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What will hold the renewal of pods up, and how long it may take. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .._model import Owner, OwnerFacts, PodFacts
from .._node_model import BudgetFacts
from .pods import NamespacePlan, RenewalRequest, awaited_owners, find_budgets, plan_waves, shorten
from .story import format_seconds

#: Seconds that a pod takes of which nobody knows how long it took.
USUAL_SECONDS = 10.0
_NO_ROLLOUT = {
    "NoRollout": "there are no rollouts of this kind",
    "OnDelete": "it updates pods only when they are deleted",
    "Operator": "an operator keeps it and may put its template back",
    "Partition": "its partition keeps pods from being updated",
    "Paused": "its rollouts are paused",
}


#: What the renewal would stand still at until somebody changes it.
_STANDSTILL = frozenset({"Budgets", "BudgetNeverAllows"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFinding:
    """Something to know before the pods of ``namespace`` are renewed."""

    namespace: str
    check: str
    message: str

    def record(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "check": self.check,
            "message": self.message,
            "blocking": self.check in _STANDSTILL,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What the checks look at. ``owners`` and ``budgets`` are those of all namespaces; ``timeout`` is in seconds."""

    plan: NamespacePlan
    owners: Mapping[str, OwnerFacts]
    budgets: Sequence[BudgetFacts]
    timeout: float

    def evicted(self) -> Iterator[tuple[Owner, OwnerFacts]]:
        """Yield the owners whose pods are evicted."""
        for target_uid, owner in awaited_owners(self.plan.targets).items():
            way = self.plan.ways.get(target_uid, self.plan.otherwise)
            if way.method == "evict" and target_uid in self.owners:
                yield owner, self.owners[target_uid]


Found = Iterator[tuple[str, str]]


def find_hindrances(
    plans: Iterable[NamespacePlan],
    owners: Mapping[str, OwnerFacts],
    budgets: Sequence[BudgetFacts],
    timeout: float,
) -> list[PodFinding]:
    """Return what is to be known before ``plans`` are carried out, in their order. ``timeout`` is the option wait_timeout."""
    return [
        PodFinding(namespace=plan.rank.name, check=check, message=f"{plan.rank.name}: {message}")
        for plan in plans
        for find in CHECKS
        for check, message in find(_Around(plan=plan, owners=owners, budgets=budgets, timeout=timeout))
    ]


def _check_terminating(around: _Around) -> Found:
    count = around.plan.left.get("NamespaceTerminating")
    if count:
        yield "NamespaceTerminating", f"it is being deleted; its {count} pod(s) are left alone."


def _check_budgets(around: _Around) -> Found:
    """Budgets that do not let a pod go, now or ever. Those that are not Ready go all the same, or need not."""
    for owner, facts in around.evicted():
        covering = find_budgets(around.budgets, around.plan.rank.name, facts)
        if not any(_is_spared(t, covering) for t in around.plan.targets if t.owner == owner):
            continue
        if len(covering) > 1:
            names = shorten([b.name for b in covering])
            yield (
                "Budgets",
                f"{owner} is covered by several budgets ({names}), and no server evicts such pods; leave it one.",
            )
            continue
        for budget in covering:
            counts = f"{budget.healthy} of {budget.expected} are healthy, {budget.desired} must be"
            if budget.never_allows:
                words = (
                    f"budget {budget.name} never lets a pod of {owner} go: {counts}; have more replicas, or change it."
                )
                yield "BudgetNeverAllows", words
            elif budget.allowed == 0:
                wait = f"it is waited for {format_seconds(around.timeout)}"
                yield "Budget", f"budget {budget.name} lets no pod of {owner} go now: {counts}; {wait}."


def _is_spared(pod: PodFacts, budgets: Iterable[BudgetFacts]) -> bool:
    """Return whether budgets matter to the eviction of a pod: once it runs, and where they say so only while it is Ready."""
    return pod.phase == "Running" and (pod.is_ready or any(b.spares_unready for b in budgets))


def _check_single_replicas(around: _Around) -> Found:
    single = [str(owner) for owner, facts in around.evicted() if facts.desired == 1]
    if single:
        yield "SingleReplica", f"{shorten(single)}: down until the only pod has a Ready successor."


def _check_ways(around: _Around) -> Found:
    """Owners whose pods are evicted where a rollout was asked for."""
    by_reason: dict[str, list[str]] = {}
    for uid, owner in awaited_owners(around.plan.targets).items():
        reason = around.plan.ways.get(uid, around.plan.otherwise).reason
        if reason in _NO_ROLLOUT:
            by_reason.setdefault(reason, []).append(str(owner))
    for reason, names in sorted(by_reason.items()):
        yield reason, f"{shorten(names)}: evicted, not rolled out, because {_NO_ROLLOUT[reason]}."


def _check_whole(around: _Around) -> Found:
    for uid, owner in awaited_owners(around.plan.targets).items():
        desired, ready = around.owners.get(uid, OwnerFacts()).desired or 0, around.plan.ready_before.get(uid, 0)
        if ready < desired:
            yield "NotWhole", f"{owner}: only {ready} of the {desired} pods that it wants are Ready and asked for."


def _check_bare_pods(around: _Around) -> Found:
    names = [t.name for t in around.plan.targets if t.is_bare and t.owner]
    if names:
        loss = "down until this run has created them anew, and what is in their emptyDir volumes is lost"
        yield "BarePods", f"{shorten(names, ', ')}: without a controller; {loss}."


def _check_finalizers(around: _Around) -> Found:
    for pod in around.plan.targets:
        if pod.held_by:
            yield (
                "Finalizers",
                f"{pod.name} is not gone before somebody removes its finalizers: {', '.join(pod.held_by)}.",
            )


#: In the order in which their findings are best looked at.
CHECKS: Sequence[Callable[[_Around], Found]] = (
    _check_terminating,
    _check_budgets,
    _check_ways,
    _check_whole,
    _check_single_replicas,
    _check_bare_pods,
    _check_finalizers,
)


def estimate_seconds(
    plans: Iterable[NamespacePlan], owners: Mapping[str, OwnerFacts], request: RenewalRequest
) -> tuple[dict[str, int], int]:
    """Return how long each namespace may take, by its name, and all of them, in seconds.

    A pod is believed to take as long as those of its owner took from their start until they were Ready; how long they
    take to end is not known. With max_pods, no more go at once, whatever owners and namespaces they are of.
    """
    total = 0.0
    by_name: dict[str, int] = {}
    for wave in plan_waves(plans, request):
        seconds = [_estimate_namespace(plan, owners, request) for plan in wave]
        by_name |= {plan.rank.name: round(s) for plan, s in zip(wave, seconds, strict=True)}
        together = sum(_sum_up(_by_owner(plan)) for plan in wave) / request.max_pods if request.max_pods else 0.0
        total += max(*seconds, sum(seconds) / request.max_namespaces, together)
    return by_name, round(total)


def _by_owner(plan: NamespacePlan) -> dict[str, list[PodFacts]]:
    """Return the pods that go, by their owner's UID, empty for those without."""
    found: dict[str, list[PodFacts]] = {}
    for pod in plan.targets:
        found.setdefault("" if pod.is_bare or not pod.owner else pod.owner.uid, []).append(pod)
    return found


def _sum_up(by_owner: Mapping[str, Sequence[PodFacts]]) -> float:
    """Return the seconds of all pods, as if they went one after the other."""
    return sum(len(pods) * _take(pods) for pods in by_owner.values())


def _estimate_namespace(plan: NamespacePlan, owners: Mapping[str, OwnerFacts], request: RenewalRequest) -> float:
    by_owner = _by_owner(plan)
    longest = 0.0
    for uid, pods in by_owner.items():
        owner = owners.get(uid, OwnerFacts())
        rounds = _count_rounds(len(pods), owner, plan.way_of(pods[0]).method, request)
        longest = max(longest, rounds * _take(pods) + (rounds - 1) * owner.min_ready)
    return max(longest, _sum_up(by_owner) / request.max_pods) if request.max_pods else longest


def _count_rounds(pods: int, owner: OwnerFacts, method: str, request: RenewalRequest) -> int:
    at_once = owner.allowance if request.keeps_pace or method == "rollout" else pods
    return math.ceil(pods / min(at_once, request.max_pods or at_once))


def _take(pods: Sequence[PodFacts]) -> float:
    known = [p.ready_after for p in pods if p.ready_after is not None]
    return max(1.0, median(known)) if known else USUAL_SECONDS
