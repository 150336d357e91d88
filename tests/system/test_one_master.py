# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with one control-plane node: each rollout takes the whole API away."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest
from interruptions import check, now, plan_rotation, rotate
from issuers import fresh, set_issuer, wait
from lab.api import Api
from lab.boxes import cut_power
from lab.settings import Settings
from labs import eventually, free_port, running_lab
from modules import run_module

pytestmark = pytest.mark.slow

WARNING = "There is one control-plane node: the API is away for some minutes while its kube-apiserver restarts"
#: Seconds for which the node is without power, or its API server paused, beyond what the rollout itself takes.
HELD = 60


@pytest.fixture(scope="module")
def single():
    if os.geteuid() != 0:
        pytest.skip("real nodes need root")
    settings = Settings.from_environment()
    settings = replace(settings, name=f"{settings.name}-single", port=free_port(), master_count=1)
    with running_lab(settings=settings) as found:
        yield found


class Outage:
    """Asks all the time whether the API is ready. ``deed`` is done once, as soon as it is not."""

    def __init__(self, lab, deed):
        self.lab, self.deed, self.spells = lab, deed, []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        since, deed = None, self.deed
        while not self.stopped.wait(0.1):
            begin = time.monotonic()
            if Api(self.lab.settings, timeout=2).ready():
                self.spells += [] if since is None else [begin - since]
                since = None
            elif since is None:
                since = begin
                deed()
                deed = bool

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_details):
        self.stopped.set()
        self.thread.join()


def pause(lab):
    """The one API server hangs: it takes connections and says nothing."""
    lab.run_on("master-0", "until pid=$(pidof kube-apiserver); do sleep 0.1; done; kill -STOP $pid")
    time.sleep(HELD)
    lab.signal_server("master-0", "CONT")


def power_cut(lab):
    """The one control-plane node is gone, with etcd and all, and comes back."""
    home = lab.settings.node("master-0")
    (home / "hold").touch()
    cut_power(home)
    time.sleep(HELD)
    (home / "hold").unlink()


@contextmanager
def outage(lab, deed):
    with Outage(lab, (lambda: deed(lab)) if deed else bool) as found:
        yield
    assert found.spells, "the API was never away, so nothing was tested"
    assert deed is None or max(found.spells) > HELD


@pytest.mark.parametrize("deed", [None, pause], ids=["as is", "paused"])
def test_the_wait_lives_through_the_outage(single, deed):
    issuer = fresh("single")
    assert WARNING in str(set_issuer(single, issuer)["warnings"])
    with outage(single, deed):
        rollout = wait(single, issuer)
    assert single.is_rolled_out(issuer)
    assert single.issuers_of_each_server() == [issuer]
    assert [n["name"] for n in rollout["nodes"]] == ["master-0"]
    assert rollout["explanation"] == f"The kube-apiserver runs revision {rollout['revision']} with the issuer {issuer}."
    [node] = rollout["nodes"]
    assert node["switched_not_before"] <= node["switched_not_after"] <= rollout["finished_at"]


@pytest.mark.parametrize("deed", [None, power_cut], ids=["as is", "without power"])
def test_a_rotation_lives_through_the_outage(single, deed):
    former, issuer = single.active_issuer(), fresh("rotated")
    pods, begin = plan_rotation(single), now()
    run = rotate(single, issuer)
    with outage(single, deed):
        output = run.finish()
    assert (
        WARNING in output.partition("TASK [bound_tokens.openshift.service_account_issuer : Set the service account")[0]
    )
    check(single, pods, begin, [], output[-3000:])
    assert single.issuers_of_each_server() == [issuer]
    record = single.api.get("/api/v1/namespaces/bound-tokens/configmaps/bound-tokens-run")["data"]["record.json"]
    record = json.loads(record)
    assert (record["phase"], record["issuer"], record["former_issuer"]) == ("done", issuer, former)
    assert record["nodes"].keys() == {"master-0"}
    switched = record["nodes"]["master-0"]
    assert record["started_at"] <= switched["not_before"] <= switched["not_after"] <= record["finished_at"]
    assert {n: p["renewed"] for n, p in record["namespaces"].items()} == dict(Counter(p["namespace"] for p in pods))
    run.log.unlink()


def test_one_look_waits_for_the_api_to_come_back(single):
    """As on the day after, when the second rollout may be running."""
    single.signal_server("master-0", "KILL")
    eventually(lambda: not single.api.ready())
    result = run_module("kube_apiserver_rollout", kubeconfig=single.kubeconfig, check_mode=True)
    assert result["rollout"]["issuer"] == single.active_issuer(), result
