# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations with random reaction times: none returns early, each returns on its first look after the true end.

A few here; a hundred, with edits at random moments, in make soak.
"""

from __future__ import annotations

import time

import pytest
from labs import TrueEnd
from modules import recorded_looks, run_module

pytestmark = pytest.mark.slow

ISSUERS = [f"https://random-{letter}.example.test" for letter in "ab"]


@pytest.mark.parametrize("number", range(5))
def test_a_rotation(lab, number):
    issuer = ISSUERS[number % 2]
    lab.set_issuer(issuer)
    with TrueEnd(lab, issuer) as end, recorded_looks() as looks:
        result = run_module("kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_timeout=600)
        returned = time.monotonic()
    assert lab.issuers_of_each_server() == [issuer] * 3
    assert result["rollout"]["complete"], result
    print(f"{len(looks)} looks, returned {returned - end.moment:+.2f} s after the true end was seen")
    assert [moment - end.moment for moment, is_end in looks if moment > end.moment and not is_end] == []
