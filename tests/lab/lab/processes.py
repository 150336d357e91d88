# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab starts programs that must not outlive it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Put before a command: the kernel then kills it when its parent dies. Nothing where the kernel cannot."""


def python_path() -> str:
    """Where this package and all that it imports are found from any working directory."""
    here = Path(__file__).resolve().parent.parent
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return os.pathsep.join([str(here), *(str(Path(path).absolute()) for path in given)])
