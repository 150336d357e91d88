# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Renewing pods, one namespace after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._effects import renew_pod
from .._errors import ApiError, CollectionError, Refused
from .._facts import (
    read_caller,
    read_denied,
    read_namespaces,
    read_own_namespace,
    read_owners,
    read_pods,
)
from .._model import OwnerFacts, PodFacts, format_time, parse_time
from .._plan.permissions import renewal_permission
from .._plan.pods import (
    NamespacePlan,
    Progress,
    RenewalRequest,
    RenewalVerdict,
    awaited_owners,
    choose_next,
    find_whole,
    judge_renewal,
    note_progress,
    order_namespaces,
    plan_namespace,
    raise_baseline,
)
from .._plan.story import format_seconds
from .rollout import look_at_rollout, pause_for_rollout

#: Answers that concern one pod only and not the cluster: it is gone (404) or a namesake has taken its place (409),
#: a disruption budget forbids it for now (429), several budgets contradict each other (500). Others may still go.
POD_STATUSES = frozenset({404, 409, 429, 500})


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the plan is made with.

    ``started_before`` is the moment up to which a pod must have started to be renewed; None when all go, whenever they
    started. ``issuer`` is the one that all kube-apiservers use; None where the cluster does not report
    that, or it is not asked for.
    """

    started_before: datetime | None
    issuer: str | None = None


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
    #: The issuer whose rollout is over; None where the cluster does not report rollouts or none is waited for.
    issuer: str | None = None
    say: Callable[[str], None] = lambda line: None
    seconds: float | None = None
    options: WaitOptions = field(default_factory=lambda: WaitOptions(timeout=0.0))
    deadline: float = 0.0
    progress: Progress = field(default_factory=Progress)
    is_farther: bool = False
    has_paused: bool = False
    #: UIDs: let go by the server, asked for without an answer that says whether, on their way out, no longer there, and
    #: not let go.
    accepted: set[str] = field(default_factory=set)
    attempted: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    blocked: dict[str, Blocked] = field(default_factory=dict)
    #: How many Ready pods each owner had, by its UID, and the owners that had all they want at the first look.
    ready_before: Mapping[str, int] = field(default_factory=dict)
    whole: frozenset[str] | None = None

    def run(self, options: WaitOptions) -> None:
        """Return when the pods are renewed and their owners whole; no pod goes while a rollout runs.

        Raises WaitTimedOut when nothing has gone on for the time given, WaitFailed when somebody changes the issuer, or
        a lasting ApiError.
        """
        start = self.clock.monotonic()
        name, count = self.plan.rank.name, len(self.plan.targets)
        self.say(f"{name}: {count} pod(s) to renew")
        try:
            self.options, self.deadline = options, self.clock.monotonic() + options.timeout
            poll(
                self.look,
                self.judge,
                waiting_for=f"the renewal of the pods in namespace {self.plan.rank.name}",
                options=options,
                clock=self.clock,
                has_progressed=self.has_progressed,
            )
        finally:
            self.seconds = round(self.clock.monotonic() - start, 1)
        self.say(f"{name}: {count} pod(s) renewed after {format_seconds(self.seconds)}")

    def has_progressed(self, verdict: RenewalVerdict) -> bool:
        """Tell whether the last look has shown that it goes on, and count the time anew when it does."""
        if self.is_farther:
            self.deadline = self.clock.monotonic() + self.options.timeout
        return self.is_farther

    def look(self) -> tuple[list[PodFacts], dict[str, OwnerFacts]]:
        """Return the namespace's pods and their owners as they were just before the next pods were sent away."""
        name, targets = self.plan.rank.name, self.plan.targets
        if self.issuer is not None and pause_for_rollout(
            self.cluster,
            self.issuer,
            during=f"the renewal of the pods in namespace {name}",
            options=self.options,
            clock=self.clock,
            say=self.say,
        ):
            self.has_paused, self.deadline = True, self.clock.monotonic() + self.options.timeout
        pods = read_pods(self.cluster, [name])[name]
        owners = read_owners(self.cluster, name, awaited_owners(targets).values())
        self.gone = {t.uid for t in targets} - {p.uid for p in pods}
        self.leaving = {p.uid for p in pods if p.is_terminating}
        if self.whole is None:
            self.whole, self.ready_before = find_whole(pods, owners), self.plan.ready_before
        self.ready_before = raise_baseline(self.ready_before, targets, pods, owners, self.whole)
        now = self.clock.monotonic()
        not_now = {uid for uid, blocked in self.blocked.items() if blocked.until > now}
        for pod in choose_next(targets, pods, owners, self.ready_before, not_now):
            # The last look comes after the deadline: who would see to it that the pod comes back?
            if self.clock.monotonic() < self.deadline:
                self.renew(pod)
        return pods, owners

    def renew(self, pod: PodFacts) -> None:
        """Send ``pod`` away, or remember why not. Whether it is gone is for the next look to say."""
        try:
            renew_pod(self.cluster, pod, method=self.request.method, grace_period=self.request.grace_period)
        except ApiError as error:
            if error.status == 0 or error.status >= 500:
                self.attempted.add(pod.uid)
            if error.status not in POD_STATUSES or error.is_missing_api:
                raise
            until = self.clock.monotonic() + (error.retry_after or 0.0)
            if pod.uid not in self.blocked or self.blocked[pod.uid].words != error.words:
                self.say(f"{pod.namespace}: {pod.name} may not go yet: {error.words}")
            self.blocked[pod.uid] = Blocked(words=error.words, until=until)
        else:
            self.accepted.add(pod.uid)

    def judge(self, facts: tuple[list[PodFacts], dict[str, OwnerFacts]]) -> RenewalVerdict:
        pods, owners = facts
        best = self.progress
        self.progress = note_progress(best, self.plan.targets, pods)
        self.is_farther, self.has_paused = self.progress != best or self.has_paused, False
        words = {uid: b.words for uid, b in self.blocked.items()}
        return judge_renewal(self.plan.targets, pods, owners, self.ready_before, words)

    def has_sent(self, pod: PodFacts) -> bool:
        """Tell whether this run has sent ``pod`` away: the server said so, or it goes and the answer was lost."""
        return pod.uid in self.accepted or pod.uid in self.attempted & (self.gone | self.leaving)

    def outcome_of(self, pod: PodFacts) -> tuple[str, str | None]:
        """Return what became of one of the plan's pods so far, with a reason where there is something to say."""
        if pod.uid in self.gone:
            return "renewed", None if self.has_sent(pod) else "GoneAlready"
        if self.has_sent(pod):
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
    cluster: Cluster,
    request: RenewalRequest,
    *,
    check_mode: bool,
    options: WaitOptions,
    clock: Clock,
    say: Callable[[str], None] = lambda line: None,
    note: Callable[[Sequence[Mapping[str, Any]]], None] = lambda namespaces: None,
    restarted: Mapping[str, datetime] = MappingProxyType({}),
) -> dict[str, Any]:
    """Renew the pods that ``request`` selects and return the module's result; in check mode return the plan.

    Raises Refused while a rollout of the kube-apiservers runs; one that begins later is waited for before another pod
    goes. Any CollectionError after the plan carries the result so far. ``say`` is given a line for each namespace
    begun and finished, and for each pod that may not go; ``note`` is told how far all namespaces are before each of them.
    ``restarted`` are the nodes that were restarted, see judge_pod.
    """
    start = find_start(cluster, request, clock)
    plans = retry(lambda: read_plans(cluster, request, start.started_before, restarted), clock=clock)
    renewals = [
        Renewal(cluster=cluster, plan=p, request=request, clock=clock, issuer=start.issuer, say=say) for p in plans
    ]
    try:
        retry(lambda: spare_own_pod(cluster, plans), clock=clock)
        retry(lambda: require_permissions(cluster, request, plans), clock=clock)
        for renewal in renewals:
            if renewal.plan.targets and not check_mode:
                note([r.record() for r in renewals])
                renewal.run(options)
    except CollectionError as error:
        error.progress = _result(renewals, start.started_before, check_mode=check_mode)
        raise
    return _result(renewals, start.started_before, check_mode=check_mode)


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
    wanted = [renewal_permission(request.method, p.rank.name) for p in plans if p.targets]
    # An empty namespace stands for all of them.
    if len(wanted) > 1 and not read_denied(cluster, [renewal_permission(request.method, "")]):
        return
    denied = read_denied(cluster, wanted)
    if denied:
        raise Refused(
            f"No pod was renewed: you are not allowed to {'; '.join(str(p) for p in denied)}; "
            "ask a cluster administrator for this."
        )


def find_start(cluster: Cluster, request: RenewalRequest, clock: Clock) -> Start:
    """Return what the plan is made with.

    Raises Refused while a rollout of the kube-apiservers runs: a pod that starts now may still get an old token.
    """
    is_given = request.everything or request.started_before is not None
    if not request.requires_rollout:
        return Start(started_before=request.started_before)
    try:
        rollout = look_at_rollout(cluster, None, probe=None, clock=clock)
    except ApiError as error:
        if not error.is_missing_api:
            raise
        if not is_given:
            raise CollectionError(
                "Could not find out which pods to renew: this cluster does not report rollouts of its kube-apiservers "
                "(it has no kubeapiservers.operator.openshift.io) and started_before is not given; set started_before "
                "to the moment since which every new token is as wanted, such as 2026-11-22T08:02:31Z."
            ) from None
        return Start(started_before=request.started_before)
    if not rollout["complete"]:
        raise Refused(
            "No pod was renewed, because the rollout of the kube-apiservers is not finished: "
            f"{rollout['explanation'].rstrip('.')}; wait for it with bound_tokens.openshift.kube_apiserver_rollout."
        )
    if is_given:
        return Start(started_before=request.started_before, issuer=rollout["issuer"])
    finished_at = parse_time(rollout["finished_at"])
    if finished_at is None:
        raise CollectionError(
            "Could not find out which pods to renew: the cluster does not tell any more when the rollout of the "
            f"kube-apiservers to the issuer {rollout['issuer']} finished, and started_before is not given; set "
            "started_before to that moment, such as 2026-11-22T08:02:31Z, or to now to renew all that run now."
        )
    return Start(started_before=finished_at, issuer=rollout["issuer"])


def read_plans(
    cluster: Cluster, request: RenewalRequest, started_before: datetime | None, restarted: Mapping[str, datetime]
) -> list[NamespacePlan]:
    """Return the plans of all namespaces that ``request`` selects, in the order in which they are carried out."""
    namespaces = read_namespaces(cluster, request.names, label_selector=request.namespace_selector)
    ranks = order_namespaces(namespaces, request, read_own_namespace(cluster))
    pods = read_pods(cluster, [r.name for r in ranks], label_selector=request.pod_selector)
    return [plan_namespace(r, pods[r.name], started_before, request.everything, restarted) for r in ranks]


def _result(renewals: Sequence[Renewal], started_before: datetime | None, *, check_mode: bool) -> dict[str, Any]:
    shown = [r for r in renewals if r.plan.targets or r.plan.reported]
    namespaces = [r.record() for r in shown]
    pods = [record for r in shown for record in r.pod_records()]
    planned = sum(n["planned"] for n in namespaces)
    return {
        "changed": planned > 0 if check_mode else any(r.has_sent(p) for r in renewals for p in r.plan.targets),
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
