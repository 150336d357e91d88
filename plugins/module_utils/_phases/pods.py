# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Renewing pods, one namespace after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._client import Cluster
from .._clock import Clock, WaitOptions, poll
from .._effects import renew_pod
from .._errors import ApiError, CollectionError, Refused
from .._facts import read_caller, read_denied, read_namespaces, read_own_namespace, read_owners, read_pods
from .._model import OwnerFacts, PodFacts, format_time, parse_time
from .._plan.pods import (
    NamespacePlan,
    RenewalRequest,
    RenewalVerdict,
    awaited_owners,
    choose_next,
    judge_renewal,
    order_namespaces,
    plan_namespace,
    renewal_permission,
)
from .rollout import look_at_rollout

#: Answers that concern one pod only and not the cluster: it is gone (404) or a namesake has taken its place (409),
#: a disruption budget forbids it for now (429), several budgets contradict each other (500). Others may still go.
POD_STATUSES = frozenset({404, 409, 429, 500})


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Why the server did not let a pod go, and the moment (monotonic, seconds) before which not to ask again."""

    words: str
    until: float


@dataclass(slots=True, kw_only=True)
class Renewal:
    """Carries out the plan of one namespace and remembers what was done."""

    cluster: Cluster
    plan: NamespacePlan
    request: RenewalRequest
    clock: Clock
    seconds: float | None = None
    deadline: float = 0.0
    #: UIDs: let go by the server, no longer there, and not let go.
    accepted: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    blocked: dict[str, Blocked] = field(default_factory=dict)

    def run(self, options: WaitOptions) -> None:
        """Return when the pods are renewed and their owners whole. Raises WaitTimedOut or a lasting ApiError."""
        start = self.clock.monotonic()
        self.deadline = start + options.timeout
        waiting_for = f"the renewal of the pods in namespace {self.plan.rank.name}"
        try:
            poll(self.look, self.judge, waiting_for=waiting_for, options=options, clock=self.clock)
        finally:
            self.seconds = round(self.clock.monotonic() - start, 1)

    def look(self) -> tuple[list[PodFacts], dict[str, OwnerFacts]]:
        """Return the namespace's pods and their owners as they were just before the next pods were sent away."""
        name, targets = self.plan.rank.name, self.plan.targets
        pods = read_pods(self.cluster, [name])[name]
        owners = read_owners(self.cluster, name, awaited_owners(targets).values())
        self.gone = {t.uid for t in targets} - {p.uid for p in pods}
        now = self.clock.monotonic()
        not_now = {uid for uid, blocked in self.blocked.items() if blocked.until > now}
        for pod in choose_next(targets, pods, owners, self.plan.ready_before, not_now):
            # The last look comes after the deadline: who would see to it that the pod comes back?
            if self.clock.monotonic() < self.deadline:
                self.renew(pod)
        return pods, owners

    def renew(self, pod: PodFacts) -> None:
        """Send ``pod`` away, or remember why not. Whether it is gone is for the next look to say."""
        try:
            renew_pod(self.cluster, pod, method=self.request.method, grace_period=self.request.grace_period)
        except ApiError as error:
            if error.status not in POD_STATUSES or error.is_missing_api:
                raise
            until = self.clock.monotonic() + (error.retry_after or 0.0)
            self.blocked[pod.uid] = Blocked(words=error.words, until=until)
        else:
            self.accepted.add(pod.uid)

    def judge(self, facts: tuple[list[PodFacts], dict[str, OwnerFacts]]) -> RenewalVerdict:
        pods, owners = facts
        words = {uid: b.words for uid, b in self.blocked.items()}
        return judge_renewal(self.plan.targets, pods, owners, self.plan.ready_before, words)

    def outcome_of(self, pod: PodFacts) -> tuple[str, str | None]:
        """Return what became of one of the plan's pods so far, with a reason where there is something to say."""
        if pod.uid in self.gone:
            return "renewed", None if pod.uid in self.accepted else "GoneAlready"
        if pod.uid in self.accepted:
            return "renewed", "Terminating"
        if pod.uid in self.blocked:
            return "blocked", self.blocked[pod.uid].words
        return "planned", None

    def pod_records(self) -> list[dict[str, Any]]:
        """Return the pods that the plan names, in the shape that pod_restart documents as ``pods``."""
        targets = [_pod_record(p, *self.outcome_of(p)) for p in self.plan.targets]
        return targets + [_pod_record(p, "left", reason) for p, reason in self.plan.reported]

    def record(self) -> dict[str, Any]:
        """Return the namespace in the shape that pod_restart documents as ``namespaces``."""
        return {
            "name": self.plan.rank.name,
            "tier": self.plan.rank.tier.value,
            "planned": len(self.plan.targets),
            "renewed": sum(self.outcome_of(p)[0] == "renewed" for p in self.plan.targets),
            "left": dict(self.plan.left),
            "seconds": self.seconds,
        }


def _pod_record(pod: PodFacts, outcome: str, reason: str | None) -> dict[str, Any]:
    return {
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "owner": None if pod.owner is None else str(pod.owner),
        "started_at": format_time(pod.start_time),
        "outcome": outcome,
        "reason": reason,
    }


def renew_pods(
    cluster: Cluster, request: RenewalRequest, *, check_mode: bool, options: WaitOptions, clock: Clock
) -> dict[str, Any]:
    """Renew the pods that ``request`` selects and return the module's result; in check mode return the plan.

    Raises Refused while a rollout of the kube-apiservers runs; any CollectionError later on carries the result so far.
    """
    started_before = find_started_before(cluster, request)
    renewals = [
        Renewal(cluster=cluster, plan=plan, request=request, clock=clock)
        for plan in read_plans(cluster, request, started_before)
    ]
    try:
        spare_own_pod(cluster, [r.plan for r in renewals])
        require_permissions(cluster, request, [r.plan for r in renewals])
        for renewal in renewals:
            if renewal.plan.targets and not check_mode:
                renewal.run(options)
    except CollectionError as error:
        error.progress = _result(renewals, started_before, check_mode=check_mode)
        raise
    return _result(renewals, started_before, check_mode=check_mode)


def spare_own_pod(cluster: Cluster, plans: Sequence[NamespacePlan]) -> None:
    """Return when no planned pod is the one that our own token is bound to. Raises Refused: it would end this run."""
    caller = read_caller(cluster)
    own = next((p for plan in plans for p in plan.targets if caller.pod_uid and p.uid == caller.pod_uid), None)
    if own:
        raise Refused(
            f"No pod was renewed, because one of them is {own.namespace}/{own.name}, in which this run has its credentials: "
            f"it would end the run; leave it out with exclude_namespaces: [{own.namespace}] and renew it from elsewhere."
        )


def require_permissions(cluster: Cluster, request: RenewalRequest, plans: Sequence[NamespacePlan]) -> None:
    """Return when the caller may send every planned pod away. Raises Refused with all that is missing, before any has gone."""
    namespaces = [p.rank.name for p in plans if p.targets]
    denied = read_denied(cluster, [renewal_permission(request.method, n) for n in namespaces])
    if denied:
        raise Refused(
            f"No pod was renewed: you are not allowed to {'; '.join(str(p) for p in denied)}; "
            "ask a cluster administrator for this."
        )


def find_started_before(cluster: Cluster, request: RenewalRequest) -> datetime | None:
    """Return the moment up to which a pod must have started to be renewed; None when all go, whenever they started.

    Raises Refused while a rollout of the kube-apiservers runs: a pod that starts now may still get an old token.
    """
    is_given = request.everything or request.started_before is not None
    try:
        rollout = look_at_rollout(cluster, None, probe=None)
    except ApiError as error:
        if not error.is_missing_api:
            raise
        if not is_given:
            raise CollectionError(
                "Could not find out which pods to renew: this cluster does not report rollouts of its kube-apiservers "
                "(it has no kubeapiservers.operator.openshift.io) and started_before is not given; set started_before "
                "to the moment since which every new token is as wanted, such as 2026-11-22T08:02:31Z."
            ) from None
        return request.started_before
    if not rollout["complete"]:
        raise Refused(
            "No pod was renewed, because the rollout of the kube-apiservers is not finished: "
            f"{rollout['explanation'].rstrip('.')}; wait for it with bound_tokens.openshift.kube_apiserver_rollout."
        )
    if is_given:
        return request.started_before
    finished_at = parse_time(rollout["finished_at"])
    if finished_at is None:
        raise CollectionError(
            "Could not find out which pods to renew: the cluster does not tell any more when the rollout of the "
            f"kube-apiservers to the issuer {rollout['issuer']} finished, and started_before is not given; set "
            "started_before to that moment, such as 2026-11-22T08:02:31Z, or to now to renew all that run now."
        )
    return finished_at


def read_plans(cluster: Cluster, request: RenewalRequest, started_before: datetime | None) -> list[NamespacePlan]:
    """Return the plans of all namespaces that ``request`` selects, in the order in which they are carried out."""
    names = read_namespaces(cluster, request.names)
    ranks = order_namespaces(names, request.include, request.exclude, read_own_namespace(cluster))
    pods = read_pods(cluster, [r.name for r in ranks])
    return [plan_namespace(r, pods[r.name], started_before, request.everything) for r in ranks]


def _result(renewals: Sequence[Renewal], started_before: datetime | None, *, check_mode: bool) -> dict[str, Any]:
    shown = [r for r in renewals if r.plan.targets or r.plan.reported]
    namespaces = [r.record() for r in shown]
    pods = [record for r in shown for record in r.pod_records()]
    planned = sum(n["planned"] for n in namespaces)
    return {
        "changed": planned > 0 if check_mode else any(r.accepted for r in renewals),
        "started_before": format_time(started_before),
        "namespaces": namespaces,
        "pods": pods,
        "summary": {
            "planned": planned,
            "renewed": sum(n["renewed"] for n in namespaces),
            "blocked": sum(p["outcome"] == "blocked" for p in pods),
            "left": sum(sum(r.plan.left.values()) for r in renewals),
            "namespaces": sum(n["planned"] > 0 for n in namespaces),
        },
    }
