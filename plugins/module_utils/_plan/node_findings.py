# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any


class NodeFinding:
    message = ""
    is_blocking = False

    def record(self) -> dict[str, Any]:
        return {}


def estimate_seconds(batches: Any, seconds: Any, finished: Any) -> int:
    return 0


def find_blockers(*a: Any, **k: Any) -> list[NodeFinding]:
    return []
