# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed, and runs that meet. SEED chooses the moments; it is in the message of a failure.

A few kills here; fifty of each kind in make soak.
"""

from __future__ import annotations

import os
import random
import time

import pytest
from interruptions import kill_rotations, rotate
from modules import run_module

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**31))

pytestmark = pytest.mark.slow


def test_rotations_that_are_killed_again_and_again_are_done_as_if_they_were_not(lab):
    print(f"SEED={SEED}")
    kill_rotations(lab, random.Random(SEED), kills=5)


def test_of_two_runs_at_once_the_second_is_refused_with_the_holders_name(lab):
    first = rotate(lab, f"https://first-{time.time_ns()}.example.test", rotation_run_id="the-first")
    assert first.wait_for("TASK [bound_tokens.openshift.service_account_issuer : Wait")
    time.sleep(3)
    second = rotate(lab, f"https://second-{time.time_ns()}.example.test")
    assert second.process.wait(timeout=120) != 0
    assert "No run was begun: the run the-first to the issuer https://first-" in second.output()
    robber = run_module(
        "rotation_record", kubeconfig=lab.kubeconfig, issuer="https://robber.example.test", take_over=True
    )
    assert robber["msg"].startswith("Nothing was done, because run the-first of ")
    assert "is at work on this cluster" in robber["msg"]
    output = first.finish()
    assert "Pods renewed (run the-first, begun at" in output
    first.log.unlink()
    second.log.unlink()
