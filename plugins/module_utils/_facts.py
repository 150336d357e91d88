# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads the cluster into plain facts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ._claims import decode_payload
from ._client.cluster import Cluster, parse_yaml
from ._client.documents import fetch_json
from ._clock import Clock
from ._errors import ApiError, CollectionError, CommandFailed, InvalidOption, Refused
from ._model import (
    DEFAULT_ISSUER,
    MANAGED_BY,
    Address,
    Caller,
    Condition,
    IssuerFacts,
    NamespaceFacts,
    Owner,
    OwnerFacts,
    Permission,
    PodFacts,
    PreflightFacts,
    Probe,
    PublishedDocuments,
    RolloutFacts,
    RolloutVerdict,
    addresses_of,
    caller_of,
    conditions_of,
    is_ours,
    issuer_facts,
    key_ids_of,
    latest_revision_of,
    namespace_facts,
    one_line,
    owner_facts,
    owner_of,
    pod_facts,
    rollout_facts,
)
from ._plan.issuer import DocumentOptions, IssuerRequest
from ._plan.preflight import HOSTED, MICROSHIFT, PLAIN_KUBERNETES

#: Where the operator keeps the kube-apiservers' static pods and one ConfigMap config-N per revision.
OPERAND_NAMESPACE = "openshift-kube-apiserver"

#: An audience that nothing accepts: a token made only to be read is of no use to anybody.
PROBE_AUDIENCE = "probe.invalid"
#: The shortest lifetime that the API grants.
PROBE_SECONDS = 600

#: The kinds of pod owners that say how many pods they want, by API group.
OWNER_KINDS = {
    "ReplicaSet": "apps",
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ReplicationController": "",
}
#: Where a pod that is given a service account's token finds the name of its own namespace.
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: More namespaces than this are read in one go instead of one by one.
MAX_SINGLE_READS = 10


def require_own_namespace(cluster: Cluster, name: str) -> None:
    """Return when the namespace is this collection's, or there is none. Raises Refused.

    Whoever may work in it can read and forge what runs keep there, and has what they grant there. OpenShift lets any user make a
    project of a name that is free, but not label its namespace.
    """
    found = cluster.get("Namespace", name)
    if found is None or is_ours(found):
        return
    label = "=".join(*MANAGED_BY.items())
    raise Refused(
        f"Nothing was done, because the namespace {name} does not carry the label {label}: whoever made it may read and forge "
        "what runs keep in it; delete it, or, when only administrators may work in it, label it with "
        f"'oc label namespace {name} {label}'."
    )


def read_issuer(cluster: Cluster) -> IssuerFacts:
    """Return the issuer as wanted and as the operator reports it.

    Raises Refused on a cluster without OpenShift's configuration, with where the issuer is set there.
    """
    try:
        authentication = cluster.require("Authentication", "cluster")
    except ApiError as error:
        if not error.is_missing_api:
            raise
        microshift = cluster.get("ConfigMap", "microshift-version", "kube-public")
        raise Refused(MICROSHIFT if microshift else PLAIN_KUBERNETES) from None
    return issuer_facts(authentication, read_kube_apiserver(cluster))


def read_wanted_issuer(cluster: Cluster) -> str:
    """Return the issuer that the cluster's configuration asks for, with the default named."""
    return issuer_facts(cluster.require("Authentication", "cluster"), {}).wanted


def read_kube_apiserver(cluster: Cluster) -> dict[str, Any]:
    """Return ``kubeapiservers.operator.openshift.io/cluster``. Raises CollectionError where no operator keeps it."""
    found = cluster.require("KubeAPIServer", "cluster")
    if not (found.get("status") or {}).get("nodeStatuses"):
        infrastructure = cluster.get("Infrastructure", "cluster") or {}
        if (infrastructure.get("status") or {}).get("controlPlaneTopology") == "External":
            raise CollectionError(HOSTED)
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


def read_token_issuers(cluster: Cluster, probe: Probe, *, count: int) -> tuple[str, ...]:
    """Return the issuers that ``count`` new tokens name, each asked for over a new connection."""
    return tuple(read_token(cluster, probe)[0] for _number in range(count))


def read_token(cluster: Cluster, probe: Probe) -> tuple[str, str | None]:
    """Return the issuer and the key ID that a new token names."""
    claims, key_id = cluster.request_token(
        probe.service_account, probe.namespace, audience=PROBE_AUDIENCE, expiration_seconds=PROBE_SECONDS
    )
    return claims.get("iss", ""), key_id


def read_optional(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    """Return an object that only a check looks at; empty where it or its kind does not exist or may not be read."""
    try:
        return cluster.get(kind, name) or {}
    except ApiError as error:
        if error.is_missing_api or error.status == 403:
            return {}
        raise


def read_operators(cluster: Cluster) -> dict[str, dict[str, Condition]]:
    """Return the conditions of each ClusterOperator; none where there are no operators or they may not be read."""
    return {o["metadata"]["name"]: conditions_of(o) for o in _list_readable(cluster, "ClusterOperator")}


def read_condition(cluster: Cluster, kind: str, name: str, condition: str) -> Condition | None:
    """Return one condition of an object; None where it does not exist or may not be read."""
    return conditions_of(read_optional(cluster, kind, name)).get(condition)


def read_pools(cluster: Cluster) -> dict[str, dict[str, Condition]]:
    """Return the conditions of each MachineConfigPool; none where there are no pools or they may not be read."""
    return {p["metadata"]["name"]: conditions_of(p) for p in _list_readable(cluster, "MachineConfigPool")}


def read_caller(cluster: Cluster, *, with_token: bool = False) -> Caller:
    """Return who we are for the cluster (SelfSubjectReview), and on request what the token in use says."""
    try:
        review = cluster.create("SelfSubjectReview", {})
    except ApiError as error:
        if not error.is_missing_api and error.status != 403:
            raise
        review = {}
    return caller_of(review, cluster.own_token_claims() if with_token else {})


def read_cluster_key_ids(cluster: Cluster) -> frozenset[str] | None:
    """Return the IDs of the keys that the API servers publish; None when they publish none or do not show them."""
    try:
        return key_ids_of(cluster.get_document("/openid/v1/jwks"))
    except ApiError as error:
        if error.status in (403, 404):
            return None
        raise


def read_discovery_issuer(cluster: Cluster) -> str | None:
    """Return the issuer in an API server's own discovery document; None when it has none or does not show it."""
    try:
        issuer = cluster.get_document("/.well-known/openid-configuration").get("issuer")
    except ApiError as error:
        if error.status in (403, 404):
            return None
        raise
    return issuer if isinstance(issuer, str) else None


def read_documents(cluster: Cluster, issuer: str, options: DocumentOptions, clock: Clock) -> PublishedDocuments | None:
    """Return what is published at ``issuer``; None when that is not to be looked at.

    The default issuer's documents are the cluster's own. With ``auto`` they are required where the cluster's
    components get their cloud credentials by tokens (credentialsMode Manual).
    """
    if options.mode == "skip" or issuer == DEFAULT_ISSUER:
        return None
    is_required = options.mode == "required"
    if options.mode == "auto":
        credentials = read_optional(cluster, "CloudCredential", "cluster")
        is_required = (credentials.get("spec") or {}).get("credentialsMode") == "Manual"
    if not issuer.startswith("https://"):
        return PublishedDocuments(is_required=is_required, problem="it is not an https URL")
    fetch = partial(fetch_json, ca_cert=options.ca_cert, proxy=options.proxy, timeout=options.timeout, clock=clock)
    try:
        configuration = fetch(f"{issuer}/.well-known/openid-configuration")
        configuration = configuration if isinstance(configuration, Mapping) else {}
        uri = configuration.get("jwks_uri")
        keys = fetch(uri) if isinstance(uri, str) and uri.startswith("https://") else None
    except CollectionError as error:
        return PublishedDocuments(is_required=is_required, problem=error.message)
    return PublishedDocuments(
        is_required=is_required,
        issuer=configuration.get("issuer"),
        jwks_uri=uri,
        key_ids=key_ids_of(keys),
        cluster_key_ids=read_cluster_key_ids(cluster),
    )


def read_preflight(
    cluster: Cluster, request: IssuerRequest, permissions: Iterable[Permission], rollout: RolloutVerdict, clock: Clock
) -> PreflightFacts:
    """Return what the checks need that ``request`` does not switch off, next to the judgement ``rollout``."""
    kube_apiserver = read_kube_apiserver(cluster)
    spec = kube_apiserver.get("spec") or {}
    infrastructure = read_optional(cluster, "Infrastructure", "cluster").get("status") or {}
    overrides = (spec.get("unsupportedConfigOverrides") or {}).get("apiServerArguments") or {}
    wants_documents = "documents" not in request.skip_checks
    return PreflightFacts(
        rollout=rollout,
        now=cluster.server_time(),
        caller=read_caller(cluster, with_token=True),
        denied=tuple(read_denied(cluster, permissions)),
        degraded={name: c.get("Degraded") for name, c in read_operators(cluster).items()},
        progressing=read_condition(cluster, "ClusterVersion", "version", "Progressing"),
        pools=read_pools(cluster),
        management_state=spec.get("managementState") or "Managed",
        overridden=frozenset(overrides),
        topology=infrastructure.get("controlPlaneTopology") or "",
        control_plane_nodes=len((kube_apiserver.get("status") or {}).get("nodeStatuses") or ()),
        documents=read_documents(cluster, request.wanted, request.documents, clock) if wants_documents else None,
    )


def read_denied(cluster: Cluster, wanted: Iterable[Permission]) -> list[Permission]:
    """Return those of ``wanted`` that the caller does not have (SelfSubjectAccessReview)."""
    return [p for p in wanted if not any(_is_allowed(cluster, way) for way in (p, p.instead) if way)]


def _is_allowed(cluster: Cluster, permission: Permission) -> bool:
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": permission.resource,
        "subresource": permission.subresource,
        "namespace": permission.namespace,
        "name": permission.name,
    }
    answer = cluster.create("SelfSubjectAccessReview", {"spec": {"resourceAttributes": attributes}})
    return bool((answer.get("status") or {}).get("allowed"))


def read_own_namespace(cluster: Cluster) -> str | None:
    """Return the namespace that the automation runs in; None where nothing tells.

    It is the one of the service account that is used here; for any other user, such as one with a client certificate,
    the one of the pod that this runs in.
    """
    return read_caller(cluster).namespace or _read_namespace_file()


def _read_namespace_file() -> str | None:
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def find_own_pod(cluster: Cluster, pods: Iterable[PodFacts]) -> PodFacts | None:
    """Return the one of ``pods`` that the automation runs in; None where it is none of them, or nothing tells.

    It is the one that the token is bound to that is used here; for any other credentials, such as a client certificate, the
    one whose service account files are here and whose name this host has.
    """
    uid = read_caller(cluster).pod_uid
    if uid:
        return next((p for p in pods if p.uid == uid), None)
    place = (_read_namespace_file(), socket.gethostname())
    return next((p for p in pods if (p.namespace, p.name) == place), None)


def read_namespaces(
    cluster: Cluster, names: Collection[str] | None, *, label_selector: str = ""
) -> list[NamespaceFacts]:
    """Return those of ``names`` that exist, or all namespaces when ``names`` is None; of these, those with the labels."""
    if names is None or label_selector:
        listed = cluster.list("Namespace", label_selector=label_selector)
        return [namespace_facts(n) for n in listed if names is None or n["metadata"]["name"] in names]
    return [namespace_facts(found) for n in names if (found := cluster.get("Namespace", n))]


def read_pods(
    cluster: Cluster,
    namespaces: Collection[str],
    *,
    label_selector: str = "",
    read: Callable[[Mapping[str, Any]], PodFacts] = pod_facts,
) -> dict[str, list[PodFacts]]:
    """Return the pods of each of ``namespaces`` that have the labels, in the order of their names."""
    found: dict[str, list[PodFacts]] = {n: [] for n in namespaces}
    scopes = list(namespaces) if len(namespaces) <= MAX_SINGLE_READS else [None]
    for scope in scopes:
        for pod in cluster.list_at("Pod", scope, label_selector=label_selector, read=read)[1]:
            if pod.namespace in found:
                found[pod.namespace].append(pod)
    return {n: sorted(pods, key=lambda p: p.name) for n, pods in found.items()}


def read_pods_at(cluster: Cluster, namespace: str) -> tuple[str, list[PodFacts]]:
    """Return the pods of a namespace in the order of their names, after the resourceVersion of that moment."""
    version, pods = cluster.list_at("Pod", namespace, read=pod_facts)
    return version, sorted(pods, key=lambda p: p.name)


def read_all_pods_at(cluster: Cluster, namespaces: Iterable[str]) -> tuple[str, dict[str, list[PodFacts]]]:
    """Return the same of several namespaces, of one moment, from a list of all pods of the cluster."""
    found: dict[str, list[PodFacts]] = {n: [] for n in namespaces}

    def read(pod: Mapping[str, Any]) -> PodFacts | None:
        return pod_facts(pod) if pod["metadata"]["namespace"] in found else None

    version, pods = cluster.list_at("Pod", read=read)
    for pod in pods:
        if pod:
            found[pod.namespace].append(pod)
    return version, {n: sorted(some, key=lambda p: p.name) for n, some in found.items()}


def read_addresses(cluster: Cluster) -> dict[str, Address]:
    """Return who has which IP address now, as far as pods and nodes may be listed."""
    return addresses_of(_list_readable(cluster, "Pod"), _list_readable(cluster, "Node"))


def _list_readable(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    """Return all objects of a kind; none where the cluster has no such kind or it may not be read."""
    try:
        return list(cluster.list(kind))
    except ApiError as error:
        if error.is_missing_api or error.status == 403:
            return []
        raise


def read_audit_profile(cluster: Cluster) -> str:
    """Return the profile of the API servers' audit logs; Default where nothing else is to be read."""
    spec = read_optional(cluster, "APIServer", "cluster").get("spec") or {}
    return (spec.get("audit") or {}).get("profile") or "Default"


def read_owners(cluster: Cluster, namespaces: Collection[str], owners: Iterable[Owner]) -> dict[str, OwnerFacts]:
    """Return the facts of those of ``owners``, which are in ``namespaces``, that still exist, by UID.

    Of kinds that we do not know, nothing is asked, and they are taken to exist.
    """
    scopes: list[str | None] = list(namespaces) if len(namespaces) <= MAX_SINGLE_READS else [None]

    def read(kind: str, uids: Collection[str]) -> list[dict[str, Any]]:
        # A Deployment has many ReplicaSets of former revisions: what nobody asks for is dropped page by page.
        pages = (cluster.list_at(kind, s, read=lambda o: o if o["metadata"]["uid"] in uids else None) for s in scopes)
        return [o for _version, page in pages for o in page if o]

    found: dict[str, OwnerFacts] = {}
    wanted: dict[str, set[str]] = {}
    for owner in owners:
        if OWNER_KINDS.get(owner.kind) == owner.group:
            wanted.setdefault(owner.kind, set()).add(owner.uid)
        else:
            found[owner.uid] = OwnerFacts()
    for kind, uids in sorted(wanted.items()):
        objects = read(kind, uids)
        keepers = [owner_of(o) for o in objects]
        above = {k.uid for k in keepers if k is not None and k.kind == "Deployment" and k.group == "apps"}
        deployments = {d["metadata"]["uid"]: d for d in (read("Deployment", above) if above else ())}
        for obj, keeper in zip(objects, keepers, strict=True):
            deployment = deployments.get(keeper.uid) if keeper else None
            found[obj["metadata"]["uid"]] = owner_facts(kind, obj, deployment)
    return found


def read_create_failures(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Return why pods could not be created lately, in the words of their owners' controllers, by the owner's UID.

    Events are kept for an hour or so; who may not read them learns nothing.
    """
    try:
        events = cluster.list("Event", namespace, field_selector="reason=FailedCreate")
        return {(e.get("involvedObject") or {}).get("uid", ""): one_line(e.get("message") or "") for e in events}
    except ApiError as error:
        if error.status == 403:
            return {}
        raise


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
