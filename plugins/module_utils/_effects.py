# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The few writes. Each carries out one step of a plan and decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from ._client.cluster import Cluster
from ._errors import ApiError
from ._facts import require_own_namespace
from ._model import RESTARTED_AT, Owner, PodFacts
from ._plan.issuer import IssuerPlan


def set_issuer(cluster: Cluster, plan: IssuerPlan) -> None:
    """Write the one field that the plan changes."""
    if plan.patch is not None:
        cluster.merge_patch("Authentication", "cluster", plan.patch)


def keep_trusted(cluster: Cluster, kube_apiserver: Mapping[str, Any], dropped: Collection[int]) -> None:
    """Write the list of trusted issuers of ``kube_apiserver``, as it was read, without the entries at these places.

    An object that has changed since is left alone: ApiError 409.
    """
    entries = kube_apiserver["status"]["serviceAccountIssuers"]
    patch = {
        "metadata": {"resourceVersion": kube_apiserver["metadata"]["resourceVersion"]},
        "status": {"serviceAccountIssuers": [e for place, e in enumerate(entries) if place not in dropped]},
    }
    cluster.merge_patch("KubeAPIServer", "cluster", patch, subresource="status")


def renew_pod(cluster: Cluster, pod: PodFacts, *, method: str, grace_period: int | None) -> None:
    """Ask for the eviction or the deletion of exactly this pod; its owner creates another one."""
    remove = cluster.evict if method == "evict" else partial(cluster.delete, "Pod")
    remove(pod.name, pod.namespace, uid=pod.uid, grace_period=grace_period)


def restart_rollout(cluster: Cluster, keeper: Owner, namespace: str, moment: str) -> None:
    """Have exactly this Deployment, StatefulSet or DaemonSet replace its pods, as kubectl rollout restart does."""
    patch = {
        "metadata": {"uid": keeper.uid},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: moment}}}},
    }
    cluster.merge_patch(keeper.kind, keeper.name, patch, namespace)


def create_if_missing(cluster: Cluster, kind: str, body: Mapping[str, Any], namespace: str | None = None) -> None:
    """Create the object; one of its name that exists already is left as it is, one on its way out is an ApiError (409)."""
    try:
        cluster.create(kind, body, namespace)
    except ApiError as error:
        if error.status != 409 or "being terminated" in error.words or "being deleted" in error.words:
            raise


def provide_own_namespace(cluster: Cluster, body: Mapping[str, Any]) -> None:
    """Create this namespace of ours if there is none. Raises Refused when somebody else has made one of its name."""
    create_if_missing(cluster, "Namespace", body)
    require_own_namespace(cluster, body["metadata"]["name"])


def try_out_pod(cluster: Cluster, trial: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Return the pod as admission would let it in; none is made. Raises ApiError when it would not."""
    return cluster.create("Pod", trial, namespace, dry_run=True)


def create_pod(cluster: Cluster, manifest: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Return the pod as created."""
    return cluster.create("Pod", manifest, namespace)


def ask_for_deletion(cluster: Cluster, pod: Mapping[str, Any], *, grace_period: int | None) -> bool:
    """Have exactly this pod deleted; False when it is gone already, be there a namesake or not."""
    metadata = pod["metadata"]
    try:
        cluster.delete("Pod", metadata["name"], metadata["namespace"], uid=metadata["uid"], grace_period=grace_period)
    except ApiError as error:
        if error.status in (404, 409):
            return False
        raise
    return True
