# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.ancestors import (
    Process,
    choose_watched,
    find_gone,
    is_orphan,
    parse_process,
)

PLAYBOOK = ("/usr/bin/python3", "/usr/bin/ansible-playbook", "rotate.yml")
ASYNC = ("/usr/bin/python3", "/root/.ansible/tmp/async_wrapper.py", "j1", "3600")
SHELL = ("/bin/sh", "-c", "python3 module.py && sleep 0")


def processes(*commands):
    return [Process(pid=100 - n, started=n, command=c) for n, c in enumerate(commands)]


CASES = [
    ("two shells, the worker, and the playbook it is a fork of", [SHELL, SHELL, PLAYBOOK, PLAYBOOK, ("-bash",)], 4),
    ("a person's terminal may go", [SHELL, PLAYBOOK, PLAYBOOK, ("bash",), ("sshd: me@pts/0",)], 3),
    ("through sudo", [SHELL, ("sudo", "-H", "-u", "root", "/bin/sh"), SHELL, PLAYBOOK, PLAYBOOK, ("zsh",)], 5),
    ("over SSH, the connection's own process", [SHELL, SHELL, ("sshd: me@notty",), ("sshd: me [priv]",)], 3),
    ("asynchronous: its wrapper, which is meant to outlive the playbook", [ASYNC, ASYNC, ("/sbin/init",)], 2),
    ("a name with a version is not a shell", [("/usr/bin/bash-5",), SHELL], 1),
    ("a process without a command line", [(), SHELL], 1),
    ("nobody", [], 0),
]


@pytest.mark.parametrize(("name", "commands", "count"), CASES, ids=[c[0] for c in CASES])
def test_those_who_wait_for_the_module_are_watched(name, commands, count):
    ancestors = processes(*commands)
    assert choose_watched(ancestors) == tuple(ancestors[:count])


@pytest.mark.parametrize(
    ("commands", "wanted"),
    [
        ([SHELL, SHELL, PLAYBOOK, PLAYBOOK], False),
        ([SHELL, PLAYBOOK, PLAYBOOK, ("/sbin/init",)], False),
        ([SHELL, SHELL, PLAYBOOK, ("/sbin/init",)], True),
        ([SHELL, SHELL, PLAYBOOK], True),
        ([SHELL, ("/usr/bin/ansible", "all", "-m", "x"), ("/usr/bin/ansible", "all", "-m", "x")], False),
        ([SHELL, ("sshd: me@notty",), ("sshd: me [priv]",)], False),
        ([ASYNC, ASYNC, ("/sbin/init",)], False),
        ([SHELL, ("/usr/bin/python3", "run.py", "ansible-playbook")], False),
        ([], False),
    ],
)
def test_a_worker_that_had_lost_its_playbook_before_it_started_the_module(commands, wanted):
    assert is_orphan(choose_watched(processes(*commands))) is wanted


SHOWN = Process(pid=7, started=70)


@pytest.mark.parametrize(
    ("now", "gone"),
    [
        ({7: SHOWN}, None),
        ({7: SHOWN, 8: SHOWN}, None),
        ({}, SHOWN),
        ({7: Process(pid=7, started=71)}, SHOWN),
        ({7: Process(pid=7, started=70, is_dead=True)}, SHOWN),
    ],
    ids=["alive", "with others", "ended", "another took its number", "a zombie"],
)
def test_the_one_who_is_gone_is_found(now, gone):
    assert find_gone([SHOWN], now) == gone


def test_the_kernel_is_understood():
    rest = " ".join(str(n) for n in range(5, 53))
    stat = f"42 (a) (b c) R 17 {rest}"
    process, parent = parse_process(42, stat, b"/bin/sh\0-c\0x y\0")
    assert (process, parent) == (Process(pid=42, started=22, command=("/bin/sh", "-c", "x y")), 17)
    assert parse_process(42, stat.replace(" R ", " Z "), b"")[0].is_dead
