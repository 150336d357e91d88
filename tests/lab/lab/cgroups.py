# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups of the boxes: one group per lab, below it one per box; in every cgroup v1 hierarchy, or in the one of v2."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LabError

_NEEDED_V1 = {"cpu", "cpuacct", "cpuset", "memory", "devices", "pids"}
_WANTED_V1 = _NEEDED_V1 | {"freezer", "blkio"}
_NEEDED_V2 = {"cpu", "cpuset", "memory", "pids"}
_WANTED_V2 = _NEEDED_V2 | {"io", "hugetlb"}
_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy; `options` is what a box passes to mount(8) to see its part of it, `cgroup2` stands for v2."""

    path: Path
    options: str

    @property
    def is_v2(self) -> bool:
        return self.options == "cgroup2"


@dataclass(frozen=True)
class Entry:
    """Files into which a process writes itself to be in a box: some before it unshares its cgroup namespace, some after."""

    before: list[Path] = field(default_factory=list)
    after: list[Path] = field(default_factory=list)


def hierarchies(mountinfo: str | None = None, v2_controllers: str | None = None) -> list[Hierarchy]:
    """The hierarchies of this machine that a node needs, or LabError."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    found: dict[str, Hierarchy] = {}
    for line in text.splitlines():
        before, _unused, after = line.partition(" - ")
        kind, _unused, super_options = after.split()[:3]
        path = Path(before.split()[4])
        if kind == "cgroup2" and path == _ROOT:
            return [_unified(path, v2_controllers)]
        if kind == "cgroup":
            names = [name for name in super_options.split(",") if name in _WANTED_V1 or name == "name=systemd"]
            if names:
                options = ",".join(names).replace("name=systemd", "none,name=systemd")
                found.setdefault(options, Hierarchy(path, options))
    missing = _NEEDED_V1 - {name for hierarchy in found.values() for name in hierarchy.options.split(",")}
    if missing:
        raise LabError(f"no cgroup hierarchy for {', '.join(sorted(missing))}")
    return list(found.values())


def _unified(path: Path, controllers: str | None) -> Hierarchy:
    text = (path / "cgroup.controllers").read_text() if controllers is None else controllers
    if missing := _NEEDED_V2 - set(text.split()):
        raise LabError(f"cgroup v2 without the controllers {', '.join(sorted(missing))}")
    return Hierarchy(path, "cgroup2")


class Cgroups:
    """The groups of one lab."""

    def __init__(self, parent: str, found: list[Hierarchy] | None = None) -> None:
        self._parent = parent
        self._hierarchies = hierarchies() if found is None else found

    @property
    def mounts(self) -> list[str]:
        """What a box mounts below /sys/fs/cgroup: NAME=OPTIONS for each v1 hierarchy, or just `cgroup2`."""
        return ["cgroup2" if h.is_v2 else f"{h.path.name}={h.options}" for h in self._hierarchies]

    def create(self, box: str) -> Entry:
        """Empty groups for a box exist."""
        entry = Entry()
        for hierarchy in self._hierarchies:
            lab = hierarchy.path / self._parent
            make = _make_v2 if hierarchy.is_v2 else _make_v1
            for group in (lab, lab / box):
                if not group.is_dir():
                    make(group)
            entry.before.append(lab / box / "cgroup.procs")
            if hierarchy.is_v2:
                # A v2 group with groups below it may hold no process; the box's own live in a group beside its pods'.
                (lab / box / "init").mkdir(exist_ok=True)
                entry.after.append(lab / box / "init/cgroup.procs")
        return entry

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


def _make_v1(group: Path) -> None:
    group.mkdir()
    if (group / "cpuset.cpus").exists():
        for name in ("cpuset.cpus", "cpuset.mems"):
            (group / name).write_text((group.parent / name).read_text())
        (group / "cgroup.clone_children").write_text("1")


def _make_v2(group: Path) -> None:
    """The group may use every controller that a node wants and this machine has."""
    available = (group.parent / "cgroup.controllers").read_text().split()
    for controller in sorted(_WANTED_V2 & set(available)):
        try:
            (group.parent / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError as error:
            raise LabError(f"cgroup v2 controller {controller} cannot be delegated: {error.strerror}") from error
    group.mkdir()


def _remove_tree(top: Path) -> bool:
    """Removes what is empty; a group of a process that is still ending cannot be removed yet."""
    for directory, _unused, _unused in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not top.is_dir()


def _kill_tree(top: Path) -> None:
    for directory, _unused, _unused in os.walk(top):
        try:
            processes = (Path(directory) / "cgroup.procs").read_text().split()
        except OSError:
            continue
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
