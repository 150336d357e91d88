# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's package and the played cluster are importable however pytest is started."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
