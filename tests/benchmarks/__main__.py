# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures side by side, in one run on one machine: python -m tests.benchmarks [PART]...

They are printed, never asserted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 15
WAITS = int(os.environ.get("BENCH_WAITS") or 3)
#: Waits are measured at the real operator's pace: its rollout takes about 7 minutes.
REAL_PACE = {"LAB_TIME_SCALE": "1"}
#: Seconds that an unchanged issuer may take beyond ping.
AIM_OVER_PING = 0.25
NODE_ROUNDS = 3
NODE_WAYS = {
    "node_restart": "node_restart, with proof and gates",
    "kubectl": "kubectl drain and uncordon in a loop, no restart",
    "k8s_drain": "kubernetes.core.k8s_drain in a play, no restart",
}
#: Seconds per node that are not its own, and how much longer than the nodes themselves batches may take.
AIM_PER_NODE = 1.0
AIM_OF_IDEAL = 1.2
#: Simulated nodes, and how many of them go at once.
BATCHES = (200, 10)
#: Namespaces, pods in each, and simulated nodes.
FEW_PODS, MANY_PODS = (50, 10, 20), (1000, 10, 110)
POD_WAYS = {
    "limit": "all evicted at once, past all modules",
    "none": "pod_restart, all namespaces at once, pace: none",
    "owner": "pod_restart, all namespaces at once, pace: owner",
    "one-by-one": "pod_restart, one namespace after the other",
    "one-by-one-none": "pod_restart, one after the other, pace: none",
    "loop-awake": "the documentation's loop without its sleeps",
    "loop": "the documentation's loop",
}
#: How much longer than the limit a renewal at no pace may take, and how much more a pod of many may cost than one of few.
AIM_OF_LIMIT, AIM_OF_FEW = 1.25, 1.15
#: Pods for the audit, and how often each looks at them in turn with the other.
FEW_HOLDERS, MANY_HOLDERS = 10_000, 50_000
HOLDER_ROUNDS = 3
HOLDER_WAYS = {
    "judge": "token_holders_info by the specifications",
    "judge-old": "the same, all from before the switch",
    "kubectl": "kubectl get pods -A -o json",
}
AIM_OF_KUBECTL = 1.5
AIM_MEGABYTES = 200
#: A log of so many MB, and a long one to see whether the memory grows.
LOG_SIZES = 200, 1000
AIM_LOG_RATE = 50
#: Where only API servers and kubelets read, and where pods are many, one control-plane node is enough.
ONE_MASTER = {"LAB_MASTERS": "1"}
ENVIRONMENT = {
    **os.environ,
    "LAB_NAME": "bench",
    "LAB_PORT": os.environ.get("LAB_PORT", "7599"),
    "PYTHONPATH": str(ROOT / "tests" / "lab"),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
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


def lab(*arguments: str, **settings: str) -> str:
    """Run a command of the lab and return what it printed."""
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(
        command, env={**ENVIRONMENT, **settings}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@contextlib.contextmanager
def running_lab(**settings: str) -> Iterator[str]:
    """A lab that is up, by its kubeconfig's path."""
    lab("up", **settings)
    try:
        yield lab("kubeconfig", **settings).strip()
    finally:
        lab("down", **settings)


def measure_lab() -> None:
    """Print how long a lab takes with everything built: from the command to all that `up` promises, and down again."""
    for what in ("up", "down"):
        begin = time.monotonic()
        lab(what)
        print(f"lab {what:<48} {time.monotonic() - begin:8.2f} s")


def measure_tasks() -> None:
    """Print the median time of each task, and how much it takes beyond ping."""
    plays = [{"name": name, name: arguments} for name, arguments in TASKS.items()]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": plays * ROUNDS}]
    with running_lab() as kubeconfig, tempfile.TemporaryDirectory() as folder:
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


def measure_waits() -> None:
    """Print, for waits that watch and for the same that look each second, how late they return and what they cost.

    A figure below zero is the delay of the third party that saw the true end.
    """
    found = []
    with running_lab(**REAL_PACE):
        for number in range(WAITS):
            # few names, so that the operator's limit of ten is never met
            found.append(run_program("one_rotation.py", f"https://bench-{number % 2}.example.test"))
    rates = {}
    for way, words in (("watch", "watches"), ("poll", "looks each second")):
        late, seconds, requests = (
            statistics.median(f[way][key] for f in found) for key in ("late", "seconds", "requests")
        )
        memory = max(f[way]["megabytes"] for f in found)
        rates[way] = requests / seconds
        name = f"wait that {words} ({WAITS} waits of {seconds:.0f} s)"
        print(f"{name:<52} {late:8.3f} s after the end, {requests:.0f} requests, {memory:.0f} MB at most")
    name = "requests in a wait of 10 minutes at these rates"
    print(f"{name:<52} {rates['watch'] * 600:8.0f} against {rates['poll'] * 600:.0f}")


def run_program(name: str, *arguments: object, **settings: str) -> dict[str, Any]:
    """Run a program of this folder beside the lab and return what it printed last."""
    environment = {
        **ENVIRONMENT,
        **settings,
        "PYTHONPATH": os.pathsep.join(str(ROOT / "tests" / n) for n in ("lab", "system")),
    }
    command = [sys.executable, str(Path(__file__).with_name(name)), *map(str, arguments)]
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def measure_nodes() -> None:
    """Print what a node costs besides its own restart and its pods' own end, and the same for loops that restart nothing."""
    settings = {"node_restart": {}, "kubectl": {}, "k8s_drain": {}}
    if not shutil.which("kubectl"):
        del settings["kubectl"]
        print("kubectl is not on this machine")
    collections = find_kubernetes_core()
    if collections:
        settings["k8s_drain"] = {"ANSIBLE_COLLECTIONS_PATH": str(collections)}
    else:
        del settings["k8s_drain"]
        print("kubernetes.core is not to be had here")
    with running_lab():
        for way, more in settings.items():
            found = [run_program("node_times.py", way, **more) for _round in range(NODE_ROUNDS)]
            seconds, own = (statistics.median(f[key] / f["nodes"] for f in found) for key in ("seconds", "own"))
            cost = (
                f", {found[0]['requests']:.0f} requests, {found[0]['megabytes']:.0f} MB"
                if "requests" in found[0]
                else ""
            )
            print(f"{NODE_WAYS[way]:<52} {seconds:8.3f} s per node, besides {own:.1f} s of its own{cost}")
    print(f"aim: at most {AIM_PER_NODE:g} s per node on a quiet machine")


def find_kubernetes_core() -> Path | None:
    """Return where the collection kubernetes.core is, from the package ansible; None when that is not to be had."""
    folder = ROOT / ".cache" / "kubernetes.core"
    if not (folder / "ansible_collections").is_dir():
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", place, "ansible"]
            if subprocess.run(command, check=False).returncode:
                return None
            for wheel in Path(place).glob("*.whl"):
                with zipfile.ZipFile(wheel) as content:
                    names = [n for n in content.namelist() if n.startswith("ansible_collections/kubernetes/core/")]
                    content.extractall(folder, names)
    return folder


def measure_batches() -> None:
    """Print how long many simulated nodes take in batches, against what their own restarts take."""
    with running_lab():
        found = run_program("node_load.py", *BATCHES)
    seconds, ideal, given = (found[key] for key in ("seconds", "ideal", "set"))
    name = f"{BATCHES[0]} simulated nodes in {found['batches']} batches"
    print(f"{name:<52} {seconds:8.0f} s, x{seconds / ideal:.2f} of their own {ideal:.0f} s (aim: x{AIM_OF_IDEAL:g})")
    print(f"{'what the simulation is set to of that':<52} {given:8.0f} s, x{seconds / given:.2f}")
    requests = ", ".join(f"{count / BATCHES[0]:.1f} {method}" for method, count in found["requests"].items())
    total = sum(found["requests"].values()) / BATCHES[0]
    print(f"{'requests per node':<52} {total:8.1f} ({requests})")
    print(f"{'memory and processor time of the module':<52} {found['megabytes']:8.0f} MB, {found['processor']:.0f} s")


def measure_pods() -> None:
    """Print how long the pods of many namespaces take by each way, each beside the limit of the same run."""
    with running_lab(**ONE_MASTER):
        print_pods(FEW_PODS, run_program("pod_load.py", *FEW_PODS, *POD_WAYS, **ONE_MASTER))


def measure_many_pods() -> None:
    """Print the same for twenty times as many, too, and what a pod costs beside what it does of the few."""
    with running_lab(**ONE_MASTER):
        few, many = (run_program("pod_load.py", *load, *POD_WAYS, **ONE_MASTER) for load in (FEW_PODS, MANY_PODS))
    print_pods(FEW_PODS, few)
    print_pods(MANY_PODS, many)
    for way in POD_WAYS:
        costs = [found[way]["seconds"] / load[0] / load[1] for load, found in ((FEW_PODS, few), (MANY_PODS, many))]
        print(f"{POD_WAYS[way]:<52} x{costs[1] / costs[0]:.2f} per pod of many, of what one of few takes")
    print(f"aim: at most x{AIM_OF_FEW:g} per pod")


def print_pods(load: tuple[int, int, int], found: dict[str, Any]) -> None:
    namespaces, pods, nodes = load
    print(
        f"{namespaces} namespaces of {pods} pods on {nodes} simulated nodes; loops do not wait until the pods are Ready again"
    )
    for way, figures in found.items():
        seconds, limit = figures["seconds"], found["limit"]["seconds"]
        name, own = POD_WAYS[way], f"{seconds / namespaces / pods * 1000:.0f} ms per pod"
        if "requests" in figures:
            requests, processor = figures["requests"] / namespaces / pods, figures["processor"]
            own += f", {requests:.1f} requests per pod, {processor:.1f} s of processor time"
        print(f"{name:<52} {seconds:8.1f} s, x{seconds / limit:.2f} of the limit, {own}")
    print(f"aim: at most x{AIM_OF_LIMIT:g} with pace: none, and one by one at no pace faster than the loop as written")


def measure_holders() -> None:
    """Print how long the audit of many pods takes beside kubectl's reading of them."""
    print_holders(FEW_HOLDERS)


def measure_many_holders() -> None:
    """Print the same of five times as many; they take minutes to make."""
    print_holders(MANY_HOLDERS)


def print_holders(pods: int) -> None:
    with running_lab(**ONE_MASTER):
        run_program("audit_load.py", "make", pods, **ONE_MASTER)
        rounds = [
            {way: run_program("audit_load.py", way, **ONE_MASTER) for way in HOLDER_WAYS}
            for _round in range(HOLDER_ROUNDS)
        ]
    print(f"{pods} pods on simulated nodes, {rounds[0]['judge']['pods']} of them judged")
    kubectl = statistics.median(r["kubectl"]["seconds"] for r in rounds)
    for way, name in HOLDER_WAYS.items():
        seconds, processor = (statistics.median(r[way][key] for r in rounds) for key in ("seconds", "processor"))
        memory = max(r[way]["megabytes"] for r in rounds)
        print(f"{name:<52} {seconds:8.2f} s, x{seconds / kubectl:.2f}, {processor:.1f} s of processor, {memory:.0f} MB")
    print(f"aim: at most x{AIM_OF_KUBECTL:g}, and {AIM_MEGABYTES} MB for {MANY_HOLDERS} pods")


def measure_logs() -> None:
    """Print how fast the audit reads and judges a kube-apiserver's audit log."""
    with running_lab(**ONE_MASTER):
        for size in LOG_SIZES:
            found = run_program("log_load.py", size, **ONE_MASTER)
            read, seconds, processor = found["read"], found["seconds"], found["processor"]
            name = f"{read:.0f} MB of an audit log, {found['tokens']} tokens in use"
            rates = f"{read / seconds:8.0f} MB/s, {read / processor:.0f} MB per second of processor"
            print(f"{name:<52} {rates}, {found['megabytes']:.0f} MB of memory")
    print(f"aim: at least {AIM_LOG_RATE} MB/s on one core, in constant memory")


PARTS = {
    "lab": measure_lab,
    "tasks": measure_tasks,
    "waits": measure_waits,
    "nodes": measure_nodes,
    "batches": measure_batches,
    "pods": measure_pods,
    "many-pods": measure_many_pods,
    "holders": measure_holders,
    "many-holders": measure_many_holders,
    "logs": measure_logs,
}


def main() -> int:
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in wanted if part not in PARTS]:
        raise SystemExit(f"There is no part {', '.join(unknown)}; there are {', '.join(PARTS)}.")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, medians")
    for part in wanted:
        PARTS[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
