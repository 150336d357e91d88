# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hundred simulated nodes beside the real ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab import gates, simulation
from lab.api import Api, ApiError
from lab.standins import pools

from .conftest import Lab, eventually

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
COUNT = 200


@pytest.fixture(scope="module")
def simulated(lab: Lab) -> Iterator[Lab]:
    lab.up()
    lab.run("simulate", str(COUNT), "--pools", "2", "--restart-after", "1", "--restart-takes", "4")
    yield lab
    lab.run("simulate", "0")
    assert _simulated(lab.api()) == {}
    assert [pool["metadata"]["name"] for pool in lab.api().items(pools.POOLS)] == ["master", "worker"]


def test_all_are_ready_and_stay_so_and_real_nodes_are_left_alone(simulated: Lab) -> None:
    time.sleep(30)  # longer than the controller manager's patience with a node that does not renew its lease
    nodes = _simulated(simulated.api())
    assert len(nodes) == COUNT
    assert {_ready(node) for node in nodes.values()} == {"True"}
    assert gates.nodes_ready(simulated.api(), simulated.settings) == []


def test_they_are_in_pools_of_their_own(simulated: Lab) -> None:
    api = simulated.api()
    counts = ("machineCount", "readyMachineCount")

    def find_counts() -> dict[str, list[int]]:
        found = {pool["metadata"]["name"]: pool["status"] for pool in api.items(pools.POOLS) if "status" in pool}
        return {name: [status[count] for count in counts] for name, status in found.items()}

    wanted = {"master": [3, 3], "worker": [2, 2], "sim-pool-0": [100, 100], "sim-pool-1": [100, 100]}
    eventually(lambda: find_counts() == wanted)


def test_pods_become_ready_and_go_quickly(simulated: Lab) -> None:
    api = simulated.api()
    api.request("POST", DEPLOYMENTS, _deployment(300))
    deployment = f"{DEPLOYMENTS}/many"
    eventually(lambda: api.get(deployment)["status"].get("readyReplicas") == 300)
    pods = api.items(f"{PODS}?labelSelector=app%3Dmany")
    assert all(pod["spec"]["nodeName"].startswith("sim-") for pod in pods)
    api.request("DELETE", deployment)
    eventually(lambda: not api.items(f"{PODS}?labelSelector=app%3Dmany"))


def test_ten_restart_at_once(simulated: Lab) -> None:
    api = simulated.api()
    before = {name: _boot_id(node) for name, node in _simulated(api).items()}
    chosen = [simulation.name(index) for index in range(0, 200, 20)]
    api.request("POST", PODS, _pod("stays", chosen[0], forever=True))
    eventually(lambda: _phase(api, "stays") == "Running")
    for name in chosen:
        api.request("POST", PODS, _pod(f"restart-{name}", name, before[name]))
    for name in chosen:
        eventually(lambda name=name: _phase(api, f"restart-{name}") == "Succeeded")  # type: ignore[misc]
        api.request("DELETE", f"{PODS}/restart-{name}")
    gone: set[str] = set()

    def find_back() -> set[str]:
        nodes = _simulated(api)
        gone.update(name for name, node in nodes.items() if _ready(node) == "Unknown")
        return {name for name in gone if _ready(nodes[name]) == "True" and _boot_id(nodes[name]) != before[name]}

    eventually(lambda: find_back() == set(chosen))
    assert [name for name, node in _simulated(api).items() if _boot_id(node) != before[name]] == chosen
    eventually(lambda: api.get(f"{PODS}/stays")["status"]["containerStatuses"][0]["restartCount"] == 1)
    api.request("DELETE", f"{PODS}/stays")


def test_a_pod_that_comes_too_late_and_a_node_that_does_not_listen(simulated: Lab) -> None:
    api = simulated.api()
    before = {name: _boot_id(node) for name, node in _simulated(api).items()}
    deaf = {"metadata": {"annotations": {simulation.RESTART_TAKES: "ignored"}}}
    api.merge(f"{NODES}/sim-002", deaf)
    api.request("POST", PODS, _pod("late", "sim-001", "the boot before"))
    api.request("POST", PODS, _pod("deaf", "sim-002", before["sim-002"]))
    for name, said in (("late", "does not name"), ("deaf", "ignores")):
        eventually(lambda name=name: _phase(api, name) == "Succeeded")  # type: ignore[misc]
        api.request("DELETE", f"{PODS}/{name}")
        eventually(lambda said=said: said in simulated.run("logs", "simulator").stdout)  # type: ignore[misc]
    now = {name: _boot_id(node) for name, node in _simulated(api).items()}
    assert now == before


def _simulated(api: Api) -> dict[str, Any]:
    found = api.items(f"{NODES}?labelSelector={simulation.LABEL}")
    return {node["metadata"]["name"]: node for node in found}


def _ready(node: dict[str, Any]) -> str:
    return next(str(c["status"]) for c in node["status"]["conditions"] if c["type"] == "Ready")


def _boot_id(node: dict[str, Any]) -> str:
    return str(node["status"]["nodeInfo"]["bootID"])


def _phase(api: Api, pod: str) -> str | None:
    try:
        phase: str = api.get(f"{PODS}/{pod}")["status"]["phase"]
    except ApiError:
        return None
    return phase


def _pod(name: str, node: str, *arguments: str, forever: bool = False) -> dict[str, Any]:
    labels = {} if forever else {"app.kubernetes.io/component": "node-restart"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Always" if forever else "Never",
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "lab.local/shell:1", "args": list(arguments)}],
        },
    }


def _deployment(replicas: int) -> dict[str, Any]:
    spec = simulation.placement() | {"containers": [{"name": "main", "image": "lab.local/shell:1"}]}
    return {
        "metadata": {"name": "many"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": spec},
        },
    }
