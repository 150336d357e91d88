# SPDX-License-Identifier: GPL-3.0-or-later
"""Can this machine run nodes? One line says what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from . import cgroups, debian
from .errors import LabError
from .progress import Say
from .settings import Settings

_TOOLS = ("apt-get", "dpkg", "findmnt", "ldd", "mount", "nsenter", "setpriv", "sh", "unshare")


def missing() -> str | None:
    """What this machine lacks for real nodes, as one line; None if it lacks nothing but perhaps `ip`."""
    lacks = []
    if platform.system() != "Linux":
        return f"the lab's nodes need Linux, this is {platform.system()}"
    if os.geteuid() != 0:
        lacks.append("not root")
    if not _is_debian():
        lacks.append("not Debian or Ubuntu")
    if absent := [tool for tool in _TOOLS if not shutil.which(tool)]:
        lacks.append(f"no {', '.join(absent)}")
    try:
        cgroups.hierarchies()
    except (LabError, OSError) as error:
        lacks.append(str(error))
    if not lacks and not _may_make_namespaces():
        lacks.append("no permission to make namespaces and mount in them")
    return "; ".join(lacks) or None


def require(settings: Settings, say: Say) -> None:
    """The machine is fit for nodes, or LabError says in one line what is missing."""
    if lacks := missing():
        raise LabError(f"This machine cannot run the lab's nodes: {lacks}.")
    if not shutil.which("ip"):
        debian.install_iproute(say)
    settings.cache.mkdir(parents=True, exist_ok=True)
    if not _overlay_works(settings.cache):
        raise LabError(f"No overlay mounts on the file system of {settings.cache}; set LAB_CACHE to a place on a disk.")


def _is_debian() -> bool:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return bool({"debian", "ubuntu"} & {release["ID"], *release.get("ID_LIKE", "").split()})


def _may_make_namespaces() -> bool:
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _overlay_works(directory: Path) -> bool:
    script = """set -e; d=$(mktemp -d -p "$1"); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir lower upper work root
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root; touch root/file; umount root"""
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(directory)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
