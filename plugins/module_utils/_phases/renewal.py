# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Renewing the pods of one namespace: what is seen, which may go now, what the server says to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll
from .._effects import renew_pod, restart_rollout
from .._errors import ApiError, CollectionError
from .._facts import read_create_failures, read_owners, read_pods_at
from .._model import Judgement, Outcome, Owner, OwnerFacts, PodFacts, format_time
from .._plan.bare_pods import choose_bare, is_in_care, take_into_care
from .._plan.pod_ways import needs_restart
from .._plan.pods import (
    NamespacePlan,
    Progress,
    RenewalRequest,
    awaited_owners,
    choose_next,
    count_down,
    find_uncreated,
    find_whole,
    has_trouble,
    judge_renewal,
    note_progress,
    raise_baseline,
    raise_to_owed,
    shorten,
)
from .._plan.story import format_seconds
from .bare_pods import BarePods

#: Answers that concern one pod only and not the cluster: it is gone (404) or a namesake has taken its place (409),
#: a disruption budget forbids it for now (429), several budgets contradict each other (500). Others may still go.
POD_STATUSES = frozenset({404, 409, 429, 500})
#: Seconds before a pod that may not go is asked for again, at first; doubled with each refusal up to wait_sleep.
FIRST_RETRY = 0.25
#: Seconds in which a run that fails still creates anew what it has sent away: most pods end within 30.
RESTORE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the plan is made with.

    ``started_before`` is the moment up to which a pod must have started to be renewed; None when all go, whenever they
    started. ``issuer`` is the one that all kube-apiservers use; None where the cluster does not report
    that, or it is not asked for. ``now`` is the cluster's time, which rollouts are asked for with.
    """

    started_before: datetime | None
    issuer: str | None = None
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Why the server did not let a pod go, how often, and the moment (monotonic, seconds) before which not to ask again."""

    words: str
    tries: int
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something to do, how many Ready pods it ``takes`` down, and which ``turn`` it is done in (see in_turns)."""

    do: Callable[[], None]
    takes: int
    turn: str


@dataclass(slots=True, kw_only=True)
class Renewal:
    """Carries out the plan of one namespace, look by look, and remembers what was done."""

    cluster: Cluster
    plan: NamespacePlan
    request: RenewalRequest
    clock: Clock
    start: Start
    options: WaitOptions
    say: Callable[[str], None] = lambda line: None
    begun_at: float | None = None
    seconds: float | None = None
    #: When something went on last (monotonic).
    moved_at: float = 0.0
    is_last_look: bool = False
    progress: Progress = field(default_factory=Progress)
    #: What the last look has shown, and the resourceVersion of that moment.
    version: str = ""
    pods: Sequence[PodFacts] = ()
    owners: Mapping[str, OwnerFacts] = field(default_factory=dict)
    #: UIDs: let go by the server, asked for without an answer that says whether, on their way out, no longer there, and
    #: not let go.
    accepted: set[str] = field(default_factory=set)
    attempted: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    blocked: dict[str, Blocked] = field(default_factory=dict)
    #: UIDs of owners whose rollout this run has asked for.
    restarted: set[str] = field(default_factory=set)
    #: How many Ready pods each owner had, by its UID, and the owners that had all they want at the first look.
    ready_before: Mapping[str, int] = field(default_factory=dict)
    #: The same with what owners owe from before the plan, and when the plan was made (monotonic).
    baseline: Mapping[str, int] = field(default_factory=dict)
    planned_at: float = field(init=False)
    whole: frozenset[str] | None = None
    bare: BarePods = field(init=False)

    def __post_init__(self) -> None:
        self.planned_at = self.clock.monotonic()
        self.bare = BarePods(cluster=self.cluster, namespace=self.request.record_namespace, say=self.say)
        self.bare.kept.update(self.plan.kept)

    @property
    def name(self) -> str:
        return self.plan.rank.name

    def begin(self) -> None:
        self.begun_at = self.clock.monotonic()
        self.say(f"{self.name}: {len(self.plan.targets)} pod(s) to renew")
        self.prolong()

    def prolong(self) -> None:
        """Count the time anew in which something must go on."""
        self.moved_at = self.clock.monotonic()

    @property
    def patience(self) -> float:
        """For how many seconds nothing need go on: an owner may ask for more by its minReadySeconds."""
        return self.options.timeout + max((o.min_ready for o in self.owners.values()), default=0)

    @property
    def deadline(self) -> float:
        return self.moved_at + self.patience

    def end(self) -> None:
        """Keep how long it took, be it done or not."""
        self.seconds = self.elapsed

    @property
    def elapsed(self) -> float | None:
        """Seconds from its beginning to its end, or until now; None before it is begun."""
        if self.begun_at is None or self.seconds is not None:
            return self.seconds
        return round(self.clock.monotonic() - self.begun_at, 1)

    def tell_end(self) -> None:
        self.end()
        self.say(f"{self.name}: {len(self.plan.targets)} pod(s) renewed after {format_seconds(self.seconds or 0)}")

    @property
    def wanted_owners(self) -> dict[str, Owner]:
        """The owners that a look must show, by UID."""
        return {**awaited_owners(self.plan.targets), **self.plan.keepers}

    def look(self) -> None:
        """See the namespace's pods and their owners as they are now."""
        self.begin_look()
        version, pods = read_pods_at(self.cluster, self.name)
        self.take(version, pods, read_owners(self.cluster, [self.name], self.wanted_owners.values()))

    def begin_look(self) -> None:
        self.is_last_look = self.clock.monotonic() >= self.deadline

    def take(self, version: str, pods: Sequence[PodFacts], owners: Mapping[str, OwnerFacts]) -> None:
        """Take over what a look has shown: the pods of the namespace at the moment ``version``, and all wanted owners."""
        targets, self.version = self.plan.targets, version
        names = {t.name for t in targets if is_in_care(t)}
        self.pods = [take_into_care(p) if p.is_bare and p.name in names else p for p in pods]
        self.owners = {uid: owners[uid] for uid in self.wanted_owners if uid in owners}
        if find_uncreated(targets, self.pods, self.owners):
            failures = read_create_failures(self.cluster, self.name)
            self.owners = {
                uid: replace(owner, trouble=owner.trouble or failures.get(uid, ""))
                for uid, owner in self.owners.items()
            }
        self.gone = {t.uid for t in targets} - {p.uid for p in self.pods}
        self.leaving = {p.uid for p in self.pods if p.is_terminating}
        self._look_after_bare_pods()
        if self.whole is None:
            self.whole, self.ready_before = find_whole(self.pods, self.owners), self.plan.ready_before
        self.ready_before = raise_baseline(self.ready_before, targets, self.pods, self.owners, self.whole)
        elapsed = self.clock.monotonic() - self.planned_at
        self.baseline = raise_to_owed(self.ready_before, self.plan.owed, elapsed)

    def _look_after_bare_pods(self) -> None:
        """Expect Ready ones only where a pod is there, or this run creates it anew; tell why that is not possible."""
        owners, names = dict(self.owners), {p.name for p in self.pods}
        for target in self.plan.targets:
            if target.owner and is_in_care(target):
                facts = owners.pop(target.owner.uid)
                if target.name in names or target.uid in self.bare.kept:
                    trouble = self.bare.trouble.get(target.uid, "")
                    owners[target.owner.uid] = replace(facts, trouble=trouble)
        self.owners = owners

    def mend(self) -> None:
        """Have the pods created anew that nobody else creates."""
        self.bare.create_missing(self.pods, self.accepted | self.attempted)

    def restore(self) -> None:
        """After a failure: have that created anew which this run has taken away, as far as that goes, and keep nothing else."""

        def look() -> None:
            self.look()
            self.mend()

        def judge(_seen: None) -> Judgement:
            is_done = not self.bare.kept.keys() & (self.leaving | self.gone)
            return Judgement(outcome=Outcome.DONE if is_done else Outcome.WAITING, reason="Missing", message="")

        if not self.bare.kept:
            return
        options = replace(self.options, timeout=RESTORE_SECONDS)
        with suppress(CollectionError):
            poll(look, judge, waiting_for=f"the pods of {self.name}", options=options, clock=self.clock)
        self.bare.forget_untouched(self.leaving | self.gone | self.accepted | self.attempted)

    def missing(self) -> dict[str, str]:
        """Return the names of the pods that are gone and to be created anew, by UID."""
        return {
            uid: f"{self.name}/{k.name}" for uid, k in self.bare.kept.items() if uid in self.gone - self.bare.standing
        }

    @property
    def down(self) -> int:
        """How many pods are down because of this renewal."""
        return count_down(self.plan, self.pods, self.owners, self.baseline, self.restarted)

    def choose(self) -> list[Deed]:
        """Return what may be done now. Nothing at the last look: who would see to it that a pod comes back?

        Nothing either while pods that went can't be created anew.
        """
        if self.is_last_look or has_trouble(self.plan.targets, self.pods, self.owners, self.baseline):
            return []
        now = self.clock.monotonic()
        not_now = {uid for uid, blocked in self.blocked.items() if blocked.until > now}
        sent = [t for t in self.plan.targets if self.plan.way_of(t).keeper is None]
        chosen = choose_next(sent, self.pods, self.owners, self.baseline, not_now, keeps_pace=self.request.keeps_pace)
        if self.request.keeps_pace:
            chosen = choose_bare(chosen, self.plan.targets, self.pods, self.owners, self.baseline)
        rollouts = [
            Deed(do=partial(self.restart, k), takes=self.owners[k.uid].allowance, turn=k.uid)
            for k in self.choose_rollouts()
        ]
        return rollouts + [
            Deed(do=partial(self.send, p), takes=int(p.is_ready), turn=self.plan.turn_of(p)) for p in chosen
        ]

    def choose_rollouts(self) -> list[Owner]:
        """Return the owners whose rollout is to be asked for now: those that have old pods left."""
        left = (t for t in self.plan.targets if t.uid not in self.gone | self.leaving)
        keepers = {k.uid: k for t in left if (k := self.plan.way_of(t).keeper)}
        moment, before = self.start.now, self.start.started_before
        return [
            k
            for uid, k in keepers.items()
            if moment and uid in self.owners and needs_restart(self.owners[uid], moment, before)
        ]

    def restart(self, keeper: Owner) -> None:
        """Ask for a rollout. Whether the old pods are gone is for the next looks to say, also when their owner is."""
        self.restarted.add(keeper.uid)
        try:
            restart_rollout(self.cluster, keeper, self.name, format_time(self.start.now) or "")
        except ApiError as error:
            if 0 < error.status < 500:
                self.restarted.discard(keeper.uid)
            is_namesake = error.status == 422 and "metadata.uid" in error.words
            if not is_namesake and (error.status != 404 or error.is_missing_api):
                raise
        else:
            self.say(f"{self.name}: {keeper} is rolled out anew")

    def send(self, pod: PodFacts) -> None:
        """Send ``pod`` away, or remember why not. Whether it is gone is for the next look to say."""
        objection = self.bare.keep(pod) if is_in_care(pod) else ""
        if objection:
            self._note_refusal(pod, objection)
            return
        try:
            method = self.plan.way_of(pod).method
            renew_pod(self.cluster, pod, method=method, grace_period=self.request.grace_period)
        except ApiError as error:
            if error.status == 0 or error.status >= 500:
                self.attempted.add(pod.uid)
            if error.status not in POD_STATUSES or error.is_missing_api:
                raise
            self._note_refusal(pod, error.words, error.retry_after)
        else:
            self.accepted.add(pod.uid)

    def _note_refusal(self, pod: PodFacts, words: str, retry_after: float | None = None) -> None:
        known = self.blocked.get(pod.uid)
        if known is None or known.words != words:
            self.say(f"{pod.namespace}: {pod.name} may not go yet: {words}")
        tries = known.tries + 1 if known else 0
        pause = max(retry_after or 0.0, min(self.options.interval, FIRST_RETRY * 2 ** min(tries, 10)))
        self.blocked[pod.uid] = Blocked(words=words, tries=tries, until=self.clock.monotonic() + pause)

    def judge(self) -> Judgement:
        """Return how it stands by the last look."""
        words = {uid: b.words for uid, b in self.blocked.items()}
        keepers = self.plan.keepers.values()
        verdict = judge_renewal(self.plan.targets, self.pods, self.owners, self.baseline, words, keepers)
        missing = [f"{name} ({self.bare.trouble.get(uid, 'it is gone')})" for uid, name in self.missing().items()]
        if missing and verdict.outcome is Outcome.DONE:
            message = f"{shorten(missing)}: to be created anew."
            return Judgement(outcome=Outcome.WAITING, reason="PodsMissing", message=message)
        return verdict

    def note_progress(self) -> bool:
        """Return whether the last look was farther than all before, and count the time anew when it was."""
        best = self.progress
        self.progress = note_progress(best, self.plan.targets, self.pods)
        if self.progress != best:
            self.prolong()
        return self.progress != best

    def has_sent(self, pod: PodFacts) -> bool:
        """Tell whether this run has sent ``pod`` away: the server said so, or it goes and the answer was lost."""
        keeper = self.plan.way_of(pod).keeper
        is_restarted = keeper is not None and keeper.uid in self.restarted
        went = pod.uid in self.gone or pod.uid in self.leaving
        return pod.uid in self.accepted or (went and (is_restarted or pod.uid in self.attempted))

    def outcome_of(self, pod: PodFacts) -> tuple[str, str | None]:
        """Return what became of one of the plan's pods so far, with a reason where there is something to say."""
        if pod.uid in self.bare.kept.keys() - self.bare.standing and (pod.uid in self.gone or self.has_sent(pod)):
            return "missing", self.bare.trouble.get(pod.uid, None if pod.uid in self.gone else "Terminating")
        if pod.uid in self.gone:
            return "renewed", None if self.has_sent(pod) else "GoneAlready"
        if self.has_sent(pod):
            return "renewed", "Terminating"
        if pod.uid in self.blocked:
            return "blocked", self.blocked[pod.uid].words
        return "planned", None

    def pod_records(self) -> list[dict[str, Any]]:
        """Return the pods that the plan names, in the shape that pod_restart documents as ``pods``."""
        records = []
        for pod in self.plan.targets:
            way, (outcome, reason) = self.plan.way_of(pod), self.outcome_of(pod)
            records.append(_pod_record(pod, outcome, reason, method=way.method, because=way.reason or None))
        return records + [_pod_record(p, "left", reason) for p, reason in self.plan.reported]

    def record(self) -> dict[str, Any]:
        """Return the namespace in the shape that pod_restart documents as ``namespaces``."""
        return {
            "name": self.name,
            "tier": self.plan.rank.tier.value,
            "planned": len(self.plan.targets),
            "renewed": sum(self.outcome_of(p)[0] == "renewed" for p in self.plan.targets),
            "methods": self.plan.count_methods(),
            "left": dict(self.plan.left),
            "seconds": self.elapsed,
        }

    @property
    def has_changed(self) -> bool:
        """Whether this run has changed anything in the namespace."""
        has_restored = bool(self.restarted or self.bare.created & self.plan.kept.keys())
        return has_restored or any(self.has_sent(p) for p in self.plan.targets)


def _pod_record(
    pod: PodFacts, outcome: str, reason: str | None, *, method: str | None = None, because: str | None = None
) -> dict[str, Any]:
    return {
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "owner": None if pod.is_bare or pod.owner is None else str(pod.owner),
        "started_at": format_time(pod.start_time),
        "method": method,
        "method_reason": because,
        "outcome": outcome,
        "reason": reason,
    }
