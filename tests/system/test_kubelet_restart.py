# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets restarted one after the other: what is read in the containers follows, and no container is touched."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest
from issuers import at_rest, fresh, wait
from lab import cluster, faults
from labs import eventually
from modules import run_module
from node_audit import RESTART_NAMESPACE
from node_runs import exists
from test_token_holders import AUTOMATIC, issuer_in, pod, read_in_pod, tokens

pytestmark = pytest.mark.slow

NAMESPACE = "kubelets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
POOL = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools/worker"
CONFIGS = [f"machineconfiguration.openshift.io/{which}Config" for which in ("current", "desired")]
WHOLE = {"name": "tokens", "mountPath": "/tokens"}
#: Where each pod's program finds its token, on which node it is, and for how many seconds the token lives.
PATHS = {
    "automatic": (AUTOMATIC, "worker-0", None),
    "hour": ("/tokens/token", "worker-1", 3600),
    "two-hours": ("/tokens/token", "master-0", 7200),
    "days": ("/tokens/token", "worker-0", 108000),
    "sub-path": ("/token", "worker-1", 3607),
}
SYNC = timedelta(minutes=2)
LEADERS = ("openshift-kube-controller-manager", "openshift-kube-scheduler")


def make_pod(name):
    path, node, seconds = PATHS[name]
    if seconds is None:
        body = pod(name, automatic=True)
    else:
        mount = WHOLE if path.startswith("/tokens") else {"name": "tokens", "mountPath": path, "subPath": "token"}
        body = pod(name, mount, volumes=[tokens({"path": "token", "expirationSeconds": seconds})])
    body["spec"]["nodeName"] = node
    return body


def read_issuer(lab, name):
    """Whose token a program in the container reads now."""
    uid = lab.api.get(f"{PODS}/{name}")["metadata"]["uid"]
    return issuer_in(eventually(lambda: next(read_in_pod(uid, PATHS[name][0]), None), timeout=60))


def snapshot(lab):
    """Every pod of the cluster by its UID, with how often its containers were started anew; but for those that end by themselves
    when a busy machine makes them lose their leader's lease."""
    return {
        (p["metadata"]["namespace"], p["metadata"]["name"], p["metadata"]["uid"]): [
            (s["name"], s["restartCount"], s.get("containerID")) for s in p["status"].get("containerStatuses", ())
        ]
        for p in lab.api.items("/api/v1/pods")
        if p["metadata"]["namespace"] not in (RESTART_NAMESPACE, *LEADERS) and p["status"]["phase"] == "Running"
    }


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def find_heartbeat(lab, node):
    conditions = lab.api.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return moment(next(c["lastHeartbeatTime"] for c in conditions if c["type"] == "Ready"))


def restart(lab, **options):
    result = run_module("kubelet_restart", kubeconfig=lab.kubeconfig, **{"wait_sleep": 1, **options})
    return result, {k["node"]: k for k in result.get("kubelets", ())}


def audit(lab, **more):
    result = run_module("token_holders_info", kubeconfig=lab.kubeconfig, all_pods=True, **more)
    assert not result.get("failed"), result
    return {p["name"]: p for p in result["token_holders"]["pods"] if p["namespace"] == NAMESPACE}


@pytest.fixture(scope="module")
def rotated(lab):
    """The former and the new issuer, and pods from before."""
    former, issuer = at_rest(lab), fresh("kubelets")
    lab.api.create_missing("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    eventually(lambda: lab.api.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"))
    for name in PATHS:
        lab.api.create_missing(PODS, make_pod(name))
    assert {eventually(lambda name=name: read_issuer(lab, name)) for name in PATHS} == {former}
    lab.set_issuer(issuer)
    refused, _kubelets = restart(lab)
    assert refused["msg"].startswith(
        "No kubelet was restarted, because the rollout of the kube-apiservers is not finished"
    )
    wait(lab, issuer)
    yield former, issuer
    lab.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    eventually(lambda: not exists(lab, f"/api/v1/namespaces/{NAMESPACE}"))


def test_every_file_is_rewritten_and_no_container_is_touched(lab, rotated):
    former, issuer = rotated
    assert {read_issuer(lab, name) for name in PATHS} == {former}
    before, nodes = snapshot(lab), [node.name for node in lab.settings.nodes]
    plan, _kubelets = restart(lab, check_mode=True)
    assert (plan["summary"]["planned"], plan["findings"]) == (len(nodes), [])
    result, kubelets = restart(lab)
    assert not result.get("failed"), result
    assert result["summary"] == {"planned": 0, "left": 0, "restarted": len(nodes), "failed": 0}
    assert all(moment(k["started_at"]) > moment(k["started_before"]) for k in kubelets.values())
    assert [k.startswith("master") for k in kubelets] == sorted(k.startswith("master") for k in kubelets)
    starts = [k["started_at"] for k in result["kubelets"]]
    assert starts == sorted(starts)  # one after the other
    files = sorted(set(PATHS) - {"sub-path"})
    for name in files:
        eventually(lambda name=name: read_issuer(lab, name) == issuer, timeout=120)
    assert read_issuer(lab, "sub-path") == former
    after = snapshot(lab)
    assert {key: after.get(key) for key in before} == before

    wait(lab, issuer)  # on a busy machine an API server may be late for a look at the rollout
    mine = audit(lab, wait=True, wait_timeout=300, wait_sleep=2)
    assert {name: (p["verdict"], p["reason"]) for name, p in mine.items()} == {
        **dict.fromkeys(files, ("renewed", "FileRenewed")),
        "sub-path": ("old_until_restarted", "SubPath"),
    }
    for name in files:
        # what the audit calls the latest moment, the files themselves have kept to by far
        started = moment(kubelets[PATHS[name][1]]["started_at"])
        assert timedelta(0) <= moment(mine[name]["until"]) - started - SYNC < timedelta(seconds=60)
        assert mine[name]["may_be_cached"]
    eventually(lambda: not exists(lab, f"/api/v1/namespaces/{RESTART_NAMESPACE}"))

    again, kubelets = restart(lab)
    assert (again["changed"], {k["outcome"] for k in kubelets.values()}) == (False, {"left"})


def test_a_kubelet_that_does_not_come_back_ends_the_run_and_the_next_one_goes_on(lab):
    begun = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    options = {"nodes": ["worker-0", "worker-1", "master-0"], "started_before": begun, "require_rollout": False}
    faults.cause(lab.settings, "worker-1", "no-kubelet")
    try:
        failed, kubelets = restart(lab, wait_timeout=15, **options)
    finally:
        faults.mend(lab.settings, "worker-1")
    assert failed["failed"]
    assert failed["msg"].startswith(
        "Waiting for the kubelet of worker-1 to be back did not end within 15 s; last seen: it does not answer."
    )
    assert "No kubelet after it was touched" in failed["msg"]
    assert {name: k["outcome"] for name, k in kubelets.items()} == {
        "worker-0": "restarted",
        "worker-1": "failed",
        "master-0": "planned",
    }
    assert not [p for p in lab.api.items("/api/v1/pods") if p["metadata"]["namespace"] == RESTART_NAMESPACE]
    mended = datetime.now(timezone.utc)
    eventually(lambda: find_heartbeat(lab, "worker-1") > mended)
    eventually(lambda: not cluster.unhealthy(lab.settings))
    again, kubelets = restart(lab, **options)
    assert not again.get("failed"), again
    assert {name: k["outcome"] for name, k in kubelets.items()} == {
        "worker-0": "left",
        "worker-1": "left",  # it was started anew when the node was mended
        "master-0": "restarted",
    }


def test_a_pool_update_that_begins_in_the_middle_is_over_before_the_next_kubelet(lab):
    config = f"rendered-worker-{time.time_ns()}"
    options = {"nodes": ["worker-0", "master-0"], "require_rollout": False}
    run = lab.begin_module("kubelet_restart", **options)
    said = next((line for line in run.stdout if "worker-0: its kubelet is restarted" in line), "")
    lab.api.merge(POOL, {"spec": {"configuration": {"name": config}}})
    output, _nothing = run.communicate(timeout=600)
    assert (bool(said), run.returncode) == (True, 0), output
    assert "waiting before master-0: the machine-config operator is at work on node worker-" in output, output
    workers = [n["metadata"] for n in lab.api.items("/api/v1/nodes") if n["metadata"]["name"].startswith("worker")]
    assert {n["annotations"][which] for n in workers for which in CONFIGS} == {config}


def test_a_node_that_is_not_ready_is_refused_before_anything_is_done(lab):
    faults.cause(lab.settings, "worker-1", "no-kubelet")
    try:
        lab.command("exec", "worker-1", "systemctl", "stop", "kubelet")
        eventually(lambda: cluster.unhealthy(lab.settings), timeout=120)
        result, kubelets = restart(lab, require_rollout=False)
    finally:
        faults.mend(lab.settings, "worker-1")
        lab.command("exec", "worker-1", "systemctl", "start", "kubelet")
    assert result["msg"].startswith("No kubelet was restarted, because worker-1 is or are not Ready")
    assert kubelets == {}
    eventually(lambda: not cluster.unhealthy(lab.settings))
