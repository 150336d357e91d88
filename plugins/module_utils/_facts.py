# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads the cluster into plain facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from ._client import Cluster
from ._errors import ApiError, CollectionError
from ._model import (
    Condition,
    IssuerFacts,
    Permission,
    Probe,
    RolloutFacts,
    conditions_of,
    issuer_facts,
    issuers_in_config,
    latest_revision_of,
    rollout_facts,
)

#: Where the operator keeps the kube-apiservers' static pods and one ConfigMap config-N per revision.
OPERAND_NAMESPACE = "openshift-kube-apiserver"

#: An audience that nothing accepts: a token made only to be read is of no use to anybody.
PROBE_AUDIENCE = "probe.invalid"
#: The shortest lifetime that the API grants.
PROBE_SECONDS = 600


def read_issuer(cluster: Cluster) -> IssuerFacts:
    """Return the issuer as wanted and as the operator reports it."""
    return issuer_facts(cluster.require("Authentication", "cluster"), read_kube_apiserver(cluster))


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


def read_rollout(cluster: Cluster) -> RolloutFacts:
    """Return the facts of one judgement, read in the order that makes them sound together."""
    authentication = cluster.require("Authentication", "cluster")
    first = read_kube_apiserver(cluster)
    config = read_revision_config(cluster, latest_revision_of(first))
    return rollout_facts(authentication, first, config, read_kube_apiserver(cluster))


def read_revision_config(cluster: Cluster, revision: int) -> dict[str, Any] | None:
    """Return the kube-apiserver configuration of a revision, None when the revision is gone."""
    config_map = cluster.get("ConfigMap", f"config-{revision}", OPERAND_NAMESPACE)
    if config_map is None:
        return None
    parsed = yaml.safe_load((config_map.get("data") or {}).get("config.yaml") or "{}")
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
        for _ in range(count)
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
