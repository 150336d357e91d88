# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions, poll, retry
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, WaitFailed, WaitTimedOut
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Outcome


class FakeClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 100.0
        self.sleeps = []
        self.watches = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds

    def watch(self, seconds):
        """Something changes after 3 s at the latest."""
        self.watches.append(seconds)
        self.now += min(seconds, 3)


@dataclass
class Verdict:
    outcome: Outcome
    message: str = "as it is"


def api_error(status, **more):
    return ApiError(verb="get", target="pods", host="https://h", status=status, words="no", **more)


def run(script, has_progressed=None, *, watching=False, **options):
    """Poll a script of verdicts and errors; the last one repeats."""
    clock, looks = FakeClock(), []

    def observe():
        step = script[min(len(looks), len(script) - 1)]
        looks.append(clock.now)
        if isinstance(step, Exception):
            raise step
        return step

    given = WaitOptions(**{"timeout": 60, "interval": 5, **options})
    wait_for_change = clock.watch if watching else None
    try:
        result = poll(
            observe,
            lambda verdict: verdict,
            waiting_for="it",
            options=given,
            clock=clock,
            has_progressed=has_progressed,
            wait_for_change=wait_for_change,
        )
    except Exception as error:
        result = error
    return result, clock, looks


WAITING, DONE, FAILED = (Verdict(outcome) for outcome in (Outcome.WAITING, Outcome.DONE, Outcome.FAILED))


def test_what_is_there_already_needs_no_sleep():
    result, clock, _looks = run([DONE])
    assert result is DONE
    assert clock.sleeps == []


def test_it_looks_again_until_it_is_done():
    result, clock, _looks = run([WAITING, WAITING, DONE])
    assert result is DONE
    assert clock.sleeps == [5, 5]


def test_it_looks_once_more_at_the_deadline():
    result, clock, looks = run([WAITING], timeout=12)
    assert isinstance(result, WaitTimedOut)
    assert looks[-1] == pytest.approx(112)
    assert clock.sleeps == [5, 5, 2]
    assert result.message == "Waiting for it did not end within 12 s; last seen: as it is"


def test_no_time_at_all_is_one_look():
    result, _clock, looks = run([WAITING], timeout=0)
    assert isinstance(result, WaitTimedOut)
    assert len(looks) == 1


def test_what_can_not_come_any_more_ends_the_wait():
    result, _clock, looks = run([WAITING, FAILED])
    assert isinstance(result, WaitFailed)
    assert len(looks) == 2


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_errors_that_pass_are_borne(status):
    result, _clock, _looks = run([api_error(status), DONE])
    assert result is DONE


@pytest.mark.parametrize("error", [api_error(403), api_error(404), api_error(0, certificate=True)])
def test_errors_that_stay_are_raised_at_once(error):
    result, _clock, looks = run([error, DONE])
    assert result is error
    assert len(looks) == 1


def test_retry_after_is_honoured():
    _result, clock, _looks = run([api_error(429, retry_after=17), DONE])
    assert clock.sleeps == [17]


def test_unauthorized_is_borne_for_its_time_only():
    result, _clock, looks = run([api_error(401)], unauthorized_grace=10, timeout=1000)
    assert isinstance(result, ApiError)
    assert looks[-1] - looks[0] == pytest.approx(10)
    result, _clock, _looks = run([api_error(401), api_error(401), DONE], unauthorized_grace=10)
    assert result is DONE
    result, _clock, looks = run([api_error(401), DONE])
    assert isinstance(result, ApiError)


def test_a_timeout_tells_the_last_error():
    result, _clock, _looks = run([WAITING, api_error(503)], timeout=10)
    assert "last seen: Could not get pods: no (HTTP 503 from https://h)." in result.message


def test_a_change_is_waited_for_instead_of_sleeping():
    result, clock, _looks = run([WAITING, WAITING, DONE], watching=True)
    assert result is DONE
    assert (clock.watches, clock.sleeps) == ([60, 57], [])


def test_a_watch_ends_with_a_last_look_at_the_deadline():
    result, clock, looks = run([WAITING], watching=True, timeout=7)
    assert isinstance(result, WaitTimedOut)
    assert clock.watches == [7, 4, 1]
    assert looks[-1] == pytest.approx(107)


def test_who_watches_tries_again_soon_after_an_error_but_not_sooner_than_the_server_wants():
    _result, clock, _looks = run([api_error(0), api_error(429, retry_after=17), DONE], watching=True)
    assert (clock.watches, clock.sleeps) == ([], [1, 17])
    _result, clock, _looks = run([api_error(0), DONE], watching=True, interval=0.5)
    assert clock.sleeps == [0.5]


def test_credentials_that_were_never_accepted_are_not_tried_for_long():
    result, _clock, looks = run([api_error(401)], unauthorized_grace=1800, timeout=3000)
    assert isinstance(result, ApiError)
    assert looks[-1] - looks[0] == pytest.approx(60)
    result, _clock, looks = run([WAITING, api_error(401)], unauthorized_grace=1800, timeout=3000)
    assert looks[-1] - looks[1] == pytest.approx(1800)


def test_progress_gives_the_time_anew_also_at_the_last_look():
    step = Verdict(Outcome.WAITING, "a step")
    result, clock, looks = run([WAITING, WAITING, step, WAITING], lambda verdict: verdict is step, timeout=10)
    assert isinstance(result, WaitTimedOut)
    assert looks == [100, 105, 110, 115, 120]
    assert result.message == "Waiting for it has seen no progress for 10 s; last seen: as it is"
    assert clock.sleeps == [5] * 4


def read(script, **more):
    """Retry a script of answers and errors; the last one repeats."""
    clock, looks = FakeClock(), []

    def look():
        step = script[min(len(looks), len(script) - 1)]
        looks.append(clock.now)
        if isinstance(step, Exception):
            raise step
        return step

    try:
        return retry(look, clock=clock, **more), clock, looks
    except Exception as error:
        return error, clock, looks


@pytest.mark.parametrize("answer", [[], None, "text"])
def test_a_read_that_is_interrupted_starts_over(answer):
    found, clock, looks = read([api_error(503), api_error(0), answer])
    assert found == answer
    assert (len(looks), clock.sleeps) == (3, [2, 2])


@pytest.mark.parametrize("error", [api_error(401), api_error(403), api_error(404), ValueError("a bug")])
def test_a_read_that_can_not_come_to_its_end_is_told_at_once(error):
    found, clock, _looks = read([error, "text"])
    assert found is error
    assert clock.sleeps == []


def test_a_read_is_given_up_after_two_minutes():
    found, clock, _looks = read([api_error(0)])
    assert isinstance(found, WaitTimedOut)
    assert clock.now == 220
    assert found.message.startswith(
        "Waiting for the cluster to be read did not end within 120 s; last seen: Could not get pods: no answer from "
    )
