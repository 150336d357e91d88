# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest
from labs import running_lab
from node_runs import make_whole


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("real nodes need root")
    with running_lab() as found:
        yield found


@pytest.fixture
def whole(lab):
    """A lab with some pods on its workers, in which nothing is wrong with any node before and after."""
    make_whole(lab)
    lab.command("apply", "tests/demo/workloads.yml", stdout=subprocess.DEVNULL)
    yield lab
    make_whole(lab)
