# SPDX-License-Identifier: GPL-3.0-or-later
"""The command: python -m lab up|check|down|status|logs|kubeconfig|apply|fault|mend|simulate|exec."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import cluster, faults, preflight, show, simulation
from .apply import apply_file
from .errors import LabError
from .progress import Progress
from .settings import Settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A disposable cluster of real parts on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build what is missing, start the lab; the last line is the kubeconfig's path")
    commands.add_parser("check", help="say what this machine lacks to run real nodes; fails when it lacks something")
    commands.add_parser("down", help="end the lab and remove every trace of it but the caches")
    commands.add_parser("status", help="a short table")
    logs = commands.add_parser("logs", help="show a component's log, or the names of all")
    logs.add_argument("component", nargs="?")
    commands.add_parser("kubeconfig", help="print the kubeconfig's path")
    apply = commands.add_parser("apply", help="apply the objects of a file and wait until their pods are Ready")
    apply.add_argument("file", type=Path)
    fault = commands.add_parser("fault", help="something is wrong with a node from now on", epilog=_fault_kinds())
    fault.add_argument("node")
    fault.add_argument("kind", choices=faults.KINDS)
    fault.add_argument("seconds", nargs="?", type=float)
    mend = commands.add_parser("mend", help="nothing is wrong with a node any more")
    mend.add_argument("node")
    simulate = commands.add_parser("simulate", help="so many simulated nodes beside the others")
    simulate.add_argument("nodes", type=int)
    simulate.add_argument(
        "--pools", type=int, default=0, help="spread them over so many machine config pools of their own"
    )
    simulate.add_argument(
        "--restart-pods",
        default="app.kubernetes.io/component=node-restart",
        metavar="SELECTOR",
        help="labels of the pods that restart the node on which they succeed (%(default)s)",
    )
    simulate.add_argument("--restart-after", type=float, default=5.0, help="seconds from that success (%(default)s)")
    simulate.add_argument("--restart-takes", type=float, default=20.0, help="seconds without the node (%(default)s)")
    execute = commands.add_parser("exec", help="run a command in a node, or in the lab's network (node name: hub)")
    execute.add_argument("node")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="command")
    return parser


def _fault_kinds() -> str:
    return "; ".join(f"{name}: {fault.what}" for name, fault in faults.KINDS.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 after one line on stderr."""
    options = _parser().parse_args(arguments)
    os.umask(0o022)  # files of the nodes are for all their users
    say = Progress()
    try:
        settings = Settings.from_environment()
        if options.command == "up":
            cluster.up(settings, say)
            print(settings.kubeconfig, flush=True)
        elif options.command == "check":
            if lacks := preflight.missing(settings):
                raise LabError(f"no real nodes on this machine: {lacks}")
        elif options.command == "down":
            cluster.down(settings, say)
        elif options.command == "status":
            return show.status(settings)
        elif options.command == "logs":
            show.logs(settings, options.component)
        elif options.command == "kubeconfig":
            show.require_running(settings)
            print(settings.kubeconfig)
        elif options.command == "apply":
            show.require_running(settings)
            apply_file(settings, options.file, say)
        elif options.command == "fault":
            show.require_running(settings)
            faults.cause(settings, options.node, options.kind, options.seconds)
        elif options.command == "mend":
            faults.mend(settings, options.node)
        elif options.command == "simulate":
            names = [field.name for field in dataclasses.fields(simulation.Request)]
            request = simulation.Request(**{name: getattr(options, name) for name in names})
            simulation.simulate(settings, request, say, lambda: show.require_running(settings))
        else:
            show.execute(settings, options.node, options.argv)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
