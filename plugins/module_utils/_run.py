# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""A run under way in this process: its lease, and its record in the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ._client.cluster import Cluster
from ._client.kinds import describe_target
from ._clock import Clock, retry
from ._errors import ApiError
from ._facts import require_own_namespace
from ._model import MANAGED_BY
from ._plan.node_record import KEY as NODES_KEY
from ._plan.node_record import NodeRecord, dump_nodes, parse_nodes
from ._plan.run_record import (
    NAME,
    NamespaceRecord,
    RunRecord,
    absorb_issuer,
    absorb_rollout,
    advance,
    dump_record,
    merge_namespaces,
    overlay_rollout,
    parse_record,
    require_run,
    touch,
)

#: Seconds between two notes of progress: what the record lacks, another run finds out by looking at the pods.
NOTE_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class RecordStore:
    """The ConfigMap that keeps the record; ``version`` is the one last seen, None when there is no ConfigMap.

    ``is_ours`` when it has been seen that nobody but administrators may work in its namespace.
    """

    cluster: Cluster
    namespace: str
    version: str | None = None
    is_ours: bool = False

    def read(self) -> RunRecord | None:
        """Return the record, None when there is none."""
        return parse_record(self._read(), self._target)

    def read_nodes(self) -> NodeRecord | None:
        """Return the record of node restarts, None when there is none."""
        return parse_nodes(self._read(), self._target)

    def write(self, record: RunRecord) -> None:
        """Write the record. That somebody else has written it meanwhile is an ApiError (409)."""
        self._write(dump_record(record))

    def write_nodes(self, record: NodeRecord | None) -> None:
        """Write the record of node restarts, or remove it; the rest stays. ApiError (409) as for write."""
        self._write({NODES_KEY: None} if record is None else dump_nodes(record))

    @property
    def _target(self) -> str:
        return describe_target("ConfigMap", NAME, self.namespace)

    def _read(self) -> dict[str, Any] | None:
        if not self.is_ours:
            require_own_namespace(self.cluster, self.namespace)
            self.is_ours = True
        found = self.cluster.get("ConfigMap", NAME, self.namespace)
        self.version = found["metadata"]["resourceVersion"] if found else None
        return found

    def _write(self, data: Mapping[str, str | None]) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "labels": MANAGED_BY}, "data": data}
        if self.version is None:
            found = self.cluster.create("ConfigMap", body, self.namespace)
        else:
            patch = {"metadata": {"resourceVersion": self.version, "labels": MANAGED_BY}, "data": body["data"]}
            found = self.cluster.merge_patch("ConfigMap", NAME, patch, self.namespace)
        self.version = found["metadata"]["resourceVersion"]


@dataclass(slots=True, kw_only=True)
class Run:
    """The run that this module works for. ``earlier`` is what the record held of the namespaces when it began."""

    store: RecordStore
    clock: Clock
    holder: str
    record: RunRecord
    earlier: Mapping[str, NamespaceRecord] = field(default_factory=dict)
    _noted_at: float | None = None

    @classmethod
    def resume(cls, store: RecordStore, run_id: str, *, clock: Clock, holder: str) -> Run:
        """Return the run whose record the cluster keeps. Raises CollectionError when it is another one."""
        record = require_run(retry(store.read, clock=clock), run_id)
        return cls(store=store, clock=clock, holder=holder, record=record, earlier=record.namespaces)

    def save(self, record: RunRecord) -> None:
        """Keep ``record``; errors that pass by themselves are borne, and what a lost answer hid is found again."""
        now = retry(self.store.cluster.server_time, clock=self.clock)
        self.record = touch(record, now, self.holder)

        def attempt() -> None:
            try:
                self.store.write(self.record)
            except ApiError as error:
                if error.status != 409:
                    raise
                require_run(self.store.read(), self.record.run_id)
                self.store.write(self.record)

        retry(attempt, clock=self.clock, waiting_for="the record of the run to be written")

    def note(self, read: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """Keep the progress in the namespaces that ``read`` finds out: at first, and then every few seconds at most."""
        now = self.clock.monotonic()
        if self._noted_at is not None and now - self._noted_at < NOTE_SECONDS:
            return
        record = replace(self.record, namespaces=self._merge(read()))
        if record != self.record:
            self.save(record)
        self._noted_at = now

    def _merge(self, namespaces: Sequence[Mapping[str, Any]]) -> dict[str, NamespaceRecord]:
        # A result leaves namespaces out in which nothing was to be done; what was noted of those before stays.
        return {**self.record.namespaces, **merge_namespaces(self.earlier, namespaces)}

    def absorb(self, result: Mapping[str, Any], *, failed: bool = False) -> dict[str, Any]:
        """Keep what a module's result tells of the run; return the result with what the record knows besides."""
        record, result = self.record, dict(result)
        issuer = result.get("issuer")
        if isinstance(issuer, Mapping) and "previous" in issuer and not failed:
            record = absorb_issuer(record, issuer, changed=issuer["previous"] != record.issuer)
        if "rollout" in result and not failed:
            record = absorb_rollout(record, result["rollout"])
            result["rollout"] = overlay_rollout(record, result["rollout"])
        if "namespaces" in result:
            record = replace(record, namespaces=self._merge(result["namespaces"]))
            record = record if failed else advance(record, "verification")
        if record != self.record:
            self.save(record)
        return result
