# SPDX-License-Identifier: GPL-3.0-or-later
"""The first objects of a lab's API: what a healthy OpenShift 4.21 shows, as far as automation reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import images
from .api import timestamp
from .pki import KUBELET_CLIENT_GROUP
from .settings import Settings
from .shape import API_PORT, HUB_ADDRESS, WORKER_COUNT, Node

Object = dict[str, Any]

VERSION = "4.21.0"
CLUSTER_ID = "b0a7d70c-0000-4000-8000-000000000001"
MACHINE_CONFIG = "openshift-machine-config-operator"
SCC_ROLE = "system:openshift:scc:privileged"
NAMESPACES = (
    "openshift-apiserver",
    "openshift-authentication",
    "openshift-config",
    "openshift-config-managed",
    "openshift-etcd",
    "openshift-etcd-operator",
    "openshift-ingress",
    "openshift-kube-apiserver",
    "openshift-kube-apiserver-operator",
    "openshift-kube-controller-manager",
    "openshift-kube-scheduler",
    MACHINE_CONFIG,
    "openshift-monitoring",
)
_OPERATORS = (
    "authentication",
    "etcd",
    "ingress",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "machine-config",
    "monitoring",
    "openshift-apiserver",
)


@dataclass(frozen=True)
class Initial:
    """An object with the collection it belongs to; its status, if any, is written separately as the API demands."""

    collection: str
    body: Object
    status: Object | None = None

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


def namespaces() -> list[Initial]:
    """Static pods become visible only when their namespaces exist, so these come first."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged", "openshift.io/cluster-monitoring": "true"}
    return [Initial("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}) for name in NAMESPACES]


def kubelet_access() -> Initial:
    """The API servers may do at the kubelets what clients ask them for: logs, exec, files below /var/log."""
    binding = {
        "metadata": {"name": KUBELET_CLIENT_GROUP},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:kubelet-api-admin",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": KUBELET_CLIENT_GROUP}],
    }
    return Initial("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)


def node_labels(node: Node) -> dict[str, str]:
    """The roles, which a kubelet may not give to itself."""
    roles = ("control-plane", "master") if node.master else ("worker",)
    return {f"node-role.kubernetes.io/{role}": "" for role in roles}


def openshift(settings: Settings) -> list[Initial]:
    """The custom resources. The operator stand-in owns the kubeapiserver's status and observedConfig."""
    config = "/apis/config.openshift.io/v1"
    now = timestamp()
    return [
        Initial(f"{config}/authentications", _resource("config.openshift.io/v1", "Authentication", "cluster", {})),
        Initial(
            f"{config}/infrastructures",
            _resource(
                "config.openshift.io/v1",
                "Infrastructure",
                "cluster",
                {"cloudConfig": {"name": ""}, "platformSpec": {"type": "None"}},
            ),
            {
                "apiServerURL": settings.server_url,
                "apiServerInternalURI": f"https://{HUB_ADDRESS}:{API_PORT}",
                "controlPlaneTopology": "SingleReplica" if settings.master_count == 1 else "HighlyAvailable",
                "infrastructureTopology": "HighlyAvailable",
                "infrastructureName": settings.name,
                "etcdDiscoveryDomain": "",
                "platform": "None",
                "platformStatus": {"type": "None"},
            },
        ),
        Initial(
            f"{config}/clusterversions",
            _resource(
                "config.openshift.io/v1",
                "ClusterVersion",
                "version",
                {"clusterID": CLUSTER_ID, "channel": "stable-4.21"},
            ),
            {
                "availableUpdates": None,
                "desired": {"version": VERSION, "image": f"lab.local/release:{VERSION}"},
                "history": [
                    {
                        "state": "Completed",
                        "startedTime": now,
                        "completionTime": now,
                        "version": VERSION,
                        "image": f"lab.local/release:{VERSION}",
                        "verified": False,
                    }
                ],
                "observedGeneration": 1,
                "versionHash": "lab",
                "conditions": [
                    _condition("Available", True, now, message=f"Done applying {VERSION}"),
                    _condition("Failing", False, now),
                    _condition("Progressing", False, now, message=f"Cluster version is {VERSION}"),
                ],
            },
        ),
        *(
            Initial(
                f"{config}/clusteroperators",
                _resource("config.openshift.io/v1", "ClusterOperator", name, {}),
                {
                    "versions": [{"name": "operator", "version": VERSION}],
                    "conditions": [
                        _condition("Degraded", False, now, "AsExpected"),
                        _condition("Progressing", False, now, "AsExpected"),
                        _condition("Available", True, now, "AsExpected"),
                        _condition("Upgradeable", True, now, "AsExpected"),
                    ],
                },
            )
            for name in _OPERATORS
        ),
        pool("master", settings.master_count, now),
        pool("worker", WORKER_COUNT, now),
        Initial(
            "/apis/operator.openshift.io/v1/kubeapiservers",
            _resource("operator.openshift.io/v1", "KubeAPIServer", "cluster", {"managementState": "Managed"}),
        ),
        Initial(
            "/apis/operator.openshift.io/v1/etcds",
            _resource("operator.openshift.io/v1", "Etcd", "cluster", {"managementState": "Managed"}),
        ),
        *_security_context_constraints(),
        _machine_config_daemon(),
    ]


def _machine_config_daemon() -> Initial:
    """On every node, as on OpenShift; it does nothing, and needs no token for that."""
    pod = {
        "hostNetwork": True,
        "hostPID": True,
        "automountServiceAccountToken": False,
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 10,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "machine-config-daemon",
                "image": images.SHELL,
                "imagePullPolicy": "Never",
                "resources": {"requests": {"cpu": "20m", "memory": "50Mi"}},
                "securityContext": {"privileged": True, "runAsUser": 0},
                "volumeMounts": [{"name": "rootfs", "mountPath": "/rootfs", "mountPropagation": "HostToContainer"}],
            }
        ],
        "volumes": [{"name": "rootfs", "hostPath": {"path": "/"}}],
    }
    labels = {"k8s-app": "machine-config-daemon"}
    spec = {
        "selector": {"matchLabels": labels},
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    collection = f"/apis/apps/v1/namespaces/{MACHINE_CONFIG}/daemonsets"
    return Initial(collection, _resource("apps/v1", "DaemonSet", "machine-config-daemon", spec))


def _security_context_constraints() -> list[Initial]:
    """The privileged one, the role that grants it, and who has that; `_privileged_pods` holds pods to it."""
    anything: Object = {"type": "RunAsAny"}
    privileged = {
        "apiVersion": "security.openshift.io/v1",
        "kind": "SecurityContextConstraints",
        "metadata": {"name": "privileged"},
        "allowHostDirVolumePlugin": True,
        "allowHostIPC": True,
        "allowHostNetwork": True,
        "allowHostPID": True,
        "allowHostPorts": True,
        "allowPrivilegeEscalation": True,
        "allowPrivilegedContainer": True,
        "allowedCapabilities": ["*"],
        "defaultAddCapabilities": None,
        "fsGroup": anything,
        "groups": ["system:cluster-admins", "system:nodes", "system:masters"],
        "priority": None,
        "readOnlyRootFilesystem": False,
        "requiredDropCapabilities": None,
        "runAsUser": anything,
        "seLinuxContext": anything,
        "seccompProfiles": ["*"],
        "supplementalGroups": anything,
        "users": [],
        "volumes": ["*"],
    }
    rule = {
        "apiGroups": ["security.openshift.io"],
        "resources": ["securitycontextconstraints"],
        "resourceNames": ["privileged"],
        "verbs": ["use"],
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": SCC_ROLE},
        "rules": [rule],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "privileged"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": SCC_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": MACHINE_CONFIG}],
    }
    return [
        Initial("/apis/security.openshift.io/v1/securitycontextconstraints", privileged),
        Initial("/apis/rbac.authorization.k8s.io/v1/clusterroles", role),
        Initial(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{MACHINE_CONFIG}/rolebindings", binding),
        *_privileged_pods(privileged["groups"]),
    ]


def _privileged_pods(groups: list[str]) -> list[Initial]:
    """Stands in for OpenShift's admission: what only the privileged SCC allows is for the groups of that SCC, and for whom a
    role lets use it: the user who makes the pod, or the pod's service account."""
    is_privileged = " || ".join(
        (
            *(f"object.spec.?{field}.orValue(false)" for field in ("hostIPC", "hostNetwork", "hostPID")),
            "object.spec.?volumes.orValue([]).exists(v, has(v.hostPath))",
            *(
                f"object.spec.?{field}.orValue([]).exists(c, c.?securityContext.?privileged.orValue(false))"
                for field in ("containers", "initContainers")
            ),
        )
    )
    may_use = (
        "{}.group('security.openshift.io').resource('securitycontextconstraints').namespace(request.namespace)"
        ".name('privileged').check('use').allowed()"
    )
    is_allowed = " || ".join(
        (
            f"request.userInfo.groups.exists(g, g in {groups})",
            may_use.format("authorizer"),
            may_use.format(
                "authorizer.serviceAccount(request.namespace, object.spec.?serviceAccountName.orValue('default'))"
            ),
        )
    )
    message = (
        "unable to validate against any security context constraint:"
        ' [provider "privileged": Forbidden: not usable by user or serviceaccount]'
    )
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "security-context-constraints"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [pods]},
            "matchConditions": [{"name": "privileged", "expression": is_privileged}],
            "validations": [{"expression": is_allowed, "message": message, "reason": "Forbidden"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "security-context-constraints"},
        "spec": {"policyName": "security-context-constraints", "validationActions": ["Deny"]},
    }
    return [
        Initial("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", policy),
        Initial("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", binding),
    ]


def _resource(api_version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _condition(kind: str, true: bool, now: str, reason: str = "", message: str = "") -> Object:
    condition = {"type": kind, "status": "True" if true else "False", "lastTransitionTime": now}
    return condition | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def pool(role: str, machines: int, now: str) -> Initial:
    """A machine config pool whose nodes are all updated."""
    rendered = f"rendered-{role}-{'0' * 32}"
    spec = {
        "machineConfigSelector": {"matchLabels": {"machineconfiguration.openshift.io/role": role}},
        "nodeSelector": {"matchLabels": {f"node-role.kubernetes.io/{role}": ""}},
        "paused": False,
        "configuration": {"name": rendered},
    }
    status = {
        "observedGeneration": 1,
        "configuration": {"name": rendered},
        "machineCount": machines,
        "updatedMachineCount": machines,
        "readyMachineCount": machines,
        "unavailableMachineCount": 0,
        "degradedMachineCount": 0,
        "conditions": [
            _condition("RenderDegraded", False, now),
            _condition("NodeDegraded", False, now),
            _condition("Degraded", False, now),
            _condition("Updated", True, now, message=f"All nodes are updated with MachineConfig {rendered}"),
            _condition("Updating", False, now),
        ],
    }
    api_version = "machineconfiguration.openshift.io/v1"
    body = _resource(api_version, "MachineConfigPool", role, spec)
    return Initial(f"/apis/{api_version}/machineconfigpools", body, status)
