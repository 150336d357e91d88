# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the restarts of simulated nodes, as the pods ask for them that succeed there.

A pod restarts its node only if the node's present boot ID stands somewhere in the pod's spec: that is what the command of a
real restart pod compares, and it is the same for a second pod that comes too late. The seconds are the node's annotations.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable
from typing import TypeVar

from .api import STRATEGIC_MERGE, Api, ApiError, Object, Unreachable, timestamp
from .progress import log
from .settings import Settings
from .simulation import LABEL, RESTART_AFTER, RESTART_TAKES, conditions
from .watching import follow

_Answer = TypeVar("_Answer")


def find_obstacle(node: Object, pod: Object) -> str | None:
    """Why the pod's success does not restart the node; None if it does."""
    metadata = node["metadata"]
    if LABEL not in metadata["labels"]:
        return "the node is not simulated"
    if node["status"]["nodeInfo"]["bootID"] not in json.dumps(pod["spec"]):
        return "the pod does not name the node's present boot"
    if metadata["annotations"][RESTART_TAKES] == "ignored":
        return "the node ignores it"
    return None


def restart_pod_statuses(pods: list[Object], now: str) -> dict[str, Object]:
    """The status patch of each pod that has run before the restart and runs again after it, by the pod's path."""
    return {
        f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status": {
            "status": {
                "conditions": [
                    {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")
                ],
                "containerStatuses": [
                    {
                        **container,
                        "ready": True,
                        "restartCount": container["restartCount"] + 1,
                        "state": {"running": {"startedAt": now}},
                    }
                    for container in pod["status"]["containerStatuses"]
                ],
            }
        }
        for pod in pods
        if pod["status"].get("phase") == "Running"
    }


class Simulator:
    """Follows the restart pods; one thread per node that is under way."""

    def __init__(self, settings: Settings, restart_pods: str) -> None:
        self._settings = settings
        self._restart_pods = restart_pods
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._under_way: set[str] = set()

    def run(self) -> None:
        """Never ends."""
        query = f"labelSelector={urllib.parse.quote(self._restart_pods)}"
        for _unused, pod in follow(Api(self._settings), "/api/v1/pods", query):
            uid, name = pod["metadata"]["uid"], pod["spec"].get("nodeName")
            if pod["status"].get("phase") != "Succeeded" or uid in self._seen:
                continue
            self._seen.add(uid)
            threading.Thread(target=self._play, args=(pod, name), daemon=True).start()

    def _play(self, pod: Object, name: str) -> None:
        api = Api(self._settings)
        path = f"/api/v1/nodes/{name}"
        try:
            node = _persist(lambda: api.get(path))
            with self._lock:
                obstacle = "it is under way" if name in self._under_way else find_obstacle(node, pod)
                if not obstacle:
                    self._under_way.add(name)
            if obstacle:
                log(f"{name}: no restart by {pod['metadata']['name']}: {obstacle}")
                return
            self._restart(api, path, node)
        except ApiError as error:
            log(f"{name}: given up: {error}")
        with self._lock:
            self._under_way.discard(name)

    def _restart(self, api: Api, path: str, node: Object) -> None:
        time.sleep(float(node["metadata"]["annotations"][RESTART_AFTER]))
        gone = {"status": {"conditions": conditions("Unknown", timestamp())}}
        _persist(lambda: api.request("PATCH", f"{path}/status", gone, STRATEGIC_MERGE))
        log(f"{node['metadata']['name']}: gone")
        down = time.monotonic()
        while not self._is_over(api, path, down):
            time.sleep(0.5)
        self._boot(api, path)
        log(f"{node['metadata']['name']}: back")

    def _is_over(self, api: Api, path: str, down: float) -> bool:
        takes = _persist(lambda: api.get(path))["metadata"]["annotations"][RESTART_TAKES]
        if takes in ("never", "ignored"):
            return False
        left = float(takes) - (time.monotonic() - down)
        if 0 < left < 0.5:
            time.sleep(left)
        return left < 0.5

    def _boot(self, api: Api, path: str) -> None:
        now = timestamp()
        status = {"nodeInfo": {"bootID": str(uuid.uuid4())}, "conditions": conditions("True", now)}
        _persist(lambda: api.request("PATCH", f"{path}/status", {"status": status}, STRATEGIC_MERGE))
        name = path.rpartition("/")[2]
        pods = _persist(lambda: api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{name}"))
        for pod, patch in restart_pod_statuses(pods, now).items():
            _persist(lambda pod=pod, patch=patch: api.request("PATCH", pod, patch, STRATEGIC_MERGE))  # type: ignore[misc]


def _persist(request: Callable[[], _Answer]) -> _Answer:
    """The answer, however long no API server gives one; ApiError for what is there no more."""
    while True:
        try:
            return request()
        except ApiError as error:
            if error.status == 404:
                raise
        except Unreachable:
            pass
        time.sleep(0.3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.simulator")
    parser.add_argument("--restart-pods", required=True, help="label selector")
    Simulator(Settings.from_environment(), parser.parse_args().restart_pods).run()


if __name__ == "__main__":
    main()
