# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a node's restart, put in place and mended while the lab runs.

Each fault but a power cut is a file, so that it stays until it is mended, whatever reboots meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import boxes
from .errors import LabError
from .settings import Settings


@dataclass(frozen=True)
class Fault:
    """A kind of fault: its file in the node's directory, and the seconds it takes where that is a question."""

    what: str
    file: str | None
    seconds: float | None = None


KINDS: Mapping[str, Fault] = {
    "hold": Fault("once down, it does not boot again", "hold"),
    "slow-boot": Fault("its firmware takes SECONDS (180)", "slow-boot", 180),
    "no-kubelet": Fault("its kubelet does not start any more", "var/lib/lab-faults/no-kubelet"),
    "ignore-reboot": Fault("it ignores requests to restart", "var/lib/lab-faults/ignore-reboot"),
    "kubelet-instead-of-reboot": Fault(
        "asked to restart, only its kubelet is gone, for SECONDS (40)",
        "var/lib/lab-faults/kubelet-instead-of-reboot",
        40,
    ),
    "power-cut": Fault("it loses power now, and boots again", None),
}


def cause(settings: Settings, node: str, kind: str, seconds: float | None = None) -> None:
    """The node has the fault."""
    home = _home(settings, node)
    fault = KINDS.get(kind)
    if not fault:
        raise LabError(f"No fault {kind!r}: use {', '.join(KINDS)}.")
    if seconds is not None and (fault.seconds is None or seconds < 0):
        raise LabError(f"A fault {kind!r} does not take {seconds:g} seconds.")
    if fault.file is None:
        boxes.cut_power(home)
        return
    file = home / fault.file
    file.parent.mkdir(exist_ok=True)
    text = "" if fault.seconds is None else f"{fault.seconds if seconds is None else seconds:g}\n"
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_text(text)
    unfinished.rename(file)


def mend(settings: Settings, node: str) -> None:
    """The node has no fault; one that was held, or that has no kubelet, comes back by itself."""
    home = _home(settings, node)
    for fault in KINDS.values():
        if fault.file is not None:
            (home / fault.file).unlink(missing_ok=True)


def _home(settings: Settings, node: str) -> Path:
    home = settings.node(node)
    if node not in (known.name for known in settings.nodes) or not home.is_dir():
        raise LabError(f"No node {node!r}: use {', '.join(known.name for known in settings.nodes)}.")
    return home
