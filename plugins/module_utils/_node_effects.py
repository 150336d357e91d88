# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The few writes to nodes. Each carries out one step of a plan and decides nothing."""

from __future__ import annotations

from typing import Any

from ._client.cluster import Cluster
from ._node_model import MARK, NodeFacts, NodeMark


def cordon(cluster: Cluster, node: NodeFacts, mark: NodeMark) -> None:
    """Cordon the node and leave the mark of whose cordon it is. A node that has changed since it was read is left alone
    (ApiError 409), so that nobody else's cordon is taken for ours."""
    metadata = {"resourceVersion": node.version, "annotations": {MARK: mark.dump()}}
    cluster.merge_patch("Node", node.name, {"metadata": metadata, "spec": {"unschedulable": True}})


def change_mark(cluster: Cluster, node: NodeFacts, mark: NodeMark) -> None:
    """Change the mark on a node that is cordoned already; see cordon for ApiError 409."""
    metadata = {"resourceVersion": node.version, "annotations": {MARK: mark.dump()}}
    cluster.merge_patch("Node", node.name, {"metadata": metadata})


def put_back(cluster: Cluster, node: NodeFacts, mark: NodeMark) -> None:
    """Remove the mark, and with it the cordon, unless that was there before; see cordon for ApiError 409."""
    patch: dict[str, Any] = {"metadata": {"resourceVersion": node.version, "annotations": {MARK: None}}}
    if not mark.was_cordoned:
        patch["spec"] = {"unschedulable": None}
    cluster.merge_patch("Node", node.name, patch)
