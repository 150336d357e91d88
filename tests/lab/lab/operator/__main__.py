# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.operator``: run the stand-in until SIGTERM or SIGINT.

More options may stand in the environment variable LAB_OPERATOR_OPTIONS, so that a lab can be started with a slow operator:
``LAB_OPERATOR_OPTIONS="--reaction-delay 2:10 --seed 7" make lab-up``.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import yaml

from .. import versions
from .cluster import Cluster
from .machine import Machine, Options
from .pace import Pace

ROUND = 0.2  # seconds between looks, at most
REST = 2.0  # seconds after which everything is read, though neither of the edited objects has changed


def seconds_range(text: str) -> tuple[float, float]:
    """``MIN:MAX`` or one number."""
    low, _unused, high = text.partition(":")
    return float(low), float(high or low)


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line; what it says wins over the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.operator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--pod-template", required=True, type=Path, help="kube-apiserver's static pod, YAML or JSON")
    parser.add_argument("--time-scale", type=float, default=0.1, help="fraction of the real operator's delays")
    parser.add_argument(
        "--reaction-delay",
        type=seconds_range,
        default=(0.0, 0.0),
        metavar="MIN:MAX",
        help="real seconds added to each hop with which the operator reacts (issuers, observed config, revision, first node)",
    )
    parser.add_argument("--seed", type=int, default=None, help="of all random delays; logged at the start")
    parser.add_argument(
        "--trust", type=float, default=86400.0, help="real seconds for which a former issuer is trusted"
    )
    parser.add_argument("--forget-former", action="store_true", help="trust no former issuer, as early releases")
    parser.add_argument("--bootstrap", action="store_true", help="roll out revision 1 instead of adopting static pods")
    return parser.parse_args([*shlex.split(os.environ.get("LAB_OPERATOR_OPTIONS", "")), *arguments])


def main(arguments: list[str]) -> int:
    """Runs until told to stop; whatever the API does, the loop goes on."""
    chosen = options(arguments)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_unused: stopped.set())
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {time.monotonic() - began:8.2f} {text}", flush=True)

    seed = random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed
    slow = "reaction delay {:g} to {:g} s".format(*chosen.reaction_delay)
    say(
        f"start, seed {seed}, time scale {chosen.time_scale:g}, {slow}{', former issuers forgotten' * chosen.forget_former}"
    )
    machine = Machine(
        Options(
            template=yaml.safe_load(chosen.pod_template.read_text(encoding="utf-8")),
            pace=Pace(chosen.time_scale, chosen.reaction_delay),
            trust=timedelta(seconds=chosen.trust),
            adopt=not chosen.bootstrap,
            forget_former=chosen.forget_former,
            operand_version=versions.kubernetes().removeprefix("v"),
        ),
        random.Random(seed),
    )
    run(machine, Cluster(chosen.kubeconfig, say), stopped, say)
    say("stop")
    return 0


def run(machine: Machine, cluster: Cluster, stopped: threading.Event, say: Callable[[str], None]) -> None:
    """Look, decide, write, for ever. A problem is said once and the round tried again."""
    prepared, problem, seen, looked = False, "", ("", ""), 0.0
    while not stopped.is_set():
        pause = ROUND
        try:
            if not prepared:
                cluster.prepare()
                prepared = True
            versions = cluster.versions() if looked else seen
            if versions != seen or time.monotonic() - looked > REST:
                decision = machine.decide(cluster.read(), time.time())
                for write in decision.writes:
                    cluster.carry_out(write)
                looked = 0.0 if decision.busy else time.monotonic()
                seen = versions
                pause = 0.0 if decision.writes else min(decision.wake or ROUND, ROUND)
            if problem:
                say("the API answers again")
            problem = ""
        except Exception as happened:  # API servers go away here by design, and a stand-in that dies helps nobody
            looked = 0.0
            if not problem:
                problem = f"{type(happened).__name__}: {happened}"
                say(f"trying again after {problem}")
        stopped.wait(pause)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
