# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for all tests here, under a name and a port of its own; tests that end it start it again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import preflight
from lab.api import Api, Unreachable
from lab.settings import Settings

TIMEOUT = 900
#: Seconds that anything may take, on a machine that is busy with other things.
PATIENCE = 180


class Lab:
    """The command line and what it left behind."""

    def __init__(self) -> None:
        environment = {"LAB_NAME": "test", "LAB_PORT": "7455"} | dict(os.environ)
        if environment["LAB_NAME"] == "lab":  # a person's own lab is not for tests that kill it
            environment |= {"LAB_NAME": "test", "LAB_PORT": "7455"}
        self.settings = Settings.from_environment(environment)
        self._environment = environment | self.settings.environment()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            env=self._environment | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self) -> str:
        """The last line of the command."""
        return self.run("up").stdout.splitlines()[-1]

    def api(self) -> Api:
        return Api(self.settings)

    def leftovers(self) -> list[str]:
        """What a lab consists of and could leave: processes, cgroups, mounts, listeners, namespaces."""
        name = self.settings.run
        found = [f"process {pid}" for pid in _processes_with(str(name))]
        found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"*/{self.settings.cgroup}")]
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(name) in line]
        ports = {
            line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
        }
        if f"0100007F:{self.settings.port:04X}" in ports:
            found.append(f"listener on port {self.settings.port}")
        return found


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    if lacks := preflight.missing(Lab().settings):
        pytest.skip(f"no real nodes here: {lacks}")
    instance = Lab()
    instance.run("down")
    yield instance
    instance.run("down")


@pytest.fixture
def running(lab: Lab) -> Lab:
    lab.up()
    return lab


def eventually(check: Callable[[], bool]) -> None:
    """True at last, or the test fails. A server that goes away under a question is no answer."""
    deadline = time.monotonic() + PATIENCE
    while not _holds(check):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s"
        time.sleep(0.1)


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Unreachable:
        return False


def _processes_with(text: str) -> list[int]:
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and int(directory.name) != os.getpid():
            try:
                command = (directory / "cmdline").read_bytes()
                environment = (directory / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in command or (b"lab.supervisor" in command and text.encode() in environment):
                found.append(int(directory.name))
    return found
