# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups of the boxes: one group per lab in every cgroup v1 hierarchy, and below it one per box."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

_NEEDED = {"cpu", "cpuacct", "cpuset", "memory", "devices", "pids"}
_WANTED = _NEEDED | {"freezer", "blkio"}


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup v1 hierarchy; `options` is what a box passes to mount(8) to see its part of it."""

    path: Path
    options: str

    @property
    def controllers(self) -> set[str]:
        return set(self.options.split(","))


def hierarchies(mountinfo: str | None = None) -> list[Hierarchy]:
    """The hierarchies of this machine that a node needs, or LabError."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    found: dict[str, Hierarchy] = {}
    unified = False
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, super_options = after.split()[:3]
        if kind == "cgroup":
            names = [n for n in super_options.split(",") if n in _WANTED or n == "name=systemd"]
            if names:
                options = ",".join(names).replace("name=systemd", "none,name=systemd")
                found.setdefault(options, Hierarchy(Path(before.split()[4]), options))
        unified = unified or (kind == "cgroup2" and before.split()[4] == "/sys/fs/cgroup")
    missing = _NEEDED - {name for hierarchy in found.values() for name in hierarchy.controllers}
    if unified:
        raise LabError("the lab's nodes need cgroup v1, this machine has cgroup v2 only")
    if missing:
        raise LabError(f"no cgroup v1 hierarchy for {', '.join(sorted(missing))}")
    return list(found.values())


class Cgroups:
    """The groups of one lab."""

    def __init__(self, parent: str) -> None:
        self._parent = parent
        self._hierarchies = hierarchies()

    @property
    def mounts(self) -> list[str]:
        """NAME=OPTIONS for each hierarchy that a box mounts at /sys/fs/cgroup/NAME."""
        return [f"{hierarchy.path.name}={hierarchy.options}" for hierarchy in self._hierarchies]

    def create(self, box: str) -> list[Path]:
        """Empty groups for a box exist; a process that writes itself into these files is in the box's groups."""
        files = []
        for hierarchy in self._hierarchies:
            lab = hierarchy.path / self._parent
            for group in (lab, lab / box):
                if group.is_dir():
                    continue
                group.mkdir()
                if "cpuset" in hierarchy.controllers:
                    for name in ("cpuset.cpus", "cpuset.mems"):
                        (group / name).write_text((group.parent / name).read_text())
                    (group / "cgroup.clone_children").write_text("1")
            files.append(lab / box / "cgroup.procs")
        return files

    def remove(self, box: str = "", seconds: float = 10.0) -> bool:
        """The groups of a box, or of the whole lab, are gone with all processes in them; False if some resisted."""
        deadline = time.monotonic() + seconds
        while True:
            tops = [hierarchy.path / self._parent / box for hierarchy in self._hierarchies]
            left = [top for top in tops if top.is_dir() and not _remove_tree(top)]
            if not left:
                return True
            if time.monotonic() > deadline:
                return False
            for top in left:
                _kill_tree(top)
            time.sleep(0.05)

    def leftovers(self) -> list[Path]:
        """Groups of this lab that exist now."""
        return [path for hierarchy in self._hierarchies if (path := hierarchy.path / self._parent).is_dir()]


def _remove_tree(top: Path) -> bool:
    """Removes what is empty; a group of a process that is still ending cannot be removed yet."""
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not top.is_dir()


def _kill_tree(top: Path) -> None:
    for directory, _, _ in os.walk(top):
        try:
            processes = (Path(directory) / "cgroup.procs").read_text().split()
        except OSError:
            continue
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
