# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations that are killed once, at random moments, each followed by one that completes. Long: make soak.

SOAK_KILLS rounds (default 50) of SOAK_SEED; what passed is remembered as in test_wait.py.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from interruptions import rotate_with_kills

SEED = os.environ["SOAK_SEED"]
ROUNDS = int(os.environ.get("SOAK_KILLS") or 50)
DONE = Path(__file__).resolve().parents[2] / ".cache" / "soak" / SEED

#: Few names, so that rounds go back to issuers that are still trusted, and never to an eleventh.
ISSUERS = [f"https://killed-{letter}.example.test" for letter in "abcd"]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_rotation_that_was_killed_is_completed_by_the_next(lab, number):
    DONE.mkdir(parents=True, exist_ok=True)
    done = DONE / f"kill-{number}"
    if done.exists():
        pytest.skip("passed before")
    current = lab.api.get("/apis/config.openshift.io/v1/authentications/cluster")["spec"].get("serviceAccountIssuer")
    issuer = ISSUERS[(ISSUERS.index(current) + 1) % len(ISSUERS)] if current in ISSUERS else ISSUERS[0]
    print(f"SOAK_SEED={SEED} round {number}")
    print(rotate_with_kills(lab, random.Random(f"{SEED}-kill-{number}"), issuer, 1))
    done.touch()
