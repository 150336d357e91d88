# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.standins``: the stand-ins at work, until they are killed."""

from __future__ import annotations

import argparse
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import urllib3

from ..api import Api, ApiError, Unreachable, timestamp
from ..progress import log
from ..settings import Settings
from ..watching import follow
from . import etcd, guards, pools

Object = dict[str, Any]

UPDATE_SECONDS = 200.0
"""What an update of a node takes on a real cluster; the time scale of the lab shortens it."""
INERTIA_SECONDS = 120.0
"""How long an operator is in trouble before it calls itself Degraded, likewise."""
MASTER = "node-role.kubernetes.io/master"
ETCD = "/apis/operator.openshift.io/v1/etcds/cluster/status"
OPERATORS = "/apis/config.openshift.io/v1/clusteroperators"


class Copies:
    """Objects of some collections as the API last showed them, kept up to date by a thread per collection."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Object]] = {}
        self.changed = threading.Event()

    def keep(self, path: str) -> None:
        """From now on there are copies of this collection."""
        self._objects[path] = {}
        threading.Thread(target=self._follow, args=(path,), daemon=True).start()

    def _follow(self, path: str) -> None:
        for kind, item in follow(Api(self._settings), path):
            if kind == "DELETED":
                with self._lock:
                    self._objects[path].pop(item["metadata"]["name"], None)
            else:
                self.put(path, item)
            self.changed.set()

    def put(self, path: str, item: Object) -> None:
        """The object as the answer to a write shows it, so that nothing is decided upon what was before."""
        with self._lock:
            self._objects[path][item["metadata"]["name"]] = item

    def all(self, path: str) -> dict[str, Object]:
        with self._lock:
            return dict(self._objects[path])


class StandIns:
    """All of them together."""

    def __init__(self, settings: Settings, members: dict[str, str]) -> None:
        self._api = Api(settings)
        self._copies = Copies(settings)
        self._scale = settings.time_scale
        self._pools = pools.Pools(UPDATE_SECONDS * settings.time_scale)
        self._members = members
        self._tls = ssl.create_default_context(cafile=settings.pki / "etcd-ca.crt")
        client = settings.pki / "apiserver-etcd-client.crt"
        self._tls.load_cert_chain(client, client.with_suffix(".key"))
        self._sick_since: float | None = None

    def run(self) -> None:
        """Never ends: looks when something has changed, and each second."""
        for path in ("/api/v1/nodes", pools.POOLS, *(_pods(guard) for guard in guards.GUARDS)):
            self._copies.keep(path)
        # As on OpenShift, a single control-plane node has no guards: nobody could stand in for it.
        watched = [self._tend_pools, self._guard] if len(self._members) > 1 else [self._tend_pools]
        problems: dict[str, str] = {}
        asked = 0.0
        while True:
            self._copies.changed.wait(1)
            self._copies.changed.clear()
            due = [self._report_etcd] if self._members and time.monotonic() - asked > 1 else []
            for task in (*watched, *due):
                problem = _attempt(task)
                if problem and problem != problems.get(task.__name__):
                    log(f"{task.__name__}: {problem}")
                problems[task.__name__] = problem
            if due:
                asked = time.monotonic()
            time.sleep(0.1)  # changes come in swarms

    def _tend_pools(self) -> None:
        nodes = self._copies.all("/api/v1/nodes")
        for write in self._pools.decide(self._copies.all(pools.POOLS), nodes.values(), time.monotonic(), timestamp()):
            answer = self._api.merge(write.path, write.body)
            self._copies.put(pools.POOLS if write.path.startswith(pools.POOLS) else "/api/v1/nodes", answer)
            log(write.note)
        degraded = [
            f"{name} ({condition['message']})"
            for name, pool in sorted(self._copies.all(pools.POOLS).items())
            for condition in pool.get("status", {}).get("conditions", [])
            if (condition["type"], condition["status"]) == ("Degraded", "True")
        ]
        self._report("machine-config", pools.judge_operator(degraded))

    def _guard(self) -> None:
        masters = [n for n in self._copies.all("/api/v1/nodes").values() if MASTER in n["metadata"].get("labels", {})]
        for guard in guards.GUARDS:
            missing, ended = guards.find_missing(guard, masters, self._copies.all(_pods(guard)).values())
            if missing:
                budget = guards.budget(guard, len(self._members))  # not all nodes may have been seen yet
                self._api.create_missing(f"/apis/policy/v1/namespaces/{guard.namespace}/poddisruptionbudgets", budget)
            for pod in missing:
                self._api.create_missing(_pods(guard), pod)
                log(f"pod {pod['metadata']['name']} created")
            for name in ended:
                self._api.request("DELETE", f"{_pods(guard)}/{name}")

    def _report_etcd(self) -> None:
        members = etcd.judge_members({name: self._is_healthy(address) for name, address in self._members.items()})
        if members[1]["status"] == "False":
            self._sick_since = None
        elif self._sick_since is None:
            self._sick_since = time.monotonic()
        sick_for = 0.0 if self._sick_since is None else time.monotonic() - self._sick_since
        self._put_conditions(ETCD, members)
        self._report("etcd", etcd.judge_operator(members, sick_for, INERTIA_SECONDS * self._scale))

    def _is_healthy(self, address: str) -> bool:
        """The member itself says so, and has a leader."""
        pool = urllib3.PoolManager(ssl_context=self._tls, timeout=2.0, retries=False)
        try:
            answer: Object = pool.request("GET", f"https://{address}:2379/health").json()
        except (urllib3.exceptions.HTTPError, ValueError):
            return False
        finally:
            pool.clear()
        return answer.get("health") == "true"

    def _report(self, operator: str, conditions: list[Object]) -> None:
        self._put_conditions(f"{OPERATORS}/{operator}/status", conditions)

    def _put_conditions(self, path: str, wanted: list[Object]) -> None:
        before = self._api.get(path).get("status", {}).get("conditions", [])
        merged = pools.merge_conditions(before, wanted, timestamp())
        if merged != before:
            self._api.merge(path, {"status": {"conditions": merged}})


def _pods(guard: guards.Guard) -> str:
    return f"/api/v1/namespaces/{guard.namespace}/pods"


def _attempt(task: Callable[[], None]) -> str:
    """What kept the task from its end; nothing if it came there. The next round tries again."""
    try:
        task()
    except (ApiError, Unreachable) as problem:
        return str(problem)
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.standins")
    parser.add_argument("--member", action="append", default=[], metavar="NAME=ADDRESS", help="an etcd member")
    options = parser.parse_args()
    StandIns(Settings.from_environment(), dict(member.split("=") for member in options.member)).run()


if __name__ == "__main__":
    main()
