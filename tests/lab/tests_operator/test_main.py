# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, and the loop when the API does not answer."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest
from lab.operator.__main__ import options, run
from lab.operator.machine import Machine, Options, Snapshot
from played import TEMPLATE, Played

NEEDED = ["--kubeconfig", "k", "--pod-template", "p"]


def test_environment_gives_options_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_OPERATOR_OPTIONS", "--reaction-delay 2:10 --seed 7 --time-scale 0.5")
    chosen = options([*NEEDED, "--time-scale", "0.1"])
    assert (chosen.reaction_delay, chosen.seed, chosen.time_scale) == ((2.0, 10.0), 7, 0.1)
    monkeypatch.delenv("LAB_OPERATOR_OPTIONS")
    assert options(NEEDED).reaction_delay == (0.0, 0.0)
    assert options([*NEEDED, "--reaction-delay", "3"]).reaction_delay == (3.0, 3.0)


class Flaky:
    """A cluster whose requests fail every other time, in the ways servers fail."""

    def __init__(self, stopped: threading.Event) -> None:
        self.played = Played(running=1)
        self.dice = random.Random(1)
        self.give_up = time.monotonic() + 20
        self.stopped = stopped

    def _fail(self) -> None:
        if self.played.revisions() == "0:1 1:1 2:1" or time.monotonic() > self.give_up:
            self.stopped.set()
        elif self.dice.random() < 0.5:
            raise self.dice.choice((OSError("refused"), ValueError("half an answer"), KeyError("items")))

    def prepare(self) -> None:
        self._fail()

    def versions(self) -> tuple[str, str]:
        self._fail()
        return "1", str(len(self.played.states))

    def read(self) -> Snapshot:
        self._fail()
        return self.played.snapshot()

    def carry_out(self, write: Any) -> None:
        self._fail()
        self.played.carry_out(write)


def test_the_loop_survives_everything_and_gets_done(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    cluster = Flaky(stopped)
    monkeypatch.setattr(stopped, "wait", lambda seconds: time.sleep(0.005))
    said: list[str] = []
    machine = Machine(Options(template=TEMPLATE), random.Random(1))
    run(machine, cluster, stopped, said.append)  # type: ignore[arg-type]
    assert cluster.played.revisions() == "0:1 1:1 2:1"
    assert "trying again after OSError: refused" in said
    assert "the API answers again" in said
