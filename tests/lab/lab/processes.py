# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab starts programs that must not outlive it."""

from __future__ import annotations

import shutil

DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Put before a command: the kernel then kills it when its parent dies. Nothing where the kernel cannot."""
