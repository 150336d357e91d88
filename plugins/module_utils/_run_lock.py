# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The lease of a run: held while a module works, so that no two runs change the same cluster at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ._client.cluster import Cluster
from ._client.kinds import describe_target
from ._clock import Clock, WaitOptions, poll
from ._effects import provide_own_namespace
from ._errors import ApiError, CollectionError, Refused, WaitFailed
from ._facts import require_own_namespace
from ._model import MANAGED_BY, Outcome
from ._plan.lease import (
    FRESH_SECONDS,
    RENEW_SECONDS,
    Holder,
    LeaseFacts,
    LeaseVerdict,
    LeaseWatch,
    describe_holder,
    judge_lease,
    lease_facts,
    lease_spec,
    watch_lease,
)
from ._plan.run_record import NAME, build_run_namespace

#: A renewal that passes by itself, told in a way that nothing takes for an answer about a pod.
_TRY_AGAIN = 408


@dataclass(slots=True, kw_only=True)
class RunLock:
    """A lease and the claim to it. ``cluster`` is its own connection, past every guard."""

    cluster: Cluster
    namespace: str
    me: Holder
    clock: Clock
    require_parent: Callable[[], None] = lambda: None
    #: The last state that was ours, and the moment (monotonic) before which it was surely ours.
    facts: LeaseFacts | None = None
    renewed_at: float = -math.inf
    failure: CollectionError | None = None
    _watch: LeaseWatch | None = None
    _mutex: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def acquire(self, options: WaitOptions) -> None:
        """Return when the lease is held, and keep it. Raises Refused with the holder's name when another one works."""
        try:
            poll(
                self._look,
                lambda verdict: verdict,
                waiting_for="the lease of the run",
                options=options,
                clock=self.clock,
            )
        except WaitFailed:
            holder = self._watch.facts.holder if self._watch else ""
            raise Refused(
                f"Nothing was done, because {describe_holder(holder)} is at work on this cluster; wait "
                f"for it to end, or end it. It holds {describe_target('Lease', NAME, self.namespace)}."
            ) from None
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def ensure_held(self) -> None:
        """Return when a deed may begin now. Raises Refused when another one has taken the lease meanwhile.

        An ApiError that passes by itself means that the lease could not be renewed: no deed until it can.
        """
        if self.failure:
            raise self.failure
        if self.clock.monotonic() - self.renewed_at > FRESH_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Renew the lease; one that has expired without anybody taking it is ours again."""
        with self._mutex:
            try:
                self._renew()
            except ApiError as error:
                if not error.is_transient:
                    raise
                raise ApiError(
                    verb=error.verb, target=error.target, host=self.cluster.host, status=_TRY_AGAIN, words=error.words
                ) from None

    def release(self) -> None:
        """Let others in at once; what can't be released expires."""
        self._stop.set()
        with self._mutex, suppress(CollectionError):
            if self.facts and not self.failure:
                patch = {"metadata": {"resourceVersion": self.facts.version}, "spec": {"holderIdentity": None}}
                self.cluster.merge_patch("Lease", NAME, patch, self.namespace)
            self.facts = None

    def _keep(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                self.require_parent()
                self.renew()
            except ApiError:
                continue  # ensure_held tells whether it matters
            except CollectionError:
                return

    def _look(self) -> LeaseVerdict:
        """Look at the lease, and take it when that is allowed and somebody waits for us. Raises ParentGone."""
        self.require_parent()
        with self._mutex:
            if self._watch is None:
                require_own_namespace(self.cluster, self.namespace)
            facts = lease_facts(self.cluster.get("Lease", NAME, self.namespace))
            now = self.clock.monotonic()
            self._watch = watch_lease(self._watch, facts, now)
            verdict = judge_lease(self._watch, self.me, now)
            if verdict.outcome is Outcome.DONE and facts:
                # The answer to our own request was lost: it is ours, but ensure_held does not know since when.
                self.facts = facts
            elif verdict.may_take and self._take(facts):
                return LeaseVerdict(outcome=Outcome.DONE, message="the lease was taken")
            return verdict

    def _take(self, facts: LeaseFacts | None) -> bool:
        """Take a free lease; False when somebody was quicker."""
        asked_at = self.clock.monotonic()
        try:
            if facts is None:
                spec = lease_spec(self.me, _now(), 0)
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": NAME, "labels": MANAGED_BY},
                    "spec": spec,
                }
                found = self.cluster.create("Lease", body, self.namespace)
            else:
                spec = lease_spec(self.me, _now(), facts.transitions + 1)
                patch = {"metadata": {"resourceVersion": facts.version}, "spec": spec}
                found = self.cluster.merge_patch("Lease", NAME, patch, self.namespace)
        except ApiError as error:
            if error.status == 409:
                return False
            if error.status == 404 and not error.is_missing_api and facts is None:
                provide_own_namespace(self.cluster, build_run_namespace(self.namespace))
                return False
            raise
        self.facts, self.renewed_at = lease_facts(found), asked_at
        return True

    def _renew(self) -> None:
        """Renew, guarded by the version that was ours; what has changed since is looked at."""
        for _attempt in range(3):
            if self.failure or not self.facts:
                break
            asked_at = self.clock.monotonic()
            spec = lease_spec(self.me, _now(), self.facts.transitions)
            patch = {"metadata": {"resourceVersion": self.facts.version}, "spec": spec}
            try:
                found = self.cluster.merge_patch("Lease", NAME, patch, self.namespace)
            except ApiError as error:
                if error.status not in (404, 409) or error.is_missing_api:
                    raise
                self._explain_loss(lease_facts(self.cluster.get("Lease", NAME, self.namespace)))
                continue
            self.facts, self.renewed_at = lease_facts(found), asked_at
            return
        raise self.failure or Refused("The lease of the run is not held any more; run the playbook again.")

    def _explain_loss(self, found: LeaseFacts | None) -> None:
        """Keep the state of a lease that is still ours (an answer was lost); else the reason why nothing more is done."""
        if found and found.holder == str(self.me):
            self.facts = found
            return
        who = describe_holder(found.holder) if found and found.holder else "another run, or a person,"
        self.failure = Refused(
            f"Stopped before the next step, because {who} has taken {describe_target('Lease', NAME, self.namespace)} "
            "meanwhile; when that one has ended, run the playbook again, and it goes on where this one stopped."
        )


def _now() -> str:
    """The machine's wall clock, for people who look at the lease; nothing is decided by it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
