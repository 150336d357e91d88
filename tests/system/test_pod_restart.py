# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods renewed by every way, on real kubelets, held against what the API servers' audit logs say was done."""

from __future__ import annotations

import itertools
import json
import subprocess
import time

import pytest
from interruptions import USER_AGENT, now
from lab import apply, images, traffic
from modules import run_module

pytestmark = pytest.mark.slow

APPS = "/apis/apps/v1/namespaces"


def container():
    return {"name": "main", "image": images.SHELL, "imagePullPolicy": "Never", "command": ["sleep", "1000000"]}


def workload(kind, name, namespace, replicas=None, *, template=None, **spec):
    labels = {"app": name}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container()], **(template or {})}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}, **spec}
    if replicas is not None:
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def budget(name, namespace, minimum):
    spec = {"minAvailable": minimum, "selector": {"matchLabels": {"app": name}}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


class Ground:
    """Namespaces of this test, and what was done in them since they were whole."""

    def __init__(self, lab, names):
        self.lab, self.names, self.since, self.moment = lab, names, "", ""

    def fill(self, *objects):
        namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in self.names]
        apply.apply_objects(self.lab.settings, [*namespaces, *objects])
        self.moment = max(p["status"]["startTime"] for p in self.pods())
        # those that start in the same second count as old
        while now() <= self.moment[:-1] + ".999999Z":
            time.sleep(0.1)
        self.since = now()

    def pods(self):
        return [p for n in self.names for p in self.lab.api.items(f"/api/v1/namespaces/{n}/pods")]

    def uids(self):
        return {p["metadata"]["uid"] for p in self.pods()}

    def renew(self, **options):
        given = {
            "wait_sleep": 1,
            "wait_timeout": 120,
            "namespaces": self.names,
            "started_before": self.moment,
            **options,
        }
        return run_module("pod_restart", kubeconfig=self.lab.kubeconfig, **given)

    def deeds(self):
        """(moment, namespace, verb, name) of everything that was asked for and granted, in order."""
        found = []
        for event in self.lab.audit_events(self.since):
            about = event.get("objectRef") or {}
            is_eviction = about.get("subresource") == "eviction"
            is_rollout = event["verb"] == "patch" and about.get("apiGroup") == "apps" and "subresource" not in about
            by_us = event["userAgent"] == USER_AGENT
            if about.get("namespace") in self.names and by_us and event["responseStatus"]["code"] < 300:
                verb = "evict" if is_eviction else "rollout" if is_rollout else event["verb"]
                if verb in ("evict", "rollout", "delete"):
                    found.append((event["requestReceivedTimestamp"], about["namespace"], verb, about["name"]))
        return sorted(found)


@pytest.fixture
def ground(lab, request):
    names = [f"renewal-{n}" for n in getattr(request, "param", ("a",))]
    yield Ground(lab, names)
    for name in names:
        lab.api.request("DELETE", f"/api/v1/namespaces/{name}")
    deadline = time.monotonic() + 120
    while any(n["metadata"]["name"] in names for n in lab.api.items("/api/v1/namespaces")):
        assert time.monotonic() < deadline, "the namespaces do not go"
        time.sleep(0.5)


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
    result = ground.renew(method="rollout")
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
