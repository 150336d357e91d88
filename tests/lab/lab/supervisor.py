# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that holds a lab; whatever ends it ends the lab.

- It starts in a network and a mount namespace of its own (`unshare`), so bridge, links and mounts go with it.
- Every child asks the kernel for SIGKILL when it dies, and a box's namespaces die with the box's first process.
- Cgroups are all that a SIGKILL leaves; the reaper, which outlives it, removes them.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import functools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from . import balancer, boxes, reaper, simulation, without_nodes
from .cgroups import Cgroups
from .processes import DIE_WITH_PARENT, python_path
from .settings import Settings
from .shape import API_PORT, HUB_ADDRESS, SERVICE_ADDRESS

log = logging.getLogger("supervisor")


def start(settings: Settings, base: Path | None, listener: socket.socket) -> subprocess.Popen[bytes]:
    """A supervisor runs, apart from this process; the socket on loopback goes with it into the lab's network.

    Without a base it runs the plan of a lab without nodes.
    """
    reading, writing = os.pipe()
    environment = os.environ | settings.environment() | {"PYTHONPATH": python_path()}
    namespaces = ["unshare", "--net", "--mount", "--propagation", "private"] if base else []
    command = [*namespaces, sys.executable, "-m", "lab.supervisor"]
    try:
        with settings.log("supervisor").open("ab") as output:
            reaper.start(reading, output, environment)
            return subprocess.Popen(
                [
                    *command,
                    "--listener",
                    str(listener.fileno()),
                    "--life",
                    str(writing),
                    *([str(base)] if base else []),
                ],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(listener.fileno(), writing),
                start_new_session=True,
            )
    finally:
        os.close(reading)
        os.close(writing)


def running(settings: Settings) -> int | None:
    """The process id of this lab's supervisor, if it is alive."""
    try:
        with _pid_file(settings).open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except (FileNotFoundError, ValueError):
        pass
    return None


def _pid_file(settings: Settings) -> Path:
    return settings.run / "supervisor.pid"


class _Children:
    """Programs beside the boxes: started again when they end, killed with the supervisor."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def keep(self, name: str, command: Sequence[str], sockets: Sequence[socket.socket] = ()) -> None:
        """Runs until cancelled; the program's output is in the lab's log of that name."""
        descriptors = tuple(listener.fileno() for listener in sockets)
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        while True:
            with self._settings.log(name).open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *DIE_WITH_PARENT,
                    *command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    pass_fds=descriptors,
                )
            (self._settings.run / f"{name}.pid").write_text(str(process.pid))
            log.info("%s: process %d", name, process.pid)
            log.info("%s: ended with status %s", name, await process.wait())
            await asyncio.sleep(0.5)


Job = Callable[[], Awaitable[None]]


async def _supervise(settings: Settings, base: Path | None, outside: socket.socket) -> None:
    children = _Children(settings)
    jobs = _jobs_with_nodes(settings, children, base, outside) if base else _jobs_without(settings, children, outside)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.ensure_future(job()) for job in jobs]
    await asyncio.wait([asyncio.ensure_future(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done() and (error := task.exception()):
            log.error("a part of the lab failed, so all of it ends", exc_info=error)
    log.info("ending")
    os._exit(0 if stop.is_set() else 1)  # the kernel ends the children, the reaper removes their cgroups


def _jobs_with_nodes(settings: Settings, children: _Children, base: Path, outside: socket.socket) -> list[Job]:
    cgroups = Cgroups(settings.cgroup)
    boxes.make_hub([f"{HUB_ADDRESS}/24", f"{SERVICE_ADDRESS}/32"])
    inside = [(HUB_ADDRESS, API_PORT), (SERVICE_ADDRESS, 443), ("127.0.0.1", settings.port)]
    listeners = [outside, *(balancer.listen(host, port) for host, port in inside)]
    balance = _balancer_command(settings, listeners, [f"{master.address}:{API_PORT}" for master in settings.masters])
    return [
        lambda: children.keep("balancer", balance, listeners),
        lambda: _keep_operator(settings, children),
        lambda: _keep_simulation(settings, children),
        lambda: _keep_standins(settings, children, [f"{master.name}={master.address}" for master in settings.masters]),
        *(boxes.Box(node, settings.node(node.name), base, cgroups).run for node in settings.nodes),
    ]


def _jobs_without(settings: Settings, children: _Children, outside: socket.socket) -> list[Job]:
    plan = without_nodes.plan(settings)
    assert plan
    balance = _balancer_command(settings, [outside], plan.servers)
    return [
        lambda: children.keep("balancer", balance, [outside]),
        lambda: _keep_simulation(settings, children),
        lambda: _keep_standins(settings, children, []),
        *(functools.partial(children.keep, name, command) for name, command in plan.commands.items()),
    ]


def _balancer_command(settings: Settings, listeners: Sequence[socket.socket], servers: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "lab.balancer", "--ca", str(settings.pki / "ca.crt")]
    command += ["--status", str(settings.run / "balancer.json")]
    for listener in listeners:
        command += ["--fd", str(listener.fileno())]
    for server in servers:
        command += ["--server", server]
    return command


async def _keep_operator(settings: Settings, children: _Children) -> None:
    """The operator stand-in runs from the moment the API holds the lab's objects."""
    while not settings.bootstrapped.exists():
        await asyncio.sleep(0.1)
    command = [sys.executable, "-m", "lab.operator", "--kubeconfig", str(settings.kubeconfig)]
    command += ["--time-scale", f"{settings.time_scale:g}", "--pod-template", str(settings.pod_template)]
    await children.keep("operator", command)


async def _keep_standins(settings: Settings, children: _Children, members: Sequence[str]) -> None:
    """The other stand-ins likewise; without members there is no control plane of nodes to look after."""
    while not settings.bootstrapped.exists():
        await asyncio.sleep(0.1)
    arguments = [argument for member in members for argument in ("--member", member)]
    await children.keep("standins", [sys.executable, "-m", "lab.standins", *arguments])


async def _keep_simulation(settings: Settings, children: _Children) -> None:
    """kwok and the lab's simulator run from the moment somebody asks for simulated nodes."""
    while not (wanted := simulation.read(settings)):
        await asyncio.sleep(0.5)
    simulator = [sys.executable, "-m", "lab.simulator", "--restart-pods", wanted.restart_pods]
    await asyncio.gather(
        children.keep("kwok", simulation.kwok_command(settings, wanted)), children.keep("simulator", simulator)
    )


def main() -> None:
    """Holds the lab until it is told to end."""
    parser = argparse.ArgumentParser(prog="lab.supervisor")
    parser.add_argument("--listener", type=int, required=True, help="inherited socket on loopback")
    parser.add_argument("--life", type=int, required=True, help="inherited pipe; the reaper acts when it closes")
    parser.add_argument("base", type=Path, nargs="?", help="root file system that the boxes share")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S")
    os.set_inheritable(options.life, False)
    settings = Settings.from_environment()
    with _pid_file(settings).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        asyncio.run(_supervise(settings, options.base, socket.socket(fileno=options.listener)))


if __name__ == "__main__":
    main()
