# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a log that grows, is rotated and is far too long, from a cluster of plain files. Nothing here sleeps."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._audit_log import (
    PROBE,
    LogUnreadable,
    read_audit_log,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, WaitTimedOut
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.audit_log import GRAIN
from clocks import FakeClock

BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)


def lines(first, count, size=1000):
    """Events a second apart, of about ``size`` bytes; ``first`` is in seconds after BEGIN."""
    found = []
    for number in range(first, first + count):
        moment = (BEGIN + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found.append(json.dumps({"n": number, "stageTimestamp": moment, "filling": "x" * size}).encode() + b"\n")
    return b"".join(found)


def rotated(second):
    return f"audit-{BEGIN + timedelta(seconds=second):%Y-%m-%dT%H-%M-%S}.000.log"


class FakeNode:
    """A node's files; ``script`` holds functions that are called before each read of a file."""

    def __init__(self, **files):
        self.files = {name.replace("_log", ".log"): content for name, content in files.items()}
        self.script = []
        self.given = 0

    def list_node_files(self, node, folder):
        assert (node, folder) == ("master-0", "kube-apiserver")
        return list(self.files)

    def measure_node_file(self, node, file):
        return len(self._file(file))

    def read_node_file(self, node, file, start, end):
        if self.script:
            self.script.pop(0)()
        content = self._file(file)
        if start >= len(content) > 0:
            raise error(416)
        for offset in range(start, end, 4096):
            piece = content[offset : min(end, offset + 4096)]
            self.given += len(piece)
            yield piece

    def _file(self, path):
        name = path.removeprefix("kube-apiserver/")
        if name not in self.files:
            raise error(404)
        return self.files[name]


def error(status):
    return ApiError(verb="read", target="it", host="h", status=status, words="no", reason="NotFound")


class Numbers:
    """Keeps the numbers of the events that it is given."""

    def __init__(self):
        self.found = []

    def take(self, block):
        self.found += [json.loads(line)["n"] for line in block.splitlines()]


def read(node, since=0, max_bytes=10**9):
    reader, found = read_audit_log(
        node,
        "master-0",
        Numbers,
        since=BEGIN + timedelta(seconds=since),
        max_bytes=max_bytes,
        clock=FakeClock(),
    )
    assert 0 <= found.bytes_read <= node.given
    return reader.found, found


def seconds(moment):
    return (moment - BEGIN).total_seconds()


def test_all_files_are_read_in_order():
    node = FakeNode(audit_log=lines(200, 100))
    node.files |= {rotated(200): lines(100, 100), rotated(100): lines(0, 100)}
    found, log = read(node)
    assert found == list(range(300))
    assert (seconds(log.begins), seconds(log.ends), log.is_cut) == (0, 299, False)


def test_only_what_is_needed_is_read():
    node = FakeNode(audit_log=lines(9000, 1000))
    node.files |= {rotated(9000): lines(3000, 6000), rotated(3000): lines(0, 3000)}
    found, log = read(node, since=8000)
    assert found == list(range(found[0], 10000))
    assert found[0] <= 8000
    assert seconds(log.begins) == 8000
    needed = sum(len(lines(first, count)) for first, count in ((8000, 1000), (9000, 1000)))
    assert node.given < needed + GRAIN + 61 * 1100 + 8 * PROBE
    assert node.given < sum(map(len, node.files.values())) / 3
    assert log.bytes_read == node.given


def test_a_log_that_does_not_reach_back_says_so():
    _found, log = read(FakeNode(audit_log=lines(100, 100)), since=50)
    assert seconds(log.begins) == 100


def test_a_log_that_begins_with_a_rotation_reaches_back_all_the_same():
    node = FakeNode(audit_log=lines(100, 100))
    node.files[rotated(30)] = lines(0, 30)
    assert seconds(read(node, since=95)[1].begins) == 95


def test_too_much_is_cut_at_its_old_end():
    node = FakeNode(audit_log=lines(200, 100))
    node.files[rotated(200)] = lines(0, 200)
    found, log = read(node, max_bytes=150 * 1060)
    assert log.is_cut
    assert found == list(range(found[0], 300))
    assert 0 < 300 - found[0] <= 150
    assert seconds(log.begins) == found[0]


def test_a_rotation_in_between_loses_nothing_and_counts_nothing_twice():
    node = FakeNode(audit_log=lines(0, 100))

    def rotate():
        node.files |= {rotated(100): lines(0, 100), "audit.log": lines(100, 5)}

    node.script = [rotate]
    assert read(node)[0] == list(range(105))


def test_a_file_that_is_removed_in_between_is_not_missed_by_those_who_do_not_need_it():
    node = FakeNode(audit_log=lines(200, 100))
    node.files |= {rotated(200): lines(100, 100), rotated(100): lines(0, 100)}
    node.script = [lambda: node.files.pop(rotated(100))]
    found, log = read(node)
    assert found == list(range(100, 300))
    assert seconds(log.begins) == 100


def test_a_log_that_is_rotated_for_ever_is_given_up():
    node = FakeNode(audit_log=lines(0, 10))

    numbers = iter(range(100, 1000))

    def rotate():
        node.files[rotated(next(numbers))] = lines(0, 10)

    node.script = [rotate] * 50
    with pytest.raises(LogUnreadable, match=r"^The audit log of master-0 was rotated each of the 3 times"):
        read(node)


def test_what_is_written_meanwhile_is_left_and_an_unfinished_line_too():
    content = lines(0, 10)
    node = FakeNode(audit_log=content + b'{"n": 10, "stage')
    assert read(node)[0] == list(range(10))


def test_long_lines_are_found_by_longer_probes():
    node = FakeNode(audit_log=lines(0, 60, size=50_000))
    found, log = read(node, since=3600)
    assert found[-1] == 59
    assert len(found) < 10
    assert seconds(log.begins) == 3600


def test_a_node_without_a_log_is_told():
    node = FakeNode(termination_log=b"")
    with pytest.raises(LogUnreadable, match=r"^There is no audit log in /var/log/kube-apiserver of master-0\.$"):
        read(node)

    def refuse(node, folder):
        raise error(404)

    node.list_node_files = refuse
    with pytest.raises(LogUnreadable, match="There is no audit log"):
        read(node)


def test_an_empty_log_tells_nothing():
    _found, log = read(FakeNode(audit_log=b""))
    assert (log.begins, log.ends, log.is_cut) == (None, None, False)


def test_an_interruption_starts_over_and_a_refusal_does_not():
    node = FakeNode(audit_log=lines(0, 10))

    def fail(status):
        raise error(status)

    node.script = [lambda: fail(503), lambda: fail(0)]
    assert read(node)[0] == list(range(10))
    node.script = [lambda: fail(403)]
    with pytest.raises(ApiError):
        read(node)
    node.script = [lambda: fail(503)] * 500
    with pytest.raises(WaitTimedOut, match="the audit log of master-0 to be read"):
        read(node)
