# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab on a machine that cannot run nodes: the control plane's programs as ordinary processes on loopback.

They run with the flags of the static pods, other paths and ports aside: one etcd, an API server for each master, one
controller manager, one scheduler. What it lacks is everything that needs a kubelet: pods that run, rollouts, reboots.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from . import manifests, nodes
from .binaries import Program
from .settings import Settings


@dataclass(frozen=True)
class Plan:
    """What the supervisor runs instead of boxes."""

    commands: dict[str, list[str]]
    servers: list[str]


def prepare(settings: Settings, programs: Mapping[str, Program], kube_apiserver: manifests.Manifest) -> None:
    """The files of the masters are there, and the plan is written down."""
    for master in settings.masters:
        nodes.prepare(settings, master, None, kube_apiserver)
    _file(settings).write_text(json.dumps(asdict(_plan(settings, programs, kube_apiserver)), indent=1))


def plan(settings: Settings) -> Plan | None:
    """The plan of a lab without nodes; None for a lab with nodes."""
    try:
        return Plan(**json.loads(_file(settings).read_text()))
    except FileNotFoundError:
        return None


def _file(settings: Settings) -> Path:
    return settings.run / "without-nodes.json"


def _plan(settings: Settings, programs: Mapping[str, Program], kube_apiserver: manifests.Manifest) -> Plan:
    etcd_port, peer_port, manager_port, scheduler_port, *server_ports = _free_ports(4 + settings.master_count)
    client, peer = f"https://127.0.0.1:{etcd_port}", f"https://127.0.0.1:{peer_port}"
    first = settings.masters[0]

    def command(program: str, manifest: manifests.Manifest, master: str, **flags: object) -> list[str]:
        return _relocate(str(programs[program].path), manifest, settings.node(master), flags)

    commands = {
        "etcd": command(
            "etcd",
            manifests.etcd(first, [first]),
            first.name,
            listen_client_urls=client,
            advertise_client_urls=client,
            listen_peer_urls=peer,
            initial_advertise_peer_urls=peer,
            initial_cluster=f"{first.name}={peer}",
            listen_metrics_urls=None,
        ),
        "kube-controller-manager": command(
            "kube-controller-manager", manifests.kube_controller_manager(), first.name, secure_port=manager_port
        ),
        "kube-scheduler": command("kube-scheduler", manifests.kube_scheduler(), first.name, secure_port=scheduler_port),
    }
    for master, port in zip(settings.masters, server_ports, strict=True):
        commands[f"kube-apiserver-{master.name}"] = command(
            "kube-apiserver",
            manifests.render(kube_apiserver, master),
            master.name,
            etcd_servers=client,
            bind_address="127.0.0.1",
            secure_port=port,
            endpoint_reconciler_type="none",
        )
    return Plan(commands, [f"127.0.0.1:{port}" for port in server_ports])


def _relocate(program: str, manifest: manifests.Manifest, home: Path, flags: Mapping[str, object]) -> list[str]:
    """The static pod's command with the node's files where they are on this machine, and some flags set or, if None, left out."""
    changed = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    command = [program]
    for argument in manifest["spec"]["containers"][0]["command"][1:]:
        if argument.partition("=")[0] not in changed:
            moved = argument.replace(f"={manifests.CONFIG}/", f"={home}/upper{manifests.CONFIG}/")
            command.append(moved.replace("=/var/", f"={home}/var/"))
    return command + [f"{flag}={value}" for flag, value in changed.items() if value is not None]


def _free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _unused in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
