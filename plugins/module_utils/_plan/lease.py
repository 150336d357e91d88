# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Who may work now: the lease of a run. Pure.

No two clocks are compared. A holder that is no longer there is told by its lease staying as it is for as long as the
lease lasts, on the clock of the one that watches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._model import Outcome

#: Seconds after which a lease that nobody has renewed may be taken.
LEASE_SECONDS = 60
#: Seconds between two renewals.
RENEW_SECONDS = 15.0
#: Seconds since the last renewal within which a deed may begin. A request takes 35 s at most, so that it has ended
#: before anybody else can take the lease.
FRESH_SECONDS = 25.0
#: Seconds to wait for another module of the same run, which may be about to notice that its playbook was killed.
PATIENCE_SECONDS = 90.0
#: Seconds after which a lease that could not be taken, be it for an API server that is away, is given up.
ACQUIRE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One module at work: its run, the user and host, the process, and a word that tells namesakes apart."""

    run_id: str
    where: str
    pid: int
    nonce: str

    def __str__(self) -> str:
        return f"{self.run_id}/{self.where}/{self.pid}/{self.nonce}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFacts:
    """A lease as the API shows it; ``holder`` is empty when nobody holds it."""

    holder: str
    version: str
    seconds: float = LEASE_SECONDS
    transitions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseWatch:
    """A lease under observation: since when it has been as it is now, and since when its holder has been seen."""

    facts: LeaseFacts
    since: float
    holder_since: float
    has_moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseVerdict:
    """DONE: it is held. WAITING with ``may_take``: try to take it now. FAILED: another one is at work."""

    outcome: Outcome
    message: str
    may_take: bool = False


def describe_holder(text: str) -> str:
    """Return a holder for people; what another tool wrote is shown as it is."""
    parts = text.split("/")
    if len(parts) != 4:
        return f"the holder {text}"
    return f"run {parts[0]} of {parts[1]} (process {parts[2]})"


def lease_facts(lease: Mapping[str, Any] | None) -> LeaseFacts | None:
    """Return the facts of a Lease; None when there is none."""
    if lease is None:
        return None
    spec = lease.get("spec") or {}
    return LeaseFacts(
        holder=spec.get("holderIdentity") or "",
        version=lease["metadata"]["resourceVersion"],
        seconds=spec.get("leaseDurationSeconds") or LEASE_SECONDS,
        transitions=spec.get("leaseTransitions") or 0,
    )


def watch_lease(before: LeaseWatch | None, facts: LeaseFacts | None, now: float) -> LeaseWatch | None:
    """Return what is known of the lease after the look at ``now`` (monotonic seconds of this machine)."""
    if facts is None:
        return None
    if before is None or before.facts.holder != facts.holder:
        return LeaseWatch(facts=facts, since=now, holder_since=now)
    if before.facts.version != facts.version:
        return LeaseWatch(facts=facts, since=now, holder_since=before.holder_since, has_moved=True)
    return before


def judge_lease(watch: LeaseWatch | None, me: Holder, now: float) -> LeaseVerdict:
    """Return whether ``me`` holds the lease, may take it, has to wait, or must leave it to its holder."""
    if watch is None or not watch.facts.holder:
        return LeaseVerdict(outcome=Outcome.WAITING, message="the lease is free", may_take=True)
    holder = watch.facts.holder
    if holder == str(me):
        return LeaseVerdict(outcome=Outcome.DONE, message="the lease is held")
    if now - watch.since >= watch.facts.seconds:
        return LeaseVerdict(outcome=Outcome.WAITING, message="the lease has expired", may_take=True)
    who = describe_holder(holder)
    is_same_run = holder.startswith(f"{me.run_id}/")
    if watch.has_moved and (not is_same_run or watch.since - watch.holder_since >= PATIENCE_SECONDS):
        return LeaseVerdict(outcome=Outcome.FAILED, message=f"{who} is at work")
    return LeaseVerdict(outcome=Outcome.WAITING, message=f"{who} holds the lease and may have ended")


def lease_spec(me: Holder, moment: str, transitions: int) -> dict[str, Any]:
    """Return the specification of a lease that ``me`` holds; ``moment`` is for people, nothing is decided by it."""
    return {
        "holderIdentity": str(me),
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": moment,
        "leaseTransitions": transitions,
    }
