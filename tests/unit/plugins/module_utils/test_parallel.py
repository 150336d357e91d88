# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from functools import partial

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _parallel
from ansible_collections.bound_tokens.openshift.plugins.module_utils._parallel import (
    MAX_DEEDS,
    MAX_PARALLEL,
    in_turns,
    side_by_side,
)


def test_results_come_in_order_from_deeds_that_go_side_by_side():
    together = threading.Barrier(MAX_PARALLEL, timeout=10)

    def work(number):
        together.wait()
        return number

    deeds = [lambda number=number: work(number) for number in range(2 * MAX_PARALLEL)]
    assert side_by_side(deeds) == list(range(2 * MAX_PARALLEL))


def test_the_first_error_is_raised_when_those_under_way_have_ended():
    ended, begun = [], threading.Barrier(2, timeout=10)

    def fail():
        begun.wait()
        raise ValueError("first")

    def work():
        begun.wait()
        ended.append("work")

    with pytest.raises(ValueError, match="first"):
        side_by_side([fail, work])
    assert ended == ["work"]


@pytest.fixture
def flags(monkeypatch):
    """What is set when no more may begin."""
    found = []

    def event():
        found.append(threading.Event())
        return found[-1]

    monkeypatch.setattr(_parallel, "Event", event)
    return found


def run_many(deeds, has_turns):
    if has_turns:
        in_turns((str(n % 60), deed) for n, deed in enumerate(deeds))
    else:
        side_by_side(deeds)


@pytest.mark.parametrize("has_turns", [False, True])
def test_no_more_begin_after_an_error_although_an_earlier_one_goes_on(flags, has_turns):
    begun = []

    def note(number):
        begun.append(number)
        assert flags[0].wait(10)

    def fail():
        raise ValueError("second")

    with pytest.raises(ValueError, match="second"):
        run_many([partial(note, 0), fail, *(partial(note, n) for n in range(200))], has_turns)
    assert len(begun) <= MAX_DEEDS


@pytest.mark.parametrize("has_turns", [False, True])
def test_no_more_begin_when_somebody_interrupts_it(flags, monkeypatch, has_turns):
    begun = []

    def note(number):
        begun.append(number)
        assert flags[0].wait(10)

    def interrupt(futures, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(_parallel, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_many([partial(note, n) for n in range(200)], has_turns)
    assert len(begun) <= MAX_DEEDS


def test_one_deed_alone_is_done_where_it_is_asked_for():
    assert side_by_side([threading.current_thread]) == [threading.current_thread()]
    assert side_by_side([]) == []


def test_deeds_of_one_turn_are_done_one_after_the_other_beside_those_of_another():
    together, done = threading.Barrier(2, timeout=10), []

    def work(turn, number):
        together.wait()
        done.append((turn, number))
        return number

    assert sorted(in_turns((turn, partial(work, turn, n)) for turn in "ab" for n in range(3))) == [0, 0, 1, 1, 2, 2]
    assert [n for turn, n in done if turn == "a"] == [n for turn, n in done if turn == "b"] == [0, 1, 2]


def test_more_deeds_are_under_way_at_once_than_reads():
    together = threading.Barrier(MAX_DEEDS, timeout=10)
    in_turns((str(turn), together.wait) for turn in range(2 * MAX_DEEDS))
