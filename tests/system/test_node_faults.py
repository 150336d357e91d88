# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go wrong with a node's restart: the sentence that the user gets, and that another run completes it."""

from __future__ import annotations

import subprocess
import time

import pytest
from interruptions import now, play
from labs import eventually
from node_audit import find_writes
from node_runs import (
    OPTIONS,
    as_role,
    boot_ids,
    check,
    is_cordoned,
    make_whole,
    nodes,
    plan,
    read_record,
    restart,
)

pytestmark = pytest.mark.slow

NAMESPACE = "node-faults"
FINALIZER = "example.com/hold"
LAST = " Mend them and run it again: it goes on where it stopped."


@pytest.fixture
def whole(lab):
    """A lab in which nothing is wrong before and after, with a namespace for pods that are in the way."""
    make_whole(lab)
    lab.command("apply", "tests/demo/workloads.yml", stdout=subprocess.DEVNULL)
    lab.api.create_missing("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    yield lab
    for pod in lab.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods"):
        release(lab, pod["metadata"]["name"])
    lab.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    make_whole(lab)
    eventually(lambda: NAMESPACE not in [n["metadata"]["name"] for n in lab.api.items("/api/v1/namespaces")])


def deploy(lab, name, *, is_ready=True, finalizers=(), seconds=0):
    """A Deployment of one pod on worker-0; return that pod's name. It takes ``seconds`` to end."""
    container = {
        "name": "main",
        "image": "lab.local/shell:1",
        "command": ["sh", "-c", f"trap 'sleep {seconds}; exit' TERM; while true; do sleep 0.2; done"],
        "readinessProbe": {"exec": {"command": ["true" if is_ready else "false"]}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": "in-the-way", "name": name}, "finalizers": list(finalizers)},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": seconds + 1,
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [ON_WORKER_0]}},
        },
    }
    lab.api.apply(
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"name": name}}, "template": template},
        },
    )

    def running():
        pods = lab.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=name%3D{name}")
        statuses = [s for p in pods for s in p["status"].get("containerStatuses", [])]
        return pods if statuses and all(s["started"] and s["ready"] is is_ready for s in statuses) else []

    pod = eventually(running)[0]
    assert pod["spec"]["nodeName"] == "worker-0"
    return pod["metadata"]["name"]


ON_WORKER_0 = {
    "weight": 100,
    "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker-0"]}]},
}


def set_budget(lab, least):
    """A budget over all pods in the way."""
    lab.api.apply(
        f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/in-the-way",
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "in-the-way"},
            "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "in-the-way"}}},
        },
    )
    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/in-the-way"
    eventually(lambda: lab.api.get(path).get("status", {}).get("desiredHealthy") == least)


def release(lab, pod):
    lab.api.merge(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", {"metadata": {"finalizers": None}})


def drained_within(seconds):
    return {"delete_options": {**OPTIONS["delete_options"], "wait_timeout": seconds}}


def complete(lab, since, before, restarted=("worker-0",), *, may_delete=False, **more):
    """Another run completes what has failed, without restarting anything twice."""
    result = restart(lab, *restarted, **more)
    assert [n["outcome"] for n in result["nodes"]] == ["done"] * len(restarted), result
    check(lab, since, before, list(restarted), plan(lab, may_delete=may_delete))
    assert read_record(lab) is None


def test_a_budget_that_can_never_allow_is_refused_before_the_first_cordon(whole):
    owner = deploy(whole, "well").rpartition("-")[0]
    set_budget(whole, 1)
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-0")
    assert result["msg"] == (
        f"No node was touched, because: worker-0: budget {NAMESPACE}/in-the-way (of ReplicaSet/{owner}) never "
        "lets a pod go: 1 of 1 must be healthy, 1 are; have more replicas, or change it, or set "
        "delete_options.disable_eviction or delete_options.delete_after (and allow_disruption)."
    )
    check(whole, since, before, [], plan(whole))
    leases = "/apis/coordination.k8s.io/v1/namespaces/bound-tokens/leases"
    assert set(find_writes(whole.audit_events(since))) <= {
        "create /api/v1/namespaces",  # for the lease
        f"create {leases}",
        f"patch {leases}/bound-tokens-run",
        f"update {leases}/bound-tokens-run",
    }


def test_a_budget_that_can_never_allow_is_deleted_past_when_that_is_asked_for(whole):
    deploy(whole, "well")
    set_budget(whole, 1)
    since, before = now(), boot_ids(whole)
    options = {"delete_options": {**OPTIONS["delete_options"], "delete_after": 3}, "allow_disruption": True}
    complete(whole, since, before, may_delete=True, **options)


def test_a_budget_that_does_not_allow_in_time(whole):
    pod = deploy(whole, "well")
    deploy(whole, "unwell", is_ready=False)
    set_budget(whole, 1)
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-0", **drained_within(40))
    assert result["msg"] == (
        f"1 node(s) failed: worker-0: after 40 s: 1 pod(s) to go: {NAMESPACE}/{pod} may not go yet: Cannot evict pod as it "
        "would violate the pod's disruption budget. The disruption budget in-the-way needs 1 healthy pods and has 1 "
        f"currently.{LAST}"
    )
    assert [(n["outcome"], n["reason"]) for n in result["nodes"]] == [("failed", "NotDrained")]
    check(whole, since, before, [], plan(whole))
    set_budget(whole, 0)
    complete(whole, since, before)


def test_a_budget_that_allows_after_a_while(whole):
    pod = deploy(whole, "well")
    deploy(whole, "unwell", is_ready=False)
    set_budget(whole, 1)
    since, before = now(), boot_ids(whole)
    run = play(whole, "restart_nodes", **as_role(nodes=["worker-0"]))
    assert run.wait_for(
        f"[localhost] worker-0: {NAMESPACE}/{pod} may not go yet: Cannot evict pod as it would violate the"
    )
    set_budget(whole, 0)
    run.finish()
    check(whole, since, before, ["worker-0"], plan(whole))
    run.log.unlink()


def test_a_finalizer_that_nobody_removes(whole):
    pod = deploy(whole, "held", finalizers=[FINALIZER])
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-0", **drained_within(30))
    assert result["msg"] == (
        f"1 node(s) failed: worker-0: after 30 s: 1 pod(s) to go: {NAMESPACE}/{pod} is terminating, held by its finalizers "
        f"{FINALIZER}.{LAST}"
    )
    check(whole, since, before, [], plan(whole))
    release(whole, pod)
    complete(whole, since, before)


def test_a_node_that_does_not_come_back_is_left_cordoned_and_no_other_begun(whole):
    whole.command("fault", "worker-0", "hold")
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-0", "worker-1", restart_timeout=60, restart_delay=10)
    asked_at = result["nodes"][0]["restarted_at"]
    assert result["msg"] == (
        f"1 node(s) failed: worker-0: after 1 min: asked to restart at {asked_at}, it is not Ready, and its boot ID is still "
        f"{before['worker-0']}. 1 node(s) were not begun.{LAST}"
    )
    assert [n["outcome"] for n in result["nodes"]] == ["failed", "planned"]
    assert is_cordoned(whole, "worker-0")
    assert not is_cordoned(whole, "worker-1")
    whole.command("mend", "worker-0")
    complete(whole, since, before, ["worker-0", "worker-1"])


def test_a_node_that_comes_back_while_the_next_run_waits_for_it(whole):
    whole.command("fault", "worker-0", "hold")
    since, before = now(), boot_ids(whole)
    assert restart(whole, "worker-0", restart_timeout=60, restart_delay=10)["failed"]
    run = play(whole, "restart_nodes", **as_role(nodes=["worker-0"]))
    assert run.wait_for("0 of 1 node(s) done")
    whole.command("mend", "worker-0")
    run.finish()
    check(whole, since, before, ["worker-0"], plan(whole))
    run.log.unlink()


@pytest.mark.parametrize("fault", [["ignore-reboot"], ["kubelet-instead-of-reboot", "5"]], ids=lambda fault: fault[0])
def test_a_node_that_comes_back_without_having_restarted_is_asked_again_by_the_next_run(whole, fault):
    whole.command("fault", "worker-0", *fault)
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-0", restart_timeout=60, restart_delay=10)
    asked_at = result["nodes"][0]["restarted_at"]
    assert result["msg"] == (
        f"1 node(s) failed: worker-0: after 1 min: asked to restart at {asked_at}, it is Ready, and its boot ID is still "
        f"{before['worker-0']}.{LAST}"
    )
    assert is_cordoned(whole, "worker-0")
    whole.command("mend", "worker-0")
    complete(whole, since, before)


def test_a_node_that_takes_long_is_waited_for(whole):
    whole.command("fault", "worker-0", "slow-boot", "60")
    since, before = now(), boot_ids(whole)
    complete(whole, since, before)


def test_a_kubelet_that_does_not_start(whole):
    whole.command("fault", "worker-0", "no-kubelet")
    since, before = now(), boot_ids(whole)
    result = restart(whole, "worker-0", restart_timeout=60, restart_delay=10)
    assert "it is not Ready, and its boot ID is still" in result["msg"], result
    assert is_cordoned(whole, "worker-0")
    whole.command("mend", "worker-0")
    complete(whole, since, before)


def test_the_api_servers_are_killed_one_after_the_other_while_a_node_is_drained(whole):
    deploy(whole, "slow", seconds=20)
    since, before = now(), boot_ids(whole)
    run = play(whole, "restart_nodes", **as_role(nodes=["worker-0"]))
    assert run.wait_for("worker-0 is cordoned and being emptied")
    for master in whole.settings.masters:
        whole.signal_server(master.name, "KILL")
        eventually(lambda: all(c["status"] == "True" for c in ready_conditions(whole)))
    run.finish()
    check(whole, since, before, ["worker-0"], plan(whole))
    run.log.unlink()


POOL = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools/worker"
CONFIGS = [f"machineconfiguration.openshift.io/{which}Config" for which in ("current", "desired")]


def test_a_pool_update_that_begins_in_the_middle_is_over_before_the_next_node_is_begun(whole):
    config = f"rendered-worker-{time.time_ns()}"
    since, before = now(), boot_ids(whole)
    run = play(whole, "restart_nodes", **as_role(nodes=["worker-0", "worker-1"], stable_seconds=5))
    assert run.wait_for("worker-0 restarts within")
    whole.api.merge(POOL, {"spec": {"configuration": {"name": config}}})
    output = run.finish()
    assert "waiting before worker-1: the machine-config operator is at work on node worker-" in output, output[-4000:]
    workers = [
        node["metadata"]["annotations"] for name, node in nodes(whole).items() if name in ("worker-0", "worker-1")
    ]
    assert {notes[which] for notes in workers for which in CONFIGS} == {config}
    check(whole, since, before, ["worker-0", "worker-1"], plan(whole))
    run.log.unlink()


def ready_conditions(lab):
    pods = lab.api.items("/api/v1/namespaces/openshift-kube-apiserver/pods?labelSelector=apiserver%3Dtrue")
    return [c for pod in pods for c in pod["status"]["conditions"] if c["type"] == "Ready"]
