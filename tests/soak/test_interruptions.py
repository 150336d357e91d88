# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations that are killed at random moments, each of VICTIMS once a round, and completed. Long: make soak.

SOAK_KILLS rounds (default 50) of SOAK_SEED; what passed is remembered as in test_wait.py.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from interruptions import kill_rotations

SEED = os.environ["SOAK_SEED"]
ROUNDS = int(os.environ.get("SOAK_KILLS") or 50)
DONE = Path(__file__).resolve().parents[2] / ".cache" / "soak" / SEED


@pytest.mark.parametrize("number", range(ROUNDS))
def test_rotations_that_were_killed_are_completed(lab, number):
    DONE.mkdir(parents=True, exist_ok=True)
    done = DONE / f"kill-{number}"
    if done.exists():
        pytest.skip("passed before")
    print(f"SOAK_SEED={SEED} round {number}")
    kill_rotations(lab, random.Random(f"{SEED}-kill-{number}"), kills=1)
    done.touch()
