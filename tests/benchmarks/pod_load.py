# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews pods on simulated nodes in several ways: python pod_load.py NAMESPACES PODS NODES WAY... Prints JSON.

Each namespace has a Deployment of PODS pods. The lab must be up. The ways, one after the other:

``limit``: every pod is evicted at once, past all modules. ``loop``: the documentation's loop, with its sleep of a second.
``loop-awake``: the same without. ``one-by-one``: pod_restart as it is by default, with ``-none`` at no pace, as the loops go.
``owner``: all namespaces at once, at the pace of the owners. ``none``: the same at no pace. The clock of each stops
when every Deployment has as many Ready pods as it wants and no pod of before is left, but the two loops do not wait for that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from figures import counted_requests
from lab import simulation
from lab.api import ApiError
from labs import Lab, eventually
from modules import run_module

LABEL = f"load-{os.getpid()}"
WORKERS = 40
LOOP = 'for i in {names}; do kubectl delete pods --all -n "$i" >&2; {pause}; done'
OURS = {
    "one-by-one": {},
    "one-by-one-none": {"pace": "none"},
    "owner": {"max_namespaces": 10**6},
    "none": {"max_namespaces": 10**6, "pace": "none"},
}


class Load:
    def __init__(self, namespaces: int, pods: int) -> None:
        self.lab, self.pods = Lab(), pods
        self.names = [f"{LABEL}-{n:04}" for n in range(namespaces)]

    def make(self, nodes: int) -> None:
        self.lab.command("simulate", str(nodes), stdout=sys.stderr)
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._make_one, self.names))
        self.wait(frozenset())

    def _make_one(self, name: str) -> None:
        labels = {"app": "web"}
        spec = {
            **simulation.placement(),
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "web", "image": "lab.local/pause:1"}],
        }
        template = {"metadata": {"labels": labels}, "spec": spec}
        deployment = {"replicas": self.pods, "selector": {"matchLabels": labels}, "template": template}
        marked = {"labels": {LABEL: "true"}}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **marked}}
        self.lab.api.apply(f"/api/v1/namespaces/{name}", namespace)
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", **marked},
            "spec": deployment,
        }
        self.lab.api.apply(f"/apis/apps/v1/namespaces/{name}/deployments/web", body)

    def list(self) -> list[dict]:
        """All pods of the load, page by page."""
        found, token = [], ""
        while True:
            page = self.lab.api.get(f"/api/v1/pods?labelSelector=app%3Dweb&limit=500&continue={token}")
            found += [p for p in page["items"] if p["metadata"]["namespace"].startswith(LABEL)]
            token = page["metadata"].get("continue", "")
            if not token:
                return found

    def wait(self, old: frozenset[str]) -> None:
        """Return when every pod is Ready and none is among ``old``."""
        while not (self.are_whole() and self.are_new(old)):
            time.sleep(len(self.names) / 1000)  # looks cost the API server something, too

    def are_whole(self) -> bool:
        """Whether every Deployment says that it has its Ready pods; said late, so that a look at the pods must follow."""
        found = self.lab.api.items(f"/apis/apps/v1/deployments?labelSelector={LABEL}%3Dtrue")
        return all(d["status"].get("readyReplicas") == self.pods for d in found)

    def are_new(self, old: frozenset[str]) -> bool:
        pods = self.list()
        ready = [
            p
            for p in pods
            if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", ()))
        ]
        wanted = len(self.names) * self.pods
        return len(pods) == len(ready) == wanted and not old & {p["metadata"]["uid"] for p in pods}

    def go(self, way: str) -> dict[str, object]:
        """Renew all that run now and return the seconds that it took, and what it cost where it is ours."""
        pods = self.list()
        old = frozenset(p["metadata"]["uid"] for p in pods)
        time.sleep(1.1)  # Kubernetes counts whole seconds: what starts from now on has started later
        begin, processor, found = time.monotonic(), time.process_time(), {}
        if way == "limit":
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(self._evict, pods))
            self.wait(old)
        elif way.startswith("loop"):
            script = LOOP.format(names=" ".join(self.names), pause="sleep 1" if way == "loop" else "true")
            environment = {**self.lab.environment, "KUBECONFIG": str(self.lab.kubeconfig)}
            subprocess.run(["bash", "-ec", script], env=environment, check=True, stdout=sys.stderr)
        else:
            with counted_requests() as requests:
                result = run_module(
                    "pod_restart",
                    kubeconfig=self.lab.kubeconfig,
                    namespace_selectors=[LABEL],
                    started_before=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1)),
                    **OURS[way],
                )
            if result.get("failed") or result["summary"]["renewed"] != len(old):
                raise SystemExit(f"{way}: {result.get('msg')} {result.get('summary')}")
            found = {"requests": sum(requests.values()), "processor": time.process_time() - processor}
        found["seconds"] = time.monotonic() - begin
        self.wait(old)
        return found

    def _evict(self, pod: dict) -> None:
        metadata = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction"
        eventually(partial(self._post, path, body))  # an API server under such a load may be away for a moment

    def _post(self, path: str, body: dict) -> bool:
        """Whether the pod goes, or has gone when the answer was lost."""
        try:
            self.lab.api.request("POST", path, body)
        except ApiError as error:
            if error.status != 404:
                raise
        return True

    def remove(self) -> None:
        for name in self.names:
            self.lab.api.request("DELETE", f"/api/v1/namespaces/{name}")
        self.lab.command("simulate", "0", stdout=sys.stderr)


def main(namespaces: int, pods: int, nodes: int, ways: list[str]) -> None:
    load = Load(namespaces, pods)
    load.make(nodes)
    try:
        print(json.dumps({way: load.go(way) for way in ways}))
    finally:
        load.remove()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4:])
