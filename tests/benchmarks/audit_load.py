# SPDX-License-Identifier: GPL-3.0-or-later
"""Many pods and who reads them: python audit_load.py make PODS | judge | judge-old | kubectl. Prints JSON.

``make`` starts pods with the token that each has by default, on simulated nodes. ``judge`` is token_holders_info by the
specifications, with a record for each pod: as if all had started since the switch, with ``-old`` as if all had started before.
Then the kubelets of some nodes are asked in vain when they started, which simulated nodes do not have. ``kubectl`` writes all
pods as JSON to nowhere. The lab must be up.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from figures import peak_megabytes
from lab import simulation
from lab.api import ApiError
from labs import Lab, eventually
from modules import run_module

NAMESPACES = 20
PODS_PER_NODE = 500
WORKERS = 16
SECONDS_AGO = 86_400
NAME = "audit-load"
#: Pods of the load that do not run yet; one is enough.
NOT_RUNNING = f"labelSelector=load%3D{NAME}&fieldSelector=status.phase%21%3DRunning&limit=1"


def make(lab: Lab, pods: int) -> None:
    """All pods run when this returns."""
    lab.command("simulate", str(-(-pods // PODS_PER_NODE)), stdout=sys.stderr)
    for number in range(NAMESPACES):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{NAME}-{number}"}}
        lab.api.apply(f"/api/v1/namespaces/{NAME}-{number}", body)
        eventually(partial(lab.api.get, f"/api/v1/namespaces/{NAME}-{number}/serviceaccounts/default"))
    with ThreadPoolExecutor(WORKERS) as pool:
        for _made in pool.map(partial(_make_pod, lab), range(pods)):
            pass
    eventually(lambda: not lab.api.items(f"/api/v1/pods?{NOT_RUNNING}"), timeout=1200)


def _make_pod(lab: Lab, number: int) -> None:
    spec = {
        **simulation.placement(),
        "nodeName": simulation.name(number // PODS_PER_NODE),
        "containers": [{"name": "web", "image": "lab.local/pause:1"}],
    }
    metadata = {"name": f"web-{number}", "labels": {"load": NAME}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    eventually(partial(_post, lab, f"/api/v1/namespaces/{NAME}-{number % NAMESPACES}/pods", body))


def _post(lab: Lab, path: str, body: dict) -> bool:
    """Whether it is there now: an API server under such a load may be away for a moment."""
    try:
        lab.api.request("POST", path, body)
    except ApiError as error:
        return error.status == 409
    return True


def judge(lab: Lab, *, seconds_ago: int = SECONDS_AGO) -> dict[str, float]:
    begin, processor = time.monotonic(), time.process_time()
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds_ago))
    result = run_module("token_holders_info", kubeconfig=lab.kubeconfig, since=since, all_pods=True)
    if result.get("failed"):
        raise SystemExit(result["msg"])
    return {
        "seconds": time.monotonic() - begin,
        "processor": time.process_time() - processor,
        "megabytes": peak_megabytes(),
        "pods": len(result["token_holders"]["pods"]),
    }


def kubectl(lab: Lab) -> dict[str, float]:
    begin = time.monotonic()
    command = ["kubectl", "get", "pods", "-A", "-o", "json", "--chunk-size=500"]
    environment = {**os.environ, "KUBECONFIG": str(lab.kubeconfig)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.monotonic() - begin,
        "processor": spent.ru_utime + spent.ru_stime,
        "megabytes": spent.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    what, arguments = sys.argv[1], map(int, sys.argv[2:])
    ways = {"make": make, "judge": judge, "judge-old": partial(judge, seconds_ago=1), "kubectl": kubectl}
    print(json.dumps(ways[what](Lab(), *arguments)))
