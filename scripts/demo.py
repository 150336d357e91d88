# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the main playbook on a lab of its own, from nothing to the report, and leave nothing behind.

With --keep the lab stays, and the last line tells how to reach it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")
DEMO = ROOT / "tests" / "demo"
REPORT = ROOT / ".cache" / "demo-report.txt"
ENVIRONMENT = {
    **os.environ,
    "LAB_NAME": "demo",
    "LAB_PORT": os.environ.get("LAB_PORT", "7444"),
    "PYTHONPATH": str(ROOT / "tests" / "lab"),
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "ANSIBLE_NOCOWS": "1",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
}


def say(text: str) -> None:
    """Print a headline that stands out between the output of the programs."""
    print(f"\n=== {text}", flush=True)


def lab(*arguments: str) -> None:
    """Run a command of the lab; its failure ends the demonstration."""
    subprocess.run([PYTHON, "-m", "lab", *arguments], env=ENVIRONMENT, check=True)


def kubeconfig() -> str:
    """Return the path of the lab's kubeconfig."""
    command = [PYTHON, "-m", "lab", "kubeconfig"]
    return subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE).stdout.decode().strip()


def play(playbook: str, path: str) -> None:
    """Run one of the collection's playbooks against the lab."""
    say(f"ansible-playbook bound_tokens.openshift.{playbook}")
    command = [
        str(BIN / "ansible-playbook"),
        f"bound_tokens.openshift.{playbook}",
        *("-e", f"@{DEMO / 'rotation.yml'}"),
        *("-e", f"rotation_report_file={REPORT}"),
    ]
    subprocess.run(command, env={**ENVIRONMENT, "K8S_AUTH_KUBECONFIG": path}, check=True)


def can_run_nodes() -> bool:
    """Tell whether this machine can run real nodes; where it can't, the lab says what it lacks."""
    return subprocess.run([PYTHON, "-m", "lab", "check"], env=ENVIRONMENT, check=False).returncode == 0


def show_what_is_left(path: str) -> None:
    """Show what a control plane without nodes allows, and say what it does not."""
    say("What this machine can't show: the rollout of the kube-apiservers, pods that are renewed, a mounted token")
    command = [
        str(BIN / "ansible"),
        "localhost",
        "-m",
        "bound_tokens.openshift.service_account_issuer_info",
        "-a",
        "probe=true",
    ]
    subprocess.run(command, env={**ENVIRONMENT, "K8S_AUTH_KUBECONFIG": path}, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    options = parser.parse_args()
    begin = time.monotonic()
    REPORT.unlink(missing_ok=True)
    try:
        say("A cluster of real parts on this machine")
        lab("up")
        path = kubeconfig()
        if not can_run_nodes():
            show_what_is_left(path)
            return 0
        say("Workloads that hold tokens of the present issuer")
        lab("apply", str(DEMO / "workloads.yml"))
        play("deploy_projected_token_pod", path)
        play("rotate", path)
        say(f"Report ({time.monotonic() - begin:.0f} s in all)")
        print(REPORT.read_text(), flush=True)
    except subprocess.CalledProcessError as error:
        print(f"demo: {' '.join(map(str, error.cmd))} failed with exit code {error.returncode}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print("The lab stays. To look around: export KUBECONFIG=~/.cache/bound-tokens-lab/run/demo/kubeconfig")
            print("To remove it: LAB_NAME=demo make lab-down")
        else:
            say("Taking the cluster down")
            lab("down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
