# SPDX-License-Identifier: GPL-3.0-or-later
"""Many pods of every kind on simulated nodes, held against what the API servers' audit logs say was done."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from lab import simulation
from pod_audit import find_violations, plan_of, read_deeds
from pod_runs import budget, container, workload
from test_bare_pods import BARE, bare_pod

pytestmark = pytest.mark.slow

NODES = 30
HUNDREDS = tuple(f"{n:02d}" for n in range(8))
#: Pods without a controller, in some of the namespaces.
BARE_PODS = ("lonely-a", "lonely-b")
THOUSANDS = tuple(f"{n:02d}" for n in range(84))


@pytest.fixture(scope="module", autouse=True)
def nodes(lab):
    lab.command("simulate", str(NODES), stdout=sys.stderr)
    yield
    lab.command("simulate", "0", stdout=sys.stderr)


def simulated(kind, name, namespace, replicas=None, **spec):
    return workload(kind, name, namespace, replicas, template=simulation.placement(), **spec)


def shape(number, namespace):
    """What is in each namespace, and what only in some."""
    yield simulated("Deployment", "web", namespace, 8)
    yield simulated("Deployment", "guarded", namespace, 4)
    yield {**budget("guarded", namespace, ["75%", 3, 1][number % 3])}
    yield simulated("StatefulSet", "db", namespace, 3, podManagementPolicy=["OrderedReady", "Parallel"][number % 2])
    yield simulated("StatefulSet", "kept", namespace, 2, updateStrategy={"type": "OnDelete"})
    for name in BARE_PODS if number < len(HUNDREDS) else ():
        pod = bare_pod(name)  # on a real node: kwok deletes pods without looking whether it is a successor by now
        pod["metadata"]["namespace"] = namespace
        yield pod
    job = {"restartPolicy": "Never", "containers": [container()], **simulation.placement()}
    spec = {"completions": 2, "parallelism": 2, "template": {"spec": job}}
    yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": namespace}, "spec": spec}
    if number % 8 == 0:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}
        yield simulated("DaemonSet", "agent", namespace, updateStrategy=strategy)
        yield simulated("DaemonSet", "still", namespace, updateStrategy={"type": "OnDelete"})


def summed(result):
    return Counter((p["outcome"], p["method"]) for p in result["pods"])


@pytest.mark.parametrize(
    ("ground", "method"),
    [(HUNDREDS, "evict"), (HUNDREDS, "rollout"), (THOUSANDS, "evict")],
    indirect=["ground"],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}-namespaces",
)
def test_each_of_many_goes_once_at_the_pace_of_its_owner(ground, method):
    ground.fill(*(thing for number, name in enumerate(ground.names) for thing in shape(number, name)))
    before = {p["metadata"]["uid"]: p for p in ground.pods()}
    limits = {"max_namespaces": max(6, len(ground.names) // 4)}
    if len(ground.names) == len(HUNDREDS):
        limits["max_pods"] = 12
    result = ground.renew(method=method, wait_timeout=240, **limits, **BARE)
    assert "msg" not in result, result["msg"]
    jobs = {uid for uid, p in before.items() if p["metadata"]["name"].startswith("once-")}
    after = {p["metadata"]["uid"] for p in ground.pods()}
    assert after & before.keys() == jobs
    assert len(jobs) == 2 * len(ground.names)
    owned, kept, bare = 8 + 4 + 3 + 2, 2, len(BARE_PODS) * len(HUNDREDS)
    agents = NODES * len(ground.names[::8])  # of each of the two DaemonSets
    planned = owned * len(ground.names) + bare + 2 * agents
    assert result["summary"]["planned"] == planned
    evicted = {"evict": planned, "rollout": kept * len(ground.names) + bare + agents}[method]
    assert summed(result)["renewed", "evict"] == evicted
    assert len(after) == len(before)
    assert len(before) == planned + len(jobs)
    assert not ground.renew(method=method, **BARE)["changed"]


@pytest.mark.parametrize("ground", [("a", "b", "c")], indirect=True)
def test_a_storm_of_refusals_ends_and_a_namespace_that_never_gets_well_is_named(ground):
    crowd, stuck, later = ground.names
    ground.fill(
        simulated("Deployment", "crowd", crowd, 60),
        budget("crowd", crowd, 59),
        simulated("Deployment", "stuck", stuck, 3),
        budget("stuck", stuck, 3),
        simulated("Deployment", "web", stuck, 3),
        simulated("Deployment", "web", later, 3),
    )
    planned = ground.renew(pace="none", check_mode=True)["pods"]
    result = ground.renew(pace="none", wait_timeout=20)
    assert f"the renewal of the pods in namespace {stuck} has seen no progress for 20 s" in result["msg"]
    assert "violate the pod's disruption budget" in result["msg"]
    outcomes = Counter((p["namespace"], p["outcome"]) for p in result["pods"])
    assert outcomes == {(crowd, "renewed"): 60, (stuck, "blocked"): 3, (stuck, "renewed"): 3, (later, "planned"): 3}
    deeds = read_deeds(ground.lab.audit_events(ground.since), ground.names)
    granted = Counter(d.target.partition("/")[0] for d in deeds if d.code < 300)
    assert granted == {crowd: 60, stuck: 3}
    refused = Counter(d.target.partition("/")[0] for d in deeds if d.code == 429)
    assert refused[crowd] >= 30, "it was no storm"
    limits = {f"{crowd}/Deployment/crowd": 60, f"{stuck}/Deployment/web": 3}
    done = [p for p in planned if p["namespace"] == crowd or p["name"].startswith("web-")]
    wrong = find_violations(deeds, plan_of(done, ground.pods(), limits=limits))
    assert wrong == [f"{later}/{p['name']} was not renewed" for p in planned if p["namespace"] == later]
    ground.lab.api.request("DELETE", f"/apis/policy/v1/namespaces/{stuck}/poddisruptionbudgets/stuck")
    assert summed(ground.renew()) == {("renewed", "evict"): 6}
