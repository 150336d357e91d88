# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The one loop that waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ._errors import ApiError, WaitFailed, WaitTimedOut
from ._model import Outcome


class Clock(Protocol):
    """Time as the loop sees it; tests give one that never sleeps."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""


class SystemClock:
    """The machine's own monotonic clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Verdict(Protocol):
    """What a judgement must tell the loop."""

    @property
    def outcome(self) -> Outcome:
        """Whether to wait on."""

    @property
    def message(self) -> str:
        """How things stand, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitOptions:
    """All times are in seconds."""

    timeout: float
    interval: float = 5.0
    #: A valid token is refused by API servers that do not know its issuer yet, so 401 is borne for this long once the
    #: credentials have been accepted; before that only for UNAUTHORIZED_AT_START: then they are more likely wrong.
    unauthorized_grace: float = 0.0


#: For reads that wait for nothing but an API server that is being restarted. Wrong credentials are told at once.
READ_OPTIONS = WaitOptions(timeout=120.0, interval=2.0)
#: Seconds in which credentials that no API server has accepted yet are tried again, each time over a new connection.
UNAUTHORIZED_AT_START = 60.0
#: Seconds between two tries when changes are watched and an API server does not answer: the change may be due any moment.
RETRY_INTERVAL = 1.0


FactsT = TypeVar("FactsT")
VerdictT = TypeVar("VerdictT", bound=Verdict)


def poll(
    observe: Callable[[], FactsT],
    judge: Callable[[FactsT], VerdictT],
    *,
    waiting_for: str,
    options: WaitOptions,
    clock: Clock,
    has_progressed: Callable[[VerdictT], bool] | None = None,
    wait_for_change: Callable[[float], None] | None = None,
) -> VerdictT:
    """Return the first verdict whose outcome is DONE.

    Looks before the first sleep and once more after the deadline. Errors that pass by themselves are borne until
    the deadline, others are raised at once. Raises WaitFailed for a verdict FAILED, WaitTimedOut at the deadline.
    Where ``has_progressed`` says so of a verdict WAITING, the time counts anew.

    ``wait_for_change`` takes the place of the sleep between two looks. It is given the seconds that are left, returns
    when another look may show something new, and raises nothing that passes by itself.
    """
    deadline = clock.monotonic() + options.timeout
    unauthorized_since: float | None = None
    grace = min(options.unauthorized_grace, UNAUTHORIZED_AT_START)
    last_message = "nothing was seen yet"
    while True:
        is_last_look = clock.monotonic() >= deadline
        pause: float | None = None
        try:
            verdict = judge(observe())
        except ApiError as error:
            now = clock.monotonic()
            if error.is_unauthorized:
                unauthorized_since = now if unauthorized_since is None else unauthorized_since
                if now - unauthorized_since >= grace:
                    raise
            elif not error.is_transient:
                raise
            last_message = error.message
            pause = min(options.interval, RETRY_INTERVAL) if wait_for_change else options.interval
            pause = max(pause, error.retry_after or 0.0)
        else:
            unauthorized_since, grace = None, options.unauthorized_grace
            last_message = verdict.message
            if verdict.outcome is Outcome.DONE:
                return verdict
            if verdict.outcome is Outcome.FAILED:
                raise WaitFailed(f"Waiting for {waiting_for} ended: {verdict.message}")
            if has_progressed is not None and has_progressed(verdict):
                deadline, is_last_look = clock.monotonic() + options.timeout, False
        if is_last_look:
            how = "did not end within" if has_progressed is None else "has seen no progress for"
            raise WaitTimedOut(f"Waiting for {waiting_for} {how} {options.timeout:g} s; last seen: {last_message}")
        left = max(0.0, deadline - clock.monotonic())
        if wait_for_change and pause is None:
            wait_for_change(left)
        else:
            clock.sleep(min(options.interval if pause is None else pause, left))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer(Generic[FactsT]):
    """The verdict on a read that came to its end."""

    facts: FactsT
    outcome: Outcome = Outcome.DONE
    message: str = "it was read"


def retry(
    read: Callable[[], FactsT],
    *,
    clock: Clock,
    waiting_for: str = "the cluster to be read",
    options: WaitOptions = READ_OPTIONS,
) -> FactsT:
    """Return what ``read`` returns, as soon as no error that passes by itself interrupts it; it starts over after one.

    Errors that stay are raised at once. Raises WaitTimedOut, with the last error's words, at the deadline.
    """
    answer: _Answer[FactsT] = poll(
        read, lambda facts: _Answer(facts=facts), waiting_for=waiting_for, options=options, clock=clock
    )
    return answer.facts
