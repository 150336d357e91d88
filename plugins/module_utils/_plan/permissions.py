# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What the caller must be allowed to do, all in one place. Pure: whether it is allowed is asked elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from .._model import Permission, Probe

#: Where the pods live that restart nodes, and those that run commands on them.
RESTART_NAMESPACE = "bound-tokens-node-restart"
#: Grants the use of OpenShift's privileged SCC.
SCC_ROLE = "system:openshift:scc:privileged"


def _read_namespace(name: str) -> Permission:
    """What reading this namespace needs; who may read everything in it may read it, too."""
    return Permission(verb="get", group="", resource="namespaces", namespace=name, name=name)


#: The change of the issuer, its checks and the wait after it.
ISSUER = (
    Permission(verb="get", group="config.openshift.io", resource="authentications"),
    Permission(verb="patch", group="config.openshift.io", resource="authentications"),
    Permission(verb="get", group="operator.openshift.io", resource="kubeapiservers"),
    Permission(verb="get", group="config.openshift.io", resource="infrastructures"),
    Permission(verb="get", group="config.openshift.io", resource="clusteroperators"),
    Permission(verb="get", group="config.openshift.io", resource="clusterversions"),
    Permission(verb="get", group="operator.openshift.io", resource="cloudcredentials"),
    Permission(verb="list", group="machineconfiguration.openshift.io", resource="machineconfigpools"),
    Permission(verb="get", group="", resource="configmaps", namespace="openshift-kube-apiserver"),
    Permission(verb="list", group="", resource="pods", namespace="openshift-kube-apiserver"),
)
#: Judging pods by the tokens that they hold.
HOLDERS = (
    Permission(verb="list", group="", resource="nodes"),
    Permission(verb="list", group="storage.k8s.io", resource="csidrivers"),
)
#: The repair and the revocation of trusted issuers.
TRUSTED_ISSUERS = Permission(
    verb="patch", group="operator.openshift.io", resource="kubeapiservers", subresource="status"
)
EVICT_PODS = Permission(verb="create", group="", resource="pods", subresource="eviction")
DELETE_PODS = Permission(verb="delete", group="", resource="pods")
CREATE_PODS = Permission(verb="create", group="", resource="pods")
DRAIN = (Permission(verb="patch", group="", resource="nodes"), EVICT_PODS)
NAMESPACES = Permission(verb="create", group="", resource="namespaces")
RESTART = (
    NAMESPACES,
    _read_namespace(RESTART_NAMESPACE),
    Permission(verb="delete", group="", resource="namespaces"),
    Permission(verb="create", group="rbac.authorization.k8s.io", resource="rolebindings", namespace=RESTART_NAMESPACE),
    # Nobody may grant by a binding what they do not have, unless they may bind its role.
    Permission(
        verb="use",
        group="security.openshift.io",
        resource="securitycontextconstraints",
        namespace=RESTART_NAMESPACE,
        name="privileged",
        instead=Permission(
            verb="bind",
            group="rbac.authorization.k8s.io",
            resource="clusterroles",
            namespace=RESTART_NAMESPACE,
            name=SCC_ROLE,
        ),
    ),
    Permission(verb="create", group="", resource="pods", namespace=RESTART_NAMESPACE),
    replace(DELETE_PODS, namespace=RESTART_NAMESPACE),
)
#: Commands on nodes, and reading what they say.
NODE_COMMAND = (
    *RESTART,
    Permission(verb="get", group="", resource="pods", namespace=RESTART_NAMESPACE),
    Permission(verb="get", group="", resource="pods", subresource="log", namespace=RESTART_NAMESPACE),
)
#: The restart of kubelets, and the proof from what they serve.
NODE_PROXY = Permission(verb="get", group="", resource="nodes", subresource="proxy")
KUBELETS = (*NODE_COMMAND, NODE_PROXY)
#: Reading the token files of all nodes.
TOKEN_FILES = (Permission(verb="list", group="", resource="nodes"), *NODE_COMMAND)


def renewal_permission(method: str, namespace: str, kind: str = "") -> Permission:
    """Return what renewing pods in ``namespace`` needs; an empty one stands for all. ``kind`` is what a rollout restarts."""
    if method == "rollout":
        return Permission(verb="patch", group="apps", resource=f"{kind.lower()}s", namespace=namespace)
    if method == "create":
        return replace(CREATE_PODS, namespace=namespace)
    return replace(DELETE_PODS if method == "delete" else EVICT_PODS, namespace=namespace)


def renewal_permissions(namespace: str, deeds: Iterable[tuple[str, str]]) -> list[Permission]:
    """Return what ``deeds`` in ``namespace`` need, as methods and the kinds that rollouts restart (empty for none)."""
    return list(dict.fromkeys(renewal_permission(method, namespace, kind) for method, kind in deeds))


def keeping_permissions(namespace: str) -> tuple[Permission, ...]:
    """Return what keeping pods in ``namespace``, while there is none in the place of one that goes, needs."""
    return (
        _read_namespace(namespace),
        *(
            Permission(verb=verb, group="", resource="secrets", namespace=namespace)
            for verb in ("list", "create", "patch", "delete")
        ),
    )


def run_permissions(namespace: str) -> tuple[Permission, ...]:
    """Return what a run needs for its record and its lease."""
    return (
        _read_namespace(namespace),
        *(
            Permission(verb=verb, group=group, resource=resource, namespace=namespace)
            for group, resource in (("coordination.k8s.io", "leases"), ("", "configmaps"))
            for verb in ("get", "create", "patch")
        ),
    )


def probe_permission(probe: Probe) -> Permission:
    """Return what making tokens for ``probe`` needs."""
    return Permission(
        verb="create", group="", resource="serviceaccounts", subresource="token", namespace=probe.namespace
    )


#: What the tasks of a run need besides its record, by the names of the option needed_for.
NEEDS = {
    "deletion": (DELETE_PODS,),
    "eviction": (EVICT_PODS,),
    "holders": HOLDERS,
    "issuer": ISSUER,
    "kubelet_restart": KUBELETS,
    "node_restart": (*DRAIN, *RESTART),
    "probe": (probe_permission(Probe()),),
    "recreation": (CREATE_PODS,),
    "revocation": (TRUSTED_ISSUERS,),
    "rollout": tuple(renewal_permission("rollout", "", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet")),
    "token_files": TOKEN_FILES,
    "token_uses": (NODE_PROXY,),
}


def describe_denied(denied: Iterable[Permission]) -> str:
    """Return what is missing and who can help, as the end of a sentence."""
    return f"you are not allowed to {'; '.join(str(p) for p in denied)}; ask a cluster administrator for this."


def permissions_for(names: Collection[str]) -> tuple[Permission, ...]:
    """Return what the tasks of these names (keys of NEEDS) need, each permission once."""
    return tuple(dict.fromkeys(p for name in sorted(names) for p in NEEDS[name]))
