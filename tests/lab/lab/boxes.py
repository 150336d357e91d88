# SPDX-License-Identifier: GPL-3.0-or-later
"""A box: namespaces, cgroups and a root file system that together behave like a machine, with boots and power cuts.

Its state is in files of the node's directory, for everybody to read: `boot_id` and, while it runs, `init.pid`. A file `hold`
keeps it from booting again; powering off makes that file. A file `slow-boot` holds the seconds that its firmware takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import subprocess
import uuid
from pathlib import Path

from .cgroups import Cgroups, Entry
from .processes import DIE_WITH_PARENT
from .shape import HUB_ADDRESS, Node

log = logging.getLogger(__name__)

BRIDGE = "lab0"
_BOOT = Path(__file__).resolve().parent / "box-boot.sh"
_HOW = {-signal.SIGHUP: "reboot", -signal.SIGINT: "power off"}
"""reboot(2) in a pid namespace ends its init by SIGHUP or SIGINT, and unshare(1) ends itself by the same signal."""


class Box:
    """One box, booted again and again until its task is cancelled."""

    def __init__(self, node: Node, home: Path, base: Path, cgroups: Cgroups) -> None:
        self.node = node
        self._home = home
        self._base = base
        self._cgroups = cgroups

    @property
    def _init_pid(self) -> Path:
        return self._home / "init.pid"

    @property
    def _hold(self) -> Path:
        return self._home / "hold"

    async def run(self) -> None:
        """Boots the box whenever it is down and nobody holds it."""
        clock = asyncio.get_running_loop().time
        went_down = clock()
        while True:
            while self._hold.exists() or clock() - went_down < self._firmware_seconds():
                await asyncio.sleep(0.1)
            how = await self._one_boot()
            went_down = clock()
            log.info("%s: down (%s)", self.node.name, how)
            if how == "power off":
                self._hold.touch()
            if how == "failed":
                await asyncio.sleep(1)

    def _firmware_seconds(self) -> float:
        try:
            return float((self._home / "slow-boot").read_text())
        except (FileNotFoundError, ValueError):
            return 0.0

    async def _one_boot(self) -> str:
        name = self.node.name
        boot_id = str(uuid.uuid4())
        (self._home / "boot_id").write_text(boot_id + "\n")
        await asyncio.to_thread(self._cgroups.remove, name)
        groups = self._cgroups.create(name)
        await asyncio.to_thread(plug_in, self.node)
        process = await asyncio.create_subprocess_exec(*self._command(groups), stdin=subprocess.DEVNULL)
        try:
            init = await _only_child(process)
            if init is not None:
                self._init_pid.write_text(str(init))
            log.info("%s: boot %s, init is process %s", name, boot_id, init)
            status = await process.wait()
        finally:
            self._init_pid.unlink(missing_ok=True)
        return _HOW.get(status, "killed" if init is not None else "failed")

    def _command(self, groups: Entry) -> list[str]:
        """Enters the cgroups, then the namespaces; every process of it dies with the supervisor."""
        uptime = Path("/proc/uptime").read_text().split(".")[0]
        boot = ["sh", str(_BOOT), self.node.name, str(self._home), str(self._base), " ".join(self._cgroups.mounts)]
        network = ["nsenter", f"--net=/run/netns/{self.node.name}"]
        namespaces = ["--mount", "--propagation", "private", "--uts", "--ipc", "--pid"]
        clock = ["--time", "--boottime", f"-{uptime}"]
        machine = [*network, "unshare", *namespaces, *clock, "--fork", "--kill-child", *boot]
        box = ["unshare", "--cgroup", "sh", "-ec", _enter(groups.after) + f"exec {shlex.join(machine)}"]
        return [*DIE_WITH_PARENT, "sh", "-ec", _enter(groups.before) + f"exec {shlex.join(box)}"]


def _enter(groups: list[Path]) -> str:
    return "".join(f"echo $$ > {shlex.quote(str(group))}; " for group in groups)


def cut_power(home: Path) -> None:
    """The box is dead at once, if it was running; its task boots it again unless it is held."""
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((home / "init.pid").read_text()), signal.SIGKILL)


def make_hub(addresses: list[str]) -> None:
    """This process's network namespace, new and empty, has the bridge that the boxes are plugged into, and no uplink."""
    _ip(
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        *(f"addr add {address} dev {BRIDGE}" for address in addresses),
        f"link set {BRIDGE} up",
    )
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    # `ip netns` keeps its names in /run; in this mount namespace that is a private place.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)


def plug_in(node: Node) -> None:
    """A new network namespace named after the node is on the bridge, with the node's address and routes."""
    name = node.name
    if _link_exists(name):  # while its namespace still has a name, nobody else removes it
        _ip(f"link del {name}")
    if Path("/run/netns", name).exists():
        _ip(f"netns del {name}")
    _ip(f"netns add {name}")
    _ip(f"link add {name} type veth peer name eth0 address {node.mac} netns {name}")
    _ip(f"link set {name} master {BRIDGE} up", f"route replace {node.pod_subnet} via {node.address}")
    _ip(
        "link set lo up",
        f"addr add {node.address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {HUB_ADDRESS}",
        namespace=name,
    )


def _link_exists(name: str) -> bool:
    return subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0


def _ip(*lines: str, namespace: str | None = None) -> None:
    command = ["ip", *(["-netns", namespace] if namespace else []), "-batch", "-"]
    subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True)


async def _only_child(process: asyncio.subprocess.Process, seconds: float = 10.0) -> int | None:
    """The process id of the box's init, or None when the command failed before it made one."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = asyncio.get_running_loop().time() + seconds
    while process.returncode is None and asyncio.get_running_loop().time() < deadline:
        try:
            pids = children.read_text().split()
        except OSError:
            return None
        if pids:  # the shells before the last unshare have none
            return int(pids[0])
        await asyncio.sleep(0.02)
    return None
