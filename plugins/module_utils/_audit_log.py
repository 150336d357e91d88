# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads the audit log of a kube-apiserver from its node, in constant memory and from a moment on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from ._client.cluster import Cluster
from ._clock import Clock, retry
from ._errors import ApiError, CollectionError
from ._plan.audit_log import (
    MAX_LINE,
    LogFiles,
    LogRange,
    Segment,
    choose_files,
    find_start,
    first_time,
    last_time,
    limit_segments,
    split_blocks,
)

#: The folder of the kube-apiserver's log in a node's /var/log (cluster-kube-apiserver-operator, audit-log-path).
FOLDER = "kube-apiserver"
#: Bytes that are read to find one line's time; lines have a kilobyte or two.
PROBE = 16_384
#: How often reading starts over because the log was rotated meanwhile, which happens every few minutes at most.
MAX_TRIES = 3


class LogUnreadable(CollectionError):
    """The log is not there, or not to be read in one piece."""


class LogReader(Protocol):
    """What makes something of a log."""

    def take(self, block: bytes) -> None:
        """Take some whole lines; they come in order."""


ReaderT = TypeVar("ReaderT", bound=LogReader)


def read_audit_log(
    cluster: Cluster,
    node: str,
    make_reader: Callable[[], ReaderT],
    *,
    since: datetime,
    max_bytes: int,
    clock: Clock,
) -> tuple[ReaderT, LogRange]:
    """Return a reader that was given all events of a node's log since ``since``, and how far that reaches.

    No more than the newest ``max_bytes`` bytes are read. A new reader begins when reading has to start over. Raises
    ApiError, WaitTimedOut and LogUnreadable.
    """

    def attempt() -> tuple[ReaderT, LogRange]:
        for _try in range(MAX_TRIES):
            files, reader = _list_files(cluster, node, since), make_reader()
            try:
                found = _LogScan(cluster=cluster, node=node).read(files, reader, since, max_bytes)
            except ApiError as error:
                if error.status not in (404, 416):
                    raise
            else:
                if _list_files(cluster, node, since) == files:
                    return reader, found
        raise LogUnreadable(
            f"The audit log of {node} was rotated each of the {MAX_TRIES} times that it was read; read less of it at a time."
        )

    return retry(attempt, clock=clock, waiting_for=f"the audit log of {node} to be read")


def _list_files(cluster: Cluster, node: str, since: datetime) -> LogFiles:
    try:
        files = choose_files(cluster.list_node_files(node, FOLDER), since)
    except ApiError as error:
        if error.status != 404:
            raise
        files = LogFiles(names=(), has_older=False)
    if not files.names:
        raise LogUnreadable(f"There is no audit log in /var/log/{FOLDER} of {node}.")
    return files


@dataclass(slots=True, kw_only=True)
class _LogScan:
    """One reading of a log, which counts the bytes that it asks for."""

    cluster: Cluster
    node: str
    bytes_read: int = 0

    def read(self, files: LogFiles, reader: LogReader, since: datetime, max_bytes: int) -> LogRange:
        """Give ``reader`` all lines since ``since`` and return how far they reach."""
        sizes = {name: self.cluster.measure_node_file(self.node, self._path(name)) for name in files.names}
        whole = [Segment(name=name, start=0, end=size) for name, size in sizes.items()]
        start = find_start(whole[0].end, since, lambda offset: self._time_after(whole[0], offset))
        wanted = [Segment(name=whole[0].name, start=start, end=whole[0].end), *whole[1:]]
        segments = limit_segments(wanted, max_bytes)
        is_cut = segments != [s for s in wanted if s.start < s.end]
        begins = ends = None
        for segment in segments:
            last = b""
            for last in split_blocks(self._pieces(segment), is_inside=segment.start > 0):
                begins = begins or first_time(last)
                reader.take(last)
            ends = last_time(last) or ends
        if not is_cut and (start or files.has_older):
            begins = since  # what comes before it was seen to be older
        return LogRange(begins=begins and max(begins, since), ends=ends, bytes_read=self.bytes_read, is_cut=is_cut)

    def _path(self, name: str) -> str:
        return f"{FOLDER}/{name}"

    def _pieces(self, segment: Segment) -> Iterator[bytes]:
        for piece in self.cluster.read_node_file(self.node, self._path(segment.name), segment.start, segment.end):
            self.bytes_read += len(piece)
            yield piece

    def _time_after(self, segment: Segment, offset: int) -> datetime | None:
        length = PROBE
        while True:
            end = min(segment.end, offset + length)
            part = Segment(name=segment.name, start=offset, end=end)
            found = next((t for b in split_blocks(self._pieces(part), is_inside=True) if (t := first_time(b))), None)
            if found or end == segment.end or length >= MAX_LINE:
                return found
            length *= 8
