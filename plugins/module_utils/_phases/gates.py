# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Gatekeeper:
    cluster: Any = None
    request: Any = None
    node_request: Any = None
    clock: Any = None
    say: Any = None
    warn: Any = None

    def require_quiet(self) -> None: ...
    def wait(self, batch: Any, own: Any) -> None: ...
