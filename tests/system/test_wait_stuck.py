# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a rollout gets stuck, provoked, recognised, and mended as the facts say that it can be."""

from __future__ import annotations

import pytest
from issuers import fresh
from modules import run_module
from test_wait import wait

pytestmark = pytest.mark.slow

UNPARSABLE = "http://x y"


def stuck(lab, issuer, **more):
    return run_module("kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_timeout=600, **more)


def test_an_unparsable_issuer_and_the_crash_loop_after_it(lab):
    good = lab.active_issuer()
    lab.trust_only({"name": good})
    lab.set_issuer(UNPARSABLE)
    result = stuck(lab, UNPARSABLE, stuck_seconds=5)
    assert result["failed"]
    assert result["rollout"]["reason"] == "ConfigObservationDegraded"
    assert 'parse "http://x y": invalid character " " in host name' in result["msg"]

    issuer = fresh("poisoned")
    lab.set_issuer(issuer)
    result = stuck(lab, issuer, stuck_seconds=20)
    assert result["failed"]
    assert result["rollout"]["reason"] == "ServerCrashing", result
    assert result["rollout"]["complete"] is False

    lab.trust_only({"name": issuer})
    assert wait(lab, issuer)["rollout"]["complete"]
    assert lab.issuers_of_each_server() == [issuer] * 3


def test_an_installer_that_fails_again_and_again(lab):
    lab.trust_only({"name": lab.active_issuer()})
    assert wait(lab, lab.active_issuer())["rollout"]["complete"]
    revision = lab.kube_apiserver()["status"]["latestAvailableRevision"] + 1
    # a folder stands where the installer wants to write its file
    obstacles = {
        m.name: [f"/etc/kubernetes/.kube-apiserver-pod.yaml.installer-{revision}{retry}-{m.name}" for retry in RETRIES]
        for m in lab.settings.masters
    }
    for node, paths in obstacles.items():
        lab.run_on(node, f"mkdir {' '.join(paths)}")
    try:
        issuer = fresh("failing")
        lab.set_issuer(issuer)
        result = stuck(lab, issuer)
    finally:
        for node, paths in obstacles.items():
            lab.run_on(node, f"rmdir {' '.join(paths)}")
    assert result["failed"], result
    assert result["rollout"]["reason"] == "InstallerFailing"
    assert "Is a directory" in result["msg"] or "can't create" in result["msg"], result["msg"]
    assert wait(lab, issuer)["rollout"]["complete"]


RETRIES = ["", "-retry-1", "-retry-2", "-retry-3"]


def test_an_eleventh_issuer(lab):
    active = lab.active_issuer()
    former = [{"name": f"https://n{n}.example.test", "expirationTime": "2099-01-01T00:00:00Z"} for n in range(9)]
    lab.trust_only({"name": active}, *former)
    try:
        issuer = fresh("eleventh")
        lab.set_issuer(issuer)
        result = stuck(lab, issuer, reaction_timeout=10)
        assert result["failed"]
        assert result["rollout"]["reason"] == "OperatorNotReacting", result
        assert "It trusts 10 issuers already and silently ignores an eleventh" in result["msg"]
    finally:
        lab.set_issuer(active)
        lab.trust_only({"name": active})
    assert wait(lab, active)["rollout"]["complete"]
