# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes, in the chain that Ansible makes: playbook, its forked worker, two shells, the module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._ancestors import ParentGone, ParentWatch
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.ancestors import Process

MODULE = """
import sys, time
from ansible_collections.bound_tokens.openshift.plugins.module_utils._ancestors import ParentGone, ParentWatch
watch = ParentWatch()
with open(sys.argv[1], "a", buffering=1) as log:
    log.write("watching\\n")
    for _unused in range(1500):
        try:
            watch.require()
        except ParentGone:
            log.write("gone\\n")
            break
        time.sleep(0.02)
"""
#: Named as the worker is: a fork of the same program, in a session of its own.
PLAYBOOK = """
import os, subprocess, sys, time
worker = os.fork()
if worker == 0:
    os.setsid()
    subprocess.run(["/bin/sh", "-c", f"/bin/sh -c '{sys.executable} {sys.argv[1]} {sys.argv[2]}; true' && sleep 0"])
    os._exit(0)
print(worker, flush=True)
time.sleep(60)
"""


def wait_for(path, word):
    deadline = time.monotonic() + 30
    while word not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, f"{word} did not come"
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
@pytest.mark.parametrize("victim", ["playbook", "worker"])
def test_a_module_notices_that_who_started_it_was_killed(tmp_path, victim):
    module, log = tmp_path / "module.py", tmp_path / "log"
    module.write_text(MODULE)
    playbook = subprocess.Popen(
        [sys.executable, "-c", PLAYBOOK, str(module), str(log)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        worker = int(playbook.stdout.readline())
        wait_for(log, "watching")
        time.sleep(0.3)
        assert "gone" not in log.read_text()
        os.kill(playbook.pid if victim == "playbook" else worker, signal.SIGKILL)
        wait_for(log, "gone")
    finally:
        playbook.kill()
        playbook.wait()
        playbook.stdout.close()


def test_without_proc_the_parents_number_tells():
    numbers = iter([10, 10, 1])
    watch = ParentWatch(read=lambda pid: None, parent=lambda: next(numbers))
    watch.require()
    with pytest.raises(ParentGone, match="run the playbook again"):
        watch.require()


def test_a_circle_of_ancestors_ends():
    watch = ParentWatch(read=lambda pid: (Process(pid=pid, started=1, command=("sh",)), pid), parent=lambda: 10)
    watch.require()


def test_a_module_that_a_worker_starts_after_its_playbook_was_killed_does_nothing():
    chain = {10: ("sh",), 9: ("python3", "/usr/bin/ansible-playbook", "site.yml"), 8: ("init",)}
    watch = ParentWatch(
        read=lambda pid: (Process(pid=pid, started=1, command=chain[pid]), pid - 1) if pid in chain else None,
        parent=lambda: 10,
    )
    with pytest.raises(ParentGone):
        watch.require()
