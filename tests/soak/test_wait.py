# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait against edits at random moments, on an operator that reacts when it likes. Long: make soak.

SOAK_ROUNDS rounds (default 100) of SOAK_SEED; the rounds that passed are remembered in .cache/soak, so that an interrupted
soak is taken up by giving it the seed that it printed.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from labs import TrueEnd
from modules import recorded_looks, run_module

SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(2**31))
ROUNDS = int(os.environ.get("SOAK_ROUNDS") or 100)
DONE = Path(__file__).resolve().parents[2] / ".cache" / "soak" / str(SEED)
#: Few names, so that rounds go back to issuers that are still trusted, and never to an eleventh.
ISSUERS = [f"https://issuer-{letter}.example.test" for letter in "abcd"]


@pytest.fixture(scope="session", autouse=True)
def _shown_seed():
    print(f"SOAK_SEED={SEED}")


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_wait_is_right_whatever_came_before(lab, number):
    DONE.mkdir(parents=True, exist_ok=True)
    if (DONE / str(number)).exists():
        pytest.skip("passed before")
    chance = random.Random(f"{SEED}-{number}")
    edits = [
        (chance.choice(ISSUERS), chance.choice([0, 0.1, chance.uniform(0, 90)]))
        for _unused in range(chance.randint(1, 3))
    ]
    for issuer, pause in edits:
        lab.set_issuer(issuer)
        time.sleep(pause)
    wanted = edits[-1][0]
    with TrueEnd(lab, wanted) as end, recorded_looks() as looks:
        result = run_module("kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=wanted, wait_timeout=1200)
        returned = time.monotonic()
    truth = lab.issuers_of_each_server()
    assert truth == [wanted] * 3, f"SOAK_SEED={SEED} round {number}: {edits}: {result}"
    assert result["rollout"]["complete"], f"SOAK_SEED={SEED} round {number}: {edits}: {result}"
    assert end.moment is not None
    print(f"round {number}: {len(looks)} looks, returned {returned - end.moment:+.2f} s after the true end was seen")
    late = [moment - end.moment for moment, is_end in looks if moment > end.moment and not is_end]
    assert late == [], f"SOAK_SEED={SEED} round {number}: {edits}: looked {late} s after the end and did not see it"
    (DONE / str(number)).touch()
