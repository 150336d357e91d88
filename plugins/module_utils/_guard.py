# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What every request to the cluster must pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ._clock import Clock, WaitOptions

#: Requests that may go out at once (as kubectl's burst), and how many a second when those are used up.
BURST = 300
PER_SECOND = 100.0


class Lock(Protocol):
    """What a RunLock does for the guard."""

    def acquire(self, options: WaitOptions) -> None:
        """Return when it is held."""

    def ensure_held(self) -> None:
        """Return when a deed may begin now."""

    def release(self) -> None:
        """Let others in."""


@dataclass(slots=True, kw_only=True)
class RequestPace:
    """Spares the API servers: what goes beyond BURST is spread out to PER_SECOND. Several threads may use it."""

    clock: Clock
    #: When the last request let out is due at an even pace (monotonic).
    due: float = float("-inf")
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def keep(self) -> None:
        """Return when the next request may go out."""
        with self.mutex:
            now = self.clock.monotonic()
            self.due = max(self.due, now - BURST / PER_SECOND) + 1 / PER_SECOND
            early = self.due - now
        if early > 0:
            self.clock.sleep(early)


@dataclass(slots=True, kw_only=True)
class Guard:
    """Stands at the door to the cluster: lets a request out while somebody waits for it, a deed while the lease is held."""

    require_parent: Callable[[], None]
    lock: Lock | None = None
    keep_pace: Callable[[], None] = lambda: None

    def before_request(self, is_deed: bool) -> None:
        """Return when the request may go out. Raises ParentGone, Refused, or an ApiError that passes by itself."""
        self.keep_pace()
        self.require_parent()
        if is_deed and self.lock:
            self.lock.ensure_held()

    def acquire(self, lock: Lock, options: WaitOptions) -> None:
        """Return when ``lock`` is held; from now on no deed is done without it."""
        self.lock = lock
        lock.acquire(options)

    def release(self) -> None:
        if self.lock:
            self.lock.release()
