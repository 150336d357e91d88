# SPDX-License-Identifier: GPL-3.0-or-later
"""The one setting of the machine that a lab changes, and changes back.

Every kubelet and containerd needs a dozen inotify instances; the usual limit of 128 for root is enough for two labs.
"""

from __future__ import annotations

from pathlib import Path

from .progress import Say
from .settings import Settings

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_NEEDED = 1024


def raise_inotify_limit(settings: Settings, say: Say) -> None:
    """The limit is high enough; what it was is written down before."""
    before = int(_LIMIT.read_text())
    if before >= _NEEDED:
        return
    say(f"raising fs.inotify.max_user_instances from {before} to {_NEEDED} until the last lab is down")
    _memory(settings).write_text(str(before))
    _LIMIT.write_text(str(_NEEDED))


def restore_inotify_limit(settings: Settings) -> None:
    """The limit is what it was before the first lab, unless somebody changed it since."""
    memory = _memory(settings)
    if not memory.exists():
        return
    if int(_LIMIT.read_text()) == _NEEDED:
        _LIMIT.write_text(memory.read_text())
    memory.unlink()


def _memory(settings: Settings) -> Path:
    return settings.run.parent / ".inotify-limit"
