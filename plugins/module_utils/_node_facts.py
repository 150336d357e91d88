# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads nodes, what runs on them, and what limits their restart into plain facts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from functools import partial

from ._client.cluster import Cluster
from ._errors import ApiError
from ._facts import MAX_SINGLE_READS
from ._model import LAST_MOMENT
from ._node_model import (
    BudgetFacts,
    NodeFacts,
    NodePod,
    PoolFacts,
    budget_facts,
    node_facts,
    node_pod,
    pool_facts,
)
from ._parallel import MAX_PARALLEL, side_by_side


def read_nodes(cluster: Cluster) -> list[NodeFacts]:
    """Return all nodes."""
    return read_nodes_at(cluster)[1]


def read_nodes_at(
    cluster: Cluster, *, label_selector: str = "", field_selector: str = ""
) -> tuple[str, list[NodeFacts]]:
    """Return the nodes that are selected, after the resourceVersion of the moment at which they were read."""
    return cluster.list_at("Node", label_selector=label_selector, field_selector=field_selector, read=node_facts)


def read_node(cluster: Cluster, name: str) -> NodeFacts | None:
    """Return one node, None when it does not exist."""
    found = cluster.get("Node", name)
    return node_facts(found) if found else None


def read_node_pods(cluster: Cluster, node: str) -> tuple[str, list[NodePod]]:
    """Return the pods on one node, after the resourceVersion of the moment at which they were read."""
    return cluster.list_at("Pod", field_selector=select_pods(node), read=node_pod)


def select_pods(node: str) -> str:
    """Return the field selector of the pods on a node."""
    return f"spec.nodeName={node}"


def read_pods_by_node(cluster: Cluster) -> dict[str, list[NodePod]]:
    """Return the pods of every node that has any."""
    found: dict[str, list[NodePod]] = {}
    for pod in cluster.list_at("Pod", read=node_pod)[1]:
        if pod.facts.node:
            found.setdefault(pod.facts.node, []).append(pod)
    return found


def read_budgets(cluster: Cluster, namespaces: Collection[str] | None = None) -> list[BudgetFacts]:
    """Return the PodDisruptionBudgets in ``namespaces``, or in all; of many namespaces, those of all are read."""
    few = namespaces is not None and len(namespaces) <= MAX_SINGLE_READS
    scopes: list[str | None] = list(namespaces or ()) if few else [None]
    return [budget_facts(b) for scope in scopes for b in cluster.list("PodDisruptionBudget", scope)]


def read_machine_pools(cluster: Cluster) -> list[PoolFacts]:
    """Return the MachineConfigPools; none where there is no machine-config operator."""
    try:
        return [pool_facts(p) for p in cluster.list("MachineConfigPool")]
    except ApiError as error:
        if error.is_missing_api:
            return []
        raise


def read_pending_requests(cluster: Cluster, node: str) -> list[str]:
    """Return the names of the certificate requests that nobody has decided and that may be what ``node`` waits for."""
    askers = (f"system:node:{node}", "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper")
    return [
        r["metadata"]["name"]
        for r in cluster.list("CertificateSigningRequest")
        if (r.get("spec") or {}).get("username") in askers and not (r.get("status") or {}).get("conditions")
    ]


def read_kubelet_start(cluster: Cluster, node: str) -> datetime | None:
    """Return when the kubelet of ``node`` started, by the node's clock; None when it does not tell, or no moment that can be."""
    seconds = cluster.read_node_metric(node, "process_start_time_seconds")
    if seconds is None or not 0 <= seconds < LAST_MOMENT.timestamp():  # nor is it NaN
        return None
    return datetime.fromtimestamp(seconds, timezone.utc)


def read_kubelet_starts(cluster: Cluster, nodes: Sequence[str]) -> dict[str, datetime]:
    """Return when the kubelets of ``nodes`` started, of those that tell. Where several do not, no others are asked."""
    found: dict[str, datetime] = {}
    for place in range(0, len(nodes), MAX_PARALLEL):
        some = nodes[place : place + MAX_PARALLEL]
        told = side_by_side([partial(_try_kubelet_start, cluster, node) for node in some])
        found |= {node: start for node, start in zip(some, told, strict=True) if start}
        if not any(told):
            break
    return found


def _try_kubelet_start(cluster: Cluster, node: str) -> datetime | None:
    try:
        return read_kubelet_start(cluster, node)
    except ApiError:
        return None
