# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from functools import partial

import pytest
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


@pytest.mark.parametrize("has_turns", [False, True])
def test_no_more_begin_after_an_error_although_an_earlier_one_goes_on(has_turns):
    failed, begun = threading.Event(), []

    def go_on():
        assert failed.wait(10)

    def fail():
        failed.set()
        raise ValueError("second")

    def note(number):
        assert failed.wait(10)
        begun.append(number)

    deeds = [go_on, fail, *(partial(note, n) for n in range(200))]
    turns = [(str(n % 60), deed) for n, deed in enumerate(deeds)]
    work = partial(in_turns, turns) if has_turns else partial(side_by_side, deeds)
    with pytest.raises(ValueError, match="second"):
        work()
    # those that were under way, and what a thread takes up before it knows
    assert len(begun) < 150


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
