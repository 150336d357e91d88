# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The kinds of objects that the collection works with, and where the API keeps them."""

from __future__ import annotations

from urllib.parse import quote

#: Every kind the collection works with: group, version, plural, namespaced. Knowing them saves the discovery
#: requests, which fail while API servers restart.
KINDS: dict[str, tuple[str, str, str, bool]] = {
    "APIServer": ("config.openshift.io", "v1", "apiservers", False),
    "Authentication": ("config.openshift.io", "v1", "authentications", False),
    "ClusterOperator": ("config.openshift.io", "v1", "clusteroperators", False),
    "ClusterVersion": ("config.openshift.io", "v1", "clusterversions", False),
    "Infrastructure": ("config.openshift.io", "v1", "infrastructures", False),
    "KubeAPIServer": ("operator.openshift.io", "v1", "kubeapiservers", False),
    "CloudCredential": ("operator.openshift.io", "v1", "cloudcredentials", False),
    "MachineConfigPool": ("machineconfiguration.openshift.io", "v1", "machineconfigpools", False),
    "ConfigMap": ("", "v1", "configmaps", True),
    "Event": ("", "v1", "events", True),
    "Namespace": ("", "v1", "namespaces", False),
    "PersistentVolume": ("", "v1", "persistentvolumes", False),
    "Node": ("", "v1", "nodes", False),
    "Pod": ("", "v1", "pods", True),
    "ReplicationController": ("", "v1", "replicationcontrollers", True),
    "Secret": ("", "v1", "secrets", True),
    "ServiceAccount": ("", "v1", "serviceaccounts", True),
    "DaemonSet": ("apps", "v1", "daemonsets", True),
    "Deployment": ("apps", "v1", "deployments", True),
    "ReplicaSet": ("apps", "v1", "replicasets", True),
    "StatefulSet": ("apps", "v1", "statefulsets", True),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets", True),
    "RoleBinding": ("rbac.authorization.k8s.io", "v1", "rolebindings", True),
    "CertificateSigningRequest": ("certificates.k8s.io", "v1", "certificatesigningrequests", False),
    "CSIDriver": ("storage.k8s.io", "v1", "csidrivers", False),
    "Lease": ("coordination.k8s.io", "v1", "leases", True),
    "SelfSubjectAccessReview": ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", False),
    "SelfSubjectReview": ("authentication.k8s.io", "v1", "selfsubjectreviews", False),
}

#: Created only to be answered; nothing is stored.
QUESTIONS = frozenset({"SelfSubjectAccessReview", "SelfSubjectReview"})


def describe_target(kind: str, name: str | None = None, namespace: str | None = None) -> str:
    """Return an object, or all of a kind, as people write it: plural.group namespace/name."""
    group, _version, plural, _namespaced = KINDS[kind]
    resource = f"{plural}.{group}" if group else plural
    if namespace and name:
        return f"{resource} {namespace}/{name}"
    if namespace:
        return f"{resource} in namespace {namespace}"
    return f"{resource}/{name}" if name else resource


def build_path(kind: str, name: str | None, namespace: str | None, subresource: str = "") -> str:
    group, version, plural, namespaced = KINDS[kind]
    parts = ["apis", group, version] if group else ["api", version]
    if namespaced and namespace:
        parts += ["namespaces", namespace]
    parts += [p for p in (plural, name, subresource) if p]
    return "/" + "/".join(quote(p, safe="") for p in parts)
