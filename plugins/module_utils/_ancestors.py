# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Notices that the Ansible process that started this module is gone. The kernel leaves a module running then."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ._errors import CollectionError
from ._plan.ancestors import Process, choose_watched, find_gone, is_orphan, parse_process

#: More processes than this one upon the other are not between a module and Ansible.
MAX_ANCESTORS = 64


class ParentGone(CollectionError):
    """Nobody waits for this module any more."""


def read_process(pid: int) -> tuple[Process, int] | None:
    """Return a process and its parent's number; None when it has ended, or where there is no /proc."""
    folder = Path("/proc") / str(pid)
    try:
        return parse_process(pid, (folder / "stat").read_text(errors="replace"), (folder / "cmdline").read_bytes())
    except (OSError, ValueError, IndexError):
        return None


class ParentWatch:
    """Remembers at the start who started this module, and tells later whether they still live."""

    def __init__(
        self,
        *,
        read: Callable[[int], tuple[Process, int] | None] = read_process,
        parent: Callable[[], int] = os.getppid,
    ) -> None:
        self._read = read
        self._parent = parent
        self._first = parent()
        ancestors: list[Process] = []
        pid = self._first
        while pid > 0 and len(ancestors) < MAX_ANCESTORS and (found := read(pid)):
            ancestors.append(found[0])
            pid = found[1]
        self._watched = choose_watched(ancestors)

    def require(self) -> None:
        """Return while those who started this module live. Raises ParentGone."""
        now = {p.pid: found[0] for p in self._watched if (found := self._read(p.pid))}
        # Without /proc, the parent's number changes when the parent ends.
        if is_orphan(self._watched) or find_gone(self._watched, now) or self._parent() != self._first:
            raise ParentGone(
                "The Ansible process that started this module is gone, so it has stopped before its next step; "
                "run the playbook again, and it goes on where this one stopped."
            )
