# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures side by side, in one run on one machine: python -m tests.benchmarks. They are printed, never asserted."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 15
#: Seconds that an unchanged issuer may take beyond ping.
AIM_OVER_PING = 0.25
ENVIRONMENT = {
    **os.environ,
    "LAB_NAME": "bench",
    "LAB_PORT": os.environ.get("LAB_PORT", "7599"),
    "PYTHONPATH": str(ROOT / "tests" / "lab"),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
    "ANSIBLE_CALLBACKS_ENABLED": "",
    "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
}
#: Each task runs ROUNDS times in turn with the others, so that a noisy moment meets all of them.
TASKS = {
    "ansible.builtin.ping": {},
    "bare_import": {},
    "bound_tokens.openshift.service_account_issuer_info": {},
    "bound_tokens.openshift.service_account_issuer": {"state": "default"},
    "bound_tokens.openshift.kube_apiserver_rollout": {"probe": False},
}


def lab(*arguments: str) -> str:
    """Run a command of the lab and return what it printed."""
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure_lab() -> None:
    """Print how long a lab takes with everything built: from the command to all that `up` promises, and down again."""
    for what in ("up", "down"):
        begin = time.monotonic()
        lab(what)
        print(f"lab {what:<48} {time.monotonic() - begin:8.2f} s")


def measure_tasks(kubeconfig: str) -> None:
    """Print the median time of each task, and how much it takes beyond ping."""
    plays = [{"name": name, name: arguments} for name, arguments in TASKS.items()]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": plays * ROUNDS}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.json"
        path.write_text(json.dumps(play))
        environment = {
            **ENVIRONMENT,
            "K8S_AUTH_KUBECONFIG": kubeconfig,
            "ANSIBLE_LIBRARY": str(Path(__file__).parent / "library"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "task_times",
            "TASK_TIMES": str(Path(folder) / "times.json"),
        }
        subprocess.run(["ansible-playbook", str(path)], env=environment, check=True, stdout=subprocess.DEVNULL)
        times = json.loads((Path(folder) / "times.json").read_text())
    base = statistics.median(times["ansible.builtin.ping"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:<52} {median:8.3f} s   ping {median - base:+.3f} s, x{median / base:.1f}")
    print(f"aim: service_account_issuer, unchanged, at most ping {AIM_OVER_PING:+.2f} s on a quiet machine")


def main() -> int:
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {ROUNDS} rounds, medians")
    measure_lab()
    lab("up")
    try:
        measure_tasks(lab("kubeconfig").strip())
    finally:
        lab("down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
