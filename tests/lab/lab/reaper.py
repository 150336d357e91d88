# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes a lab's cgroups when its supervisor is gone, however it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import IO

from .cgroups import Cgroups
from .settings import Settings


def start(life: int, output: IO[bytes], environment: dict[str, str]) -> None:
    """A reaper waits, in a session of its own, for the other end of the pipe `life` to close."""
    subprocess.Popen(
        [sys.executable, "-m", "lab.reaper", str(life)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(life,),
        start_new_session=True,
    )


def main() -> None:
    """Waits, removes, ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = Settings.from_environment()
    os.read(int(sys.argv[1]), 1)
    gone = Cgroups(settings.cgroup).remove()
    print("reaper: all cgroups are removed" if gone else "reaper: some cgroups could not be removed", flush=True)


if __name__ == "__main__":
    main()
