# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._guard import (
    BURST,
    PER_SECOND,
    Guard,
    RequestPace,
)
from clocks import FakeClock


def send(pace, count):
    """The seconds that so many requests take."""
    begun = pace.clock.now
    for _number in range(count):
        pace.keep()
    return pace.clock.now - begun


def test_a_burst_goes_out_at_once_and_what_is_beyond_it_at_an_even_pace():
    pace = RequestPace(clock=FakeClock())
    assert send(pace, BURST) == 0
    assert send(pace, 500) == pytest.approx(500 / PER_SECOND)


def test_what_was_not_used_for_a_while_may_be_used_later_up_to_a_burst():
    pace = RequestPace(clock=FakeClock())
    send(pace, BURST)
    pace.clock.sleep(1)
    assert send(pace, int(PER_SECOND)) == pytest.approx(0, abs=1e-6)
    assert send(pace, 1) == pytest.approx(1 / PER_SECOND)
    pace.clock.sleep(3600)
    assert send(pace, BURST) == pytest.approx(0, abs=1e-6)
    assert send(pace, 1) == pytest.approx(1 / PER_SECOND)


def test_who_waited_for_its_turn_is_asked_for_again():
    """The parent may have gone meanwhile, and a request would be made for nobody."""
    order = []
    guard = Guard(require_parent=lambda: order.append("parent"), keep_pace=lambda: order.append("pace"))
    guard.before_request(False)
    assert order == ["pace", "parent"]
