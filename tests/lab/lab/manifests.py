# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pods of a control-plane node, as plain dicts, under OpenShift's namespaces, names and labels.

The kube-apiserver's is a template: the same text for every master, with the placeholders NODE_NAME and NODE_IP, so that an
installer pod can put it in place with two replacements.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import yaml

from . import images
from .shape import SERVICE_RANGE, Node

Manifest = dict[str, Any]

NODE_NAME = "NODE_NAME"
NODE_IP = "NODE_IP"
DEFAULT_ISSUER = "https://kubernetes.default.svc"
CONFIG = "/etc/kubernetes"
PKI = f"{CONFIG}/pki"
MANIFESTS = f"{CONFIG}/manifests"
AUDIT_POLICY = f"{CONFIG}/audit/policy.yaml"
ADMISSION = f"{CONFIG}/admission/config.yaml"
AUDIT_LOG = "/var/log/kube-apiserver/audit.log"
KUBE_APISERVER_FILE = "kube-apiserver-pod.yaml"
"""Name of the kube-apiserver's file among the static pods, as on OpenShift."""


def audit_policy() -> Manifest:
    """OpenShift's default profile: metadata of every request that is not noise. Of nodes also what is written to them: who
    cordons which node when, and with which boot ID it reports."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "metadata": {"name": "Default"},
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "resources": [{"group": "", "resources": ["events"]}]},
            {
                "level": "None",
                "userGroups": ["system:authenticated", "system:unauthenticated"],
                "nonResourceURLs": ["/api*", "/version", "/healthz", "/readyz", "/livez"],
            },
            {
                "level": "Request",
                "verbs": ["patch"],
                "resources": [{"group": "", "resources": ["nodes", "nodes/status"]}],
            },
            {"level": "Metadata"},
        ],
    }


def admission() -> Manifest:
    """OpenShift's default for namespaces without labels: everything is let in, and what is not restricted is warned of."""
    pod_security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "privileged", "audit": "restricted", "warn": "restricted"},
    }
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": pod_security}],
    }


def kube_apiserver_template(
    issuers: Sequence[str] = (DEFAULT_ISSUER,),
    revision: int = 1,
    *,
    jwks_uri: str | None = None,
    shutdown_delay: float = 7.0,
    extra_arguments: Sequence[str] = (),
) -> Manifest:
    """One static pod for all masters. The first issuer signs, all are accepted, and audiences equal issuers."""
    arguments = [
        "--etcd-servers=https://127.0.0.1:2379",
        f"--etcd-cafile={PKI}/etcd-ca.crt",
        f"--etcd-certfile={PKI}/apiserver-etcd-client.crt",
        f"--etcd-keyfile={PKI}/apiserver-etcd-client.key",
        "--secure-port=6443",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_IP}",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--admission-control-config-file={ADMISSION}",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={PKI}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={AUDIT_POLICY}",
        f"--audit-log-path={AUDIT_LOG}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=10",
        f"--shutdown-delay-duration={shutdown_delay:g}s",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        *(f"--service-account-issuer={issuer}" for issuer in issuers),
        f"--api-audiences={','.join(issuers)}",
        *([f"--service-account-jwks-uri={jwks_uri}"] if jwks_uri else []),
        *extra_arguments,
        "--v=1",
    ]
    return _pod(
        "kube-apiserver",
        "openshift-kube-apiserver",
        {"app": "openshift-kube-apiserver", "apiserver": "true", "revision": str(revision)},
        image=images.KUBE_APISERVER,
        command=["/usr/bin/kube-apiserver", *arguments],
        mounts={
            "pki": (PKI, True),
            "audit-policy": (f"{CONFIG}/audit", True),
            "admission": (f"{CONFIG}/admission", True),
            "audit-log": ("/var/log/kube-apiserver", False),
        },
        probes=_probes(6443, "HTTPS", live="/livez", ready="/readyz"),
        grace_seconds=int(shutdown_delay) + 65,
    )


def render(template: Manifest, node: Node) -> Manifest:
    """The template with one node's name and address; the same as the installer's replacements in the text."""
    text = to_yaml(template).replace(NODE_NAME, node.name).replace(NODE_IP, node.address)
    rendered: Manifest = yaml.safe_load(text)
    return rendered


def to_yaml(manifest: Manifest) -> str:
    """The text that is put into files and ConfigMaps."""
    text: str = yaml.safe_dump(manifest, sort_keys=False, width=1000)
    return text


def etcd(node: Node, masters: Sequence[Node]) -> Manifest:
    """The member of this node. After a restart the data directory decides, so these flags never change."""
    peers = ",".join(f"{master.name}=https://{master.address}:2380" for master in masters)
    arguments = [
        f"--name={node.name}",
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls=https://127.0.0.1:2379,https://{node.address}:2379",
        f"--advertise-client-urls=https://{node.address}:2379",
        f"--listen-peer-urls=https://{node.address}:2380",
        f"--initial-advertise-peer-urls=https://{node.address}:2380",
        f"--initial-cluster={peers}",
        "--initial-cluster-state=new",
        "--initial-cluster-token=lab",
        f"--cert-file={PKI}/etcd-server.crt",
        f"--key-file={PKI}/etcd-server.key",
        "--client-cert-auth=true",
        f"--trusted-ca-file={PKI}/etcd-ca.crt",
        f"--peer-cert-file={PKI}/etcd-peer.crt",
        f"--peer-key-file={PKI}/etcd-peer.key",
        "--peer-client-cert-auth=true",
        f"--peer-trusted-ca-file={PKI}/etcd-ca.crt",
        "--listen-metrics-urls=http://127.0.0.1:2381",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    return _pod(
        "etcd",
        "openshift-etcd",
        {"app": "etcd", "etcd": "true", "k8s-app": "etcd", "revision": "1"},
        image=images.ETCD,
        command=["/usr/bin/etcd", *arguments],
        mounts={"pki": (PKI, True), "data": ("/var/lib/etcd", False)},
        probes=_probes(2381, "HTTP", live="/livez", ready="/readyz"),
    )


def kube_controller_manager() -> Manifest:
    """The same on every master; leader election leaves one at work."""
    arguments = [
        f"--kubeconfig={CONFIG}/kube-controller-manager/kubeconfig",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--allocate-node-cidrs=false",
        "--node-monitor-grace-period=20s",
        "--node-monitor-period=5s",
        "--kube-api-qps=150",  # both as OpenShift's operator sets them: by default pods come back at 20 a second
        "--kube-api-burst=300",
        "--bind-address=127.0.0.1",
        "--leader-elect=true",
        "--v=1",
    ]
    return _pod(
        "kube-controller-manager",
        "openshift-kube-controller-manager",
        {"app": "kube-controller-manager", "kube-controller-manager": "true", "revision": "1"},
        image=images.KUBE_CONTROLLER_MANAGER,
        command=["/usr/bin/kube-controller-manager", *arguments],
        mounts={"pki": (PKI, True), "config": (f"{CONFIG}/kube-controller-manager", True)},
        probes=_probes(10257, "HTTPS", live="/healthz", ready="/healthz"),
    )


def kube_scheduler() -> Manifest:
    """The same on every master; leader election leaves one at work."""
    arguments = [
        f"--kubeconfig={CONFIG}/kube-scheduler/kubeconfig",
        "--bind-address=127.0.0.1",
        "--leader-elect=true",
        "--v=1",
    ]
    return _pod(
        "openshift-kube-scheduler",
        "openshift-kube-scheduler",
        {"app": "openshift-kube-scheduler", "scheduler": "true", "revision": "1"},
        container="kube-scheduler",
        image=images.KUBE_SCHEDULER,
        command=["/usr/bin/kube-scheduler", *arguments],
        mounts={"config": (f"{CONFIG}/kube-scheduler", True)},
        probes=_probes(10259, "HTTPS", live="/livez", ready="/readyz"),
    )


def static_pods(node: Node, masters: Sequence[Node], kube_apiserver: Manifest) -> dict[str, Manifest]:
    """File name to manifest, for a master's /etc/kubernetes/manifests."""
    return {
        "etcd-pod.yaml": etcd(node, masters),
        KUBE_APISERVER_FILE: render(kube_apiserver, node),
        "kube-controller-manager-pod.yaml": kube_controller_manager(),
        "kube-scheduler-pod.yaml": kube_scheduler(),
    }


def mirror_pods(node: Node) -> list[tuple[str, str]]:
    """Namespace and name of a master's static pods as the API shows them."""
    return [
        ("openshift-etcd", f"etcd-{node.name}"),
        ("openshift-kube-apiserver", f"kube-apiserver-{node.name}"),
        ("openshift-kube-controller-manager", f"kube-controller-manager-{node.name}"),
        ("openshift-kube-scheduler", f"openshift-kube-scheduler-{node.name}"),
    ]


def flag_values(manifest: Manifest, flag: str) -> list[str]:
    """All values that a static pod's command gives to a flag, in order."""
    command = manifest["spec"]["containers"][0]["command"]
    return [match[1] for argument in command if (match := re.fullmatch(rf"--{re.escape(flag)}=(.*)", argument))]


def _probes(port: int, scheme: str, *, live: str, ready: str) -> Manifest:
    def probe(path: str, period: int, failures: int, timeout: int) -> Manifest:
        return {
            "httpGet": {"host": "127.0.0.1", "port": port, "path": path, "scheme": scheme},
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": timeout,
        }

    return {
        "startupProbe": probe(live, 1, 180, 5),
        "livenessProbe": probe(live, 10, 8, 10),
        "readinessProbe": probe(ready, 2, 2, 5),
    }


def _pod(
    name: str,
    namespace: str,
    labels: dict[str, str],
    *,
    image: str,
    command: list[str],
    mounts: dict[str, tuple[str, bool]],
    probes: Manifest,
    container: str | None = None,
    grace_seconds: int = 30,
) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": grace_seconds,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": container or name,
                    "image": image,
                    "imagePullPolicy": "Never",
                    "command": command,
                    "resources": {"requests": {"cpu": "20m", "memory": "50Mi"}},
                    "volumeMounts": [
                        {"name": volume, "mountPath": path, "readOnly": read_only}
                        for volume, (path, read_only) in mounts.items()
                    ],
                    **copy.deepcopy(probes),
                }
            ],
            "volumes": [
                {"name": volume, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
                for volume, (path, _unused) in mounts.items()
            ],
        },
    }
