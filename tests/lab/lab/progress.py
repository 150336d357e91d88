# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab tells the person who waits: one line per step, with the seconds since the command began."""

from __future__ import annotations

import time
from collections.abc import Callable

Say = Callable[[str], None]


def log(text: str) -> None:
    """Prints a line of a program that runs beside the lab, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Progress:
    """Prints lines such as `[  12.3 s] five nodes are Ready`."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def __call__(self, text: str) -> None:
        print(f"[{self.seconds:6.1f} s] {text}", flush=True)
