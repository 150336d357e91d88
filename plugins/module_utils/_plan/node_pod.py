# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The pods that work on a node as its root, each for one deed, and where they live. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._model import MANAGED_BY, Judgement, Outcome
from .._node_model import COMMAND_LABELS
from .permissions import RESTART_NAMESPACE, SCC_ROLE

POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
#: Seconds in which a pod must have started and ended; images are on the node already.
POD_DEADLINE = 300
#: The longest name of a pod (a DNS subdomain).
MAX_NAME = 253


def build_namespace() -> dict[str, Any]:
    """Return the namespace of the pods that work on nodes: privileged, left alone by label synchronisation, for any node."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": RESTART_NAMESPACE,
            "labels": {
                **MANAGED_BY,
                **POD_SECURITY,
                "security.openshift.io/scc.podSecurityLabelSync": "false",
            },
            "annotations": {"openshift.io/node-selector": ""},
        },
    }


def build_role_binding() -> dict[str, Any]:
    """Return what lets the namespace's default service account use OpenShift's privileged SCC."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "privileged"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": SCC_ROLE,
        },
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": RESTART_NAMESPACE}],
    }


def build_node_pod(
    node: str,
    *,
    name: str,
    labels: Mapping[str, str],
    image: str,
    script: str,
    arguments: Sequence[str] = (),
    deadline: int = POD_DEADLINE,
) -> dict[str, Any]:
    """Return a pod bound to ``node`` that runs ``script`` (POSIX shell, $1 is the first argument) once, as root in the host's
    own root, for ``deadline`` seconds at most. It has no token, asks for no resources and tolerates everything."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": dict(labels),
            "annotations": {"openshift.io/required-scc": "privileged"},
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": deadline,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "hostPID": True,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "command",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["chroot", "/host", "/bin/sh", "-ec", script, "sh", *arguments],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {"privileged": True, "runAsUser": 0},
                    "volumeMounts": [{"name": "host", "mountPath": "/host"}],
                }
            ],
            "volumes": [{"name": "host", "hostPath": {"path": "/", "type": "Directory"}}],
        },
    }


def build_command_pod(
    node: str,
    *,
    purpose: str,
    nonce: str,
    image: str,
    script: str,
    arguments: Sequence[str],
    deadline: int = POD_DEADLINE,
) -> dict[str, Any]:
    """Return the pod that runs a command on ``node``. ``purpose`` and ``nonce`` make its name one that no other pod has."""
    return build_node_pod(
        node,
        name=f"{purpose}-{nonce}-{node}"[:MAX_NAME].rstrip("-."),
        labels=COMMAND_LABELS,
        image=image,
        script=script,
        arguments=arguments,
        deadline=deadline,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandVerdict(Judgement):
    """Whether a pod's command has ended, and with which exit status, for DONE."""

    exit_status: int = 0


def judge_command(pod: Mapping[str, Any] | None) -> CommandVerdict:
    """Return DONE when the pod's command has ended by itself, whatever its exit status; FAILED when it never will."""
    if pod is None:
        return CommandVerdict(outcome=Outcome.FAILED, message="somebody else has deleted the pod; run it again.")
    status = pod.get("status") or {}
    phase, words = status.get("phase") or "Pending", status.get("message") or status.get("reason") or ""
    states = [s.get("state") or {} for s in status.get("containerStatuses") or ()]
    if phase in ("Succeeded", "Failed"):
        exit_status = next((s["terminated"]["exitCode"] for s in states if s.get("terminated")), None)
        # A pod with a reason of its own was ended from outside: by its deadline, or by a kubelet that does not take it.
        if status.get("reason") or exit_status is None:
            return CommandVerdict(outcome=Outcome.FAILED, message=f"the pod was ended from outside: {words or phase}")
        return CommandVerdict(outcome=Outcome.DONE, message="the command has ended", exit_status=exit_status)
    waiting = [s["waiting"] for s in states if s.get("waiting")]
    words = next((w.get("message") or w.get("reason") or "" for w in waiting), words)
    return CommandVerdict(outcome=Outcome.WAITING, message=f"the pod is {phase}{f': {words}' if words else ''}")


def read_image(daemon_set: Mapping[str, Any] | None) -> str | None:
    """Return the image of the machine-config daemon, which every OpenShift node has; None when there is none."""
    template = (((daemon_set or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = template.get("containers") or ()
    return next((c["image"] for c in containers if c.get("name") == "machine-config-daemon"), None)
