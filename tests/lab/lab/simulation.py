# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated nodes on request: as many as one likes beside the real ones, or in a lab without nodes.

kwok keeps their leases and plays their pods (`kwok-stages.conf`); `simulator.py` plays their restarts. They carry a taint, so
that only pods come to them that ask for it (`placement`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from . import binaries, cache, gates, objects, versions
from .api import Api, Object, timestamp
from .errors import LabError
from .go import Go
from .progress import Say
from .settings import Settings
from .standins.pools import POOLS

ANNOTATION = "kwok.x-k8s.io/node"
LABEL = "lab.local/simulated"
RESTART_AFTER = "lab.local/restart-after"
"""Annotation: seconds between the success of a restart pod and the moment when the node is gone."""
RESTART_TAKES = "lab.local/restart-takes"
"""Annotation: seconds until the node is back; `never`: until this is edited; `ignored`: it does not go at all."""
ZONES = 3
_STAGES = Path(__file__).resolve().parent / "kwok-stages.conf"
_NODES = "/api/v1/nodes"


@dataclass(frozen=True)
class Wanted:
    """What the supervisor needs to know."""

    kwok: str
    restart_pods: str
    """Label selector of the pods that restart the node on which they succeed."""


@dataclass(frozen=True)
class Request:
    """How many nodes there shall be, and how they behave."""

    nodes: int
    pools: int
    restart_pods: str
    restart_after: float
    restart_takes: float


def placement() -> Object:
    """What a pod's spec needs to run on simulated nodes."""
    return {"nodeSelector": {LABEL: "true"}, "tolerations": [{"key": ANNOTATION, "operator": "Exists"}]}


def name(index: int) -> str:
    return f"sim-{index:03}"


def pool_name(index: int | str) -> str:
    return f"sim-pool-{index}"


def simulate(settings: Settings, request: Request, say: Say, alive: Callable[[], object]) -> None:
    """There are exactly so many simulated nodes, Ready and with fresh leases; those that were there stay as they are."""
    api = Api(settings)
    if request.nodes:
        _start(settings, request, say)

    def without_lease() -> list[str]:
        leases = {lease["metadata"]["name"] for lease in api.items("/apis/coordination.k8s.io/v1/leases")}
        return [f"lease of {each}" for each in map(name, range(request.nodes)) if each not in leases]

    gates.wait("the simulated nodes are as many as asked for", lambda: _differences(api, request), 120, alive)
    gates.wait("kwok keeps the nodes", without_lease, 120, alive)
    say(f"{request.nodes} simulated nodes")


def _differences(api: Api, request: Request) -> list[str]:
    """What was not as asked for, each of which has been asked for now: a later look tells whether that was enough."""
    present = {node["metadata"]["name"] for node in api.items(f"{_NODES}?labelSelector={LABEL}")}
    pools = {pool["metadata"]["name"] for pool in api.items(POOLS)}
    wanted = {name(index): index for index in range(request.nodes)}
    found = []
    for index in range(request.pools):
        if pool_name(index) not in pools:
            pool = objects.pool(pool_name(index), 0, timestamp())
            api.create_missing(pool.collection, pool.body)
            found.append(f"pool {pool_name(index)}")
    for each in sorted(wanted.keys() - present):
        api.create_missing(_NODES, node(wanted[each], request))
        found.append(f"node {each}")
    removed = [f"{_NODES}/{each}" for each in sorted(present - wanted.keys())]
    if not wanted:
        removed += [f"{POOLS}/{each}" for each in sorted(pools) if each.startswith(pool_name(""))]
    for path in removed:
        api.request("DELETE", path)
        found.append(f"{path} is not gone")
    return found


def read(settings: Settings) -> Wanted | None:
    """What was asked for, if anything was."""
    try:
        return Wanted(**json.loads(_file(settings).read_text()))
    except FileNotFoundError:
        return None


def kwok_command(settings: Settings, wanted: Wanted) -> list[str]:
    """kwok for the annotated nodes only, without a port of its own."""
    return [
        wanted.kwok,
        f"--kubeconfig={settings.kubeconfig}",
        f"--config={_STAGES}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={ANNOTATION}=simulated",
        "--node-lease-duration-seconds=40",
        "--cidr=10.245.0.0/16",
        "--node-ip=10.251.0.1",
        "--v=WARN",
    ]


def node(index: int, request: Request) -> Object:
    """The object as its kubelet would have registered it."""
    now = timestamp()
    labels = {
        LABEL: "true",
        "node-role.kubernetes.io/worker": "",
        "kubernetes.io/hostname": name(index),
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{index % ZONES}",
    }
    if request.pools:
        labels[f"node-role.kubernetes.io/{pool_name(index % request.pools)}"] = ""
    size = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    kubelet = versions.kubernetes()
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name(index),
            "labels": labels,
            "annotations": {
                ANNOTATION: "simulated",
                RESTART_AFTER: f"{request.restart_after:g}",
                RESTART_TAKES: f"{request.restart_takes:g}",
            },
        },
        "spec": {"taints": [{"key": ANNOTATION, "value": "simulated", "effect": "NoSchedule"}]},
        "status": {
            "allocatable": size,
            "capacity": size,
            "addresses": [
                {"type": "InternalIP", "address": f"10.251.{index // 250}.{index % 250 + 2}"},
                {"type": "Hostname", "address": name(index)},
            ],
            "conditions": conditions("True", now),
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": str(uuid.uuid4()),
                "containerRuntimeVersion": "simulated",
                "kernelVersion": "simulated",
                "kubeProxyVersion": "",
                "kubeletVersion": kubelet,
                "machineID": uuid.uuid4().hex,
                "operatingSystem": "linux",
                "osImage": "simulated",
                "systemUUID": str(uuid.uuid4()),
            },
        },
    }


def conditions(ready: str, now: str) -> list[Object]:
    """A node's conditions: `True` as of a healthy kubelet, `Unknown` as of one that is silent."""
    reasons = {
        "Ready": ("KubeletReady", "kubelet is posting ready status"),
        "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    }
    silent = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    return [
        {
            "type": kind,
            "status": ready if ready == "Unknown" or kind == "Ready" else "False",
            "reason": (silent if ready == "Unknown" else reason)[0],
            "message": (silent if ready == "Unknown" else reason)[1],
            "lastTransitionTime": now,
            **({} if ready == "Unknown" else {"lastHeartbeatTime": now}),
        }
        for kind, reason in reasons.items()
    ]


def _start(settings: Settings, request: Request, say: Say) -> None:
    """The supervisor knows that kwok shall run."""
    before = read(settings)
    if before and before.restart_pods != request.restart_pods:
        raise LabError(f"The simulation runs already, for restart pods {before.restart_pods}.")
    with cache.locked(settings.cache / ".build.lock", say):
        program = binaries.kwok(settings.cache, Go(settings.cache, say), say)
    unfinished = _file(settings).with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(Wanted(str(program.path), request.restart_pods))))
    unfinished.rename(_file(settings))


def _file(settings: Settings) -> Path:
    return settings.run / "simulation.json"
