# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a revision: what the API server is told, its static pod, and the pod that installs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAMESPACE = "openshift-kube-apiserver"
OPERATOR_NAMESPACE = "openshift-kube-apiserver-operator"
STATIC_POD = "kube-apiserver"
MANIFEST = "kube-apiserver-pod.yaml"
READY = "operator.openshift.io/revision-ready"
IMAGE = "lab.local/shell:1"

# The flags that the operator decides; whatever the template says about them is replaced.
DECIDED = ("service-account-issuer", "api-audiences", "service-account-jwks-uri")

# Written to a temporary file of the same file system outside the watched folder and renamed: the kubelet sees all or nothing.
INSTALL = """set -eu
new=/etc/kubernetes/.$MANIFEST.$POD_NAME
sed -e "s/NODE_NAME/$NODE_NAME/g" -e "s/NODE_IP/$NODE_IP/g" /revision/pod.yaml > "$new"
mv "$new" "/etc/kubernetes/manifests/$MANIFEST"
echo "installed $MANIFEST of revision $REVISION on $NODE_NAME"
"""


def config_text(observed: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """The text of config.yaml: the observed arguments, and the unsupported overrides, which win."""
    arguments = {**observed.get("apiServerArguments", {}), **overrides.get("apiServerArguments", {})}
    config = {
        "apiServerArguments": arguments,
        "apiVersion": "kubecontrolplane.config.openshift.io/v1",
        "kind": "KubeAPIServerConfig",
    }
    return json.dumps(config, sort_keys=True)


def static_pod(template: Mapping[str, Any], revision: int, config: str) -> str:
    """The static pod's manifest for a revision: the template with the configured flags and the label ``revision``.

    NODE_NAME and NODE_IP are left for the installer. The result is JSON, which is YAML, too.
    """
    pod = json.loads(json.dumps(template))
    pod["metadata"] = {**pod["metadata"], "name": STATIC_POD, "namespace": NAMESPACE}
    labels = {"apiserver": "true", "app": "openshift-kube-apiserver", **pod["metadata"].get("labels", {})}
    pod["metadata"]["labels"] = {**labels, "revision": str(revision)}
    container = next(c for c in pod["spec"]["containers"] if c["name"] == STATIC_POD)
    arguments = json.loads(config)["apiServerArguments"]
    where = "args" if any(flag.startswith("--") for flag in container.get("args", [])) else "command"
    kept = [flag for flag in container[where] if flag.removeprefix("--").partition("=")[0] not in DECIDED]
    # api-audiences is a comma-separated list or repeated, the issuer must be repeated: repeating does for all
    container[where] = kept + [f"--{name}={value}" for name in DECIDED for value in arguments.get(name, [])]
    return json.dumps(pod, indent=1)


def installer_pod(name: str, node: str, revision: int) -> dict[str, Any]:
    """The pod that installs a revision on its node, with the real one's name, labels, account and privileges."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "installer"}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "priorityClassName": "system-node-critical",
            "serviceAccountName": "installer-sa",
            "securityContext": {"runAsUser": 0},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "installer",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", INSTALL],
                    "env": [
                        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                        {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                        {"name": "REVISION", "value": str(revision)},
                        {"name": "MANIFEST", "value": MANIFEST},
                    ],
                    "securityContext": {"privileged": True, "runAsUser": 0},
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "resources": {"requests": {"cpu": "10m"}},
                    "volumeMounts": [
                        {"name": "kubelet-dir", "mountPath": "/etc/kubernetes"},
                        {"name": "revision", "mountPath": "/revision", "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "kubelet-dir", "hostPath": {"path": "/etc/kubernetes"}},
                {"name": "revision", "configMap": {"name": f"kube-apiserver-pod-{revision}"}},
            ],
        },
    }
