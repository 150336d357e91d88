# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of a soak. Those that have passed are remembered in .cache/soak, so that a soak that was interrupted is taken up by
giving it the seed that it printed: SOAK_SEED."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path

import pytest
from labs import running_lab

#: One for all tests, so that one is enough to take a soak up.
SEED = os.environ.get("SOAK_SEED") or str(random.SystemRandom().randrange(2**31))
DONE = Path(__file__).resolve().parents[2] / ".cache" / "soak" / SEED


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("real nodes need root")
    with running_lab(reaction_delay="0:15") as found:
        yield found


@contextlib.contextmanager
def begin_round(name):
    """Give the random numbers of the round; skips one that has passed, and remembers one that passes."""
    done = DONE / name
    if done.exists():
        pytest.skip("passed before")
    print(f"SOAK_SEED={SEED} round {name}")
    yield random.Random(f"{SEED}-{name}")
    DONE.mkdir(parents=True, exist_ok=True)
    done.touch()


@pytest.fixture
def a_round():
    return begin_round
