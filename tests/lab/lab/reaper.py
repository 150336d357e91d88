# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes a lab's cgroups when its supervisor is gone, however it went."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import IO

from . import without_nodes
from .cgroups import Cgroups
from .settings import Settings


def start(life: int, output: IO[bytes], environment: dict[str, str]) -> None:
    """A reaper waits, in a session of its own, for the other end of the pipe `life` to close."""
    subprocess.Popen(
        [sys.executable, "-m", "lab.reaper", str(life)],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(life,),
        start_new_session=True,
    )


def _kill_group(settings: Settings) -> None:
    """Where the kernel does not end a dead process's children, it is done here; they are in the supervisor's group."""
    if shutil.which("setpriv"):
        return
    with contextlib.suppress(OSError, ValueError):
        os.killpg(int((settings.run / "supervisor.pid").read_text()), signal.SIGKILL)


def main() -> None:
    """Waits, removes, ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = Settings.from_environment()
    os.read(int(sys.argv[1]), 1)
    if without_nodes.plan(settings):
        _kill_group(settings)
        return
    gone = Cgroups(settings.cgroup).remove()
    print("reaper: all cgroups are removed" if gone else "reaper: some cgroups could not be removed", flush=True)


if __name__ == "__main__":
    main()
