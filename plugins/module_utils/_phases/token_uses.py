# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Finding out from the audit logs which old tokens are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from .._audit_log import LogUnreadable, read_audit_log
from .._client.cluster import Cluster
from .._clock import Clock, retry
from .._errors import ApiError, WaitTimedOut
from .._holder_facts import read_audit_gap
from .._model import SwitchTime, format_time
from .._parallel import side_by_side
from .._plan.holders import SwitchWindow
from .._plan.token_uses import IssuedIds, UseLog, UseReader, UseVerdict, judge_uses


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSearch:
    """One search in the logs of all kube-apiservers; ``say`` is given a line for each that was read.

    Uses since ``used_since`` count, or since the last switch where that is later; ``max_bytes`` of each log are read at most.
    """

    cluster: Cluster
    clock: Clock
    window: SwitchWindow
    now: datetime
    used_since: datetime | None
    max_bytes: int
    say: Callable[[str], None] = lambda line: None
    issued: IssuedIds = field(default_factory=IssuedIds)

    def run(self) -> tuple[UseVerdict, list[dict[str, Any]]]:
        """Return the verdict, and what was read of each server."""
        last = self.window.last
        if last is None:
            return UseVerdict(problems=["it is not known when the last API server switched"]), []
        if not self.window.servers:
            return UseVerdict(problems=["the cluster does not tell which nodes its kube-apiservers run on"]), []
        logs = side_by_side([partial(self._read, name, last) for name in sorted(self.window.servers)])
        gap = retry(lambda: read_audit_gap(self.cluster), clock=self.clock)
        verdict = judge_uses(logs, self.issued, first=self.window.first, last=last, until=self.now, audit_gap=gap)
        return verdict, _describe_servers(logs)

    def _read(self, node: str, last: datetime) -> UseLog:
        known = self.window.servers[node]
        switched = SwitchTime(
            not_before=known.not_before or self.window.first, not_after=min(known.not_after or last, last)
        )
        since = max(last, self.used_since or last)
        try:
            reader, found = read_audit_log(
                self.cluster,
                node,
                lambda: UseReader(switched=switched, since=since, issued=self.issued),
                since=self.window.first or last,
                max_bytes=self.max_bytes,
                clock=self.clock,
            )
        except (LogUnreadable, ApiError, WaitTimedOut) as error:
            return UseLog(name=node, problem=error.clause)
        self.say(f"{node}: {found.bytes_read / 1e6:.1f} MB of the audit log read")
        return UseLog(name=node, found=found, reader=reader)


def _describe_servers(logs: Sequence[UseLog]) -> list[dict[str, Any]]:
    return [
        {
            "name": log.name,
            "covered_since": format_time(log.found.begins) if log.found else None,
            "covered_until": format_time(log.found.ends) if log.found else None,
            "bytes_read": log.found.bytes_read if log.found else 0,
        }
        for log in logs
    ]
