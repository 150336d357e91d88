# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenShift's own CustomResourceDefinitions, read from the Go module github.com/openshift/api, never copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from . import cache, versions
from .go import Go

_FILES = (
    "config/v1/zz_generated.crd-manifests/0000_10_config-operator_01_authentications-Default.crd.yaml",
    "config/v1/zz_generated.crd-manifests/0000_10_config-operator_01_infrastructures-Default.crd.yaml",
    "config/v1/zz_generated.crd-manifests/0000_00_cluster-version-operator_01_clusteroperators.crd.yaml",
    "config/v1/zz_generated.crd-manifests/0000_00_cluster-version-operator_01_clusterversions-Default.crd.yaml",
    "machineconfiguration/v1/zz_generated.crd-manifests/0000_80_machine-config_01_machineconfigpools-SelfManagedHA.crd.yaml",
    "operator/v1/zz_generated.crd-manifests/0000_12_etcd_01_etcds-Default.crd.yaml",
    "operator/v1/zz_generated.crd-manifests/0000_20_kube-apiserver_01_kubeapiservers-Default.crd.yaml",
    "security/v1/zz_generated.crd-manifests/0000_03_config-operator_01_securitycontextconstraints.crd.yaml",
)


def crds(caches: Path, go: Go) -> list[dict[str, Any]]:
    """The definitions; kept in the cache as JSON, which loads a hundred times faster."""

    def make(target: Path) -> None:
        sources = go.module_directory("openshift-api", "github.com/openshift/api", versions.openshift_api())
        definitions = [yaml.safe_load((sources / file).read_text(encoding="utf-8")) for file in _FILES]
        (target / "crds.json").write_text(json.dumps(definitions), encoding="utf-8")

    key = f"{versions.openshift_api()}-{cache.digest(*_FILES)}"
    file = cache.directory(caches / "openshift-api" / key, make) / "crds.json"
    loaded: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return loaded
