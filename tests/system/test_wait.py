# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait, begun in the moment after an edit, against an operator that reacts when it likes."""

from __future__ import annotations

from issuers import fresh
from modules import run_module


def wait(lab, issuer, **more):
    return run_module(
        "kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_sleep=1, wait_timeout=600, **more
    )


def test_it_does_not_return_before_every_server_uses_the_issuer(lab):
    issuer = fresh("wait")
    before = lab.kube_apiserver()["status"]["latestAvailableRevision"]
    lab.set_issuer(issuer)
    documented = {c["type"]: c for c in lab.kube_apiserver()["status"]["conditions"]}["NodeInstallerProgressing"]
    assert documented["reason"] == "AllNodesAtLatestRevision", "the trap this test is about was not there"
    result = wait(lab, issuer)
    assert lab.issuers_of_each_server() == [issuer] * 3
    rollout = result["rollout"]
    assert rollout["complete"], result
    assert rollout["revision"] > before
    assert [n["revision"] for n in rollout["nodes"]] == [rollout["revision"]] * 3
    assert rollout["message"] == f"AllNodesAtLatestRevision\n3 nodes are at revision {rollout['revision']}"
    assert rollout["finished_at"]
    for node in rollout["nodes"]:
        assert node["switched_not_before"] <= node["switched_not_after"] <= rollout["finished_at"]
    again = wait(lab, issuer)
    assert again["rollout"] == rollout


def test_a_timeout_is_a_failure_with_the_progress_so_far(lab):
    issuer = fresh("late")
    lab.set_issuer(issuer)
    result = run_module(
        "kube_apiserver_rollout", kubeconfig=lab.kubeconfig, issuer=issuer, wait_sleep=1, wait_timeout=2
    )
    assert result["failed"]
    assert result["msg"].startswith(
        "Waiting for the rollout of the kube-apiservers did not end within 2 s; last seen: "
    )
    assert result["rollout"]["complete"] is False
    assert len(result["rollout"]["nodes"]) == 3
    assert wait(lab, issuer)["rollout"]["complete"]
