# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Whether anybody still waits for this module's result, told by the processes above it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: Programs that stand between Ansible and the module it runs: shells, and those that change the user.
GO_BETWEENS = frozenset(
    {"sh", "ash", "bash", "busybox", "dash", "ksh", "zsh", "sudo", "su", "doas", "runuser", "dzdo", "pbrun", "pfexec"}
)

#: Ansible's programs that start modules through workers, which are forks of them.
FORKING = frozenset({"ansible", "ansible-playbook"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as the kernel tells it; ``started`` is in the kernel's own ticks and tells namesakes apart."""

    pid: int
    started: int
    command: tuple[str, ...] = ()
    is_dead: bool = False

    @property
    def is_go_between(self) -> bool:
        return bool(self.command) and self.command[0].rpartition("/")[2].lstrip("-") in GO_BETWEENS

    @property
    def is_ansible(self) -> bool:
        return any(part.rpartition("/")[2] in FORKING for part in self.command[:2])


def choose_watched(ancestors: Sequence[Process]) -> tuple[Process, ...]:
    """Return those of ``ancestors`` (the nearest first) whose end means that nobody waits for this module any more.

    Ansible's worker starts the module through shells. The worker is a fork of ansible-playbook, with the same command
    line, and outlives it when only ansible-playbook is killed; so that one is watched as well. What stands above it
    (a terminal, a person's shell) may end without any harm.
    """
    watched: list[Process] = []
    starter: Process | None = None
    for process in ancestors:
        if starter is None:
            starter = None if process.is_go_between else process
        elif process.command != starter.command:
            break
        watched.append(process)
    return tuple(watched)


def is_orphan(watched: Sequence[Process]) -> bool:
    """Tell whether Ansible was killed before its worker started this module: then only one of the two is among ``watched``."""
    programs = [p for p in watched if p.is_ansible]
    return len(programs) == 1 and programs[0] is watched[-1]


def find_gone(watched: Iterable[Process], now: Mapping[int, Process]) -> Process | None:
    """Return the first of ``watched`` that has ended, be its number taken by another process or not."""
    for process in watched:
        found = now.get(process.pid)
        if found is None or found.is_dead or found.started != process.started:
            return process
    return None


def parse_process(pid: int, stat: str, cmdline: bytes) -> tuple[Process, int]:
    """Return a process and its parent's number from ``/proc/PID/stat`` and ``/proc/PID/cmdline`` (proc(5))."""
    # The name in parentheses may hold anything, also parentheses.
    fields = stat.rpartition(")")[2].split()
    command = tuple(part.decode("utf-8", "replace") for part in cmdline.rstrip(b"\0").split(b"\0"))
    return Process(pid=pid, started=int(fields[19]), command=command, is_dead=fields[0] in ("Z", "X")), int(fields[1])
