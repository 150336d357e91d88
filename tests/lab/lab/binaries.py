# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's programs: taken from the machine where they suit, else built once from the pinned Go modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import cache, versions
from .go import Go
from .progress import Say
from .versions import GO_MODULES

_OWN = ("pause", "web")
"""The lab's own programs."""


@dataclass(frozen=True)
class Program:
    """A program as this lab uses it."""

    name: str
    path: Path
    version: str

    @property
    def fingerprint(self) -> str:
        """Changes when the file changes."""
        status = self.path.stat()
        return f"{self.name} {self.version} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class _Source:
    """Where a program comes from: one of the modules below tests/lab/go."""

    module: str
    package: str
    version: str

    @property
    def ldflags(self) -> str:
        if self.module != "kubernetes":
            return "-s -w"
        major, minor = self.version.removeprefix("v").split(".")[:2]
        stamps = {
            "k8s.io/component-base/version.gitVersion": self.version,
            "k8s.io/component-base/version.gitMajor": major,
            "k8s.io/component-base/version.gitMinor": minor,
            "k8s.io/client-go/pkg/version.gitVersion": self.version,
        }
        return "-s -w " + " ".join(f"-X {name}={value}" for name, value in stamps.items())

    @property
    def key(self) -> str:
        files = sorted(file for file in (GO_MODULES / self.module).iterdir() if file.suffix in (".mod", ".sum", ".go"))
        return f"{self.module}-{self.version}-{cache.digest(self.ldflags, *files)}"


def _sources() -> dict[str, _Source]:
    kubernetes = versions.kubernetes()
    commands = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
    return {
        **{name: _Source("kubernetes", f"k8s.io/kubernetes/cmd/{name}", kubernetes) for name in commands},
        "etcd": _Source("etcd", "go.etcd.io/etcd/server/v3", versions.etcd()),
        **{name: _Source(name, f"bound-tokens.invalid/lab/{name}", "v1") for name in _OWN},
    }


def provide(caches: Path, go: Go, say: Say) -> dict[str, Program]:
    """Every program the lab needs is there; what was taken from the machine is said."""
    return _provide(_sources(), caches, go, say)


def kwok(caches: Path, go: Go, say: Say) -> Program:
    """What simulates nodes, for labs that are asked to."""
    source = _Source("kwok", "sigs.k8s.io/kwok/cmd/kwok", versions.kwok())
    return _provide({"kwok": source}, caches, go, say)["kwok"]


def _provide(sources: dict[str, _Source], caches: Path, go: Go, say: Say) -> dict[str, Program]:
    found: dict[str, Program] = {}
    missing: dict[str, dict[str, _Source]] = {}
    for name, source in sources.items():
        program = None if name in _OWN else _on_machine(name, source.version)
        built = caches / "bin" / source.key / name
        if program:
            say(f"{name}: using {program.path} ({program.version})")
            found[name] = program
        elif built.exists():
            found[name] = Program(name, built, source.version)
        else:
            missing.setdefault(source.key, {})[name] = source
    for key, builds in missing.items():
        say(f"building {', '.join(builds)} ({key.rsplit('-', 1)[0]}); this is done once")
        found |= _build(caches / "bin" / key, builds, go)
    return found


def _build(target: Path, sources: dict[str, _Source], go: Go) -> dict[str, Program]:
    """Each program appears under its final name only when it is complete."""
    first = next(iter(sources.values()))
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    target.mkdir(exist_ok=True)
    try:
        go.build(first.module, [source.package for source in sources.values()], unfinished, first.ldflags)
        for name, source in sources.items():
            built = unfinished / name
            if not built.exists():  # a package outside a `cmd` folder is named after its last path element
                built = unfinished / _program_name(source.package)
            built.rename(target / name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return {name: Program(name, target / name, source.version) for name, source in sources.items()}


def _program_name(package: str) -> str:
    """The name that `go build` gives to a package's program: the last element that is not a major version."""
    elements = package.split("/")
    return elements[-2] if re.fullmatch(r"v\d+", elements[-1]) else elements[-1]


def _on_machine(name: str, wanted: str) -> Program | None:
    """A static program of the wanted minor version, from KUBEBUILDER_ASSETS or PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = shutil.which(name, path=assets) if assets else None
    path = path or shutil.which(name)
    if not path:
        return None
    try:
        text = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"(?:Kubernetes v|etcd Version: )(\d+\.\d+)\.\S+", text)
    if not match or not wanted.startswith(f"v{match[1]}."):
        return None
    if b"ld-linux" in Path(path).read_bytes()[:65536]:  # it would not start in an image that holds nothing else
        return None
    version = "v" + match[0].rsplit(" ", 1)[-1].removeprefix("v")
    return Program(name, Path(path), version)
