# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from labs import running_lab


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("real nodes need root")
    with running_lab(reaction_delay="0:15") as found:
        yield found
