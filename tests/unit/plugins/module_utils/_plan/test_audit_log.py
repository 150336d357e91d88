# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan import audit_log
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.audit_log import (
    DISORDER,
    GRAIN,
    LogFiles,
    Segment,
    choose_files,
    find_lines,
    find_start,
    first_time,
    last_time,
    limit_segments,
    split_blocks,
)

SINCE = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
NAMES = [
    "audit-2026-11-22T13-00-00.000.log",
    "audit.log",
    "audit-2026-11-22T11-00-00.500.log",
    "audit-2026-11-22T12-30-00.250.log",
]


@pytest.mark.parametrize(
    ("name", "names", "chosen", "has_older"),
    [
        ("one is older", NAMES, (NAMES[3], NAMES[0], NAMES[1]), True),
        ("none is older", NAMES[:2], (NAMES[0], NAMES[1]), False),
        ("other files", ["termination.log", "audit.log.bak", "audit.log"], ("audit.log",), False),
        ("compressed ones can't be read", ["audit-2026-11-22T13-00-00.000.log.gz", "audit.log"], ("audit.log",), False),
        (
            "renamed a moment before",
            ["audit-2026-11-22T11-59-30.000.log", "audit.log"],
            ("audit-2026-11-22T11-59-30.000.log", "audit.log"),
            False,
        ),
        ("nothing", [], (), False),
    ],
)
def test_the_files_since_a_moment(name, names, chosen, has_older):
    assert choose_files(names, SINCE) == LogFiles(names=chosen, has_older=has_older)


def line(moment, **more):
    return json.dumps({"stageTimestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **more}).encode() + b"\n"


class Lines:
    """A file's lines by offset and time; keeps what is asked."""

    def __init__(self, offsets, times, asked):
        self.offsets, self.times, self.asked = offsets, times, asked

    def time_after(self, offset):
        self.asked.append(offset)
        return next((t for o, t in zip(self.offsets, self.times, strict=True) if o > offset), None)


def test_a_moment_is_found_by_halving():
    """Wherever it is, nothing since then is before the start, little is read in vain, and few lines are looked at."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    rng = random.Random(seed)
    offsets, times, size, now = [], [], 0, SINCE
    for _number in range(20_000):
        offsets.append(size)
        times.append(now)
        size += rng.randrange(100, 4000)
        now += timedelta(seconds=rng.expovariate(1.0))
    for _round in range(50):
        wanted = SINCE + (now - SINCE) * rng.uniform(-0.1, 1.1)
        asked: list[int] = []
        start = find_start(size, wanted, Lines(offsets, times, asked).time_after)
        needed = next((o for o, t in zip(offsets, times, strict=True) if t >= wanted - DISORDER), size)
        assert start <= needed
        assert needed - start <= GRAIN + 4000
        assert len(asked) <= 10


def test_a_small_file_is_read_whole():
    assert find_start(GRAIN, SINCE, lambda offset: pytest.fail("asked")) == 0


def test_the_newest_bytes_are_kept():
    segments = [Segment(name="a", start=50, end=100), Segment(name="b", start=0, end=100)]
    assert limit_segments(segments, 150) == segments
    assert limit_segments(segments, 120) == [Segment(name="a", start=80, end=100), segments[1]]
    assert limit_segments(segments, 100) == [segments[1]]
    assert limit_segments(segments, 30) == [Segment(name="b", start=70, end=100)]
    assert limit_segments([Segment(name="a", start=0, end=0)], 30) == []


def test_blocks_hold_every_whole_line_once():
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for is_inside in (False, True):
        for _round in range(300):
            text = b"".join(b"x" * rng.randrange(30) + b"\n" for _n in range(rng.randrange(20))) + b"unfinished"
            pieces, rest = [], text
            while rest:
                length = rng.randrange(1, 40)
                pieces.append(rest[:length])
                rest = rest[length:]
            whole = text[: text.rfind(b"\n") + 1]
            expected = whole.partition(b"\n")[2] if is_inside else whole
            blocks = list(split_blocks(pieces, is_inside=is_inside))
            assert b"".join(blocks) == expected
            assert all(block.endswith(b"\n") for block in blocks)


def test_a_line_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(audit_log, "MAX_LINE", 10)
    assert list(split_blocks([b"a\n", *[b"x" * 6] * 5, b"x\nb\n"], is_inside=False)) == [b"a\n", b"b\n"]


def test_only_lines_with_the_sign_are_looked_at():
    assert list(find_lines(b"ab\ncd\nxa\n", b"a")) == [b"ab", b"xa"]
    assert list(find_lines(b"ab\n", b"z")) == []


def test_times_of_a_block_pass_over_what_is_no_event():
    moments = [SINCE, SINCE + timedelta(seconds=5)]
    block = (
        b"not JSON\n[]\n"
        + line(moments[0])
        + b'{"stageTimestamp": 7}\n'
        + line(moments[1])
        + b'{"stageTimestamp":"x"}\n'
    )
    assert (first_time(block), last_time(block)) == (moments[0], moments[1])
    assert (first_time(b"\n"), last_time(b"")) == (None, None)
