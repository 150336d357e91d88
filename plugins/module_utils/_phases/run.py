# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Beginning, taking up and finishing a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, retry
from .._errors import ApiError, Refused
from .._facts import read_denied, read_wanted_issuer
from .._model import Permission
from .._plan.permissions import NAMESPACES, describe_denied, permissions_for, run_permissions
from .._plan.run_record import RunRecord, RunVerdict, advance, judge_record
from .._run import RecordStore, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a task asks for; ``run_id`` None means the one in the record, or ``new_id``."""

    issuer: str
    run_id: str | None
    new_id: str
    take_over: bool
    #: What later tasks of the run need, by the keys of permissions.NEEDS.
    needed_for: tuple[str, ...] = ()
    #: Kept for whoever goes on; None leaves what the record holds.
    strategy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOffice:
    """What is needed to keep a run: where its record is, and how to get hold of its lease."""

    cluster: Cluster
    store: RecordStore
    clock: Clock
    holder: str
    #: Returns when the lease is held for the run of this name.
    acquire: Callable[[str], None]

    def begin(self, request: RunRequest, *, check_mode: bool) -> dict[str, Any]:
        """Begin or take up the run and return the module's result. Raises Refused when another one is not finished."""
        self._require_permissions(request)
        found, verdict = self._judge(request)
        if check_mode:
            record = self._choose(request, found, verdict)
            return {"changed": verdict.action == "begin", **_result(record, verdict)}
        self.acquire(self._choose(request, found, verdict).run_id)
        # What was read before the lease was held may be out of date.
        found, verdict = self._judge(request)
        record = advance(self._choose(request, found, verdict), "issuer")
        if record != found or not record.is_done:
            run = Run(store=self.store, clock=self.clock, holder=self.holder, record=record)
            run.save(record)
            record = run.record
        return {"changed": verdict.action == "begin", **_result(record, verdict)}

    def finish(self, run_id: str, *, check_mode: bool) -> dict[str, Any]:
        """Mark the run as finished and return the module's result; its record stays until another run begins."""
        if not check_mode:
            self.acquire(run_id)
        run = Run.resume(self.store, run_id, clock=self.clock, holder=self.holder)
        changed = not run.record.is_done
        if changed and not check_mode:
            run.save(advance(run.record, "done"))
        return {"changed": changed, "run": run.record.shown(), "reason": "Done", "explanation": "The run is finished."}

    def show(self) -> dict[str, Any]:
        """Return the record as it is, None when there is none."""
        record = retry(self.store.read, clock=self.clock)
        message = record.describe(self._read_time()) if record and not record.is_done else ""
        return {
            "changed": False,
            "run": record.shown() if record else None,
            "reason": "Found" if record else "NoRecord",
            "explanation": f"{message[:1].upper()}{message[1:]}." if message else "No run is under way.",
        }

    def _judge(self, request: RunRequest) -> tuple[RunRecord | None, RunVerdict]:
        found = retry(self.store.read, clock=self.clock)
        verdict = judge_record(
            found,
            wanted=request.issuer,
            current=self._read_current(),
            run_id=request.run_id,
            take_over=request.take_over,
            now=self._read_time() if found else None,
        )
        if verdict.action == "refuse":
            raise Refused(verdict.message, progress={"run": found.shown() if found else None})
        return found, verdict

    def _choose(self, request: RunRequest, found: RunRecord | None, verdict: RunVerdict) -> RunRecord:
        """Return the record as it is to be."""
        current = self._read_current()
        former = None if current == request.issuer else current
        if found is None or verdict.action == "begin":
            run_id = request.run_id or request.new_id
            return RunRecord(
                run_id=run_id, issuer=request.issuer, former_issuer=former, strategy=request.strategy or {}
            )
        run_id = (request.run_id or request.new_id) if verdict.reason == "TakenOver" else found.run_id
        strategy = request.strategy or found.strategy
        return replace(found, run_id=run_id, former_issuer=found.former_issuer or former, strategy=strategy)

    def _read_time(self) -> datetime | None:
        return retry(self.cluster.server_time, clock=self.clock)

    def _read_current(self) -> str:
        return retry(lambda: read_wanted_issuer(self.cluster), clock=self.clock)

    def _require_permissions(self, request: RunRequest) -> None:
        """Return when the caller may carry the whole run out. Raises Refused with all that is missing."""
        wanted = (*self._permissions(), *permissions_for(request.needed_for))
        denied = retry(lambda: read_denied(self.cluster, wanted), clock=self.clock)
        if denied:
            raise Refused(f"No run was begun: {describe_denied(denied)}")

    def _permissions(self) -> tuple[Permission, ...]:
        """Return what the record and the lease need, with the namespace where it is missing."""
        try:
            exists = self.cluster.get("Namespace", self.store.namespace) is not None
        except ApiError as error:
            if error.status != 403:
                raise
            exists = True
        wanted = run_permissions(self.store.namespace)
        return wanted if exists else (*wanted, NAMESPACES)


def _result(record: RunRecord, verdict: RunVerdict) -> dict[str, Any]:
    return {"run": record.shown(), "reason": verdict.reason, "explanation": verdict.message}
