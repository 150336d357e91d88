# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts simulated nodes in batches and prints figures as JSON: python node_load.py NODES BATCH.

Pods of Deployments with budgets run on all of them. The lab must be up. ``ideal`` is what the nodes' own restarts take,
batch after batch; the gates are asked for no time of rest.
"""

from __future__ import annotations

import json
import os
import sys
import time

from figures import counted_requests, peak_megabytes
from lab import simulation
from labs import Lab
from modules import run_module

RESTART_AFTER, RESTART_TAKES = 5, 20
NAMESPACE = f"load-{os.getpid()}"
REPLICAS = 20


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
    seconds = time.monotonic() - begin
    if result.get("failed") or result["summary"]["done"] != nodes:
        raise SystemExit(f"{result.get('msg')} {result.get('summary')}")
    return {
        "seconds": seconds,
        "ideal": len(result["batches"]) * (RESTART_AFTER + RESTART_TAKES),
        "batches": len(result["batches"]),
        "processor": time.process_time() - processor,
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
