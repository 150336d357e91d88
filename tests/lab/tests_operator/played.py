# SPDX-License-Identifier: GPL-3.0-or-later
"""A played cluster for the machine: objects in memory, kubelets that take some seconds, a clock that jumps."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from lab.operator import machine
from lab.operator.issuers import DEFAULT_ISSUER
from lab.operator.machine import Machine, Options, Snapshot
from lab.operator.pace import Pace

START = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc).timestamp()
URL = "https://api.realop.test:6443"
TEMPLATE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "kube-apiserver", "namespace": "openshift-kube-apiserver", "labels": {"revision": "1"}},
    "spec": {
        "containers": [
            {
                "name": "kube-apiserver",
                "command": [
                    "/usr/bin/kube-apiserver",
                    "--advertise-address=NODE_IP",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    "--api-audiences=https://kubernetes.default.svc",
                    "--v=1",
                ],
            }
        ]
    },
}


def stamp(now: float) -> str:
    return f"{datetime.fromtimestamp(now, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


class Played:
    """Carries out the machine's writes and plays the kubelets: installer 3 s, static pod away 2 s, ready after 5 to 10 s more."""

    def __init__(self, *, running: int = 0, seed: int = 1, failing: tuple[str, ...] = (), **options: Any) -> None:
        self.rng = random.Random(seed)
        options = {"pace": Pace(1.0), "adopt": bool(running), **options}
        self.machine = Machine(Options(template=TEMPLATE, **options), random.Random(seed))
        self.now = START
        self.issuer = ""
        self.operator: dict[str, Any] = {"metadata": {"name": "cluster", "generation": 1}, "spec": {}}
        self.cluster_operator: dict[str, Any] | None = None
        self.config_maps: dict[str, Any] = {}
        self.pods: dict[str, Any] = {}
        self.masters = [
            {
                "metadata": {"name": f"master-{i}"},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }
            for i in range(3)
        ]
        self.failing = set(failing)  # installer pods that fail
        self.crashing: Callable[[str], bool] = lambda manifest: False
        self.plans: list[tuple[float, Callable[[], None]]] = []
        self.events: list[tuple[float, machine.Event]] = []
        self.said: list[str] = []
        self.states: list[tuple[float, dict[str, Any]]] = []
        for i in range(3) if running else ():
            self._mirror(f"master-{i}", running, ready=True, since=START - 3600)

    # --- the world -----------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.issuer,
            URL,
            self.operator,
            self.cluster_operator,
            dict(self.config_maps),
            dict(self.pods),
            self.masters,
        )

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False, tick: float = 0.1) -> float:
        """Let time pass until something holds; return how long it took."""
        began = self.now
        while self.now < began + seconds and not until():
            for plan in [plan for plan in self.plans if plan[0] <= self.now]:
                self.plans.remove(plan)
                plan[1]()
            while writes := self.machine.decide(self.snapshot(), self.now).writes:
                for write in writes:
                    self.carry_out(write)
                self.now += 0.001
            self.now += tick
        return self.now - began

    def restart(self, seed: int) -> None:
        """A new operator process."""
        self.machine = Machine(self.machine.options, random.Random(seed))

    def carry_out(self, write: machine.Write) -> None:
        match write:
            case machine.PutStatus(status):
                check_crd_rules(self.operator.get("status") or {}, status)
                self.operator["status"] = copy.deepcopy(status)
                self._seen()
            case machine.PutSpec(spec):
                self.operator["spec"] = copy.deepcopy(spec)
                self._seen()
            case machine.PutConfigMap(name, data, annotations):
                self.config_maps[name] = {
                    "metadata": {"name": name, "annotations": dict(annotations)},
                    "data": dict(data),
                }
            case machine.DeleteConfigMap(name):
                for kind in ("revision-status", "config", "kube-apiserver-pod"):
                    self.config_maps.pop(f"{kind}-{name.rpartition('-')[2]}", None)
            case machine.CreatePod(manifest):
                self._install(manifest)
            case machine.DeletePod(name):
                self.pods.pop(name, None)
            case machine.PutClusterOperator(status):
                self.cluster_operator = {"status": copy.deepcopy(status)}
                self._seen()
            case machine.Event():
                self.events.append((self.now, write))
            case machine.Say(text):
                self.said.append(text)

    def _seen(self) -> None:
        operator = {**self.operator, "clusterOperator": self.cluster_operator}
        self.states.append((self.now, copy.deepcopy(operator)))

    # --- kubelets ------------------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self.plans.append((self.now + seconds, what))

    def _install(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        self.pods[name] = {**copy.deepcopy(manifest), "status": {"phase": "Pending"}}
        self._later(3.0, lambda: self._installed(name))

    def _installed(self, name: str) -> None:
        if name not in self.pods:
            return
        if name in self.failing:
            ended = {"terminated": {"exitCode": 1, "message": "no space left on device"}}
            self.pods[name]["status"] = {
                "phase": "Failed",
                "containerStatuses": [{"name": "installer", "state": ended}],
            }
            return
        self.pods[name]["status"] = {"phase": "Succeeded"}
        revision = int(name.split("-")[1])
        node = self.pods[name]["spec"]["nodeName"]
        manifest = self.config_maps[f"kube-apiserver-pod-{revision}"]["data"]["pod.yaml"]
        self._later(2.0, lambda: self._mirror(node, revision, ready=False, since=self.now))
        if not self.crashing(manifest):
            self._later(2.0 + self.rng.uniform(5, 10), lambda: self._mirror(node, revision, ready=True, since=self.now))

    def _mirror(self, node: str, revision: int, *, ready: bool, since: float) -> None:
        name = f"kube-apiserver-{node}"
        if not ready or revision >= int(
            self.pods.get(name, {}).get("metadata", {}).get("labels", {}).get("revision", 0)
        ):
            state = {"running": {}} if ready else {"waiting": {"reason": "ContainerCreating"}}
            self.pods[name] = {
                "metadata": {"name": name, "labels": {"revision": str(revision)}},
                "status": {
                    "phase": "Running" if ready else "Pending",
                    "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": stamp(since)}],
                    "containerStatuses": [{"name": "kube-apiserver", "state": state}],
                },
            }

    # --- questions -------------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> dict[str, Any]:
        return self.operator.get("status") or {}

    def condition(self, kind: str) -> dict[str, Any]:
        return next((c for c in self.status.get("conditions", []) if c["type"] == kind), {})

    def issuers(self) -> list[str]:
        return [entry["name"] for entry in self.status["serviceAccountIssuers"]]

    def revisions(self) -> str:
        """Like 0:1>2 1:1 2:1."""
        nodes = self.status.get("nodeStatuses", [])
        pairs = [(n["nodeName"][-1], n.get("currentRevision", 0), n.get("targetRevision") or 0) for n in nodes]
        return " ".join(f"{name}:{current}" + (f">{target}" if target else "") for name, current, target in pairs)

    def done(self) -> bool:
        """All nodes at the latest revision, which holds the wanted issuer."""
        wanted = self.issuer or DEFAULT_ISSUER
        arguments = self.operator["spec"].get("observedConfig", {}).get("apiServerArguments", {})
        observed = arguments.get("service-account-issuer", [])
        latest = self.status.get("latestAvailableRevision")
        config = self.config_maps.get(f"config-{latest}", {}).get("data", {}).get("config.yaml", "{}")
        nodes = self.status.get("nodeStatuses", [])
        return (
            self.status.get("serviceAccountIssuers", [{"name": wanted}])[0]["name"] == wanted
            and observed == [entry["name"] for entry in self.status.get("serviceAccountIssuers", [])]
            and json.loads(config).get("apiServerArguments", {}).get("service-account-issuer") == observed
            and config == self.config_maps["config"]["data"]["config.yaml"]
            and bool(nodes)
            and all(n.get("currentRevision") == latest and not n.get("targetRevision") for n in nodes)
            and self.condition("NodeInstallerProgressing").get("status") == "False"
        )


def check_crd_rules(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The rules that the real CRD holds for every update."""
    assert (after.get("latestAvailableRevision") or 0) >= (before.get("latestAvailableRevision") or 0)
    former = {entry["nodeName"]: entry for entry in before.get("nodeStatuses", [])}
    entries = after.get("nodeStatuses", [])
    assert sum(bool(entry.get("targetRevision")) for entry in entries) <= 1
    for entry in entries:
        if entry["nodeName"] not in former:
            assert "currentRevision" not in entry
            assert "targetRevision" not in entry
        elif "currentRevision" in former[entry["nodeName"]]:
            assert entry["currentRevision"] >= former[entry["nodeName"]]["currentRevision"]
