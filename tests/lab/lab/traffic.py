# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a Service's endpoints without a pause, as clients behind a service proxy make them.

It follows the Service's EndpointSlices and sends each request to the next ready endpoint, or, where none is ready, to one that
still serves. Half of the requests go over a new connection each, the others over connections that are kept for as long as
the server keeps them; a kept one stays with its endpoint, ready or not, as it does behind a real proxy.

As a program it runs in the lab's own network until its standard input is closed, and prints the result. In tests:

    apply.apply_objects(settings, traffic.workload("shop", "cart"))
    with traffic.Traffic(settings, "shop", "cart") as asking:
        ...  # drain, restart
    assert asking.result.failures == []
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from types import TracebackType

from . import images
from .api import Api, Object
from .processes import python_path
from .settings import Settings
from .watching import follow

_PATIENCE = 5.0
"""Seconds that an endpoint has for an answer."""
_NEW, _KEPT = "new connection", "kept connection"


@dataclass
class Result:
    """Answers by kind of connection, and every request that got none: since the start, where to, why."""

    answers: dict[str, int] = field(default_factory=lambda: {_NEW: 0, _KEPT: 0})
    failures: list[str] = field(default_factory=list)


def workload(namespace: str, name: str, replicas: int = 3, leave_seconds: float = 3) -> list[Object]:
    """A namespace's Deployment, Service and budget of one: pods that leave without losing a request, given the time."""
    labels = {"app": name}
    web = {
        "name": "web",
        "image": images.WEB,
        "imagePullPolicy": "Never",
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"httpGet": {"path": f"/leave?seconds={leave_seconds:g}", "port": 8080}}},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": int(leave_seconds) + 10,
        "topologySpreadConstraints": [spread],
        "containers": [web],
    }
    metadata = {"name": name, "namespace": namespace}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        },
    ]


def choose_endpoints(slices: Iterable[Object]) -> list[tuple[str, int]]:
    """Where a service proxy sends new connections: ready endpoints, else those that terminate but still serve."""
    ready, serving = [], []
    for each in slices:
        for endpoint in each.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            places = [(address, port["port"]) for address in endpoint["addresses"] for port in each["ports"]]
            if conditions.get("ready") is not False:
                ready += places
            elif conditions.get("serving") and conditions.get("terminating"):
                serving += places
    return sorted(ready or serving)


class Endpoints:
    """The Service's endpoints as the API shows them now; as they were while it does not answer."""

    def __init__(self, api: Api, namespace: str, service: str) -> None:
        self._slices: dict[str, Object] = {}
        self._current: list[tuple[str, int]] = []
        self._turn = itertools.count()
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        query = f"labelSelector=kubernetes.io%2Fservice-name%3D{service}"
        threading.Thread(target=self._follow, args=(api, path, query), daemon=True).start()

    def _follow(self, api: Api, path: str, query: str) -> None:
        for kind, each in follow(api, path, query):
            self._slices[each["metadata"]["name"]] = each
            if kind == "DELETED":
                del self._slices[each["metadata"]["name"]]
            self._current = choose_endpoints(self._slices.values())

    def next(self) -> tuple[str, int] | None:
        current = self._current
        return current[next(self._turn) % len(current)] if current else None


class Client:
    """Counts what becomes of its requests."""

    def __init__(self, endpoints: Endpoints, rate: float) -> None:
        self._endpoints = endpoints
        self._interval = 2 / rate
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.result = Result()
        self.stop = threading.Event()

    def run(self, kept: int) -> None:
        """Sends half of the rate over new connections and half over so many kept ones, until told to stop."""
        loops = [threading.Thread(target=self._loop, args=(_NEW, self._interval))]
        loops += [threading.Thread(target=self._loop, args=(_KEPT, self._interval * kept)) for _unused in range(kept)]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()

    def _loop(self, kind: str, interval: float) -> None:
        connection = None
        due = time.monotonic()
        while not self.stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + interval, time.monotonic() - 1)  # after an outage it does not make up for it all
            connection = self._ask(kind, connection)

    def _ask(self, kind: str, connection: http.client.HTTPConnection | None) -> http.client.HTTPConnection | None:
        """Makes one request; returns the connection if the next may use it."""
        if connection is None:
            place = self._endpoints.next()
            if place is None:
                self._count_failure(kind, "nowhere", "no endpoint is ready")
                return None
            connection = http.client.HTTPConnection(*place, timeout=_PATIENCE)
        try:
            connection.request("GET", "/", headers={} if kind == _KEPT else {"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise http.client.HTTPException(f"status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            self._count_failure(kind, f"{connection.host}:{connection.port}", f"{type(error).__name__}: {error}")
            connection.close()
            return None
        with self._lock:
            self.result.answers[kind] += 1
        if connection.sock is None or kind == _NEW:  # http.client closes it when the server says so
            connection.close()
            return None
        return connection

    def _count_failure(self, kind: str, place: str, why: str) -> None:
        with self._lock:
            self.result.failures.append(f"{time.monotonic() - self._began:.2f} s: {kind} to {place}: {why}")


class Traffic:
    """The program, running beside a test; its result is there after the block."""

    def __init__(self, settings: Settings, namespace: str, service: str, rate: float = 40, kept: int = 4) -> None:
        program = [sys.executable, "-m", "lab.traffic", namespace, service, f"--rate={rate:g}", f"--kept={kept}"]
        self._command = [sys.executable, "-m", "lab", "exec", "hub", *program]
        self._environment = os.environ | settings.environment() | {"PYTHONPATH": python_path()}
        self.result = Result()

    def __enter__(self) -> Traffic:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self._process.stdout.readline()  # it says when there is an endpoint
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        text, _unused = self._process.communicate()
        self.result = Result(**json.loads(text))


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.traffic")
    parser.add_argument("namespace")
    parser.add_argument("service")
    parser.add_argument("--rate", type=float, default=40, help="requests per second (%(default)s)")
    parser.add_argument("--kept", type=int, default=4, help="kept connections (%(default)s)")
    options = parser.parse_args()
    endpoints = Endpoints(Api(Settings.from_environment()), options.namespace, options.service)
    client = Client(endpoints, options.rate)
    while not endpoints.next():
        time.sleep(0.05)
    print("begun", flush=True)
    thread = threading.Thread(target=client.run, args=(options.kept,))
    thread.start()
    sys.stdin.read()
    client.stop.set()
    thread.join()
    print(json.dumps(asdict(client.result)))


if __name__ == "__main__":
    main()
