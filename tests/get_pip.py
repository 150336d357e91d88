# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for the pip bootstrap script that ansible-test would download: the same, from the Python at hand."""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

environment = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
packages = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
ensurepip.bootstrap()
pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
sys.exit(subprocess.call([*pip, *packages], env=environment))
