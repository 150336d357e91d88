# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true before a lab counts as up. Each gate lists what is not true yet, in words; nothing means open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from . import manifests, objects
from .api import Api, ApiError, Unreachable
from .errors import LabError
from .settings import Settings
from .standins import guards, pools

Gate = Callable[[], list[str]]


def wait(what: str, gate: Gate, timeout: float, alive: Callable[[], object]) -> None:
    """The gate is open, or LabError says what is missing; `alive` raises when waiting has become pointless."""
    deadline = time.monotonic() + timeout
    while True:
        last_look = time.monotonic() >= deadline
        alive()
        if not (missing := look(gate)):
            return
        if last_look:
            raise LabError(f"{what}: not within {timeout:.0f} s, still missing: {'; '.join(missing[:5])}")
        time.sleep(0.2)


def look(gate: Gate) -> list[str]:
    """What the gate misses; an API that does not answer is something missing too."""
    try:
        return gate()
    except ApiError as error:
        if error.status in (400, 422):  # it will say the same again
            raise LabError(f"The API refuses what the lab asks for: {error}") from error
        return [f"the API says {error}"]
    except Unreachable as error:
        return [f"no answer from the API ({error})"]


def api_ready(api: Api) -> list[str]:
    return [] if api.ready() else ["no kube-apiserver is ready"]


def crds_established(api: Api, names: Iterable[str]) -> list[str]:
    found = {
        crd["metadata"]["name"]: crd for crd in api.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    }
    return [f"CRD {name}" for name in names if name not in found or not _is_true(found[name], "Established")]


def served_by_all(settings: Settings, collections: Iterable[str]) -> list[str]:
    """Every API server answers for these collections. A server's first answer for a CRD's objects is often 429."""
    missing = []
    # each new client is a new connection, and the balancer gives servers turns
    for _unused in range(2 * settings.master_count):
        api = Api(settings)
        for collection in collections:
            missing += look(lambda api=api, path=collection: [] if api.get(path) else [path])  # type: ignore[misc]
    return missing


def nodes_registered(api: Api, settings: Settings) -> list[str]:
    found = {node["metadata"]["name"] for node in api.items("/api/v1/nodes")}
    return [f"node {node.name} is not registered" for node in settings.nodes if node.name not in found]


def nodes_ready(api: Api, settings: Settings) -> list[str]:
    """Running and Ready, and the kubelet that says so is that of the present boot."""
    found = {node["metadata"]["name"]: node for node in api.items("/api/v1/nodes")}
    missing = []
    for node in settings.nodes:
        seen = found.get(node.name)
        boot_id = boot_id_of(settings, node.name)
        if not (settings.node(node.name) / "init.pid").exists():
            missing.append(f"node {node.name} is down")
        elif not seen or not _is_true(seen, "Ready"):
            missing.append(f"node {node.name} is not Ready")
        elif seen["status"]["nodeInfo"]["bootID"] != boot_id:
            missing.append(f"node {node.name} has not reported its present boot")
    return missing


def static_pods_ready(api: Api, settings: Settings) -> list[str]:
    """Every static pod of every master is Ready in the API."""
    found = {}
    wanted = [key for master in settings.masters for key in manifests.mirror_pods(master)]
    for namespace in sorted({namespace for namespace, _unused in wanted}):
        for pod in api.items(f"/api/v1/namespaces/{namespace}/pods"):
            found[namespace, pod["metadata"]["name"]] = pod
    return [
        f"pod {'/'.join(key)} is not Ready" for key in wanted if key not in found or not _is_true(found[key], "Ready")
    ]


def default_service_accounts(api: Api) -> list[str]:
    accounts = api.items("/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault")
    found = {account["metadata"]["namespace"] for account in accounts}
    return [f"service account {name}/default" for name in ("default", *objects.NAMESPACES) if name not in found]


def operator_reported(api: Api, settings: Settings) -> list[str]:
    """The operator stand-in says that all masters run the latest revision."""
    status = api.get("/apis/operator.openshift.io/v1/kubeapiservers/cluster").get("status", {})
    latest = status.get("latestAvailableRevision", 0)
    current = {node["nodeName"]: node.get("currentRevision", 0) for node in status.get("nodeStatuses", [])}
    if not latest:
        return ["the operator stand-in has not reported a revision"]
    return [
        f"the operator stand-in has not reported revision {latest} on {master.name}"
        for master in settings.masters
        if current.get(master.name) != latest
    ]


def standins_reported(api: Api, settings: Settings) -> list[str]:
    """Every node has joined its machine config pool, and the guards of the masters' static pods are Ready."""
    nodes = {node["metadata"]["name"]: node for node in api.items("/api/v1/nodes")}
    missing = [
        f"node {node.name} has not joined its machine config pool"
        for node in settings.nodes
        if pools.CURRENT not in nodes.get(node.name, {}).get("metadata", {}).get("annotations", {})
    ]
    for guard in guards.GUARDS if settings.master_count > 1 else ():
        pods = {pod["metadata"]["name"]: pod for pod in api.items(f"/api/v1/namespaces/{guard.namespace}/pods")}
        names = [guard.pod_name(master.name) for master in settings.masters]
        missing += [f"pod {name} is not Ready" for name in names if not _is_true(pods.get(name, {}), "Ready")]
    return missing


def boot_id_of(settings: Settings, node: str) -> str | None:
    """The present boot's ID as the box itself has it."""
    try:
        return (settings.node(node) / "boot_id").read_text().strip()
    except FileNotFoundError:
        return None


def _is_true(thing: dict[str, Any], condition: str) -> bool:
    conditions = thing.get("status", {}).get("conditions") or []
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)
