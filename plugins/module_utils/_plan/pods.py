# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Which pods are renewed, in which order, and which may go now. Pure."""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from .._errors import CollectionError, InvalidOption
from .._model import (
    Condition,
    Judgement,
    KeptPod,
    NamespaceFacts,
    Outcome,
    Owner,
    OwnerFacts,
    PodFacts,
    read_moment,
)
from .._node_model import BudgetFacts, matches
from .holders import find_exemption, has_started_after
from .pod_ways import Way, choose_way

#: So many names are shown in a sentence before the rest is only counted.
MAX_NAMES = 5
#: How long a pod may take to become Ready after it was created; one that has taken longer is not well.
RECENT = timedelta(minutes=5)


class Tier(enum.Enum):
    """A part of the cluster. Namespaces are renewed in the order of these lines."""

    OPERATORS = "platform operators"
    OPERANDS = "operands"
    INGRESS_AND_MONITORING = "ingress and monitoring"
    USER = "user namespaces"
    OWN = "own namespace"


#: Looked through from top to bottom; the first pattern that fits decides, and what fits none is the user's.
_TIER_PATTERNS: tuple[tuple[Tier, tuple[str, ...]], ...] = (
    (
        Tier.OPERATORS,
        (
            "openshift-*-operator",
            "openshift-*-operators",
            "openshift-operators",
            "openshift-operators-redhat",
            "openshift-operator-lifecycle-manager",
            "openshift-cluster-version",
        ),
    ),
    (
        Tier.INGRESS_AND_MONITORING,
        (
            "openshift-apiserver",
            "openshift-authentication",
            "openshift-console",
            "openshift-image-registry",
            "openshift-ingress",
            "openshift-ingress-canary",
            "openshift-monitoring",
            "openshift-oauth-apiserver",
            "openshift-user-workload-monitoring",
        ),
    ),
    (Tier.OPERANDS, ("openshift-*", "kube-*")),
)


class PodAction(enum.Enum):
    """What the plan does with a pod."""

    RENEW = "renew"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDecision:
    """What to do with one pod and why; a decision that ``is_reported`` names the pod, others are only counted."""

    action: PodAction
    reason: str
    is_reported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What holds in some namespaces, by name or glob, in place of what holds in the others."""

    namespaces: tuple[str, ...]
    method: str
    tokens: str
    everything: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRequest:
    """What the task asks for. ``method`` is evict, delete, rollout or auto; ``everything`` is the option ``all``.

    ``tokens`` is any, old or lasting, see find_reason_to_stay; of several ``overrides`` for a namespace the first one counts.
    The selectors are label selectors as the API takes them, of namespaces and of pods; empty ones select all.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    namespace_selector: str = ""
    pod_selector: str = ""
    started_before: datetime | None = None
    method: str = "evict"
    keeps_pace: bool = True
    max_namespaces: int = 1
    max_pods: int | None = None
    canary: str | None = None
    everything: bool = False
    grace_period: int | None = None
    requires_rollout: bool = True
    recreates_bare_pods: bool = False
    #: Where pods are kept that are to be created anew.
    record_namespace: str = "bound-tokens"
    tokens: str = "any"
    overrides: tuple[Override, ...] = ()

    def within(self, namespace: str) -> RenewalRequest:
        """Return what is asked for in one namespace."""
        found = next((o for o in self.overrides if _fits(namespace, o.namespaces)), None)
        if found is None:
            return self
        return replace(self, method=found.method, tokens=found.tokens, everything=found.everything, overrides=())

    @property
    def parts(self) -> tuple[RenewalRequest | Override, ...]:
        """All that may be asked for in some namespace."""
        return (self, *self.overrides)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The namespaces asked for when each is given by its name; None when all must be looked through."""
        return None if any(_is_glob(p) for p in self.include) else self.include


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceRank:
    """A namespace and the part of the cluster it belongs to."""

    name: str
    tier: Tier
    is_terminating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespacePlan:
    """What is done in one namespace.

    ``reported`` are pods left alone that a person must look at, with the reason; ``left`` counts all that are left
    alone by reason. ``ready_before`` is the number of Ready pods of each owner, by its UID, when the plan was made, ``owed`` what
    some are to have besides.
    ``kept`` are those of the targets, by UID, that an earlier run has sent away and not created anew.
    ``ways`` tells how the pods of each owner go, by its UID, ``otherwise`` of all others. ``has_budgets`` tells whether there are
    disruption budgets, True also where that is not known.
    """

    rank: NamespaceRank
    targets: tuple[PodFacts, ...] = ()
    reported: tuple[tuple[PodFacts, str], ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    ready_before: Mapping[str, int] = field(default_factory=dict)
    owed: Mapping[str, Owed] = field(default_factory=dict)
    ways: Mapping[str, Way] = field(default_factory=dict)
    kept: Mapping[str, KeptPod] = field(default_factory=dict)
    otherwise: Way = field(default_factory=lambda: Way(method="evict"))
    has_budgets: bool = True

    def way_of(self, pod: PodFacts) -> Way:
        if pod.uid in self.kept:
            return Way(method="create")
        return self.ways.get(pod.owner.uid, self.otherwise) if pod.owner else self.otherwise

    def turn_of(self, pod: PodFacts) -> str:
        """Return the turn in which ``pod`` is told to go (see in_turns): one of its own where no budget can cover it."""
        return pod.turn if self.has_budgets and self.way_of(pod).method == "evict" else pod.uid

    @property
    def deeds(self) -> set[tuple[str, str]]:
        """Each method that is used, and with a rollout the kind that it restarts."""
        ways = [self.way_of(t) for t in self.targets]
        return {(w.method, w.keeper.kind if w.keeper else "") for w in ways}

    def count_methods(self) -> dict[str, int]:
        """Return how many pods go by each method."""
        return dict(sorted(Counter(self.way_of(t).method for t in self.targets).items()))

    @property
    def keepers(self) -> dict[str, Owner]:
        """What rollouts restart, by UID."""
        return {w.keeper.uid: w.keeper for w in self.ways.values() if w.keeper}


def read_request(params: Mapping[str, Any]) -> RenewalRequest:
    """Return what the options of pod_restart ask for. Raises InvalidOption where they can't be meant."""
    everything, grace_period = params["all"], params["terminate_grace_period"]
    method = params["method"] or ("delete" if everything else "evict")
    overrides = tuple(_read_override(o, method, params["tokens"]) for o in params["overrides"])
    if any((everything, *(o.everything for o in overrides))) and not params["allow_disruption"]:
        raise InvalidOption(
            "The option all deletes every pod, also those that nobody creates anew; "
            "if that is meant, set allow_disruption to true as well."
        )
    if params["recreate_bare_pods"] and not params["allow_disruption"]:
        raise InvalidOption(
            "The option recreate_bare_pods takes pods away that nobody but this run creates anew, with what is in their emptyDir "
            "volumes; if that is meant, set allow_disruption to true as well."
        )
    if grace_period is not None and grace_period < 0:
        raise InvalidOption(f"The option terminate_grace_period is {grace_period}; give 0 or more seconds.")
    if not params["require_rollout"] and not everything and params["started_before"] is None:
        raise InvalidOption(
            "With require_rollout set to false the cluster is not asked which pods are old; set started_before to the "
            "moment up to which pods must have started to be renewed, such as 2026-11-22T08:02:31Z."
        )
    for name in ("max_namespaces", "max_pods"):
        if params[name] is not None and params[name] < 1:
            raise InvalidOption(f"The option {name} is {params[name]}; give 1 or more.")
    for name in ("namespace_selectors", "label_selectors"):
        if not all(selector.strip() for selector in params[name]):
            raise InvalidOption(f"The option {name} holds an empty text, which would select everything; leave it out.")
    return RenewalRequest(
        include=tuple(params["namespaces"]),
        exclude=tuple(params["exclude_namespaces"]),
        namespace_selector=",".join(params["namespace_selectors"]),
        pod_selector=",".join(params["label_selectors"]),
        started_before=read_moment(params["started_before"], "The option started_before"),
        method=method,
        tokens=params["tokens"],
        overrides=overrides,
        keeps_pace=params["pace"] == "owner",
        max_namespaces=params["max_namespaces"],
        max_pods=params["max_pods"],
        canary=params["canary_namespace"] or None,
        everything=everything,
        grace_period=grace_period,
        requires_rollout=params["require_rollout"],
        recreates_bare_pods=params["recreate_bare_pods"],
        record_namespace=params["record_namespace"],
    )


def _read_override(given: Mapping[str, Any], method: str, tokens: str) -> Override:
    everything = bool(given["all"])
    return Override(
        namespaces=tuple(given["namespaces"]),
        method=given["method"] or ("delete" if everything else method),
        tokens=given["tokens"] or tokens,
        everything=everything,
    )


def order_namespaces(
    namespaces: Iterable[NamespaceFacts], request: RenewalRequest, own_namespace: str | None
) -> list[NamespaceRank]:
    """Return those of ``namespaces`` that the globs select, in the order in which they are renewed.

    ``namespaces`` have the labels asked for; ``own_namespace`` is the one that the automation runs in. Raises
    CollectionError for a namespace that is asked for by its name and is not among them.
    """
    known = {n.name: n for n in namespaces}
    missing = sorted(p for p in request.include if not _is_glob(p) and p not in known)
    if missing:
        labels = f" with the labels {request.namespace_selector}" if request.namespace_selector else ""
        raise CollectionError(
            f"Could not find the namespace{'s' if len(missing) > 1 else ''} {', '.join(missing)}{labels}; "
            f"check the names in the option namespaces{' and namespace_selectors' if labels else ''}."
        )
    order = list(Tier)
    ranks = [
        NamespaceRank(
            name=n.name, tier=Tier.OWN if n.name == own_namespace else _tier_of(n.name), is_terminating=n.is_terminating
        )
        for n in known.values()
        if _fits(n.name, request.include) and not _fits(n.name, request.exclude)
    ]
    if request.canary and request.canary not in (r.name for r in ranks):
        raise CollectionError(
            f"Could not begin with the namespace {request.canary}: it is not among those that are to be renewed; "
            "check the option canary_namespace."
        )
    return sorted(ranks, key=lambda r: (r.name != request.canary, order.index(r.tier), r.name))


def plan_waves(plans: Iterable[NamespacePlan], request: RenewalRequest) -> list[list[NamespacePlan]]:
    """Return those of ``plans`` that have pods to renew, in groups that are renewed one after the other.

    Namespaces of one group may overlap; they are of one tier. The canary is alone.
    """
    waves: list[list[NamespacePlan]] = []
    for plan in plans:
        if not plan.targets:
            continue
        before = waves[-1][-1].rank if waves else None
        overlaps = request.max_namespaces > 1 and before is not None and before.name != request.canary
        if overlaps and before is not None and before.tier is plan.rank.tier:
            waves[-1].append(plan)
        else:
            waves.append([plan])
    return waves


def name_namespaces(names: Sequence[str]) -> str:
    """Return the names for a sentence."""
    return f"namespace{'s' if len(names) > 1 else ''} {shorten(names, ', ')}"


def _is_glob(pattern: str) -> bool:
    return any(c in pattern for c in "*?[")


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, p) for p in patterns)


def _tier_of(name: str) -> Tier:
    return next((tier for tier, patterns in _TIER_PATTERNS if _fits(name, patterns)), Tier.USER)


def judge_pod(
    pod: PodFacts,
    started_before: datetime | None,
    everything: bool,
    restarted: Mapping[str, datetime] = MappingProxyType({}),
    unready_nodes: Collection[str] = (),
) -> PodDecision:
    """Return whether ``pod`` is renewed; whether it can hold an old token at all is find_exemption's to say.

    With ``everything`` all go that deletion restarts; ``started_before`` None means whenever they started. On a node that is not
    Ready nobody ends a pod that is told to go.
    """
    if pod.is_terminating:
        return _skip("Terminating")
    exemption = find_exemption(pod, started_before, restarted)
    if exemption == "Static":
        return _skip("Static", is_reported=everything)
    if everything:
        if has_started_after(pod, started_before):
            return _skip("StartedAfter")
        if pod.node in unready_nodes:
            return _skip("NodeNotReady", is_reported=True)
        return PodDecision(action=PodAction.RENEW, reason="All")
    if exemption:
        return _skip(exemption)
    if pod.owner is None:
        return _skip("NoOwner", is_reported=True)
    if runs_to_completion(pod):
        return _skip("RunsToCompletion", is_reported=True)
    if pod.reason_to_stay:
        return _skip(pod.reason_to_stay)
    if pod.node in unready_nodes:
        return _skip("NodeNotReady", is_reported=True)
    return PodDecision(action=PodAction.RENEW, reason="StartedBefore")


def _skip(reason: str, *, is_reported: bool = False) -> PodDecision:
    return PodDecision(action=PodAction.SKIP, reason=reason, is_reported=is_reported)


def runs_to_completion(pod: PodFacts) -> bool:
    """Return whether the pod does a piece of work that would start over; nobody waits for it to be Ready again."""
    is_job = pod.owner is not None and (pod.owner.group, pod.owner.kind) == ("batch", "Job")
    return is_job or pod.runs_to_completion


def plan_namespace(
    rank: NamespaceRank,
    pods: Sequence[PodFacts],
    started_before: datetime | None,
    request: RenewalRequest,
    restarted: Mapping[str, datetime] = MappingProxyType({}),
    unready_nodes: Collection[str] = (),
    now: datetime | None = None,
) -> NamespacePlan:
    """Return what is done with ``pods``, all those of one namespace that are asked for; ``request`` is what holds in it.

    ``now`` is the cluster's time. A namespace that is being deleted loses its pods anyway, and none could be created in it.
    """
    if rank.is_terminating:
        return NamespacePlan(rank=rank, left={"NamespaceTerminating": len(pods)} if pods else {})
    decisions = [(p, judge_pod(p, started_before, request.everything, restarted, unready_nodes)) for p in pods]
    return NamespacePlan(
        rank=rank,
        otherwise=Way(method="delete" if request.method == "delete" else "evict"),
        targets=tuple(p for p, d in decisions if d.action is PodAction.RENEW),
        reported=tuple((p, d.reason) for p, d in decisions if d.is_reported),
        left=dict(sorted(Counter(d.reason for _p, d in decisions if d.action is PodAction.SKIP).items())),
        ready_before=count_ready(pods),
        owed=find_owed(pods, now, started_before),
    )


def choose_ways(
    plan: NamespacePlan,
    request: RenewalRequest,
    owners: Mapping[str, OwnerFacts],
    budgets: Sequence[BudgetFacts],
    started_before: datetime | None,
) -> NamespacePlan:
    """Return ``plan`` with the way in which the pods of each of ``owners``, by UID, go."""
    namespace = plan.rank.name
    ways = {
        uid: choose_way(
            request.method,
            owners[uid],
            ready=plan.ready_before.get(uid, 0),
            is_platform=is_platform(namespace),
            budgets=find_budgets(budgets, namespace, owners[uid]),
            started_before=started_before,
        )
        for uid in awaited_owners(plan.targets)
        if uid in owners
    }
    return replace(plan, ways=ways)


def find_budgets(budgets: Iterable[BudgetFacts], namespace: str, owner: OwnerFacts) -> list[BudgetFacts]:
    """Return those of ``budgets`` that cover the pods of ``owner``, which is in ``namespace``."""
    return [b for b in budgets if b.namespace == namespace and matches(b.selector, owner.labels)]


def is_platform(namespace: str) -> bool:
    """Return whether OpenShift or Kubernetes itself keeps what is in a namespace."""
    return _fits(namespace, ("openshift-*", "kube-*"))


#: Conditions of ClusterOperators as they are where something is wrong. Degraded follows a failure only minutes later.
_UNWELL = {"Available": "False", "Degraded": "True"}


def describe_unwell(before: Mapping[str, Mapping[str, Condition]], now: Mapping[str, Mapping[str, Condition]]) -> str:
    """Return which ClusterOperators are not well that were ``before``, and why; empty for none. Both are conditions by type."""

    def find(operators: Mapping[str, Mapping[str, Condition]]) -> dict[str, str]:
        return {
            f"{name} is {'not available' if kind == 'Available' else 'degraded'}": c.message or c.reason
            for name, conditions in operators.items()
            for kind, bad in _UNWELL.items()
            if (c := conditions.get(kind)) and c.status == bad
        }

    known = find(before)
    found = [f"{what} ({words.rstrip('.')})" for what, words in find(now).items() if what not in known]
    return f"ClusterOperators are not well any more: {shorten(found)}." if found else ""


def count_ready(pods: Iterable[PodFacts]) -> dict[str, int]:
    """Return the number of pods of each owner, by its UID, that are Ready and stay."""
    return dict(Counter(p.owner.uid for p in pods if p.owner and p.is_ready and not p.is_terminating))


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """How many Ready pods an owner is to have back: ``ready`` that were Ready when the plan was made, and one more for so many
    seconds from then on as each of ``lasting`` says."""

    ready: int
    lasting: tuple[float, ...]

    def count(self, elapsed: float) -> int:
        return self.ready + sum(seconds > elapsed for seconds in self.lasting)


def find_owed(pods: Iterable[PodFacts], now: datetime | None, started_before: datetime | None) -> dict[str, Owed]:
    """Return the owners, by UID, of which pods have just come or were just told to go, and are not Ready.

    A run before may have been interrupted: the next pod of an owner must not go before the last one was replaced. A pod that is
    not Ready for long was not well before; but of a StatefulSet, which stops at such a pod itself, none goes while one that has
    come since ``started_before`` is not Ready. A ReplicaSet replaces a pod as soon as it is told to go. ``now`` is the cluster's
    time; None where it is not told.
    """
    pods = list(pods)
    lasting: dict[str, list[float]] = {}
    for pod in pods:
        is_well = (pod.is_ready and not pod.is_terminating) or pod.phase in ("Succeeded", "Failed")
        if is_well or not pod.owner or not pod.changed_at or (pod.is_terminating and pod.owner.kind == "ReplicaSet"):
            continue
        if _is_ordered(pod) and started_before and pod.changed_at > started_before:
            lasting.setdefault(pod.owner.uid, []).append(math.inf)
        elif now and pod.changed_at > now - RECENT:
            lasting.setdefault(pod.owner.uid, []).append((pod.changed_at + RECENT - now).total_seconds())
    ready = count_ready(pods)
    return {uid: Owed(ready=ready.get(uid, 0), lasting=tuple(seconds)) for uid, seconds in lasting.items()}


def awaited_owners(targets: Iterable[PodFacts]) -> dict[str, Owner]:
    """Return the owners, by UID, that must be whole again before a namespace is done."""
    return {p.owner.uid: p.owner for p in targets if p.owner and not runs_to_completion(p)}


def find_whole(pods: Iterable[PodFacts], owners: Mapping[str, OwnerFacts]) -> frozenset[str]:
    """Return the UIDs of those of ``owners`` that have as many Ready pods as they want."""
    ready = count_ready(pods)
    return frozenset(uid for uid, o in owners.items() if o.desired is not None and ready.get(uid, 0) >= o.desired)


def raise_baseline(
    ready_before: Mapping[str, int],
    targets: Iterable[PodFacts],
    pods: Sequence[PodFacts],
    owners: Mapping[str, OwnerFacts],
    whole: Collection[str],
) -> dict[str, int]:
    """Return ``ready_before`` with what ``pods`` and ``owners`` show now, where that is more.

    An owner is held to the most Ready pods that were seen while any of its ``targets`` was still there: what was not
    Ready when the plan was made may be by now. One that was ``whole`` is held to all that it wants now.
    """
    present = {p.uid for p in pods}
    still_there = awaited_owners(t for t in targets if t.uid in present)
    seen = {uid: count for uid, count in count_ready(pods).items() if uid in still_there}
    wanted = {uid: owners[uid].desired or 0 for uid in whole if uid in owners}
    return {
        uid: max(counts.get(uid, 0) for counts in (ready_before, seen, wanted))
        for uid in {*ready_before, *seen, *wanted}
    }


def raise_to_owed(ready_before: Mapping[str, int], owed: Mapping[str, Owed], elapsed: float) -> dict[str, int]:
    """Return ``ready_before`` with what is ``owed`` so many seconds after the plan was made, where that is more."""
    return {**ready_before, **{uid: max(ready_before.get(uid, 0), o.count(elapsed)) for uid, o in owed.items()}}


def count_expected(uid: str, owners: Mapping[str, OwnerFacts], ready_before: Mapping[str, int]) -> int:
    """Return how many Ready pods an owner owes: what it wants now, at most what it had before; none when it is gone."""
    if uid not in owners:
        return 0
    desired, before = owners[uid].desired, ready_before.get(uid, 0)
    return before if desired is None else min(desired, before)


def choose_next(
    targets: Iterable[PodFacts],
    pods: Iterable[PodFacts],
    owners: Mapping[str, OwnerFacts],
    ready_before: Mapping[str, int],
    not_now: Collection[str] = (),
    *,
    keeps_pace: bool = True,
) -> list[PodFacts]:
    """Return those of ``targets`` that may go now, except the UIDs in ``not_now``, in the order in which they go.

    ``pods`` and ``owners`` are as they are now. A pod that is not Ready serves nobody and may go at any time, a Ready
    one only while fewer pods of its owner are down than its owner allows, those of a Deployment's ReplicaSets together; those of
    a StatefulSet one after the other, the highest ordinal first, as it would itself. Without ``keeps_pace`` all may go.
    """
    present = {p.uid: p for p in pods}
    ready = count_ready(present.values())
    awaited = awaited_owners(present.values())
    missing = _count_missing_of_families(ready, owners, ready_before)
    room: dict[str, int] = {}
    begun: set[str] = set()
    chosen = []
    for pod in sorted((present[t.uid] for t in targets if t.uid in present), key=_turn):
        uid = pod.owner.uid if pod.owner else ""
        has_turn = not (_is_ordered(pod) and uid in begun)
        begun.add(uid)
        if pod.is_terminating or pod.uid in not_now:
            continue
        if keeps_pace and pod.is_ready and uid in awaited:
            owner = owners.get(uid, OwnerFacts())
            family = owner.family(uid)
            if room.setdefault(family, owner.allowance - missing.get(family, 0)) < 1 or not has_turn:
                continue
            room[family] -= 1
        chosen.append(pod)
    return chosen


def find_uncreated(targets: Iterable[PodFacts], pods: Iterable[PodFacts], owners: Mapping[str, OwnerFacts]) -> bool:
    """Return whether an owner of ``targets`` has fewer pods than it wants, be they Ready or not, and does not say why."""
    present = Counter(p.owner.uid for p in pods if p.owner)
    known = {uid: owners[uid] for uid in awaited_owners(targets) if uid in owners}
    return any(not o.trouble and present[uid] < (o.desired or 0) for uid, o in known.items())


def has_trouble(
    targets: Iterable[PodFacts],
    pods: Iterable[PodFacts],
    owners: Mapping[str, OwnerFacts],
    ready_before: Mapping[str, int],
) -> bool:
    """Return whether an owner of ``targets`` lacks Ready pods and can't create any, as with a quota that is used up.

    The next pods of its namespace would fare the same.
    """
    ready = count_ready(pods)
    return any(
        uid in owners and owners[uid].trouble and _count_missing(uid, ready, owners, ready_before)
        for uid in awaited_owners(targets)
    )


def _is_ordered(pod: PodFacts) -> bool:
    return pod.owner is not None and (pod.owner.group, pod.owner.kind) == ("apps", "StatefulSet")


def _turn(pod: PodFacts) -> int:
    """Return what to sort pods by: those of StatefulSets by ordinal, the highest first, all others as they come."""
    ordinal = pod.name.rpartition("-")[2]
    return -int(ordinal) if _is_ordered(pod) and ordinal.isdigit() else 0


def _count_missing(
    uid: str, ready: Mapping[str, int], owners: Mapping[str, OwnerFacts], ready_before: Mapping[str, int]
) -> int:
    return max(0, count_expected(uid, owners, ready_before) - _count_there(uid, ready, owners))


def _count_there(uid: str, ready: Mapping[str, int], owners: Mapping[str, OwnerFacts]) -> int:
    """Return how many pods of an owner count: those that are Ready, for as long as it asks for."""
    available = owners[uid].available if uid in owners else None
    return ready.get(uid, 0) if available is None else min(ready.get(uid, 0), available)


def _count_missing_of_families(
    ready: Mapping[str, int], owners: Mapping[str, OwnerFacts], ready_before: Mapping[str, int]
) -> dict[str, int]:
    """Return how many pods those lack together that share an allowance: no more than they are to have together, since a new
    ReplicaSet that never gets well takes nothing from the old one's pods while those are all there."""
    missing: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for uid, owner in owners.items():
        missing[owner.family(uid)] += _count_missing(uid, ready, owners, ready_before)
        there[owner.family(uid)] += _count_there(uid, ready, owners)
    wholes = {owner.family(uid): owner.whole for uid, owner in owners.items()}
    return {
        family: count if (whole := wholes[family]) is None else min(count, max(0, whole - there[family]))
        for family, count in missing.items()
    }


def count_down(
    plan: NamespacePlan,
    pods: Sequence[PodFacts],
    owners: Mapping[str, OwnerFacts],
    ready_before: Mapping[str, int],
    restarted: Collection[str],
) -> int:
    """Return how many pods of a namespace are down because of us: Ready ones that an owner lacks, pods on their way out
    that no owner is waited for, and what the rollouts of ``restarted``, by UID, may take down while they run."""
    ready, awaited = count_ready(pods), awaited_owners(plan.targets)
    rolling = {uid for uid in restarted if uid in owners and not owners[uid].is_rolled_out}
    missing = (_count_missing(uid, ready, owners, ready_before) for uid in awaited if uid not in rolling)
    targets = {t.uid for t in plan.targets}
    lonely = (p for p in pods if p.uid in targets and p.is_terminating and (not p.owner or p.owner.uid not in awaited))
    return sum(missing) + sum(1 for _pod in lonely) + sum(owners[uid].allowance for uid in rolling)


def judge_renewal(
    targets: Sequence[PodFacts],
    pods: Sequence[PodFacts],
    owners: Mapping[str, OwnerFacts],
    ready_before: Mapping[str, int],
    blocked: Mapping[str, str] | None = None,
    keepers: Iterable[Owner] = (),
) -> Judgement:
    """Return DONE when no pod of ``targets`` exists any more and every owner has its Ready pods again.

    Pods are told apart by UID, since a StatefulSet's new pod has the old one's name. ``blocked`` holds the server's
    words for the UIDs that it would not let go. The rollouts of ``keepers`` must be complete, too.
    """
    wanted, ready = {t.uid for t in targets}, count_ready(pods)
    unwell = {
        uid: f"{owner} has {ready.get(uid, 0)} of {expected} Ready pods{_describe_trouble(uid, owners)}"
        for uid, owner in awaited_owners(targets).items()
        if ready.get(uid, 0) < (expected := count_expected(uid, owners, ready_before))
    }
    remaining = [p for p in pods if p.uid in wanted]
    if remaining:
        shown = [_describe_remaining(p, (blocked or {}).get(p.uid)) for p in remaining]
        message = f"{len(remaining)} of {len(targets)} pods are still there: {shorten(shown)}."
        cold = [
            f"{there} of the {ready[uid]} Ready pods of {owner} are so for {owners[uid].min_ready} s"
            for uid, owner in awaited_owners(targets).items()
            if (there := _count_there(uid, ready, owners)) < ready.get(uid, 0)
        ]
        if cold:
            message += f" Its minReadySeconds are waited for: {shorten(cold)}."
        stuck = [words for uid, words in unwell.items() if uid in owners and owners[uid].trouble]
        if stuck:
            message += f" No more go while {shorten(stuck)}."
        return Judgement(outcome=Outcome.WAITING, reason="PodsRemain", message=message)
    if unwell:
        return Judgement(outcome=Outcome.WAITING, reason="OwnersNotWhole", message=f"{shorten(list(unwell.values()))}.")
    rolling = [
        f"{k} is still rolling out{_describe_trouble(k.uid, owners)}"
        for k in keepers
        if k.uid in owners and not owners[k.uid].is_rolled_out
    ]
    if rolling:
        return Judgement(outcome=Outcome.WAITING, reason="RolloutsRunning", message=f"{shorten(rolling)}.")
    return Judgement(outcome=Outcome.DONE, reason="Renewed", message=f"All {len(targets)} pods are gone and replaced.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the renewal of a namespace has come: the targets gone, and the most Ready pods of each owner, by its UID,
    that were seen since the last one went."""

    gone: int = 0
    ready: Mapping[str, int] = field(default_factory=dict)


def note_progress(best: Progress, targets: Sequence[PodFacts], pods: Sequence[PodFacts]) -> Progress:
    """Return how far it has come with ``pods``; the same as ``best`` when that is no farther.

    A pod that gets Ready again and again is progress once only, so that a wait for it comes to an end.
    """
    present = {p.uid for p in pods}
    gone = sum(t.uid not in present for t in targets)
    counts, awaited = count_ready(pods), awaited_owners(targets)
    ready = {uid: count for uid, count in counts.items() if uid in awaited}
    if gone > best.gone:
        return Progress(gone=gone, ready=ready)
    return Progress(gone=best.gone, ready=dict(Counter(best.ready) | Counter(ready)))


def _describe_trouble(uid: str, owners: Mapping[str, OwnerFacts]) -> str:
    words = owners[uid].trouble.rstrip(".") if uid in owners else ""
    return f" ({words})" if words else ""


def _describe_remaining(pod: PodFacts, words: str | None) -> str:
    if pod.is_terminating:
        held = f", held by its finalizers {', '.join(pod.finalizers)}" if pod.finalizers else ""
        return f"{pod.name} (terminating{held})"
    return f"{pod.name} ({words.rstrip('.')})" if words else pod.name


def shorten(items: Sequence[str], separator: str = "; ") -> str:
    """Return the first of ``items`` and how many more there are."""
    rest = len(items) - MAX_NAMES
    return separator.join(items[:MAX_NAMES]) + (f"{separator}and {rest} more" if rest > 0 else "")
