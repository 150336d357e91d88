# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts of nodes that are killed. SEED chooses the moments; it is in the message of a failure.

A few kills here; fifty of each kind in make soak.
"""

from __future__ import annotations

import os
import random

import pytest
from node_kills import kill_restarts
from node_runs import make_whole

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**31))

pytestmark = pytest.mark.slow


def test_restarts_of_nodes_that_are_killed_again_and_again_are_done_as_if_they_were_not(lab):
    print(f"SEED={SEED}")
    try:
        kill_restarts(lab, random.Random(SEED), kills=5)
    finally:
        make_whole(lab)
