# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Which parts of a kube-apiserver's audit log to read, and how to take it apart. Pure.

The log is a file audit.log of one JSON event per line. When it is full it is renamed to audit-<time>.log, with the moment
of the renaming in UTC (lumberjack, which kube-apiserver writes it with), and the oldest ones are removed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from .._model import parse_time

#: Requests that end side by side are written side by side: lines are in order but for about this much.
DISORDER = timedelta(minutes=1)
#: Bytes within which a moment is found by halving; what is read in vain at most.
GRAIN = 262_144
#: A line that is longer is left out: events with whole objects in them are cut at 1.5 MB by etcd's own limit.
MAX_LINE = 16_777_216

_NAME = re.compile(r"^audit(?:-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}))?\.log$")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFiles:
    """The files with events since a moment, oldest first; ``has_older`` when there are others with those before it."""

    names: tuple[str, ...]
    has_older: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The bytes of a file from ``start`` up to ``end``."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRange:
    """What was read of one log: everything between two events' times (None: there was no event).

    ``is_cut`` when there is more, which was too much to read; ``bytes_read`` counts what finding the start took, too.
    """

    begins: datetime | None
    ends: datetime | None
    bytes_read: int
    is_cut: bool


def choose_files(names: Iterable[str], since: datetime) -> LogFiles:
    """Return which of the files in the log's folder hold events since a moment."""
    rotated, current = {}, []
    for name in names:
        found = _NAME.match(name)
        if found and found[1]:
            moment = datetime.strptime(found[1], "%Y-%m-%dT%H-%M-%S.%f")
            rotated[moment.replace(tzinfo=timezone.utc)] = name
        elif found:
            current = [name]
    wanted = [rotated[moment] for moment in sorted(rotated) if moment >= since - DISORDER]
    return LogFiles(names=(*wanted, *current), has_older=len(wanted) < len(rotated))


def find_start(size: int, since: datetime, time_after: Callable[[int], datetime | None]) -> int:
    """Return where in a file of ``size`` bytes to begin so that nothing since ``since`` is missed.

    ``time_after`` returns the time of the first whole line after an offset, None where there is none.
    """
    low, high, moment = 0, size, since - DISORDER
    while high - low > GRAIN:
        middle = (low + high) // 2
        found = time_after(middle)
        if found is not None and found < moment:
            low = middle
        else:
            high = middle
    return low


def limit_segments(segments: Sequence[Segment], max_bytes: int) -> list[Segment]:
    """Return what may be read of ``segments``: the last ``max_bytes``, since the newest events tell most."""
    kept: list[Segment] = []
    for segment in reversed(segments):
        start = max(segment.start, segment.end - max_bytes)
        max_bytes -= segment.end - start
        if start < segment.end:
            kept.append(replace(segment, start=start))
    return kept[::-1]


def split_blocks(pieces: Iterable[bytes], *, is_inside: bool) -> Iterator[bytes]:
    """Yield what ``pieces`` hold together in blocks of whole lines, without a last line that is not ended.

    ``is_inside`` when the first piece may begin in the middle of a line, which is left out then.
    """
    rest = b""
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if not cut:
            rest += piece
            if len(rest) > MAX_LINE:
                rest, is_inside = b"", True
            continue
        block, rest = rest + piece[:cut], piece[cut:]
        if is_inside:
            block, is_inside = block[block.find(b"\n") + 1 :], False
        if block:
            yield block


def find_lines(block: bytes, sign: bytes) -> Iterator[bytes]:
    """Yield the lines of a block in which ``sign`` is: far cheaper than parsing them all."""
    if sign in block:
        for line in block.split(b"\n"):
            if sign in line:
                yield line


def parse_event(line: bytes) -> dict[str, Any]:
    """Return an audit event; an empty one for what is none, or is nested too deeply."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def time_of(event: dict[str, Any]) -> datetime | None:
    """Return when the event was written, None for what is no event. The request may have come much earlier (a watch)."""
    moment = event.get("stageTimestamp")
    try:
        return parse_time(moment) if isinstance(moment, str) else None
    except ValueError:
        return None


def first_time(block: bytes) -> datetime | None:
    """Return the time of the first event in a block of lines."""
    return next(_times(block.split(b"\n")), None)


def last_time(block: bytes) -> datetime | None:
    """Return the time of the last event in a block of lines."""
    return next(_times(reversed(block.split(b"\n"))), None)


def _times(lines: Iterable[bytes]) -> Iterator[datetime]:
    return (moment for line in lines if line and (moment := time_of(parse_event(line))))
