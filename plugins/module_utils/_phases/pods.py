# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Renewing pods: the plan, the checks before anything is done, the waves, and the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, retry
from .._errors import ApiError, CollectionError, Refused
from .._facts import (
    MAX_SINGLE_READS,
    find_own_pod,
    read_denied,
    read_namespaces,
    read_operators,
    read_own_namespace,
    read_owners,
    read_pods,
)
from .._holder_facts import read_ready_since
from .._model import KeptPod, NamespaceFacts, OwnerFacts, PodFacts, format_time
from .._node_facts import read_budgets
from .._node_model import BudgetFacts
from .._plan.bare_pods import add_missing, can_be_created_anew, is_in_care, is_missing, leave_out, take_into_care
from .._plan.permissions import describe_denied, keeping_permissions, renewal_permissions
from .._plan.pod_findings import PodFinding, estimate_seconds, find_hindrances
from .._plan.pods import (
    NamespacePlan,
    RenewalRequest,
    awaited_owners,
    choose_ways,
    is_platform,
    order_namespaces,
    plan_namespace,
    plan_waves,
    shorten,
)
from .bare_pods import find_objections, forget, read_kept, read_namesake
from .renewal import Renewal, Start
from .rollout import find_switch
from .token_reasons import find_reader
from .waves import RolloutGate, Wave


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalPlan:
    """What is to be done in all namespaces, in this order; with ``findings`` and seconds where they were asked for.

    ``stale`` are pods that an earlier run has kept and nobody needs any more.
    """

    namespaces: Sequence[NamespacePlan]
    stale: Sequence[KeptPod] = ()
    findings: Sequence[PodFinding] = ()
    seconds_by_name: Mapping[str, int] = field(default_factory=dict)
    seconds: int | None = None
    #: How many pods there are in the cluster; None where that was not seen.
    cluster_pods: int | None = None


def renew_pods(
    cluster: Cluster,
    request: RenewalRequest,
    *,
    check_mode: bool,
    options: WaitOptions,
    clock: Clock,
    say: Callable[[str], None] = lambda line: None,
    note: Callable[[Callable[[], Sequence[Mapping[str, Any]]]], None] = lambda read: None,
    restarted: Mapping[str, datetime] = MappingProxyType({}),
) -> dict[str, Any]:
    """Renew the pods that ``request`` selects and return the module's result; in check mode return the plan.

    Raises Refused while a rollout of the kube-apiservers runs; one that begins later is waited for before another pod
    goes. Any CollectionError after the plan carries the result so far. ``say`` is given a line for each namespace
    begun and finished, and for each pod that may not go; ``note`` is told at each look how to find out how far all
    namespaces are. ``restarted`` are the nodes that were restarted, see judge_pod.
    """
    start = find_start(cluster, request, clock)
    foresees = options.timeout if check_mode else None
    plan = retry(lambda: read_plan(cluster, request, start.started_before, restarted, foresees=foresees), clock=clock)
    plans = plan.namespaces
    if any(p.keepers for p in plans):
        start = replace(start, now=retry(lambda: read_time(cluster), clock=clock))
    begin = partial(Renewal, cluster=cluster, clock=clock, start=start, options=options, say=say)
    renewals = [begin(plan=p, request=request.within(p.rank.name)) for p in plans]
    try:
        retry(lambda: spare_own_pod(cluster, plans), clock=clock)
        retry(lambda: require_permissions(cluster, plans, request.record_namespace), clock=clock)
        gate = RolloutGate(cluster=cluster, issuer=start.issuer, options=options, clock=clock, say=say)
        by_name = {r.name: r for r in renewals}
        waves = [] if check_mode else plan_waves(plans, request)
        has_platform = any(is_platform(p.rank.name) for wave in waves for p in wave)
        operators = retry(lambda: read_operators(cluster), clock=clock) if has_platform else {}
        if not check_mode:
            retry(lambda: forget_stale(cluster, request.record_namespace, plan.stale), clock=clock)
            note(lambda: [r.record() for r in renewals])
        for wave in waves:
            Wave(
                cluster=cluster,
                renewals=[by_name[p.rank.name] for p in wave],
                request=request,
                options=options,
                clock=clock,
                gate=gate,
                operators_before=operators,
                cluster_pods=plan.cluster_pods,
                note=lambda: note(lambda: [r.record() for r in renewals]),
            ).run()
    except CollectionError as error:
        if not check_mode:
            error.message += restore(renewals, request.record_namespace)
        error.progress = _result(plan, renewals, start.started_before, check_mode=check_mode)
        raise
    return _result(plan, renewals, start.started_before, check_mode=check_mode)


def restore(renewals: Sequence[Renewal], record_namespace: str) -> str:
    """Have the pods created anew that this run has taken away; return a sentence about those that are not, empty for none."""
    for renewal in renewals:
        renewal.restore()
    missing = [name for r in renewals for name in r.missing().values()]
    if not missing:
        return ""
    return (
        f" {len(missing)} pod(s) are gone and not created anew yet: {shorten(missing, ', ')}; they are kept in Secrets in "
        f"namespace {record_namespace}, from which this task creates them when it is run again."
    )


def read_time(cluster: Cluster) -> datetime:
    """Return the cluster's time."""
    now = cluster.server_time()
    if now is None:
        raise CollectionError(
            "Could not ask for rollouts: the API server does not tell its time, which they are marked with; use "
            "method: evict."
        )
    return now


def spare_own_pod(cluster: Cluster, plans: Sequence[NamespacePlan]) -> None:
    """Return when the pod that this runs in stays. Raises Refused: it would end this run.

    A rollout replaces all pods of its owner, also those that need not be renewed.
    """
    rolled = [plan for plan in plans if plan.keepers]
    pods = read_pods(cluster, [plan.rank.name for plan in rolled])
    going = [p for plan in plans for p in plan.targets]
    going += [p for plan in rolled for p in pods[plan.rank.name] if plan.way_of(p).keeper]
    own = find_own_pod(cluster, going)
    if own:
        raise Refused(
            f"No pod was renewed, because one of them is {own.namespace}/{own.name}, in which this run is: "
            f"it would end it; leave it out with exclude_namespaces: [{own.namespace}] and renew it from elsewhere."
        )


def require_permissions(cluster: Cluster, plans: Sequence[NamespacePlan], record_namespace: str) -> None:
    """Return when the caller may send every planned pod away. Raises Refused with all that is missing, before any has gone."""
    wanted = [permission for p in plans for permission in renewal_permissions(p.rank.name, sorted(p.deeds))]
    # An empty namespace stands for all of them.
    everywhere = dict.fromkeys(replace(permission, namespace="") for permission in wanted)
    is_general = len(wanted) > len(everywhere) and not read_denied(cluster, everywhere)
    denied = [] if is_general else read_denied(cluster, wanted)
    if any(is_in_care(t) for p in plans for t in p.targets):
        denied += read_denied(cluster, keeping_permissions(record_namespace))
    if denied:
        raise Refused(f"No pod was renewed: {describe_denied(denied)}")


def forget_stale(cluster: Cluster, namespace: str, stale: Sequence[KeptPod]) -> None:
    for kept in stale:
        forget(cluster, namespace, kept)


def find_start(cluster: Cluster, request: RenewalRequest, clock: Clock) -> Start:
    """Return what the plan is made with.

    Raises Refused while a rollout of the kube-apiservers runs: a pod that starts now may still get an old token.
    """
    if not request.requires_rollout:
        return Start(started_before=request.started_before)
    is_needed = not request.everything
    given = request.started_before
    moment, issuer = find_switch(cluster, given, noun="pod", verb="renew", clock=clock, is_needed=is_needed)
    return Start(started_before=moment, issuer=issuer)


def read_plan(
    cluster: Cluster,
    request: RenewalRequest,
    started_before: datetime | None,
    restarted: Mapping[str, datetime],
    *,
    foresees: float | None,
) -> RenewalPlan:
    """Return the plans of all namespaces that ``request`` selects, in the order in which they are carried out.

    ``foresees`` is the option wait_timeout where it is to be told what may hold the plan up and how long it may take; that
    takes some reads more.
    """
    namespaces = read_namespaces(cluster, request.names, label_selector=request.namespace_selector)
    ranks = order_namespaces(namespaces, request, read_own_namespace(cluster))
    read, seen = find_reader(cluster, request, started_before, restarted), Counter[str]()

    def count(pod: Mapping[str, Any]) -> PodFacts:
        seen["pods"] += 1
        return read(pod)

    pods = read_pods(cluster, [r.name for r in ranks], label_selector=request.pod_selector, read=count)
    cluster_pods = None if len(ranks) <= MAX_SINGLE_READS or request.pod_selector else seen["pods"]
    if request.recreates_bare_pods:
        pods = {n: [take_into_care(p) if can_be_created_anew(p) else p for p in found] for n, found in pods.items()}
    unready, now = read_unready_nodes(cluster), cluster.server_time()
    plans = [
        plan_namespace(r, pods[r.name], started_before, request.within(r.name), restarted, unready, now) for r in ranks
    ]
    plans, stale = _plan_bare_pods(cluster, request, plans, namespaces)
    touched = [p.rank.name for p in plans if p.targets]
    owners: Mapping[str, OwnerFacts] = {}
    budgets = _read_budgets(cluster, touched, request) if touched else []
    if budgets is not None:
        guarded = {b.namespace for b in budgets}
        plans = [replace(p, has_budgets=p.rank.name in guarded) for p in plans]
    needs_ways = any(part.method in ("rollout", "auto") for part in request.parts)
    if touched and (needs_ways or foresees is not None):
        awaited = [owner for p in plans for owner in awaited_owners(p.targets).values()]
        owners = read_owners(cluster, touched, awaited)
    if needs_ways:
        plans = [choose_ways(p, request.within(p.rank.name), owners, budgets or (), started_before) for p in plans]
    if foresees is None:
        return RenewalPlan(namespaces=plans, stale=stale, cluster_pods=cluster_pods)
    by_name, seconds = estimate_seconds(plans, owners, request)
    return RenewalPlan(
        namespaces=plans,
        stale=stale,
        findings=find_hindrances(plans, owners, budgets or (), foresees),
        seconds_by_name=by_name,
        seconds=seconds,
    )


def read_unready_nodes(cluster: Cluster) -> frozenset[str]:
    """Return the nodes that are not Ready; none where they may not be read, which is no reason to renew nothing."""
    try:
        return frozenset(name for name, since in read_ready_since(cluster).items() if since is None)
    except ApiError as error:
        if error.status != 403:
            raise
        return frozenset()


def _plan_bare_pods(
    cluster: Cluster, request: RenewalRequest, plans: Sequence[NamespacePlan], namespaces: Sequence[NamespaceFacts]
) -> tuple[list[NamespacePlan], list[KeptPod]]:
    """Return ``plans`` without the pods that could not be created anew, and with those that an earlier run has not; and
    those that are kept in vain. ``namespaces`` are all that were looked through."""
    objections = find_objections(cluster, [t for p in plans for t in p.targets if is_in_care(t)])
    plans = [leave_out(p, objections) for p in plans]
    selected = {p.rank.name for p in plans}
    known = None if request.names or request.namespace_selector else {n.name for n in namespaces}
    going = {t.uid for p in plans for t in p.targets}
    missing, stale = [], []
    for kept in read_kept(cluster, request.record_namespace, is_required=request.recreates_bare_pods):
        if known is not None and kept.namespace not in known:
            stale.append(kept)  # its namespace is gone
        elif kept.namespace in selected:
            found = read_namesake(cluster, kept)
            if is_missing(kept, found):
                missing.append(kept)
            elif (found and found.uid != kept.uid) or (request.recreates_bare_pods and kept.uid not in going):
                stale.append(kept)
    return [add_missing(p, missing) for p in plans], stale


def _read_budgets(cluster: Cluster, namespaces: Sequence[str], request: RenewalRequest) -> list[BudgetFacts] | None:
    """Return the budgets; None where they may not be read and no way is chosen by them."""
    try:
        return read_budgets(cluster, namespaces)
    except ApiError as error:
        if error.status != 403 or any(part.method == "auto" for part in request.parts):
            raise
        return None


def _result(
    plan: RenewalPlan, renewals: Sequence[Renewal], started_before: datetime | None, *, check_mode: bool
) -> dict[str, Any]:
    shown = [r for r in renewals if r.plan.targets or r.plan.reported]
    namespaces = [{**r.record(), "estimated_seconds": plan.seconds_by_name.get(r.name)} for r in shown]
    pods = [record for r in shown for record in r.pod_records()]
    planned = sum(n["planned"] for n in namespaces)
    return {
        "changed": planned > 0 if check_mode else any(r.has_changed for r in renewals),
        "started_before": format_time(started_before),
        "namespaces": namespaces,
        "pods": pods,
        "findings": [f.record() for f in plan.findings],
        "summary": {
            "planned": planned,
            "renewed": sum(n["renewed"] for n in namespaces),
            "blocked": sum(p["outcome"] == "blocked" for p in pods),
            "left": sum(sum(r.plan.left.values()) for r in renewals),
            "reasons": dict(sorted(sum((Counter(r.plan.left) for r in renewals), Counter()).items())),
            "namespaces": sum(n["planned"] > 0 for n in namespaces),
            "estimated_seconds": plan.seconds,
        },
    }
