# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of the cluster's parts. The pinned Go modules are the only place where they are written down."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import LabError

GO_MODULES = Path(__file__).resolve().parent.parent / "go"


def pinned(module: str, dependency: str) -> str:
    """The version of a dependency that a pinned module asks for, for example `v1.34.4`."""
    text = (GO_MODULES / module / "go.mod").read_text(encoding="utf-8")
    match = re.search(rf"^(?:require)?\s+{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
    if not match:
        raise LabError(f"tests/lab/go/{module}/go.mod does not pin {dependency}.")
    return match[1]


def kubernetes() -> str:
    return pinned("kubernetes", "k8s.io/kubernetes")


def etcd() -> str:
    return pinned("etcd", "go.etcd.io/etcd/server/v3")


def openshift_api() -> str:
    return pinned("openshift-api", "github.com/openshift/api")


def kwok() -> str:
    return pinned("kwok", "sigs.k8s.io/kwok")
