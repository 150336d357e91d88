# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What every request to the cluster must pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ._clock import WaitOptions


class Lock(Protocol):
    """What a RunLock does for the guard."""

    def acquire(self, options: WaitOptions) -> None:
        """Return when it is held."""

    def ensure_held(self) -> None:
        """Return when a deed may begin now."""

    def release(self) -> None:
        """Let others in."""


@dataclass(slots=True, kw_only=True)
class Guard:
    """Stands at the door to the cluster: lets a request out while somebody waits for it, a deed while the lease is held."""

    require_parent: Callable[[], None]
    lock: Lock | None = None

    def before_request(self, is_deed: bool) -> None:
        """Return when the request may go out. Raises ParentGone, Refused, or an ApiError that passes by itself."""
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
