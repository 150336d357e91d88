# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person may choose about a lab, read once from the environment, and the places that follow from it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .shape import Node, make_nodes


@dataclass(frozen=True)
class Settings:
    """One lab: two labs with different names and ports share nothing but the caches."""

    name: str
    port: int
    time_scale: float
    cache: Path
    master_count: int = 3

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings are valid, or LabError names the variable that is not."""
        environ = os.environ if environ is None else environ
        name = environ.get("LAB_NAME") or "lab"
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", name):
            raise LabError(f"LAB_NAME={name!r}: use up to 31 lower-case letters, digits and dashes.")
        port = _number(environ, "LAB_PORT", "7443", 1, 65535)
        if port != int(port):
            raise LabError(f"LAB_PORT={port}: a whole number is needed.")
        scale = _number(environ, "LAB_TIME_SCALE", "0.1", 0.0, 100.0)
        caches = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".cache")
        cache = Path(environ.get("LAB_CACHE") or caches / "bound-tokens-lab").absolute()
        masters = environ.get("LAB_MASTERS") or "3"
        if masters not in ("1", "3"):
            raise LabError(f"LAB_MASTERS={masters!r}: 1 or 3 is needed.")
        return cls(name=name, port=int(port), time_scale=scale, cache=cache, master_count=int(masters))

    def environment(self) -> dict[str, str]:
        """Variables that give a child process these same settings."""
        return {
            "LAB_NAME": self.name,
            "LAB_PORT": str(self.port),
            "LAB_TIME_SCALE": str(self.time_scale),
            "LAB_CACHE": str(self.cache),
            "LAB_MASTERS": str(self.master_count),
        }

    @property
    def nodes(self) -> tuple[Node, ...]:
        return make_nodes(self.master_count)

    @property
    def masters(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.master)

    @property
    def run(self) -> Path:
        """State of this lab; it lives from `up` to `down`."""
        return self.cache / "run" / self.name

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "kubeconfig"

    @property
    def pod_template(self) -> Path:
        """The kube-apiserver's static pod with placeholders, from which the operator stand-in makes revisions."""
        return self.run / "kube-apiserver-pod.yaml"

    @property
    def bootstrapped(self) -> Path:
        """This file exists once the API holds the lab's first objects; the operator stand-in waits for it."""
        return self.run / "bootstrapped"

    @property
    def cgroup(self) -> str:
        """Name of the cgroup above all boxes of this lab."""
        return f"bound-tokens-lab-{self.name}"

    @property
    def server_url(self) -> str:
        """Where clients on this machine reach the API."""
        return f"https://127.0.0.1:{self.port}"

    def node(self, name: str) -> Path:
        """State of one box."""
        return self.run / "nodes" / name

    def log(self, component: str) -> Path:
        return self.run / f"{component}.log"


def _number(environ: Mapping[str, str], variable: str, default: str, low: float, high: float) -> float:
    text = environ.get(variable) or default
    try:
        value = float(text)
    except ValueError:
        raise LabError(f"{variable}={text!r}: a number is needed.") from None
    if not low <= value <= high:
        raise LabError(f"{variable}={text}: a number from {low:g} to {high:g} is needed.")
    return value
