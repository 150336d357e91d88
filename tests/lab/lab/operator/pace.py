# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the real operator takes for each hop, and the timers that wait for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Real seconds, from the recorded runs of the unmodified operator. Sums that must hold after an edit of the issuer:
# edit to latestAvailableRevision 22-32 s, edit to NodeInstallerProgressing=True 29-47 s (its client is limited to 5 requests a
# second, and copying a revision takes dozens of them).
DELAYS: dict[str, tuple[float, float]] = {
    "node names": (0.05, 0.1),
    "issuers": (0.03, 0.08),
    "issuers, first": (0.3, 0.4),
    "prune": (0.0, 60.0),  # only on the controller's resync
    "observe": (0.05, 0.3),
    "observe, first": (25.0, 30.0),
    "config": (1.0, 3.0),
    "revision start": (2.0, 4.0),
    "revision copy": (19.0, 24.5),
    "revision publish": (0.0, 0.02),
    "target, first": (6.4, 14.0),
    "target": (2.8, 3.3),
    "install": (3.0, 6.0),
    "done": (0.5, 3.0),
    "redirect": (0.5, 3.0),
    "failed": (0.5, 3.0),
    "conditions": (3.0, 6.0),
    "degraded": (0.05, 0.2),
    "static pods": (0.5, 2.0),
    "tidy": (4.0, 6.0),
    "cluster operator": (0.03, 0.1),
}

# Hops that a slow or restarting operator would delay; --reaction-delay adds to each of them.
REACTIONS = frozenset({"issuers", "observe", "revision start", "target, first"})

MIN_READY = 30.0  # the youngest ready API server must have been ready for so long before the installer does anything
INSTALLER_BACKOFF = 10.0  # times 1.5 for each failure
INSTALLER_BACKOFF_MAX = 600.0
# How long a bad condition lasts before the ClusterOperator is called Degraded; its message shows at once.
INERTIA = 120.0
INERTIA_OF = {"StaticPodsDegraded": 600.0}
# The restart of an API server takes its 15 to 20 s at any scale, and one failed installer costs no more than that and a retry:
# never enough for Degraded with the real operator.
INERTIA_AT_LEAST = 40.0


@dataclass(frozen=True)
class Pace:
    """The operator's speed: ``scale`` times the real delays, plus ``reaction`` real seconds where it reacts to something."""

    scale: float = 0.1
    reaction: tuple[float, float] = (0.0, 0.0)

    def draw(self, hop: str, rng: random.Random) -> float:
        """Seconds that this occurrence of the hop takes."""
        seconds = rng.uniform(*DELAYS[hop]) * self.scale
        return seconds + rng.uniform(*self.reaction) if hop in REACTIONS else seconds

    def inertia(self) -> dict[str, float]:
        """Seconds for which each condition may be bad; the empty key stands for all others."""
        real = {"": INERTIA, **INERTIA_OF}
        return {kind: max(seconds * self.scale, min(seconds, INERTIA_AT_LEAST)) for kind, seconds in real.items()}


class Timers:
    """Remembers since when something has been needed.

    A need is named by a key. The first time it is asked for, a delay is drawn; when that has passed, the need is due. Needs
    that were not asked for during a whole round are forgotten, so a need that goes away and returns waits anew.
    """

    def __init__(self, pace: Pace, rng: random.Random) -> None:
        self.pace = pace
        self.rng = rng
        self._due: dict[tuple[object, ...], float] = {}
        self._asked: set[tuple[object, ...]] = set()
        self._coins: dict[tuple[object, ...], bool] = {}

    def due(self, hop: str, now: float, *key: object) -> bool:
        """Whether this need has been standing for its delay."""
        name = (hop, *key)
        self._asked.add(name)
        if name not in self._due:
            self._due[name] = now + self.pace.draw(hop, self.rng)
        return now >= self._due[name]

    def coin(self, *key: object) -> bool:
        """Heads or tails, the same for the same key every time."""
        if key not in self._coins:
            self._coins[key] = self.rng.random() < 0.5
        return self._coins[key]

    def end_round(self, now: float) -> float | None:
        """Forget what was not asked for; tell in how many seconds the next need is due, or None without any."""
        self._due = {name: moment for name, moment in self._due.items() if name in self._asked}
        self._asked = set()
        coming = [moment - now for moment in self._due.values() if moment > now]
        return min(coming, default=0.0) if self._due else None
