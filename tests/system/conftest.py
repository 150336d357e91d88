# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import time

import pytest
from labs import running_lab
from node_runs import make_whole
from pod_runs import Ground


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


@pytest.fixture
def ground(lab, request):
    names = [f"renewal-{n}" for n in getattr(request, "param", ("a",))]
    yield Ground(lab, names)
    for name in names:
        lab.api.request("DELETE", f"/api/v1/namespaces/{name}")
    deadline = time.monotonic() + 300  # there may be thousands of pods in them
    while any(n["metadata"]["name"] in names for n in lab.api.items("/api/v1/namespaces")):
        assert time.monotonic() < deadline, "the namespaces do not go"
        time.sleep(0.5)
