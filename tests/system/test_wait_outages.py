# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait while API servers are killed, paused and edited under its feet."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from issuers import fresh
from modules import run_module

pytestmark = pytest.mark.slow


@contextmanager
def meanwhile(deed):
    """Do ``deed(stopped)`` in a thread until the block ends; a deed that could not be done fails the test."""
    stopped = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        doing = pool.submit(deed, stopped)
        try:
            yield
        finally:
            stopped.set()
        doing.result()


def rotate(lab, deed, **more):
    issuer = fresh("outage")
    lab.trust_only({"name": lab.active_issuer()})  # or this file would run into the limit of ten
    lab.set_issuer(issuer)
    with meanwhile(deed):
        result = run_module(
            "kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_timeout=900, **more
        )
    assert lab.issuers_of_each_server() == [issuer] * 3
    assert result["rollout"]["complete"], result


def test_api_servers_that_are_killed_again_and_again(lab):
    def kill(stopped):
        for _round in range(3):
            if stopped.wait(random.uniform(4, 12)):
                return
            lab.signal_server(random.choice(lab.settings.masters).name, "KILL")

    rotate(lab, kill)


def test_all_api_servers_at_once_are_away(lab):
    """Three outages at once; test_one_master.py has the rollout of a cluster with one control-plane node."""

    def kill(stopped):
        if not stopped.wait(6):
            for master in lab.settings.masters:
                lab.signal_server(master.name, "KILL")

    rotate(lab, kill)


def test_an_api_server_that_is_paused_and_wakes_up_again(lab):
    def pause(stopped):
        stopped.wait(6)
        for master in lab.settings.masters[:2]:
            lab.signal_server(master.name, "STOP")
            stopped.wait(8)
            lab.signal_server(master.name, "CONT")

    rotate(lab, pause)


def test_an_edit_every_two_seconds_for_a_minute(lab):
    names = [fresh(f"edit-{letter}") for letter in "abc"]
    lab.trust_only({"name": lab.active_issuer()})
    for number in range(30):
        lab.set_issuer(names[number % 3])
        time.sleep(2)
    issuer = names[29 % 3]
    result = run_module("kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_timeout=900)
    assert lab.issuers_of_each_server() == [issuer] * 3
    assert result["rollout"]["complete"], result
