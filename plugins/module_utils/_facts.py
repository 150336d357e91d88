# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads the cluster into plain facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ._claims import decode_payload
from ._client import Cluster, parse_yaml
from ._errors import ApiError, CollectionError, CommandFailed, InvalidOption
from ._model import (
    Condition,
    IssuerFacts,
    Owner,
    OwnerFacts,
    Permission,
    PodFacts,
    Probe,
    RolloutFacts,
    conditions_of,
    issuer_facts,
    issuers_in_config,
    latest_revision_of,
    owner_facts,
    owner_of,
    pod_facts,
    rollout_facts,
)

#: Where the operator keeps the kube-apiservers' static pods and one ConfigMap config-N per revision.
OPERAND_NAMESPACE = "openshift-kube-apiserver"

#: An audience that nothing accepts: a token made only to be read is of no use to anybody.
PROBE_AUDIENCE = "probe.invalid"
#: The shortest lifetime that the API grants.
PROBE_SECONDS = 600

#: The kinds of pod owners that say how many pods they want, by API group.
OWNER_KINDS = {"ReplicaSet": "apps", "StatefulSet": "apps", "DaemonSet": "apps", "ReplicationController": ""}
#: Where a pod that is given a service account's token finds the name of its own namespace.
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: More namespaces than this are read in one go instead of one by one.
MAX_SINGLE_READS = 10


def read_issuer(cluster: Cluster) -> IssuerFacts:
    """Return the issuer as wanted and as the operator reports it."""
    return issuer_facts(cluster.require("Authentication", "cluster"), read_kube_apiserver(cluster))


def read_wanted_issuer(cluster: Cluster) -> str:
    """Return the issuer that the cluster's configuration asks for, with the default named."""
    return issuer_facts(cluster.require("Authentication", "cluster"), {}).wanted


def read_kube_apiserver(cluster: Cluster) -> dict[str, Any]:
    """Return ``kubeapiservers.operator.openshift.io/cluster``. Raises CollectionError where no operator keeps it."""
    found = cluster.require("KubeAPIServer", "cluster")
    if not (found.get("status") or {}).get("nodeStatuses"):
        infrastructure = cluster.get("Infrastructure", "cluster") or {}
        if (infrastructure.get("status") or {}).get("controlPlaneTopology") == "External":
            raise CollectionError(
                "The control plane of this cluster is hosted elsewhere (controlPlaneTopology External), so its issuer "
                "can't be changed from within; set spec.issuerURL of its HostedCluster on the management cluster."
            )
    return found


def read_rollout_objects(
    cluster: Cluster,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    """Return what rollout_facts takes, read in the order that makes it sound together."""
    authentication = cluster.require("Authentication", "cluster")
    first = read_kube_apiserver(cluster)
    config = read_revision_config(cluster, latest_revision_of(first))
    return authentication, first, config, read_kube_apiserver(cluster)


def read_rollout(cluster: Cluster) -> RolloutFacts:
    """Return the facts of one judgement, without the static pods and the ClusterOperators."""
    return rollout_facts(*read_rollout_objects(cluster))


def read_operand_pods(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the pods that run and install the kube-apiservers."""
    return list(cluster.list("Pod", OPERAND_NAMESPACE))


def read_cluster_operators(cluster: Cluster, names: Iterable[str]) -> dict[str, Mapping[str, Condition]]:
    """Return the conditions of those of the ClusterOperators that exist."""
    found = {name: cluster.get("ClusterOperator", name) for name in names}
    return {name: conditions_of(obj) for name, obj in found.items() if obj is not None}


def read_revision_config(cluster: Cluster, revision: int) -> dict[str, Any] | None:
    """Return the kube-apiserver configuration of a revision, None when the revision is gone."""
    config_map = cluster.get("ConfigMap", f"config-{revision}", OPERAND_NAMESPACE)
    if config_map is None:
        return None
    parsed = parse_yaml((config_map.get("data") or {}).get("config.yaml") or "{}")
    return parsed if isinstance(parsed, dict) else {}


def read_revision_issuers(cluster: Cluster, revision: int) -> tuple[str, ...] | None:
    """Return the issuer list of a revision, None when the revision is gone."""
    config = read_revision_config(cluster, revision)
    return None if config is None else issuers_in_config(config)


def read_token_issuers(cluster: Cluster, probe: Probe, *, count: int) -> tuple[str, ...]:
    """Return the issuers that ``count`` new tokens name, each asked for over a new connection."""
    claims = (
        cluster.request_token_claims(
            probe.service_account, probe.namespace, audience=PROBE_AUDIENCE, expiration_seconds=PROBE_SECONDS
        )
        for _number in range(count)
    )
    return tuple(c.get("iss", "") for c in claims)


def read_condition(cluster: Cluster, kind: str, name: str, condition: str) -> Condition | None:
    """Return one condition of an object; None where the object, its kind or the condition does not exist."""
    try:
        found = cluster.get(kind, name)
    except ApiError as error:
        if error.is_missing_api:
            return None
        raise
    return conditions_of(found or {}).get(condition)


def read_denied(cluster: Cluster, wanted: Iterable[Permission]) -> list[Permission]:
    """Return those of ``wanted`` that the caller does not have (SelfSubjectAccessReview)."""
    return [p for p in wanted if not _is_allowed(cluster, p)]


def _is_allowed(cluster: Cluster, permission: Permission) -> bool:
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": permission.resource,
        "subresource": permission.subresource,
        "namespace": permission.namespace,
    }
    answer = cluster.create("SelfSubjectAccessReview", {"spec": {"resourceAttributes": attributes}})
    return bool((answer.get("status") or {}).get("allowed"))


def read_own_namespace(cluster: Cluster) -> str | None:
    """Return the namespace that the automation runs in; None where nothing tells.

    It is the one of the service account that is used here; for any other user, such as one with a client certificate,
    the one of the pod that this runs in.
    """
    try:
        review = cluster.create("SelfSubjectReview", {})
    except ApiError as error:
        if not error.is_missing_api:
            raise
        review = {}
    username = ((review.get("status") or {}).get("userInfo") or {}).get("username") or ""
    parts = username.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return parts[2]
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def read_namespaces(cluster: Cluster, names: Collection[str] | None) -> list[str]:
    """Return which of ``names`` exist, or all namespaces when ``names`` is None."""
    if names is None:
        return [n["metadata"]["name"] for n in cluster.list("Namespace")]
    return [n for n in names if cluster.get("Namespace", n)]


def read_pods(cluster: Cluster, namespaces: Collection[str]) -> dict[str, list[PodFacts]]:
    """Return the pods of each of ``namespaces``, in the order of their names."""
    found: dict[str, list[PodFacts]] = {n: [] for n in namespaces}
    scopes = list(namespaces) if len(namespaces) <= MAX_SINGLE_READS else [None]
    for scope in scopes:
        for pod in cluster.list("Pod", scope):
            if pod["metadata"]["namespace"] in found:
                found[pod["metadata"]["namespace"]].append(pod_facts(pod))
    return {n: sorted(pods, key=lambda p: p.name) for n, pods in found.items()}


def read_owners(cluster: Cluster, namespace: str, owners: Iterable[Owner]) -> dict[str, OwnerFacts]:
    """Return the facts of those of ``owners`` that still exist, by UID.

    Of kinds that we do not know, nothing is asked, and they are taken to exist.
    """
    found: dict[str, OwnerFacts] = {}
    wanted: dict[str, set[str]] = {}
    for owner in owners:
        if OWNER_KINDS.get(owner.kind) == owner.group:
            wanted.setdefault(owner.kind, set()).add(owner.uid)
        else:
            found[owner.uid] = OwnerFacts()
    for kind, uids in sorted(wanted.items()):
        objects = [o for o in cluster.list(kind, namespace) if o["metadata"]["uid"] in uids]
        keepers = [owner_of(o) for o in objects]
        has_deployment = any(k is not None and k.kind == "Deployment" and k.group == "apps" for k in keepers)
        listed = cluster.list("Deployment", namespace) if has_deployment else ()
        deployments = {d["metadata"]["uid"]: d for d in listed}
        for obj, keeper in zip(objects, keepers, strict=True):
            deployment = deployments.get(keeper.uid) if keeper else None
            found[obj["metadata"]["uid"]] = owner_facts(kind, obj, deployment)
    return found


def read_mounted_claims(cluster: Cluster, pod: str, namespace: str, *, container: str, path: str) -> dict[str, Any]:
    """Return the claims of the token in a container's file. Its header and signature never leave the container."""
    try:
        payload = cluster.run_in_container(pod, namespace, container, ["cut", "-s", "-d.", "-f2", path])
        return decode_payload(payload)
    except CommandFailed as error:
        raise CollectionError(
            f"Could not read the claims of the token {path} in {error.target}: {error.words}; "
            "use an image that has the program cut, or set verify: false."
        ) from None
    except InvalidOption:
        raise CollectionError(
            f"The file {path} in container {container} of pods {namespace}/{pod} holds no JSON Web Token; "
            "check that nothing else is mounted there."
        ) from None
