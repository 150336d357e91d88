# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts simulated nodes in batches and prints figures as JSON: python node_load.py NODES BATCH.

Pods of Deployments with budgets run on all of them. The lab must be up. ``ideal`` is what the slowest node of each batch takes
by itself, from the success of its restart pod until it is Ready and the node controller has taken its taint away, as a third
party sees it; ``set`` is what the simulation is set to of that. The gates are asked for no time of rest.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

from figures import counted_requests, peak_megabytes
from lab import simulation
from lab.watching import follow
from labs import Lab
from modules import run_module
from node_times import RESTART_POD, is_back

RESTART_AFTER, RESTART_TAKES = 5, 20
NAMESPACE = f"load-{os.getpid()}"
REPLICAS = 20
Object = dict[str, Any]


class Restarts:
    """Sees when nodes are asked to restart and when they are back; moments are monotonic."""

    def __init__(self, lab: Lab) -> None:
        self.boot_ids: dict[str, str] = {}
        self.asked: dict[str, float] = {}
        self.back: dict[str, float] = {}
        pods, nodes = "=".join(RESTART_POD), simulation.LABEL
        for take, path, label in ((self._take_pod, "/api/v1/pods", pods), (self._take_node, "/api/v1/nodes", nodes)):
            threading.Thread(target=self._follow, args=(lab, take, path, label), daemon=True).start()

    def _follow(self, lab: Lab, take: Callable[[Object], None], path: str, label: str) -> None:
        for _kind, found in follow(lab.api, path, f"labelSelector={urllib.parse.quote(label)}"):
            take(found)

    def _take_pod(self, pod: Object) -> None:
        if pod["status"].get("phase") == "Succeeded":
            self.asked.setdefault(pod["spec"]["nodeName"], time.monotonic())

    def _take_node(self, node: Object) -> None:
        name = node["metadata"]["name"]
        if is_back(node, self.boot_ids.setdefault(name, node["status"]["nodeInfo"]["bootID"])):
            self.back.setdefault(name, time.monotonic())

    def longest(self, batch: Iterable[str]) -> float:
        return max(self.back[name] - self.asked[name] for name in batch)


def prepare(lab: Lab, nodes: int) -> None:
    """Simulated nodes, with two pods on each."""
    times = (f"--restart-after={RESTART_AFTER}", f"--restart-takes={RESTART_TAKES}")
    lab.command("simulate", str(nodes), *times, stdout=sys.stderr)
    api = lab.api
    metadata = {"metadata": {"name": NAMESPACE}}
    api.apply(f"/api/v1/namespaces/{NAMESPACE}", {"apiVersion": "v1", "kind": "Namespace", **metadata})
    for number in range(2 * nodes // REPLICAS):
        for path, body in workload(f"web-{number}"):
            api.apply(path, body)
    while running(lab) < 2 * nodes:
        time.sleep(1)


def running(lab: Lab) -> int:
    found = lab.api.items(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
    return sum(d["status"].get("readyReplicas", 0) for d in found)


def workload(name: str):
    """Yield a Deployment spread over the simulated nodes, and its budget, with their paths."""
    labels, metadata = {"app": name}, {"name": name, "namespace": NAMESPACE}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {}},
    }
    pod = {
        **simulation.placement(),
        "automountServiceAccountToken": False,
        "topologySpreadConstraints": [spread],
        "containers": [{"name": "web", "image": "lab.local/pause:1"}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    yield f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}", deployment
    spec = {"maxUnavailable": "50%", "selector": {"matchLabels": labels}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}
    yield f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{name}", budget


def restart(lab: Lab, nodes: int, batch: int) -> dict[str, object]:
    restarts = Restarts(lab)
    begin, processor = time.monotonic(), time.process_time()
    with counted_requests() as requests:
        result = run_module(
            "node_restart",
            kubeconfig=lab.kubeconfig,
            label_selectors=[simulation.LABEL],
            max_unavailable=batch,
            max_unavailable_per_pool=batch,
            image="lab.local/shell:1",
            stable_seconds=0,
        )
    seconds, processor = time.monotonic() - begin, time.process_time() - processor
    time.sleep(1)  # for the last event
    if result.get("failed") or result["summary"]["done"] != nodes:
        raise SystemExit(f"{result.get('msg')} {result.get('summary')}")
    return {
        "seconds": seconds,
        "ideal": sum(map(restarts.longest, result["batches"])),
        "set": len(result["batches"]) * (RESTART_AFTER + RESTART_TAKES),
        "batches": len(result["batches"]),
        "processor": processor,
        "requests": requests,
        "megabytes": peak_megabytes(),
        "steps": {
            step: sum(n["seconds"].get(step, 0) for n in result["nodes"]) / nodes
            for step in ("draining", "restarting", "returning")
        },
    }


def main(nodes: int, batch: int) -> None:
    lab = Lab()
    prepare(lab, nodes)
    try:
        print(json.dumps(restart(lab, nodes, batch)))
    finally:
        lab.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
        lab.command("simulate", "0", stdout=sys.stderr)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
