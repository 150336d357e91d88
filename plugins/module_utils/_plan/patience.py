# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""When does a wait end early? Pure: what has stood since when is a value that is folded over the looks.

Healthy rollouts flap: static pods are waiting for some seconds, an installer fails once, marks of former failures stay on the
nodes. So a sign of trouble counts only for the revision that is wanted, and only when it has stood for its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .._model import NodeRevision, Outcome, RolloutFacts, RolloutVerdict, format_time
from .issuer import MAX_TRUSTED_ISSUERS

OPERATOR_NAMESPACE = "openshift-kube-apiserver-operator"
BLIND = 60.0
#: The operator has yet to do something for these; nobody else can.
_OPERATOR_S_TURN = frozenset({"OperatorHasNotReacted", "NotObserved", "NoRevisionYet"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may stand, in seconds, before the wait ends; and how long success must stand."""

    reaction: float = 300.0
    stuck: float = 120.0
    #: How often in a row the installer may fail on the revision that is wanted.
    installer_failures: int = 3
    stable: float = 0.0
    #: Of a longer time without a look nothing is known; the operator can't have worked without API servers either.
    blind: float = BLIND


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Something that stands now. ``key`` changes when it is no longer the same thing."""

    reason: str
    key: tuple[object, ...]
    limit: float
    message: str

    @property
    def identity(self) -> tuple[object, ...]:
        return (self.reason, *self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Since when (monotonic, seconds) each sign has been standing, by its reason and key, at the last look.

    ``failures`` holds how often the installer had failed when a node was first seen on its way to a revision.
    """

    since: Mapping[tuple[object, ...], float] = field(default_factory=dict)
    failures: Mapping[tuple[str, int], int] = field(default_factory=dict)
    last_look: float | None = None

    def holds(self, reason: str) -> bool:
        """Whether a sign of this reason was standing at the last look."""
        return any(identity[0] == reason for identity in self.since)


def judge_patience(
    facts: RolloutFacts, wanted: str, verdict: RolloutVerdict, history: History, now: float, patience: Patience
) -> tuple[RolloutVerdict, History, float | None]:
    """Return what becomes of ``verdict`` in the light of ``history``, the history with this look in it, and the seconds
    after which to judge again though nothing has changed (None: no need)."""
    if verdict.outcome is Outcome.FAILED:
        return verdict, history, None
    signs = find_signs(facts, wanted, verdict, history, patience)
    history = _remember(history, facts, signs, now, patience.blind)
    left = [(s, s.limit - (now - history.since[s.identity])) for s in signs]
    for sign, seconds in left:
        if seconds <= 0 and verdict.outcome is not Outcome.DONE:
            failed = RolloutVerdict(outcome=Outcome.FAILED, reason=sign.reason, message=sign.message)
            return failed, history, None
    waiting = [seconds for _sign, seconds in left if seconds > 0]
    if verdict.outcome is Outcome.DONE and waiting:
        message = f"{verdict.message} This must hold for {max(waiting):.0f} s more."
        verdict = replace(verdict, outcome=Outcome.WAITING, reason="NotStableYet", message=message)
    return verdict, history, min(waiting, default=None)


def find_signs(
    facts: RolloutFacts, wanted: str, verdict: RolloutVerdict, history: History, patience: Patience
) -> list[Sign]:
    """Return what must not stand for ever; for a rollout that is complete, its completeness."""
    if verdict.outcome is Outcome.DONE:
        return [_completeness(facts, patience)] if patience.stable > 0 else []
    if verdict.reason == "ConfigObservationDegraded":
        return [Sign(reason=verdict.reason, key=(verdict.message,), limit=patience.stuck, message=verdict.message)]
    if verdict.reason in _OPERATOR_S_TURN:
        return [_silence(facts, wanted, verdict, patience, (verdict.reason, facts.revision))]
    if verdict.reason != "NodesBehind":
        return []
    signs = [*_failing_installers(facts, history, patience), *_crashing_servers(facts, patience)]
    if facts.nodes and not any(n.target for n in facts.nodes):
        signs.append(_silence(facts, wanted, verdict, patience, (verdict.reason, facts.revision, facts.nodes)))
    return signs


def _remember(history: History, facts: RolloutFacts, signs: list[Sign], now: float, blind: float) -> History:
    was_blind = history.last_look is not None and now - history.last_look > blind
    known = {} if was_blind else history.since
    return History(
        since={s.identity: known.get(s.identity, now) for s in signs},
        failures={(n.name, n.target): history.failures.get((n.name, n.target), _failures(n)) for n in facts.nodes},
        last_look=now,
    )


def _failures(node: NodeRevision) -> int:
    """Return how often the installer has failed on the revision that the node is being taken to."""
    return node.failed_count if node.target and node.failed_revision == node.target else 0


def _completeness(facts: RolloutFacts, patience: Patience) -> Sign:
    operators = [(name, sorted(c.items(), key=lambda i: i[0])) for name, c in (facts.operators or {}).items()]
    conditions = sorted((name, c.status, str(c.last_transition)) for name, c in facts.conditions.items())
    key = (facts.revision, facts.nodes, facts.observed_issuers, tuple(conditions), repr(operators))
    return Sign(reason="Complete", key=key, limit=patience.stable, message="")


def _failing_installers(facts: RolloutFacts, history: History, patience: Patience) -> list[Sign]:
    """Return the nodes on which it has failed too often, and once more since the wait began: it may have been mended."""
    return [
        Sign(
            reason="InstallerFailing",
            key=(n.name, n.target),
            limit=0.0,
            message=f"The installer has failed {n.failed_count} times to bring revision {n.target} to {n.name}: "
            + ("; ".join(" ".join(e.split()) for e in n.failed_errors) or "the operator gives no reason")
            + f". Look at the pods installer-{n.target}-* in namespace openshift-kube-apiserver.",
        )
        for n in facts.nodes
        if n.target == facts.revision
        and _failures(n) >= patience.installer_failures
        and _failures(n) > history.failures.get((n.name, n.target), _failures(n))
    ]


def _crashing_servers(facts: RolloutFacts, patience: Patience) -> list[Sign]:
    targets = {n.name: n.target for n in facts.nodes}
    condition = facts.condition("StaticPodsDegraded")
    return [
        Sign(
            reason="ServerCrashing",
            key=(s.name, s.revision),
            limit=patience.stuck,
            message=f"The kube-apiserver of revision {s.revision} does not start on {s.node}: "
            + (condition.message.strip() if condition.status == "True" and s.name in condition.message else s.words)
            + f" Look at the log of the pod {s.name} in namespace openshift-kube-apiserver.",
        )
        for s in facts.servers or ()
        if s.is_crashing and s.revision == facts.revision == targets.get(s.node)
    ]


def _silence(
    facts: RolloutFacts, wanted: str, verdict: RolloutVerdict, patience: Patience, key: tuple[object, ...]
) -> Sign:
    message = f"The operator has done nothing for {patience.reaction:g} s. {verdict.message} {_what_to_look_at(facts, wanted)}"
    return Sign(reason="OperatorNotReacting", key=key, limit=patience.reaction, message=message)


def _what_to_look_at(facts: RolloutFacts, wanted: str) -> str:
    """Return the likely reason why the operator does nothing, or where to find it."""
    trusted = facts.issuer.trusted or ()
    if facts.management_state != "Managed":
        return f"Its managementState is {facts.management_state}: set it to Managed in kubeapiservers/cluster."
    if len(trusted) >= MAX_TRUSTED_ISSUERS and wanted not in {i.name for i in trusted}:
        first = min((i.expires for i in facts.issuer.former if i.expires), default=None)
        return (
            f"It trusts {len(trusted)} issuers already and silently ignores an eleventh; the next one expires at "
            f"{format_time(first)}."
        )
    degraded = [
        f"{name}: {c.message.strip() or c.reason}"
        for name, c in sorted(facts.conditions.items())
        if name.endswith("Degraded") and c.status == "True"
    ]
    words = f"It says {'; '.join(degraded)}. " if degraded else ""
    return f"{words}Look at the operator's pod and its log in namespace {OPERATOR_NAMESPACE}."
