# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class FakeClock:
    """Time that passes only while somebody sleeps. ``on_sleep`` are called whenever somebody has."""

    def __init__(self):
        self.now = 0.0
        self.on_sleep = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for call in self.on_sleep:
            call()
