# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any


def read_gate_request(params: Any) -> Any:
    return None
