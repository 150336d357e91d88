# SPDX-License-Identifier: GPL-3.0-or-later
"""What all boxes share: the root file system below their overlays, and a containerd store with the images."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import cache, debian, images
from .binaries import Program
from .errors import LabError
from .processes import DIE_WITH_PARENT
from .progress import Say

_HERE = Path(__file__).resolve().parent
_ROOTFS = _HERE / "rootfs"
_FOLDERS = ("bin", "dev", "etc/cni/net.d", "lib", "lib64", "old", "opt/cni/bin", "proc", "root", "run", "sbin", "sys")
_MORE_FOLDERS = ("tmp", "usr/bin", "usr/sbin", "var")
_HOST_TOOLS = ("mount", "umount", "nsenter", "findmnt", "unshare")
"""Busybox's own versions of these lack what kubelet and node automation ask of them."""
_CNI_PLUGINS = ("bridge", "host-local", "loopback")


@dataclass(frozen=True)
class Base:
    """Two directories in the cache; nobody writes into them once they exist."""

    root: Path
    store: Path


def provide(caches: Path, programs: Mapping[str, Program], debs: Path, say: Say) -> Base:
    """Both directories are complete and fit these programs and packages."""
    files = sorted(file for file in _ROOTFS.rglob("*") if file.is_file())
    packages = (debs / "versions").read_text(encoding="utf-8")
    root_key = cache.digest(packages, programs["kubelet"].fingerprint, Path(__file__), *files)
    prints = sorted(p.fingerprint for p in programs.values() if p.name != "kubelet")
    config = _ROOTFS / "etc/containerd/config.toml"
    store_key = cache.digest(packages, *prints, _HERE / "images.py", _HERE / "import-images.sh", config)

    def make_root(target: Path) -> None:
        say("making the nodes' root file system")
        _make_root(target, programs["kubelet"].path, debs)

    def make_store(target: Path) -> None:
        say("making the images and importing them into a containerd store")
        _make_store(target, {name: program.path for name, program in programs.items()}, debs, root)

    root = cache.directory(caches / "base" / root_key, make_root)
    store = cache.directory(caches / "golden" / store_key, make_store)
    return Base(root, store)


def _make_root(target: Path, kubelet: Path, debs: Path) -> None:
    for folder in (*_FOLDERS, *_MORE_FOLDERS):
        (target / folder).mkdir(parents=True)
    (target / "tmp").chmod(0o1777)
    busybox = target / "bin/busybox"
    shutil.copy(debs / "bin/busybox", busybox)
    for applet in subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (target / "bin" / applet).symlink_to("busybox")
    (target / "sbin/init").symlink_to("../bin/busybox")
    programs = [_copy(debs / program, target / "usr/bin") for program in debian.PROGRAMS if "busybox" not in program]
    programs += [_copy(debs / "usr/lib/cni" / plugin, target / "opt/cni/bin") for plugin in _CNI_PLUGINS]
    programs += [_copy(Path(shutil.which(tool) or tool), target / "bin") for tool in _HOST_TOOLS]
    _copy(kubelet, target / "usr/bin")
    for library in debian.libraries(programs, debs):
        folder = library.parent.name  # lib64, lib, or the architecture's own below lib
        place = target / "lib" / folder if folder.endswith("-gnu") else target / folder
        place.mkdir(exist_ok=True)
        shutil.copy(library, place)
    shutil.copytree(_ROOTFS, target, dirs_exist_ok=True)
    for script in (*(target / "sbin").iterdir(), target / "usr/bin/systemctl", target / "usr/bin/systemd-run"):
        if not script.is_symlink():
            script.chmod(0o755)


def _copy(program: Path, folder: Path) -> Path:
    copied = folder / program.name
    copied.unlink(missing_ok=True)
    shutil.copy(program, copied)
    copied.chmod(0o755)
    return copied


def _make_store(target: Path, programs: Mapping[str, Path], debs: Path, root: Path) -> None:
    """Runs containerd once, in namespaces of its own that end with the command, and imports every image."""
    with tempfile.TemporaryDirectory(prefix=".images.", dir=target.parent) as temporary:
        archives = Path(temporary)
        for image in images.definitions(programs, debs / "bin/busybox"):
            archive = archives / (image.reference.partition("/")[2].replace(":", "-") + ".tar")
            images.write_archive(image, archive)
        unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
        script = str(_HERE / "import-images.sh")
        done = subprocess.run(
            [*DIE_WITH_PARENT, *unshare, "sh", script, str(root), str(target), str(archives)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"containerd could not import the images: {(done.stderr or done.stdout).strip()[-400:]}")


def clone_store(store: Path, target: Path) -> None:
    """The target is a containerd store with all images. Files are shared by hard links, the databases are copies."""

    def copy(source: str, destination: str) -> None:
        if source.endswith(".db"):
            shutil.copy2(source, destination)
        else:
            os.link(source, destination, follow_symlinks=False)

    shutil.copytree(store, target, symlinks=True, copy_function=copy)
