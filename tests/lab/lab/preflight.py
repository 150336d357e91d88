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


def missing(settings: Settings) -> str | None:
    """What this machine lacks for real nodes, as one line; None if it lacks nothing but perhaps `ip`."""
    if platform.system() != "Linux":
        return f"not Linux but {platform.system()}"
    lacks = []
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
    if not lacks and not _overlay_works(settings.cache):
        lacks.append(f"no overlay mounts on the file system of {settings.cache} (LAB_CACHE may name another place)")
    return "; ".join(lacks) or None


def provide_tools(say: Say) -> None:
    """`ip` is there, on a machine that lacks nothing else."""
    if not shutil.which("ip"):
        debian.install_iproute(say)


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
    directory.mkdir(parents=True, exist_ok=True)
    script = """set -e; d=$(mktemp -d -p "$1"); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir lower upper work root
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root; touch root/file; umount root"""
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(directory)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
