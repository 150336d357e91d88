# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations, and restarts of nodes, that are killed at random moments, each of VICTIMS once a round, and completed. Long: make
soak.

SOAK_KILLS rounds of rotations and SOAK_NODE_KILLS of restarts (default 50 of each).
"""

from __future__ import annotations

import os

import pytest
from interruptions import kill_rotations
from node_kills import kill_restarts


@pytest.mark.parametrize("number", range(int(os.environ.get("SOAK_KILLS") or 50)))
def test_rotations_that_were_killed_are_completed(lab, a_round, number):
    with a_round(f"kill-{number}") as chance:
        kill_rotations(lab, chance, kills=1)


@pytest.mark.parametrize("number", range(int(os.environ.get("SOAK_NODE_KILLS") or 50)))
def test_restarts_of_nodes_that_were_killed_are_completed(lab, a_round, number):
    with a_round(f"node-kill-{number}") as chance:
        kill_restarts(lab, chance, kills=1)
