# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Finding out from the audit logs who is refused with 401 in a loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._audit_log import LogUnreadable, read_audit_log
from .._client.cluster import Cluster
from .._clock import Clock, retry
from .._errors import ApiError, CollectionError, WaitTimedOut
from .._facts import read_addresses, read_audit_profile, read_kube_apiserver
from .._model import format_time, parse_time
from .._plan.rejections import (
    RejectionRequest,
    RejectionTally,
    RejectionVerdict,
    ServerLog,
    Window,
    judge_rejections,
)
from .._plan.run_record import RunRecord
from .._run import RecordStore

#: How many logs are read at a time. They come through the API servers, which have other work to do.
MAX_PARALLEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionSearch:
    """One search in the logs of all kube-apiservers; ``say`` is given a line for each that was read."""

    cluster: Cluster
    clock: Clock
    request: RejectionRequest
    store: RecordStore
    say: Callable[[str], None] = lambda line: None

    def run(self) -> dict[str, Any]:
        """Return the module's result."""
        nodes, until, record = retry(self._look, clock=self.clock)
        window = self._choose_window(record)
        if window is None:
            return _describe(_know_nothing(), None, until, ())
        with ThreadPoolExecutor(max_workers=MAX_PARALLEL) as pool:
            logs = list(pool.map(lambda node: self._read(node, window), nodes))
        verdict = judge_rejections(
            logs,
            retry(lambda: read_addresses(self.cluster), clock=self.clock) if any(log.clients for log in logs) else {},
            since=window.since,
            until=until,
            profile=retry(lambda: read_audit_profile(self.cluster), clock=self.clock),
            request=self.request,
        )
        return _describe(verdict, window.since, until, logs)

    def _look(self) -> tuple[list[str], datetime, RunRecord | None]:
        """Return the control-plane nodes, the time on an API server's clock, and the record of the last run."""
        statuses = (read_kube_apiserver(self.cluster).get("status") or {}).get("nodeStatuses") or ()
        now = self.cluster.server_time()
        if now is None:
            raise CollectionError(f"{self.cluster.host} does not tell the time, to which the audit logs are read.")
        return [s["nodeName"] for s in statuses], now, self._read_record()

    def _read_record(self) -> RunRecord | None:
        try:
            return self.store.read()
        except ApiError as error:
            if error.status == 403 and self.request.since:
                return None  # it would only tell who was refused before the change already
            raise

    def _choose_window(self, record: RunRecord | None) -> Window | None:
        """Return what to look at; None when neither the task nor a record tells since when."""
        if record and self.request.issuer not in (None, record.issuer):
            record = None
        since = self.request.since or parse_time(record.finished_at if record else None)
        begun = [s.not_before for s in record.nodes.values() if s.not_before] if record else []
        changed_at = parse_time(min(begun, default=None))
        if since is None:
            return None
        return Window(since=since, changed_at=changed_at if changed_at and changed_at < since else None)

    def _read(self, node: str, window: Window) -> ServerLog:
        try:
            tally, found = read_audit_log(
                self.cluster,
                node,
                lambda: RejectionTally(server=node, window=window),
                since=window.begins,
                max_bytes=self.request.max_bytes,
                clock=self.clock,
            )
        except (ApiError, WaitTimedOut, LogUnreadable) as error:
            # in the middle of a sentence
            return ServerLog(name=node, problem=error.clause)
        self.say(f"{node}: {found.bytes_read / 1e6:.1f} MB of the audit log read")
        return ServerLog(name=node, found=found, clients=tally.clients)


def _describe(
    verdict: RejectionVerdict, since: datetime | None, until: datetime, logs: Sequence[ServerLog]
) -> dict[str, Any]:
    servers = [
        {
            "name": log.name,
            "covered_since": format_time(since and log.found.begins and max(log.found.begins, since))
            if log.found
            else None,
            "covered_until": format_time(log.found.ends) if log.found else None,
            "bytes_read": log.found.bytes_read if log.found else 0,
        }
        for log in logs
    ]
    return {
        "changed": False,
        "rejected_requests": {
            "since": format_time(since),
            "until": format_time(until),
            "in_loop": verdict.in_loop,
            "clients": list(verdict.clients),
            "servers": servers,
            "problems": list(verdict.problems),
        },
        "explanation": verdict.message,
    }


def _know_nothing() -> RejectionVerdict:
    problem = "neither since nor the record of a finished rollout tells from when on to look"
    message = f"Whether anything is refused with 401 in a loop is unknown, because {problem}."
    return RejectionVerdict(in_loop=None, clients=(), problems=(problem,), message=message)
