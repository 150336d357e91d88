# SPDX-License-Identifier: GPL-3.0-or-later
"""Node software from Debian packages, unpacked into the cache; nothing is installed on the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import cache
from .errors import LabError
from .progress import Say

PACKAGES = ("containerd", "runc", "containernetworking-plugins", "busybox-static")
PROGRAMS = ("usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr", "usr/sbin/runc", "bin/busybox")


def provide(caches: Path, say: Say) -> Path:
    """The packages are unpacked in the returned directory, with the libraries that the machine lacks."""
    release = platform.freedesktop_os_release()
    codename = release.get("VERSION_CODENAME", release["ID"])

    def make(target: Path) -> None:
        say(f"downloading the Debian packages {', '.join(PACKAGES)} (unpacked into the cache, not installed)")
        _unpack(PACKAGES, target, say)
        if missing := _missing_libraries(target):
            needed = _library_packages(target)
            say(f"libraries {', '.join(sorted(missing))} are not on this machine: adding {', '.join(needed)}")
            _unpack(needed, target, say)
        if missing := _missing_libraries(target):
            raise LabError(f"No Debian package found for {', '.join(sorted(missing))}; install them on this machine.")

    key = cache.digest(*PACKAGES)
    return cache.directory(caches / "debs" / f"{codename}-{platform.machine()}-{key}", make)


def libraries(programs: Iterable[Path], debs: Path) -> set[Path]:
    """The shared libraries and loaders that these programs load, in the machine's file system or in the packages."""
    found: set[Path] = set()
    for program in programs:
        found |= {Path(path) for path in re.findall(r"(/\S+)(?= \(0x)", _ldd(program, debs))}
    return found


def install_iproute(say: Say) -> None:
    """`ip` is on the machine: the one tool the lab installs, and it says so."""
    say("installing the package iproute2 on this machine, for its command ip")
    _apt(["install", "--yes", "--no-install-recommends", "iproute2"], Path("/"), say)


def _unpack(packages: Iterable[str], target: Path, say: Say) -> None:
    downloads = target / "downloads"
    downloads.mkdir(exist_ok=True)
    _apt(["download", *packages], downloads, say)
    versions = []
    for file in sorted(downloads.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(file), str(target)], check=True)
        versions.append(file.name.replace("%3a", ":"))
        (target / "depends").open("a").write(_field(file, "Depends") + "\n")
        file.unlink()
    (target / "versions").open("a").write("\n".join(versions) + "\n")
    downloads.rmdir()


def _apt(arguments: list[str], directory: Path, say: Say) -> None:
    """Runs apt-get; with fresh package lists when they are missing or name files that are gone."""
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *arguments]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    for attempt in range(2):
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if attempt == 0:
            say("refreshing the package lists (apt-get update)")
            subprocess.run(["apt-get", "-q", "update"], env=environment, capture_output=True, check=False)
    reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["no message"]
    raise LabError(f"apt-get {' '.join(arguments)} failed: {reasons[-1]}")


def _field(package: Path, name: str) -> str:
    command = ["dpkg-deb", "-f", str(package), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _library_packages(target: Path) -> list[str]:
    words = re.findall(r"\blib[a-z0-9+.-]+", (target / "depends").read_text(encoding="utf-8"))
    return sorted(set(words) - {"libc6"})


def _ldd(program: Path, debs: Path) -> str:
    folders = f"{debs}/usr/lib/{platform.machine()}-linux-gnu:{debs}/lib/{platform.machine()}-linux-gnu"
    environment = os.environ | {"LD_LIBRARY_PATH": folders, "LC_ALL": "C"}
    command = ["ldd", str(program)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _missing_libraries(target: Path) -> set[str]:
    return {name for program in PROGRAMS for name in re.findall(r"(\S+) => not found", _ldd(target / program, target))}
