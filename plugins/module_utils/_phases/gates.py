# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Waiting until another batch of nodes may begin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from .._client.cluster import Cluster
from .._client.queries import Queries
from .._clock import Clock, WaitOptions, poll, retry
from .._errors import ApiError, Refused
from .._gate_facts import check_gates, read_gate_facts, read_hold
from .._model import Outcome
from .._plan.gates import (
    GateFacts,
    GateRequest,
    GateVerdict,
    Hold,
    find_satisfied,
    find_unrest,
    find_unwell_operators,
    judge_gates,
    judge_stability,
)
from .._plan.nodes import NodeRequest
from .._plan.story import format_seconds

#: Seconds between two looks: the shortest and the longest pause.
PAUSES = (1.0, 5.0)
#: So many reasons and names are told; the others are counted.
MAX_SHOWN = 5


@dataclass(slots=True, kw_only=True)
class Gatekeeper:
    """Lets a batch of nodes begin. What holds at the start of the run is not held against it, until it changes."""

    cluster: Cluster
    request: GateRequest
    node_request: NodeRequest
    clock: Clock
    say: Callable[[str], None]
    warn: Callable[[str], None]
    #: What has not happened where the run may not begin, for people.
    refusal: str = "No node was touched"
    #: The runs whose marks are ours.
    run_ids: frozenset[str] = frozenset()
    #: The ClusterOperators that have not been at rest since the start, and the budgets that were satisfied at any time since.
    unwell: frozenset[str] = frozenset()
    satisfied: frozenset[str] = frozenset()
    queries: Queries = field(init=False)
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.queries = Queries(self.cluster)

    def require_gates(self) -> None:
        """Return when the user's gates can be looked at. Raises InvalidOption, or another CollectionError, for one that can't."""
        retry(lambda: check_gates(self.request, self.queries), clock=self.clock)

    def require_quiet(self) -> None:
        """Return when the run may begin; what holds now is not held against it later.

        Raises Refused with all that forbids it, unless nodes bear a mark of ours, which are finished or put back first.
        """
        facts = retry(lambda: self.read(None), clock=self.clock)
        unrest = find_unrest(self.request, facts)
        if unrest and not self.find_own(facts):
            raise Refused(f"{self.refusal}: {_join(unrest, '; ')}.")
        self.unwell, self.satisfied = frozenset(find_unwell_operators(facts)), find_satisfied(facts)

    def wait(self, batch: Sequence[str], own: Collection[str]) -> None:
        """Return when the nodes ``batch`` may begin; ``own`` are the nodes whose cordon is ours.

        Raises WaitTimedOut when the gates do not open in time, WaitFailed when they can't any more.
        """
        limit = float(self.request.timeout)
        wait = _Wait(keeper=self, batch=batch, own=own, started=self.clock.monotonic())
        poll(
            wait.look,
            wait.judge,
            waiting_for=f"the gates before {wait.title}",
            options=WaitOptions(timeout=limit, interval=PAUSES[1], unauthorized_grace=limit),
            clock=self.clock,
            wait_for_change=wait.pause,
        )
        if wait.has_waited:
            self.say(f"going on with {wait.title} after {format_seconds(wait.seconds)}")

    def find_own(self, facts: GateFacts) -> set[str]:
        """Return the nodes that bear a mark of ours."""
        return {n.name for n in facts.nodes if n.mark and n.mark.run_id in self.run_ids}

    def find_hold(self) -> Hold | None:
        """Return the rollout of the kube-apiservers that runs now; None when none does, or nobody minds."""
        return read_hold(self.cluster) if self.request.wants("rollout") else None

    def read(self, batch: Collection[str] | None) -> GateFacts:
        return read_gate_facts(self.cluster, self.request, self.queries, batch=batch)


@dataclass(slots=True, kw_only=True)
class _Wait:
    """One wait of a Gatekeeper. Moments are monotonic."""

    keeper: Gatekeeper
    batch: Sequence[str]
    own: Collection[str]
    started: float
    open_since: float | None = None
    #: Why it waits, as it was told.
    reason: str = ""
    has_waited: bool = False

    @property
    def title(self) -> str:
        return _join(self.batch, ", ")

    @property
    def seconds(self) -> float:
        return self.keeper.clock.monotonic() - self.started

    def look(self) -> GateFacts:
        try:
            return self.keeper.read(self.batch)
        except ApiError:
            self.open_since = None  # nobody saw whether the gates were open
            raise

    def judge(self, facts: GateFacts) -> GateVerdict:
        keeper = self.keeper
        keeper.unwell &= frozenset(find_unwell_operators(facts))
        keeper.satisfied |= find_satisfied(facts)
        found = judge_gates(
            keeper.request,
            facts,
            limits=keeper.node_request,
            batch=self.batch,
            own={*self.own, *keeper.find_own(facts)},
            satisfied_before=keeper.satisfied,
            unwell_before=keeper.unwell,
        )
        for about, words in found.notes.items():
            if about not in keeper.told:
                keeper.told.add(about)
                keeper.warn(words)
        verdict, self.open_since = judge_stability(
            found, self.open_since, keeper.clock.monotonic(), keeper.request.stable_seconds
        )
        if found.outcome is Outcome.WAITING and found.reason != self.reason:
            waited = f", {format_seconds(self.seconds)}" if self.has_waited else ""
            keeper.say(f"waiting before {self.title}: {found.message}{waited}")
            self.has_waited = True
        self.reason = found.reason
        return verdict

    def pause(self, left: float) -> None:
        """Sleep until the next look; the longer the wait, the longer the pause may be."""
        keeper = self.keeper
        seconds = min(max(PAUSES[0], self.seconds / 4), PAUSES[1])
        if self.open_since is not None:
            seconds = min(seconds, self.open_since + keeper.request.stable_seconds - keeper.clock.monotonic())
        keeper.clock.sleep(min(left, max(seconds, 0.0)))


def _join(words: Sequence[str], separator: str) -> str:
    more = [f"and {len(words) - MAX_SHOWN} more"] if len(words) > MAX_SHOWN else []
    return separator.join([*words[:MAX_SHOWN], *more])
