# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images made from local files: one layer each, no registry."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PAUSE = "lab.local/pause:1"
SHELL = "lab.local/shell:1"
WEB = "lab.local/web:1"
ETCD = "lab.local/etcd:1"
KUBE_APISERVER = "lab.local/kube-apiserver:1"
KUBE_CONTROLLER_MANAGER = "lab.local/kube-controller-manager:1"
KUBE_SCHEDULER = "lab.local/kube-scheduler:1"

_FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "usr", "usr/bin", "var")
_USERS = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"
_GROUPS = b"root:x:0:\nnogroup:x:65534:\n"
_FOREVER = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]


@dataclass(frozen=True)
class Image:
    """What goes into an image, and how its containers start."""

    reference: str
    command: list[str]
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    user: str = "0"


def definitions(programs: Mapping[str, Path], busybox: Path) -> list[Image]:
    """The lab's images from its programs; `shell` is busybox as user 65534, so runAsNonRoot accepts it."""
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    return [
        Image(PAUSE, ["/usr/bin/pause"], {"usr/bin/pause": programs["pause"]}),
        Image(SHELL, _FOREVER, {"bin/busybox": busybox}, links, user="65534"),
        Image(WEB, ["/usr/bin/web"], {"usr/bin/web": programs["web"]}, user="65534"),
        *(
            Image(reference, [f"/usr/bin/{name}"], {f"usr/bin/{name}": programs[name]})
            for name, reference in (
                ("etcd", ETCD),
                ("kube-apiserver", KUBE_APISERVER),
                ("kube-controller-manager", KUBE_CONTROLLER_MANAGER),
                ("kube-scheduler", KUBE_SCHEDULER),
            )
        ),
    ]


def write_archive(image: Image, target: Path) -> None:
    """The file is an archive that `ctr images import` takes; the same input gives the same bytes."""
    layer = target.with_suffix(".layer")
    try:
        _write_layer(image, layer)
        with layer.open("rb") as file:
            layer_id = hashlib.file_digest(file, "sha256").hexdigest()
        config = json.dumps(
            {
                "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
                "os": "linux",
                "config": {
                    "Cmd": image.command,
                    "Env": ["PATH=/usr/bin:/bin:/sbin"],
                    "User": image.user,
                    "WorkingDir": "/",
                },
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
            },
            sort_keys=True,
        ).encode()
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        index = [{"Config": config_name, "RepoTags": [image.reference], "Layers": [f"{layer_id}/layer.tar"]}]
        with tarfile.open(target, "w") as archive:
            _add(archive, config_name, config, 0o644)
            archive.add(layer, f"{layer_id}/layer.tar", filter=_plain)
            _add(archive, "manifest.json", json.dumps(index).encode(), 0o644)
    finally:
        layer.unlink(missing_ok=True)


def _write_layer(image: Image, target: Path) -> None:
    with tarfile.open(target, "w") as layer:
        for folder in _FOLDERS:
            _folder(layer, folder, 0o755)
        _folder(layer, "tmp", 0o1777)
        _add(layer, "etc/passwd", _USERS, 0o644)
        _add(layer, "etc/group", _GROUPS, 0o644)
        for name, source in image.files.items():
            layer.add(source, name, filter=_plain)
        for name, destination in image.links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, destination
            layer.addfile(link)


def _folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, mode
    archive.addfile(folder)


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner and time, which differ from machine to machine."""
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode = 0, 0, 0, "", "", 0o755
    return entry
