# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""By which way the pods of an owner go: evicted, deleted, or replaced by a rollout of their owner. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .._model import Owner, OwnerFacts
from .._node_model import BudgetFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the pods of an owner go: ``method`` is evict, delete or rollout.

    ``reason`` tells what spoke for it where that was not the task alone; ``keeper`` is what a rollout restarts.
    """

    method: str
    reason: str = ""
    keeper: Owner | None = None


def choose_way(
    method: str,
    owner: OwnerFacts,
    *,
    ready: int,
    is_platform: bool,
    budgets: Sequence[BudgetFacts],
    started_before: datetime | None,
) -> Way:
    """Return how the pods of ``owner`` go when the task asks for ``method`` (evict, delete, rollout or auto).

    ``ready`` is how many of those asked for are Ready, ``budgets`` are those that cover them. A rollout changes the owner's
    template, which an operator may put back at any time, and does not reach every owner's pods: those are evicted
    instead. With auto a rollout is for owners that an eviction would leave without a Ready pod, or that no eviction is
    granted for, and only where it brings the new pod before the old one goes. A rollout after ``started_before`` that is under
    way is waited for: it takes pods down itself.
    """
    if method in ("evict", "delete"):
        return Way(method=method)
    if is_platform:
        return Way(method="evict", reason="Platform")
    if owner.operator:
        return Way(method="evict", reason="Operator")
    if owner.keeper is None or owner.no_rollout:
        return Way(method="evict", reason=owner.no_rollout or "NoRollout")
    if started_before and owner.restarted_at and owner.restarted_at > started_before and not owner.is_rolled_out:
        return Way(method="rollout", reason="RolloutRunning", keeper=owner.keeper)
    if ready < (owner.desired or 0):
        return Way(method="evict", reason="NotWhole")
    if method == "rollout":
        return Way(method="rollout", keeper=owner.keeper)
    if owner.surges and is_never_evicted(budgets):
        return Way(method="rollout", reason="Budget", keeper=owner.keeper)
    if owner.surges and owner.desired == 1:
        return Way(method="rollout", reason="SingleReplica", keeper=owner.keeper)
    return Way(method="evict")


def is_never_evicted(budgets: Sequence[BudgetFacts]) -> bool:
    """Return whether no eviction of pods that ``budgets`` cover is ever granted; the API takes one budget per pod."""
    return len(budgets) > 1 or any(b.never_allows for b in budgets)


def needs_restart(owner: OwnerFacts, moment: datetime, started_before: datetime | None) -> bool:
    """Return whether a rollout of ``owner``, of which old pods are left, has yet to be asked for.

    ``moment`` is what this run writes into the template. A rollout that somebody has asked for after ``started_before``
    is as good; when it is over and has left old pods, it was not. Theirs may be a clock that is fast.
    """
    asked = owner.restarted_at
    if asked is None:
        return True
    if asked == moment:
        return False
    return started_before is None or asked <= started_before or owner.is_rolled_out
