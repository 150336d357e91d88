# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts of nodes that are killed at random moments, each of VICTIMS once a round, and completed. Long: make soak.

SOAK_NODE_KILLS rounds (default 50) of SOAK_SEED; what passed is remembered as in test_wait.py.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from node_kills import kill_restarts

SEED = os.environ["SOAK_SEED"]
ROUNDS = int(os.environ.get("SOAK_NODE_KILLS") or 50)
DONE = Path(__file__).resolve().parents[2] / ".cache" / "soak" / SEED


@pytest.mark.parametrize("number", range(ROUNDS))
def test_restarts_of_nodes_that_were_killed_are_completed(lab, number):
    DONE.mkdir(parents=True, exist_ok=True)
    done = DONE / f"node-kill-{number}"
    if done.exists():
        pytest.skip("passed before")
    print(f"SOAK_SEED={SEED} round {number}")
    kill_restarts(lab, random.Random(f"{SEED}-node-kill-{number}"), kills=1)
    done.touch()
