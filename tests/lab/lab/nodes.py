# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a box this very node: its files above the shared root, and its own /var."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from . import base, manifests, pki
from .settings import Settings
from .shape import Node

_MASTER_TAINT = "node-role.kubernetes.io/master=:NoSchedule"
_CLUSTER_FILES = ("ca.crt", "ca.key", "sa.key", "sa.pub", "etcd-ca.crt")
_CLUSTER_CLIENTS = ("apiserver-etcd-client", "apiserver-kubelet-client")
_SERVERS = ("apiserver", "etcd-server", "etcd-peer")


def prepare(settings: Settings, node: Node, store: Path | None, kube_apiserver: manifests.Manifest) -> None:
    """The directory of a node that was never booted is complete; without a store it holds no images."""
    home = settings.node(node.name)
    etc = home / "upper/etc"
    for folder in ("work", "root", "sysctl", "var/log", "var/lib"):
        (home / folder).mkdir(parents=True)
    for folder in ("cni/net.d", "kubernetes/pki", "kubernetes/manifests"):
        (etc / folder).mkdir(parents=True)
    if store:
        base.clone_store(store, home / "var/lib/containerd")
    (etc / "hostname").write_text(f"{node.name}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{node.address} {node.name}\n")
    (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
    (etc / "node-ip").write_text(node.address)
    (etc / "node-taints").write_text(_MASTER_TAINT if node.master else "")
    (etc / "cni/net.d/10-lab.conflist").write_text(json.dumps(_cni(node), indent=1))
    kubernetes = etc / "kubernetes"
    own = settings.pki / node.name
    for name in ("kubelet.crt", "kubelet.key", "kubelet.kubeconfig"):
        shutil.copy(own / name, kubernetes)
    shutil.copy(settings.pki / "ca.crt", kubernetes / "pki")
    if node.master:
        _prepare_master(settings, node, kubernetes, kube_apiserver)


def _prepare_master(settings: Settings, node: Node, kubernetes: Path, kube_apiserver: manifests.Manifest) -> None:
    pairs = [settings.pki / name for name in _CLUSTER_CLIENTS] + [settings.pki / node.name / s for s in _SERVERS]
    files = [settings.pki / name for name in _CLUSTER_FILES]
    files += [pair.with_name(pair.name + suffix) for pair in pairs for suffix in (".crt", ".key")]
    for file in files:
        shutil.copy(file, kubernetes / "pki")
    for component in ("kube-controller-manager", "kube-scheduler"):
        (kubernetes / component).mkdir()
        shutil.copy(settings.pki / f"{component}.kubeconfig", kubernetes / component / "kubeconfig")
    pki.write(kubernetes / "audit/policy.yaml", manifests.to_yaml(manifests.audit_policy()).encode(), 0o644)
    pki.write(kubernetes / "admission/config.yaml", manifests.to_yaml(manifests.admission()).encode(), 0o644)
    for name, manifest in manifests.static_pods(node, settings.masters, kube_apiserver).items():
        pki.write(kubernetes / "manifests" / name, manifests.to_yaml(manifest).encode())


def _cni(node: Node) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam",
                    "ranges": [[{"subnet": node.pod_subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
