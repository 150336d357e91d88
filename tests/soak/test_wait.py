# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait against edits at random moments, on an operator that reacts when it likes. Long: make soak.

SOAK_ROUNDS rounds (default 100).
"""

from __future__ import annotations

import os
import time

import pytest
from labs import TrueEnd
from modules import recorded_looks, run_module

#: Few names, so that rounds go back to issuers that are still trusted, and never to an eleventh.
ISSUERS = [f"https://issuer-{letter}.example.test" for letter in "abcd"]


@pytest.mark.parametrize("number", range(int(os.environ.get("SOAK_ROUNDS") or 100)))
def test_the_wait_is_right_whatever_came_before(lab, a_round, number):
    with a_round(str(number)) as chance:
        edits = [
            (chance.choice(ISSUERS), chance.choice([0, 0.1, chance.uniform(0, 90)]))
            for _unused in range(chance.randint(1, 3))
        ]
        wait_for_the_last(lab, edits)


def wait_for_the_last(lab, edits):
    """Make the edits, issuers with the pauses after them, and hold the wait for the last one against the truth."""
    for issuer, pause in edits:
        lab.set_issuer(issuer)
        time.sleep(pause)
    wanted = edits[-1][0]
    with TrueEnd(lab, wanted) as end, recorded_looks() as looks:
        result = run_module("kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=wanted, wait_timeout=1200)
        returned = time.monotonic()
    truth = lab.issuers_of_each_server()
    assert truth == [wanted] * 3, (edits, result)
    assert result["rollout"]["complete"], (edits, result)
    assert end.moment is not None
    print(f"{len(looks)} looks, returned {returned - end.moment:+.2f} s after the true end was seen")
    late = [moment - end.moment for moment, is_end in looks if moment > end.moment and not is_end]
    assert late == [], f"{edits}: looked {late} s after the end and did not see it"
