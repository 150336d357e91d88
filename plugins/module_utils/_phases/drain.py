# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Emptying nodes: which pods are sent away now, and what the server says to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from .._client.cluster import Cluster
from .._clock import Clock
from .._effects import renew_pod
from .._errors import ApiError
from .._facts import read_owners, read_pods
from .._model import Owner, OwnerFacts, PodFacts
from .._node_model import NodePod
from .._parallel import in_turns, side_by_side
from .._plan.drain import DrainOptions, describe_left, needs_pace
from .._plan.pods import awaited_owners, choose_next, find_whole, raise_baseline
from .renewal import POD_STATUSES

#: Seconds between two lines about a pod that may not go.
REMINDER = 30.0


@dataclass(slots=True, kw_only=True)
class Refusal:
    """Why the server does not let a pod go; moments are monotonic: the first refusal, the next try, the last line said."""

    words: str
    since: float
    until: float
    said_at: float


@dataclass(slots=True, kw_only=True)
class Drainer:
    """Sends the pods of several nodes away together, so that of one owner never more are down than it allows."""

    cluster: Cluster
    options: DrainOptions
    clock: Clock
    say: Callable[[str], None]
    refusals: dict[str, Refusal] = field(default_factory=dict)
    sent: dict[str, set[str]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    ready_before: dict[str, int] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    #: The owners of all pods that were to go so far, by namespace and UID: one that has none left may share an allowance.
    awaited: dict[str, dict[str, Owner]] = field(default_factory=dict)

    def work(self, targets: Sequence[NodePod]) -> bool:
        """Send those of ``targets`` away that may go now; return whether the server has let any go.

        What becomes of them is for the next look to say.
        """
        waiting = [t for t in targets if not t.facts.is_terminating]
        self.refusals = {t.facts.uid: self.refusals[t.facts.uid] for t in waiting if t.facts.uid in self.refusals}
        if not waiting:
            self.held = frozenset()
            return False
        pods, owners = self._read_surroundings([t.facts for t in waiting])
        self.whole |= find_whole(pods, owners)
        facts = [t.facts for t in waiting]
        self.ready_before = raise_baseline(self.ready_before, facts, pods, owners, self.whole)
        now = self.clock.monotonic()
        not_now = {uid for uid, refusal in self.refusals.items() if refusal.until > now}
        chosen = choose_next(facts, pods, owners, self.ready_before, not_now)
        self.held = frozenset(f.uid for f in facts) - {p.uid for p in chosen} - not_now
        return any(in_turns((pod.turn, partial(self._send, pod)) for pod in chosen))

    def _read_surroundings(self, targets: Sequence[PodFacts]) -> tuple[list[PodFacts], Mapping[str, OwnerFacts]]:
        """Return the targets with all pods that their owners have elsewhere, and those owners."""
        paced = [t for t in targets if needs_pace(t)]
        for pod in paced:
            self.awaited.setdefault(pod.namespace, {}).update(awaited_owners([pod]))
        owners: dict[str, OwnerFacts] = {}
        pods = {t.uid: t for t in targets}

        def read(namespace: str) -> None:
            pods.update({p.uid: p for p in read_pods(self.cluster, [namespace])[namespace]})
            found = read_owners(self.cluster, [namespace], self.awaited[namespace].values())
            # as with kubectl drain, a pod counts as soon as it is Ready: a node is not to wait for the minReadySeconds of each
            owners.update({uid: replace(facts, available=None) for uid, facts in found.items()})

        side_by_side([partial(read, namespace) for namespace in sorted({t.namespace for t in paced})])
        return list(pods.values()), owners

    def _send(self, pod: PodFacts) -> bool:
        now, refusal, limit = self.clock.monotonic(), self.refusals.get(pod.uid), self.options.delete_after
        is_overdue = refusal is not None and limit is not None and now - refusal.since >= limit
        method = "delete" if is_overdue else self.options.method
        try:
            renew_pod(self.cluster, pod, method=method, grace_period=self.options.grace_period)
        except ApiError as error:
            if error.status not in POD_STATUSES or error.is_missing_api:
                raise
            if error.status not in (404, 409):
                self._note_refusal(pod, error, now)
            return False
        self.sent.setdefault(pod.node, set()).add(pod.uid)
        return True

    def _note_refusal(self, pod: PodFacts, error: ApiError, now: float) -> None:
        """Remember what forbids it, and say so when that is new and every now and then."""
        known = self.refusals.get(pod.uid)
        until = now + (error.retry_after or 0.0)
        if known is None or known.words != error.words:
            since = known.since if known else now
            self.refusals[pod.uid] = Refusal(words=error.words, since=since, until=until, said_at=now)
            self.say(f"{pod.node}: {pod.namespace}/{pod.name} may not go yet: {error.words}")
            return
        if now - known.said_at >= REMINDER:
            known.said_at = now
            self.say(
                f"{pod.node}: {pod.namespace}/{pod.name} may not go yet: {error.words}, waiting {now - known.since:.0f} s"
            )
        known.until = until

    def describe(self, left: Sequence[NodePod]) -> str:
        """Return what a node waits for, for people."""
        return describe_left(left, {uid: r.words for uid, r in self.refusals.items()}, self.held)
