# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations by other strategies, mixed by namespace: who takes a new token how, and what the audit at the end says."""

from __future__ import annotations

import subprocess

import pytest
from issuers import at_rest, fresh, trusted, wait
from labs import eventually
from node_runs import as_role
from strategies import compare_claims, deployment, pods, rotate, running_kinds
from token_pods import COPIES, HELD, IMAGE, spec, tokens

pytestmark = pytest.mark.slow

KEEPS = spec({"name": "tokens", "mountPath": "/token", "subPath": "token"}, volumes=[tokens({"path": "token"})])


@pytest.fixture
def tales(lab):
    """A namespace with a program that keeps its token and one that reads it again and again; the issuer is at rest."""
    lab.command("apply", "tests/demo/workloads.yml", stdout=subprocess.DEVNULL)
    lab.api.create_missing("/api/v1/namespaces", {"metadata": {"name": "tales"}})
    for body in (deployment("keeper", KEEPS), deployment("reader", spec(automatic=True))):
        lab.api.create_missing("/apis/apps/v1/namespaces/tales/deployments", body)
    at_rest(lab)
    eventually(lambda: len(pods(lab, "tales")) == 2)
    return lab


def restarts(lab):
    """When somebody asked for a rollout of the web front, None for never."""
    found = lab.api.get("/apis/apps/v1/namespaces/shop/deployments/web")["spec"]["template"]["metadata"]
    return (found.get("annotations") or {}).get("kubectl.kubernetes.io/restartedAt")


def test_only_what_lasts_is_renewed_and_what_is_waited_for_in_vain_is_told(lab, tales):
    issuer, mixture = fresh("mixture"), [{"namespaces": ["shop"], "strategy": "workloads"}]
    chosen = {"rotation_strategy": "wait", "rotation_namespace_strategies": mixture, "rotation_files_timeout": 20}
    before, asked_before = {n: pods(lab, n) for n in ("tales", "shop", "shop-agents")}, restarts(lab)
    status, output = rotate(lab, issuer, "--check", **chosen)
    assert status == 0, output[-3000:]
    assert "Files that the kubelets rewrite, of which programs are trusted to read them again: those of" in output
    assert before == {n: pods(lab, n) for n in before}
    status, output = rotate(lab, issuer, **chosen)
    assert status != 0
    assert "Waiting for the kubelets to rewrite the files with tokens did not end within 20 s; last seen:" in output
    after = {n: pods(lab, n) for n in before}
    assert {name for name, _uid in before["tales"] & after["tales"]} == {"reader"}
    assert len(after["tales"]) == 2
    assert not before["shop"] & after["shop"]
    assert restarts(lab) not in (None, asked_before)
    assert before["shop-agents"] == after["shop-agents"]

    status, output = rotate(lab, issuer, "--check")
    assert status == 0, output[-3000:]
    assert "Strategy: wait and others by namespace, as the run" in output
    assert "Files that the kubelets rewrite, of which" in output

    # the same run by another strategy: what is left goes, and nothing twice
    status, output = rotate(lab, issuer, rotation_strategy="pods")
    assert status == 0, output[-3000:]
    assert "Strategy: pods; the run" in output
    assert "went on otherwise until now, with wait and others by namespace" in output
    last = {n: pods(lab, n) for n in before}
    assert {name for name, _uid in after["tales"] & last["tales"]} == {"keeper"}
    assert last["shop"] == after["shop"]
    assert not before["shop-agents"] & last["shop-agents"]
    assert "Audit: The old issuer" in output
    assert "may go now" in output


def test_a_run_that_leaves_old_tokens_behind_fails_but_for_what_the_plan_leaves_alone(lab, tales):
    bare = {"metadata": {"name": "bare", "labels": {"app": "bare"}}, "spec": KEEPS}
    lab.api.create_missing("/api/v1/namespaces/tales/pods", bare)
    try:
        eventually(lambda: "bare" in dict(pods(lab, "tales")))
        issuer = fresh("unfinished")
        status, output = rotate(lab, issuer, pod_restart_tokens="lasting")
        assert status != 0
        assert f"The rotation to {issuer} is not complete, because" in output, output[-3000:]
        assert "pods still hold a token of the former issuer or may do so, such as" in output
        status, output = rotate(lab, issuer)
        assert status == 0, output[-3000:]
        assert "left alone: tales/bare (NoOwner)" in output
        assert "Audit: Not yet: 1 pod, the last one by" in output
    finally:
        lab.api.request("DELETE", "/api/v1/namespaces/tales/pods/bare")


def test_every_pod_goes_only_with_consent(lab, tales):
    issuer = fresh("everything")
    status, output = rotate(lab, issuer, rotation_strategy="all_pods")
    assert status != 0
    assert "if that is meant, set allow_disruption to true as well" in output
    assert issuer not in trusted(lab)
    status, output = rotate(lab, issuer, "--check", rotation_strategy="all_pods", pod_restart_allow_disruption=True)
    assert status == 0, output[-3000:]
    status, output = rotate(
        lab,
        issuer,
        rotation_strategy="nodes",
        rotation_namespace_strategies=[{"namespaces": ["a"], "strategy": "pods"}],
    )
    assert "leave rotation_namespace_strategies out" in output
    status, output = rotate(lab, issuer, rotation_strategy="wait", rotation_revoke_former=True)
    assert "set rotation_audit_verify: [use]" in output
    assert issuer not in trusted(lab)


def test_with_kubelets_files_are_new_without_any_pod_having_gone(lab, tales):
    issuer, before = fresh("kubelets"), {n: pods(lab, n) for n in ("tales", "shop", "shop-agents")}
    status, output = rotate(lab, issuer, rotation_strategy="kubelets", kubelet_restart_image="lab.local/shell:1")
    assert status == 0, output[-3000:]
    assert output.count(": its kubelet is restarted (") == len(lab.api.items("/api/v1/nodes"))
    after = {n: pods(lab, n) for n in before}
    assert {name for name, _uid in before["tales"] & after["tales"]} == {"reader"}
    assert (before["shop"], before["shop-agents"]) == (after["shop"], after["shop-agents"])
    assert "Audit: The old issuer" in output
    assert "may go now" in output


@pytest.fixture
def kinds(lab):
    with running_kinds(lab):
        yield


@pytest.mark.parametrize("strategy", ["pods", "workloads", "kubelets", "nodes", "all_pods"])
def test_before_and_after_containers_hold_what_the_audit_says(lab, kinds, strategy):
    former, issuer = lab.active_issuer(), fresh(strategy.replace("_", "-"))
    all_renewed = dict.fromkeys(HELD, "renewed")
    assert compare_claims(lab, former, None) == all_renewed
    lab.set_issuer(issuer)  # past all of the collection
    wait(lab, issuer)
    verdicts, before = compare_claims(lab, issuer, former), pods(lab, "kinds")
    assert "renewed" not in {v for name, v in verdicts.items() if name not in ("short", "several")}
    assert [name for name, v in verdicts.items() if v == "unknown"] == ["init-copy"]
    status, output = rotate(
        lab,
        issuer,
        timeout=1800,
        rotation_strategy=strategy,
        kubelet_restart_image=IMAGE,
        pod_restart_allow_disruption=True,
        **as_role(),
    )
    assert status == 0, output[-3000:]
    assert "Audit: The old issuer" in output
    eventually(lambda: len(pods(lab, "kinds")) == len(HELD))
    verdicts, stayed = compare_claims(lab, issuer, former), dict(before & pods(lab, "kinds")).keys()
    if strategy == "kubelets":
        assert verdicts == {**all_renewed, "reads-once": "old_until_restarted"}
        assert stayed == HELD.keys() - set(COPIES)
    else:
        assert verdicts == all_renewed
        assert not stayed
