# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import random

import pytest
from labs import running_lab

# One seed for all tests, so that one is enough to take a soak up.
os.environ.setdefault("SOAK_SEED", str(random.SystemRandom().randrange(2**31)))


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("real nodes need root")
    with running_lab(reaction_delay="0:15") as found:
        yield found
