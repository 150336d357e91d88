# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Renewing the pods of several namespaces side by side: one loop that looks at all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from .._client.cluster import PAGE_SIZE, Cluster
from .._clock import Clock, WaitOptions, poll
from .._errors import ApiError, WaitTimedOut
from .._facts import MAX_SINGLE_READS, read_all_pods_at, read_operators, read_owners
from .._model import Condition, Judgement, Outcome
from .._parallel import in_turns, side_by_side
from .._plan.pods import RenewalRequest, describe_unwell, is_platform, name_namespaces
from .renewal import Deed, Renewal
from .rollout import pause_for_rollout

#: Seconds between a change and the next look, for each namespace that is looked at: one change seldom comes alone.
SETTLE = 0.1
LONGEST_SETTLE = 1.0
#: Seconds for which it is believed that no rollout of the kube-apiservers runs.
ROLLOUT_SECONDS = 2.0
#: After so many deeds, which take some seconds, it is looked again whether a rollout has begun.
MAX_AT_ONCE = 500
#: So many owners are there for each pod at most: a Deployment keeps its last ten ReplicaSets (revisionHistoryLimit).
OWNERS_PER_POD = 11
#: Seconds that a watch takes at least, as the server counts them.
SHORTEST_WATCH = 1.0


@dataclass(slots=True, kw_only=True)
class RolloutGate:
    """Lets pods go while no rollout of the kube-apiservers runs.

    ``issuer`` is the one whose rollout is over; None where the cluster does not report rollouts or none is waited for.
    """

    cluster: Cluster
    issuer: str | None
    options: WaitOptions
    clock: Clock
    say: Callable[[str], None]
    #: When it was seen last that none runs (monotonic).
    looked_at: float | None = None

    def pause(self, *, during: str) -> bool:
        """Return False where no rollout runs, else True when it is over; ``during`` is what is interrupted."""
        now = self.clock.monotonic()
        if self.issuer is None or (self.looked_at is not None and now - self.looked_at < ROLLOUT_SECONDS):
            return False
        has_paused = pause_for_rollout(
            self.cluster, self.issuer, during=during, options=self.options, clock=self.clock, say=self.say
        )
        self.looked_at = self.clock.monotonic() if has_paused else now
        return has_paused


@dataclass(slots=True, kw_only=True)
class Wave:
    """Namespaces whose renewals may overlap, ``max_namespaces`` of them at a time, ``max_pods`` down in all of them."""

    cluster: Cluster
    renewals: Sequence[Renewal]
    request: RenewalRequest
    options: WaitOptions
    clock: Clock
    gate: RolloutGate
    #: The conditions of each ClusterOperator before anything was done.
    operators_before: Mapping[str, Mapping[str, Condition]]
    #: How many pods there are in the cluster; None where that is not known.
    cluster_pods: int | None
    note: Callable[[], None]
    waiting: list[Renewal] = field(default_factory=list)
    active: list[Renewal] = field(default_factory=list)
    is_farther: bool = False
    unwell: str = ""
    can_watch: bool = True

    def run(self) -> None:
        """Return when the pods are renewed and their owners whole; no pod goes while a rollout runs.

        Raises WaitTimedOut when nothing has gone on in a namespace for the time given, WaitFailed when somebody changes
        the issuer, or a lasting ApiError.
        """
        self.waiting = list(self.renewals)
        try:
            poll(
                self.look,
                self.judge,
                waiting_for=self.describe(self.renewals),
                options=self.options,
                clock=self.clock,
                has_progressed=lambda verdict: self.is_farther,
                wait_for_change=self.wait_for_change,
            )
        finally:
            for renewal in self.active:
                renewal.end()

    def look(self) -> None:
        """Look at the namespaces under way, and send away what may go now."""
        self.is_farther = False
        self.note()
        while self.waiting and len(self.active) < self.request.max_namespaces:
            self.active.append(self.waiting.pop(0))
            self.active[-1].begin()
        deeds = self.look_and_choose()
        if deeds and self.pause():
            deeds = self.look_and_choose()
        if any(is_platform(r.name) and r.judge().outcome is Outcome.DONE for r in self.active):
            self.unwell = describe_unwell(self.operators_before, read_operators(self.cluster))
        for place in range(0, len(deeds), MAX_AT_ONCE):
            if place and self.pause():
                return  # the next look chooses the rest anew
            in_turns((deed.turn, deed.do) for deed in deeds[place : place + MAX_AT_ONCE])

    def look_around(self) -> None:
        """Look at each namespace under way; at all pods of the cluster instead, where that takes fewer requests."""
        pages = None if self.cluster_pods is None else 1 + self.cluster_pods // PAGE_SIZE
        if pages is None or len(self.active) <= MAX_SINGLE_READS or len(self.active) < pages * OWNERS_PER_POD:
            side_by_side([renewal.look for renewal in self.active])
            return
        for renewal in self.active:
            renewal.begin_look()
        names = [renewal.name for renewal in self.active]
        try:
            version, pods = read_all_pods_at(self.cluster, names)
            owners = read_owners(self.cluster, names, [o for r in self.active for o in r.wanted_owners.values()])
        except ApiError as error:
            if error.status != 403:
                raise
            self.cluster_pods = None  # what is allowed in each namespace need not be in all
            self.look_around()
            return
        # each may have to ask why its owners create no pods
        side_by_side([partial(r.take, version, pods[r.name], owners) for r in self.active])

    def look_and_choose(self) -> list[Deed]:
        self.look_around()
        side_by_side([renewal.mend for renewal in self.active])
        found = [(renewal, deed) for renewal in self.active for deed in renewal.choose()]
        limit = self.request.max_pods
        if limit is None:
            return [deed for _renewal, deed in found]
        downs = {renewal.name: renewal.down for renewal in self.active}
        down, deeds = sum(downs.values()), []
        for renewal, deed in found:
            # what takes more at once than may ever be down has its turn when nothing else is
            if not deed.takes or down + deed.takes <= limit or not down:
                deeds.append(deed)
                down += deed.takes
            elif not downs[renewal.name]:
                renewal.prolong()  # it does not stand still, it waits for the others
        return deeds

    def pause(self) -> bool:
        """Return False where no rollout of the kube-apiservers runs, else True when it is over."""
        if not self.gate.pause(during=self.describe(self.active)):
            return False
        self.is_farther = True
        for renewal in self.active:
            renewal.prolong()
        return True

    def judge(self, _seen: None) -> Judgement:
        """Return DONE when every namespace is; those that are leave the loop. Raises WaitTimedOut for one that stands still."""
        verdicts = [(renewal, self.judge_one(renewal)) for renewal in self.active]
        for renewal, verdict in verdicts:
            if verdict.outcome is Outcome.DONE:
                self.active.remove(renewal)
                self.is_farther = True
                renewal.tell_end()
            elif renewal.note_progress():
                self.is_farther = True
            elif renewal.patience > self.options.timeout and self.clock.monotonic() < renewal.deadline:
                self.is_farther = True  # it may stand still for longer than others
            elif renewal.is_last_look and self.clock.monotonic() >= renewal.deadline:
                raise WaitTimedOut(
                    f"Waiting for {self.describe([renewal])} has seen no progress for {renewal.patience:g} s; "
                    f"last seen: {verdict.message}"
                )
        if not self.active and not self.waiting:
            return Judgement(outcome=Outcome.DONE, reason="Renewed", message="All pods are renewed.")
        message = " ".join(v.message for r, v in verdicts if r in self.active)
        return Judgement(outcome=Outcome.WAITING, reason="NamespacesLeft", message=message)

    def judge_one(self, renewal: Renewal) -> Judgement:
        """Return how one namespace stands; where it belongs to the platform, with the ClusterOperators."""
        verdict = renewal.judge()
        if verdict.outcome is Outcome.DONE and self.unwell and is_platform(renewal.name):
            return Judgement(outcome=Outcome.WAITING, reason="OperatorsUnwell", message=self.unwell)
        return verdict

    def wait_for_change(self, left: float) -> None:
        """Return when a pod of the namespaces under way has changed, after wait_sleep, or when a pod may be asked for again."""
        if self.waiting and len(self.active) < self.request.max_namespaces:
            return
        now = self.clock.monotonic()
        retries = [b.until - now for r in self.active for b in r.blocked.values() if b.until > now]
        pause = min(left, self.options.interval, *retries)
        if not self.can_watch or pause < SHORTEST_WATCH:
            self.clock.sleep(pause)
            return
        alone = self.active[0].name if len(self.active) == 1 else None
        try:
            self.cluster.await_change("Pod", alone, known_version=self.active[0].version, timeout=pause)
        except ApiError as error:
            self.can_watch = error.status not in (403, 405)
            self.clock.sleep(pause)
        else:
            self.clock.sleep(min(SETTLE * len(self.active), LONGEST_SETTLE, pause))

    def describe(self, renewals: Sequence[Renewal]) -> str:
        return f"the renewal of the pods in {name_namespaces([r.name for r in renewals])}"
