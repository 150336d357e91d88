# SPDX-License-Identifier: GPL-3.0-or-later
"""The time per node that is neither its own restart nor its pods' own end: python node_times.py WAY. Prints JSON.

``node_restart`` restarts the workers one after the other. ``kubectl`` drains and uncordons them in a loop, and ``k8s_drain`` is
that loop as a play on kubernetes.core; neither restarts or proves anything. The lab must be up. A third party watches the
nodes and the pods; what it sees is not the time of whoever works.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from figures import counted_requests, peak_megabytes
from lab import apply
from lab.watching import follow
from labs import Lab
from modules import run_module

WORKERS = ["worker-0", "worker-1"]
IMAGE = "lab.local/shell:1"
NAMESPACE = "default"
DEPLOYMENTS = 6
RESTART_POD = ("app.kubernetes.io/component", "node-restart")
Span = tuple[float, float]
Object = dict[str, Any]


class Observer:
    """Sees every change of the workers and of their pods; moments are monotonic."""

    def __init__(self, lab: Lab) -> None:
        self.nodes: list[tuple[float, Object]] = []
        self.pods: list[tuple[float, str, Object]] = []
        for path, take in (("/api/v1/nodes", self._take_node), ("/api/v1/pods", self._take_pod)):
            threading.Thread(target=self._follow, args=(lab, path, take), daemon=True).start()

    def _follow(self, lab: Lab, path: str, take: Callable[[float, str, Object], None]) -> None:
        for kind, found in follow(lab.api, path):
            take(time.monotonic(), kind, found)

    def _take_node(self, moment: float, kind: str, node: Object) -> None:
        if node["metadata"]["name"] in WORKERS:
            self.nodes.append((moment, node))

    def _take_pod(self, moment: float, kind: str, pod: Object) -> None:
        if pod["spec"].get("nodeName") in WORKERS:
            self.pods.append((moment, kind, pod))

    def cordons(self, name: str) -> Span:
        """When the node was cordoned and uncordoned."""
        cordoned = [m for m, n in self.nodes if n["metadata"]["name"] == name and n["spec"].get("unschedulable")]
        free = [m for m, n in self.nodes if n["metadata"]["name"] == name and not n["spec"].get("unschedulable")]
        return min(cordoned), min(m for m in free if m > min(cordoned))

    def endings(self, name: str) -> list[Span]:
        """For each evicted pod of the node, when it began to end and when it was gone."""
        begun: dict[str, float] = {}
        spans = []
        for moment, kind, pod in self.pods:
            uid = pod["metadata"]["uid"]
            if pod["spec"]["nodeName"] != name or is_restart_pod(pod) or "deletionTimestamp" not in pod["metadata"]:
                continue
            begun.setdefault(uid, moment)
            if kind == "DELETED":
                spans.append((begun[uid], moment))
        return spans

    def restarts(self, name: str) -> list[Span]:
        """From when the restart pod was there until the node and all that belongs to it was well again."""
        runs = [(m, p) for m, _k, p in self.pods if is_restart_pod(p) and p["spec"]["nodeName"] == name]
        if not runs:
            return []
        ran = next(m for m, p in runs if p["status"].get("phase") == "Succeeded")
        before = next(n for m, n in self.nodes if n["metadata"]["name"] == name)["status"]["nodeInfo"]["bootID"]
        back = [m for m, n in self.nodes if n["metadata"]["name"] == name and is_back(n, before)]
        well: dict[str, float] = {}
        for moment, _kind, pod in self.pods:
            if moment > ran and pod["spec"]["nodeName"] == name and belongs(pod) and is_ready(pod, since=ended(runs)):
                well.setdefault(pod["metadata"]["uid"], moment)
        return [(runs[0][0], max([min(back), *well.values()]))]


def is_restart_pod(pod: Object) -> bool:
    return (pod["metadata"].get("labels") or {}).get(RESTART_POD[0]) == RESTART_POD[1]


def belongs(pod: Object) -> bool:
    return any(o["kind"] in ("DaemonSet", "Node") for o in pod["metadata"].get("ownerReferences") or ())


def is_back(node: Object, boot_id: str) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    is_tainted = any("unreachable" in t["key"] for t in node["spec"].get("taints") or ())
    return ready and not is_tainted and node["status"]["nodeInfo"]["bootID"] != boot_id


def ended(runs: Iterable[tuple[float, Object]]) -> datetime:
    states = (s["state"] for _m, p in runs for s in p["status"].get("containerStatuses") or ())
    return next(datetime.fromisoformat(s["terminated"]["finishedAt"]) for s in states if "terminated" in s)


def is_ready(pod: Object, since: datetime) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())
    states = [s["state"].get("running") for s in pod["status"].get("containerStatuses") or ()]
    return ready and all(s and datetime.fromisoformat(s["startedAt"]) >= since for s in states)


def length(spans: Iterable[Span]) -> float:
    """The seconds that the spans cover together."""
    covered, until = 0.0, 0.0
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered


def node_restart(lab: Lab) -> dict[str, Any]:
    with counted_requests() as requests:
        result = run_module(
            "node_restart", kubeconfig=lab.kubeconfig, nodes=WORKERS, image=IMAGE, stable_seconds=0, **DRAIN_OPTIONS
        )
    if [n["outcome"] for n in result["nodes"]] != ["done"] * len(WORKERS):
        raise SystemExit(json.dumps(result))
    return {"requests": requests.total() / len(WORKERS), "megabytes": peak_megabytes()}


def kubectl(lab: Lab) -> dict[str, Any]:
    for name in WORKERS:
        for command in (["drain", name, "--ignore-daemonsets", "--delete-emptydir-data"], ["uncordon", name]):
            subprocess.run(["kubectl", f"--kubeconfig={lab.kubeconfig}", *command], check=True, stdout=sys.stderr)
    return {}


def k8s_drain(lab: Lab) -> dict[str, Any]:
    """Needs the collection kubernetes.core where Ansible finds it."""
    options = {"ignore_daemonsets": True, "delete_emptydir_data": True, "wait_timeout": 300}
    tasks = [
        {"kubernetes.core.k8s_drain": {"name": name, "state": state, **more}}
        for name in WORKERS
        for state, more in (("drain", {"delete_options": options}), ("uncordon", {}))
    ]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drain.json"
        path.write_text(json.dumps(play))
        subprocess.run(["ansible-playbook", str(path)], env=lab.environment, check=True, stdout=sys.stderr)
    return {}


DRAIN_OPTIONS = {"delete_options": {"delete_emptydir_data": True}}
WAYS = {"node_restart": node_restart, "kubectl": kubectl, "k8s_drain": k8s_drain}


def workload(name: str) -> Object:
    labels = {"app": name}
    web = {"name": "web", "image": "lab.local/pause:1", "imagePullPolicy": "Never"}
    template = {"metadata": {"labels": labels}, "spec": {"automountServiceAccountToken": False, "containers": [web]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def main(way: str) -> None:
    lab = Lab()
    apply.apply_objects(lab.settings, [workload(f"load-{number}") for number in range(DEPLOYMENTS)])
    observer = Observer(lab)
    found = WAYS[way](lab)
    time.sleep(1)  # for the last event
    cordons = [observer.cordons(name) for name in WORKERS]
    own = [length([*observer.endings(name), *observer.restarts(name)]) for name in WORKERS]
    whole = max(end for _begin, end in cordons) - min(begin for begin, _end in cordons)
    print(json.dumps({**found, "nodes": len(WORKERS), "own": sum(own), "seconds": whole - sum(own)}))
    for number in range(DEPLOYMENTS):
        lab.api.request("DELETE", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/load-{number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
