# SPDX-License-Identifier: GPL-3.0-or-later
"""Guard pods: one per control-plane node and operand, Ready as the operand is, and a budget that lets one of them go.

They keep a drain from taking a second control-plane node while the first is away. They have no owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .. import images

Object = dict[str, Any]


@dataclass(frozen=True)
class Guard:
    """What is guarded, and where its readiness is asked for; budgets of etcd hold for unready pods too."""

    operand: str
    namespace: str
    probe: Object
    unhealthy: str | None = None

    @property
    def budget_name(self) -> str:
        return f"{self.operand}-guard-pdb"

    def pod_name(self, node: str) -> str:
        return f"{self.operand}-guard-{node}"


GUARDS = (
    Guard("etcd", "openshift-etcd", {"host": "127.0.0.1", "port": 2381, "path": "/readyz", "scheme": "HTTP"}),
    Guard(
        "kube-apiserver",
        "openshift-kube-apiserver",
        {"host": "127.0.0.1", "port": 6443, "path": "/readyz", "scheme": "HTTPS"},
        "AlwaysAllow",
    ),
)


def budget(guard: Guard, masters: int) -> Object:
    spec: Object = {"minAvailable": masters - 1, "selector": {"matchLabels": {"app": "guard"}}}
    if guard.unhealthy:
        spec["unhealthyPodEvictionPolicy"] = guard.unhealthy
    return {"metadata": {"name": guard.budget_name, "namespace": guard.namespace}, "spec": spec}


def find_missing(guard: Guard, masters: Iterable[Object], pods: Iterable[Object]) -> tuple[list[Object], list[str]]:
    """Pods to create, and names of those that have ended and must go first. A cordoned node gets none."""
    present = {pod["metadata"]["name"]: pod for pod in pods}
    missing, ended = [], []
    for node in masters:
        name = guard.pod_name(node["metadata"]["name"])
        taints = {taint["key"] for taint in node["spec"].get("taints", [])}
        operand = f"{guard.operand}-{node['metadata']['name']}"
        if "node.kubernetes.io/unschedulable" in taints or operand not in present:
            continue
        if name not in present:
            missing.append(_pod(guard, node["metadata"]["name"]))
        elif present[name].get("status", {}).get("phase", "Pending") not in ("Pending", "Running"):
            ended.append(name)
    return missing, ended


def _pod(guard: Guard, node: str) -> Object:
    return {
        "metadata": {"name": guard.pod_name(node), "namespace": guard.namespace, "labels": {"app": "guard"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "priorityClassName": "system-cluster-critical",
            "terminationGracePeriodSeconds": 3,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "guard",
                    "image": images.PAUSE,
                    "imagePullPolicy": "Never",
                    "readinessProbe": {"httpGet": guard.probe, "periodSeconds": 5, "timeoutSeconds": 5},
                    "resources": {"requests": {"cpu": "10m", "memory": "5Mi"}},
                }
            ],
        },
    }
