# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine config pools, guards, the etcd operator's report and pod security, on real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab import faults, gates
from lab.api import Api, ApiError
from lab.standins import pools

from .conftest import Lab, eventually

NODES = "/api/v1/nodes"
OPERATORS = "/apis/config.openshift.io/v1/clusteroperators"
NEW = "rendered-worker-11111111111111111111111111111111"


@pytest.fixture(autouse=True)
def healthy(running: Lab) -> Iterator[None]:
    yield
    for node in ("master-1", "worker-0", "worker-1"):
        faults.mend(running.settings, node)
    running.up()  # waits until nothing is wrong any more


def test_an_update_goes_from_node_to_node_and_ends_as_it_began(running: Lab) -> None:
    api = running.api()
    api.merge(f"{pools.POOLS}/worker", {"spec": {"configuration": {"name": NEW}}})
    eventually(lambda: _workers(api) == {"worker-0": ("Working", True), "worker-1": ("Done", False)})
    assert _conditions(api, "worker") == {"Updated": "False", "Updating": "True", "Degraded": "False"}
    eventually(lambda: _workers(api) == {"worker-0": ("Done", False), "worker-1": ("Working", True)})
    eventually(lambda: _conditions(api, "worker")["Updated"] == "True")
    status = api.get(f"{pools.POOLS}/worker")["status"]
    assert (status["configuration"]["name"], status["updatedMachineCount"]) == (NEW, 2)
    assert set(_states(api).values()) == {("Done", False)}


def test_a_cordon_of_ours_makes_the_pool_look_as_if_it_were_updating(running: Lab) -> None:
    api = running.api()
    api.merge(f"{NODES}/worker-0", {"spec": {"unschedulable": True}})
    eventually(lambda: api.get(f"{pools.POOLS}/worker")["status"]["unavailableMachineCount"] == 1)
    assert _conditions(api, "worker") == {"Updated": "False", "Updating": "True", "Degraded": "False"}
    assert _states(api)["worker-0"] == ("Done", True)  # the node's own annotations tell the truth
    api.merge(f"{NODES}/worker-0", {"spec": {"unschedulable": None}})
    eventually(lambda: _conditions(api, "worker")["Updated"] == "True")


def test_while_one_master_is_away_no_second_one_can_be_drained(running: Lab) -> None:
    api = running.api()
    faults.cause(running.settings, "master-1", "hold")
    faults.cause(running.settings, "master-1", "power-cut")
    eventually(lambda: _member_condition(api, "EtcdMembersDegraded") == "True")
    assert _member_condition(api, "EtcdMembersAvailable") == "True"
    eventually(lambda: _operator(api, "etcd", "Degraded")["status"] == "True")
    assert "master-1 is unhealthy" in _operator(api, "etcd", "Degraded")["message"]
    budget = "/apis/policy/v1/namespaces/openshift-etcd/poddisruptionbudgets/etcd-guard-pdb"
    eventually(lambda: api.get(budget)["status"]["disruptionsAllowed"] == 0)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "etcd-guard-master-0"}}
    with pytest.raises(ApiError) as refused:
        api.request("POST", "/api/v1/namespaces/openshift-etcd/pods/etcd-guard-master-0/eviction", eviction)
    assert refused.value.status == 429


def test_an_evicted_guard_comes_back_when_the_node_may_be_scheduled_to(running: Lab) -> None:
    api = running.api()
    path = "/api/v1/namespaces/openshift-etcd/pods/etcd-guard-master-2"
    before = api.get(path)["metadata"]["uid"]
    api.merge(f"{NODES}/master-2", {"spec": {"unschedulable": True}})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "etcd-guard-master-2"}}
    api.request("POST", f"{path}/eviction", eviction)
    eventually(lambda: gates.look(lambda: ["there"] if api.get(path) else [])[0] != "there")
    api.merge(f"{NODES}/master-2", {"spec": {"unschedulable": None}})
    eventually(lambda: gates.look(lambda: gates.standins_reported(api, running.settings)) == [])
    assert api.get(path)["metadata"]["uid"] != before


def test_a_namespace_may_refuse_privileged_pods_and_a_plain_one_does_not(running: Lab) -> None:
    api = running.api()
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create_missing("/api/v1/namespaces", {"metadata": {"name": "strict", "labels": label}})
    api.create_missing("/api/v1/namespaces", {"metadata": {"name": "plain"}})
    eventually(lambda: gates.look(lambda: _accounts_missing(api)) == [])
    with pytest.raises(ApiError, match="violates PodSecurity"):
        api.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All", _privileged())
    api.request("POST", "/api/v1/namespaces/plain/pods?dryRun=All", _privileged())
    for name in ("strict", "plain"):
        api.request("DELETE", f"/api/v1/namespaces/{name}")


def test_a_privileged_pod_needs_the_use_of_the_privileged_scc(running: Lab) -> None:
    """The controller that makes the pod may not use it, and the pod's own service account only from the binding on."""
    api, namespace = running.api(), "/api/v1/namespaces/granted"
    api.create_missing("/api/v1/namespaces", {"metadata": {"name": "granted"}})
    labels = {"app": "privileged"}
    pod = _privileged()
    pod["metadata"] = {"labels": labels}
    pod["spec"]["nodeSelector"] = {"nowhere": "true"}
    sets = "/apis/apps/v1/namespaces/granted/replicasets"
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
    api.create_missing(sets, {"metadata": {"name": "privileged"}, "spec": spec})

    def condition() -> str:
        status = api.get(f"{sets}/privileged").get("status", {})
        return next((str(c["message"]) for c in status.get("conditions", []) if c["type"] == "ReplicaFailure"), "")

    eventually(lambda: "unable to validate against any security context constraint" in condition())
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:openshift:scc:privileged"}
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "granted"}
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/granted/rolebindings"
    api.create_missing(bindings, {"metadata": {"name": "privileged"}, "roleRef": role, "subjects": [account]})
    eventually(lambda: len(api.items(f"{namespace}/pods")) == 1)
    api.request("DELETE", namespace)


def test_the_machine_config_daemon_is_on_every_node_and_has_a_shell(running: Lab) -> None:
    api = running.api()
    selector = "labelSelector=k8s-app%3Dmachine-config-daemon"
    found = {
        pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"]
        for pod in api.items(f"/api/v1/namespaces/openshift-machine-config-operator/pods?{selector}")
        if not pod["spec"]["nodeName"].startswith("sim-")  # what was on simulated nodes goes some time after them
    }
    nodes = (*(f"master-{n}" for n in range(3)), *(f"worker-{n}" for n in range(2)))
    assert found == dict.fromkeys(nodes, "lab.local/shell:1")


def _states(api: Api) -> dict[str, tuple[str, bool]]:
    """State and cordon of each node."""
    return {
        node["metadata"]["name"]: (
            node["metadata"]["annotations"][pools.STATE],
            node["spec"].get("unschedulable", False),
        )
        for node in api.items(NODES)
    }


def _workers(api: Api) -> dict[str, tuple[str, bool]]:
    return {name: state for name, state in _states(api).items() if name.startswith("worker-")}


def _conditions(api: Api, pool: str) -> dict[str, str]:
    found = {c["type"]: c["status"] for c in api.get(f"{pools.POOLS}/{pool}")["status"]["conditions"]}
    return {kind: found[kind] for kind in ("Updated", "Updating", "Degraded")}


def _member_condition(api: Api, kind: str) -> str:
    status = api.get("/apis/operator.openshift.io/v1/etcds/cluster").get("status", {})
    return next((str(c["status"]) for c in status.get("conditions", []) if c["type"] == kind), "")


def _operator(api: Api, name: str, kind: str) -> dict[str, Any]:
    conditions = api.get(f"{OPERATORS}/{name}")["status"]["conditions"]
    found: dict[str, Any] = next(c for c in conditions if c["type"] == kind)
    return found


def _accounts_missing(api: Api) -> list[str]:
    api.get("/api/v1/namespaces/strict/serviceaccounts/default")
    api.get("/api/v1/namespaces/plain/serviceaccounts/default")
    return []


def _privileged() -> dict[str, Any]:
    container = {"name": "c", "image": "lab.local/shell:1", "securityContext": {"privileged": True}}
    return {"metadata": {"name": "privileged"}, "spec": {"containers": [container]}}
