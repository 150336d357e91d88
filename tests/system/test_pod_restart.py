# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods renewed by every way, on real kubelets, held against what the API servers' audit logs say was done."""

from __future__ import annotations

import itertools
import json
import subprocess
import time

import pytest
from interruptions import now
from lab import traffic
from node_runs import set_cordon
from pod_runs import APPS, budget, workload

pytestmark = pytest.mark.slow


def done(result):
    assert "msg" not in result, result["msg"]
    return {
        (p["owner"].partition("/")[0], p["method"], p["method_reason"], p["outcome"], p["reason"])
        for p in result["pods"]
    }


def short(deeds):
    return [(verb, name) for _moment, _namespace, verb, name in deeds]


def test_a_rollout_is_asked_for_once_and_what_does_not_follow_it_is_evicted(ground):
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    ground.fill(
        workload("Deployment", "web", "renewal-a", 2, strategy=surge),
        workload("Deployment", "still", "renewal-a", 1, paused=False),
        workload("StatefulSet", "db", "renewal-a", 2),
        workload("DaemonSet", "agent", "renewal-a"),
        workload("StatefulSet", "old", "renewal-a", 1, updateStrategy={"type": "OnDelete"}),
    )
    ground.lab.api.merge(f"{APPS}/renewal-a/deployments/still", {"spec": {"paused": True}})
    before = ground.uids()
    planned = ground.renew(method="rollout", check_mode=True)
    assert {f["check"] for f in planned["findings"]} >= {"Paused", "OnDelete"}, planned
    result = ground.renew(method="rollout")
    assert done(result) == {
        ("ReplicaSet", "rollout", None, "renewed", None),
        ("StatefulSet", "rollout", None, "renewed", None),
        ("DaemonSet", "rollout", None, "renewed", None),
        ("ReplicaSet", "evict", "Paused", "renewed", None),
        ("StatefulSet", "evict", "OnDelete", "renewed", None),
    }
    assert ground.uids().isdisjoint(before)
    deeds = short(ground.deeds())
    assert sorted(d for d in deeds if d[0] == "rollout") == [
        ("rollout", "agent"),
        ("rollout", "db"),
        ("rollout", "web"),
    ]
    assert sorted(name.partition("-")[0] for verb, name in deeds if verb == "evict") == ["old", "still"]
    assert len(deeds) == 5
    assert not ground.renew(method="rollout")["changed"]
    assert len(ground.deeds()) == 5


def test_a_rollout_that_somebody_has_asked_for_since_is_waited_for(ground):
    ground.fill(workload("Deployment", "web", "renewal-a", 2))
    path = f"{APPS}/renewal-a/deployments/web"
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now()[:19] + "Z"}}}
    ground.lab.api.merge(path, {"spec": {"template": template}})
    result = ground.renew(method="rollout", is_checked=False)
    assert {p["outcome"] for p in result["pods"]} == {"renewed"}, result
    assert not result["changed"]
    assert ground.deeds() == []
    status = ground.lab.api.get(path)["status"]
    assert (status["updatedReplicas"], status["availableReplicas"], status["replicas"]) == (2, 2, 2)


def test_auto_rolls_out_only_what_an_eviction_would_take_down(ground):
    ground.fill(
        workload("Deployment", "one", "renewal-a", 1),
        workload("Deployment", "guarded", "renewal-a", 2),
        budget("guarded", "renewal-a", 2),
        workload("Deployment", "web", "renewal-a", 3),
        workload("StatefulSet", "db", "renewal-a", 1),
    )
    before = ground.uids()
    result = ground.renew(method="auto")
    assert done(result) == {
        ("ReplicaSet", "rollout", "SingleReplica", "renewed", None),
        ("ReplicaSet", "rollout", "Budget", "renewed", None),
        ("ReplicaSet", "evict", None, "renewed", None),
        ("StatefulSet", "evict", None, "renewed", None),
    }
    assert ground.uids().isdisjoint(before)
    deeds = short(ground.deeds())
    assert sorted(d for d in deeds if d[0] == "rollout") == [("rollout", "guarded"), ("rollout", "one")]
    assert len(deeds) == 6


def test_a_stateful_set_goes_in_order_one_after_the_other(ground):
    ground.fill(workload("StatefulSet", "db", "renewal-a", 4, podManagementPolicy="Parallel"))
    assert done(ground.renew()) == {("StatefulSet", "evict", None, "renewed", None)}
    deeds = ground.deeds()
    assert short(deeds) == [("evict", f"db-{n}") for n in (3, 2, 1, 0)]
    ready = {
        p["metadata"]["name"]: next(c["lastTransitionTime"] for c in p["status"]["conditions"] if c["type"] == "Ready")
        for p in ground.pods()
    }
    for earlier, later in itertools.pairwise(deeds):
        assert ready[earlier[3]][:-1] <= later[0], (ready, deeds)


def test_runs_one_after_the_other_take_no_second_pod_down_while_the_first_is_not_replaced(ground):
    """The first one's successor finds no node, so that each run ends for lack of progress."""
    ground.fill(workload("StatefulSet", "db", "renewal-a", 3))
    nodes = [n["metadata"]["name"] for n in ground.lab.api.items("/api/v1/nodes")]
    try:
        for node in nodes:
            set_cordon(ground.lab, node, True)
        for _run in range(2):
            failed = ground.renew(wait_timeout=8)
            assert "are still there" in failed["msg"], failed
            assert short(ground.deeds()) == [("evict", "db-2")]
    finally:
        for node in nodes:
            set_cordon(ground.lab, node, False)
    assert done(ground.renew(is_checked=False)) == {("StatefulSet", "evict", None, "renewed", None)}
    assert short(ground.deeds()) == [("evict", f"db-{n}") for n in (2, 1, 0)]


@pytest.mark.parametrize("ground", [("a", "b", "c", "d")], indirect=True)
@pytest.mark.parametrize(("max_namespaces", "overlap"), [(1, 1), (3, 3)])
def test_so_many_namespaces_are_under_way_at_once(ground, max_namespaces, overlap):
    ground.fill(*(workload("Deployment", "web", name, 3) for name in ground.names))
    before = ground.uids()
    result = ground.renew(max_namespaces=max_namespaces, canary_namespace="renewal-d")
    assert done(result) == {("ReplicaSet", "evict", None, "renewed", None)}
    assert ground.uids().isdisjoint(before)
    order = [namespace for _moment, namespace, _verb, _name in ground.deeds()]
    assert order[:3] == ["renewal-d"] * 3
    rest = order[3:]
    spans = [(rest.index(n), len(rest) - 1 - rest[::-1].index(n)) for n in ground.names[:3]]
    assert max(sum(first <= at <= last for first, last in spans) for at in range(len(rest))) == overlap, order


@pytest.mark.parametrize("method", ["evict", "rollout"])
def test_who_asks_a_workload_without_a_budget_meanwhile_is_always_answered(ground, method):
    web = [o for o in traffic.workload("renewal-a", "cart") if o["kind"] != "PodDisruptionBudget"]
    ground.fill(*web)
    before = ground.uids()
    with traffic.Traffic(ground.lab.settings, "renewal-a", "cart") as asking:
        result = ground.renew(method=method, all=True, allow_disruption=True)
    assert done(result) == {("ReplicaSet", method, None, "renewed", None)}
    assert ground.uids().isdisjoint(before)
    assert asking.result.failures == []
    assert min(asking.result.answers.values()) > 0


def test_where_a_quota_lets_no_pod_be_created_only_one_has_gone(ground):
    ground.fill(*(workload("StatefulSet", name, "renewal-a", 1) for name in ("a", "b", "c")))
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "2"}}}
    ground.lab.api.request("POST", "/api/v1/namespaces/renewal-a/resourcequotas", quota)
    deadline = time.monotonic() + 60
    while "used" not in ground.lab.api.items("/api/v1/namespaces/renewal-a/resourcequotas")[0].get("status", {}):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    result = ground.renew(wait_timeout=20, label_selectors=["app in (a,b)"], max_pods=1)
    assert "exceeded quota: small" in result["msg"], result["msg"]
    assert len(ground.deeds()) == 1
    ground.lab.api.request("DELETE", "/api/v1/namespaces/renewal-a/resourcequotas/small")
    assert done(ground.renew()) == {("StatefulSet", "evict", None, "renewed", None)}
    assert len(ground.deeds()) == 3


def test_the_role_shows_the_plan(ground):
    ground.fill(workload("Deployment", "web", "renewal-a", 2), budget("web", "renewal-a", 2))
    given = {"pod_restart_namespaces": ground.names, "pod_restart_started_before": ground.moment}
    command = ["ansible-playbook", "bound_tokens.openshift.restart_pods", "--check", "-e", json.dumps(given)]
    shown = subprocess.run(
        command, env=ground.lab.environment, capture_output=True, text=True, check=False, timeout=300
    )
    output = " ".join(shown.stdout.split())
    assert shown.returncode == 0, output[-3000:]
    assert "METHODS" in output, output[-3000:]
    assert "evict: 2" in output
    assert "note: renewal-a: budget web never lets a pod of ReplicaSet/web-" in output
    assert not ground.deeds()
