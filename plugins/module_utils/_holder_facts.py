# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads what the verdicts about holders of tokens need. Large lists are read page by page and judged as they come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from ._client.cluster import Cluster
from ._client.queries import Queries
from ._errors import InvalidOption
from ._facts import read_optional
from ._holder_model import HolderContext, HolderPod, TokenDriver, holder_pod, token_driver
from ._model import LAST_MOMENT, NO_CONDITION, conditions_of
from ._plan.issuer_traces import LEGACY_TYPE, Trace, TraceSearch, is_kept, legacy_record

#: Objects of a megabyte are possible, so that fewer are asked for at once.
PAGE_OF_LARGE_ONES = 50
#: Their content is compressed, and there are many.
NO_HELM_RELEASES = "type!=helm.sh/release.v1"

KeptT = TypeVar("KeptT")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomKind:
    """A kind of objects in which a former issuer is looked for."""

    api_version: str
    kind: str
    namespace: str | None = None


def read_ready_since(cluster: Cluster) -> dict[str, datetime | None]:
    """Return since when each node is Ready, LAST_MOMENT at most; None for one that is not."""
    found = cluster.list_at("Node", read=lambda n: (n["metadata"]["name"], conditions_of(n).get("Ready", NO_CONDITION)))
    moments = {name: c.last_transition if c.status == "True" else None for name, c in found[1]}
    return {name: min(moment, LAST_MOMENT) if moment else None for name, moment in moments.items()}


def read_drivers(cluster: Cluster) -> dict[str, TokenDriver]:
    """Return the CSI drivers that ask for tokens, by name."""
    found = {d["metadata"]["name"]: token_driver(d) for d in cluster.list("CSIDriver")}
    return {name: driver for name, driver in found.items() if driver}


def read_driver_claims(cluster: Cluster, drivers: Collection[str]) -> dict[tuple[str, str], str]:
    """Return the driver of each persistent volume claim, by namespace and name, whose driver is one of these."""

    def read(volume: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
        spec = volume.get("spec") or {}
        claim = spec.get("claimRef") or {}
        return (claim.get("namespace", ""), claim.get("name", "")), (spec.get("csi") or {}).get("driver", "")

    found = cluster.list_at("PersistentVolume", read=read)[1] if drivers else []
    return {claim: driver for claim, driver in found if driver in drivers}


def read_secrets(
    cluster: Cluster, search: TraceSearch, own: Collection[str]
) -> tuple[dict[tuple[str, str], str], list[Trace]]:
    """Return the service accounts of the Secrets with legacy tokens, by namespace and name, and the traces in all Secrets."""

    def read(secret: Mapping[str, Any]) -> tuple[tuple[str, str, str] | None, list[Trace]]:
        if secret.get("type") == LEGACY_TYPE:
            return legacy_record(secret), []
        return None, [] if is_kept(secret, own) else search.in_secret(secret)

    found = cluster.list_at("Secret", field_selector=NO_HELM_RELEASES, read=read, page_size=PAGE_OF_LARGE_ONES)[1]
    legacy = {(namespace, name): account for namespace, name, account in (f for f, _traces in found if f)}
    return legacy, [t for _legacy, traces in found for t in traces]


def read_config_maps(cluster: Cluster, search: TraceSearch, own: Collection[str]) -> list[Trace]:
    """Return the traces in all ConfigMaps that nobody keeps."""

    def read(config_map: Mapping[str, Any]) -> list[Trace]:
        return [] if is_kept(config_map, own) else search.in_object("ConfigMap", config_map)

    return [t for traces in cluster.list_at("ConfigMap", read=read, page_size=PAGE_OF_LARGE_ONES)[1] for t in traces]


#: Kinds that are known to name the issuer of a cluster, and their versions, the newest first.
KNOWN_KINDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "ClusterSecretStore": ("external-secrets.io/v1", "external-secrets.io/v1beta1"),
        "SecretStore": ("external-secrets.io/v1", "external-secrets.io/v1beta1"),
        "ClusterIssuer": ("cert-manager.io/v1",),
        "Issuer": ("cert-manager.io/v1",),
        "CredentialsRequest": ("cloudcredential.openshift.io/v1",),
        "VaultAuth": ("secrets.hashicorp.com/v1beta1",),
        "JWTOIDCAuthEngineConfig": ("redhatcop.redhat.io/v1alpha1",),
        "KubernetesAuthEngineConfig": ("redhatcop.redhat.io/v1alpha1",),
    }
)


def read_known_resources(cluster: Cluster, search: TraceSearch, kind: str) -> list[Trace]:
    """Return the traces in all objects of one of KNOWN_KINDS; none where the cluster does not have it."""
    for version in KNOWN_KINDS[kind]:
        with suppress(InvalidOption):
            return read_custom_resources(cluster, search, CustomKind(api_version=version, kind=kind))
    return []


def read_custom_resources(cluster: Cluster, search: TraceSearch, kind: CustomKind) -> list[Trace]:
    """Return the traces in all objects of a kind. Raises InvalidOption for one that the cluster does not have."""
    found = Queries(cluster).read(kind.api_version, kind.kind, namespace=kind.namespace)
    return [trace for obj in found for trace in search.in_object(kind.kind, obj)]


def read_holders(cluster: Cluster, context: HolderContext, keep: Callable[[HolderPod], KeptT]) -> list[KeptT]:
    """Return what ``keep`` makes of each pod of the cluster."""
    return cluster.list_at("Pod", read=lambda pod: keep(holder_pod(pod, context)))[1]


def read_audit_gap(cluster: Cluster) -> str:
    """Return what the cluster's audit policy leaves out, as the middle of a sentence; empty where it logs all requests."""
    audit = (read_optional(cluster, "APIServer", "cluster").get("spec") or {}).get("audit") or {}
    if audit.get("profile") == "None":
        return "the audit profile of apiservers.config.openshift.io/cluster is None"
    silent = [r.get("group") for r in audit.get("customRules") or () if r.get("profile") == "None"]
    return f"the audit policy logs nothing of the group {', '.join(silent)}" if silent else ""
