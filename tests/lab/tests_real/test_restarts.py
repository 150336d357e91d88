# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes restarted by a pod, as automation that has nothing but the API does it, and what may go wrong with that."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config
from lab import gates
from lab.api import Api, ApiError, Unreachable
from lab.settings import Settings

from .conftest import Lab, eventually

PODS = "/api/v1/namespaces/default/pods"
UNIT = "restart-by-test"
GUARD = """
[ "$(chroot /host cat /proc/sys/kernel/random/boot_id)" = "$0" ] || { echo "another boot"; exit 0; }
exec chroot /host systemd-run --on-active=$1 --unit=$2 systemctl reboot
"""


@pytest.fixture(autouse=True)
def whole(running: Lab) -> Iterator[None]:
    """Each test begins and ends with a lab in which nothing is wrong."""
    _wait_until_whole(running.settings)
    yield
    for node in ("master-1", "worker-0", "worker-1"):
        running.run("mend", node)
    _wait_until_whole(running.settings)


@pytest.mark.parametrize("node", ["worker-0", "master-1"])
def test_a_pod_restarts_its_node_after_it_has_succeeded(running: Lab, node: str) -> None:
    before = gates.boot_id_of(running.settings, node)
    audit = running.settings.node(node) / "var/log/kube-apiserver/audit.log"
    first_line = audit.read_text().splitlines()[0] if audit.exists() else None
    with _Answers(running.settings) as answers:
        _restart(running, node, after=20)
        still = gates.boot_id_of(running.settings, node)
        assert still == before  # though the pod has succeeded and is gone
        eventually(lambda: _reported_boot(running, node) != before)
        _wait_until_whole(running.settings)
    assert answers.good
    assert answers.longest_gap < 10  # the API is there throughout: two of three are enough
    assert _reported_boot(running, node) == gates.boot_id_of(running.settings, node)
    if first_line:  # what the API server wrote before is still there
        assert audit.read_text().splitlines()[0] == first_line


def test_the_guard_keeps_a_second_pod_from_restarting_the_next_boot(running: Lab) -> None:
    before = gates.boot_id_of(running.settings, "worker-0")
    assert "another boot" in _restart(running, "worker-0", boot_id="of another boot")
    assert UNIT not in running.run("exec", "worker-0", "ls", "/run/transient-units").stdout
    assert gates.boot_id_of(running.settings, "worker-0") == before


def test_systemd_run_outlives_its_pod_and_refuses_a_name_twice(running: Lab) -> None:
    command = (
        "chroot /host systemd-run --on-active={} --unit=mark --collect sh -c 'echo \"it'\"'\"'s\" done > /run/mark'"
    )
    _run(running, "worker-1", command.format("4s"))
    twice = _run(running, "worker-1", command.format(4) + " || true")
    assert "already loaded" in twice
    eventually(lambda: running.run("exec", "worker-1", "cat", "/run/mark", check=False).stdout == "it's done\n")
    assert "does not know: --wait" in _run(running, "worker-1", "chroot /host systemd-run --wait true || true")


def test_systemctl_restarts_the_kubelet(running: Lab) -> None:
    before = running.run("exec", "worker-1", "pidof", "kubelet").stdout.strip()
    running.run("exec", "worker-1", "systemctl", "restart", "kubelet")
    eventually(
        lambda: running.run("exec", "worker-1", "pidof", "kubelet", check=False).stdout.strip() not in ("", before)
    )


def test_a_node_with_slow_firmware_takes_its_time(running: Lab) -> None:
    running.run("fault", "worker-0", "slow-boot", "40")
    before = gates.boot_id_of(running.settings, "worker-0")
    running.run("fault", "worker-0", "power-cut")
    eventually(lambda: not (running.settings.node("worker-0") / "init.pid").exists())
    down = time.monotonic()
    eventually(lambda: _ready(running, "worker-0") == "Unknown")
    eventually(lambda: gates.boot_id_of(running.settings, "worker-0") != before)
    assert time.monotonic() - down > 39


def test_a_held_node_does_not_come_back_until_it_is_mended(running: Lab) -> None:
    running.run("fault", "worker-0", "hold")
    _restart(running, "worker-0")
    eventually(lambda: _ready(running, "worker-0") == "Unknown")
    running.run("mend", "worker-0")
    eventually(lambda: _ready(running, "worker-0") == "True")


def test_a_node_that_ignores_the_request_keeps_its_boot(running: Lab) -> None:
    running.run("fault", "worker-0", "ignore-reboot")
    before = gates.boot_id_of(running.settings, "worker-0")
    _restart(running, "worker-0")
    log = running.settings.node("worker-0") / "var/log/transient-units.log"
    eventually(lambda: log.exists() and "ignores the request" in log.read_text())
    assert gates.boot_id_of(running.settings, "worker-0") == before


def test_a_node_may_come_back_without_having_restarted(running: Lab) -> None:
    running.run("fault", "worker-0", "kubelet-instead-of-reboot", "30")
    before = gates.boot_id_of(running.settings, "worker-0")
    _restart(running, "worker-0")
    eventually(lambda: _ready(running, "worker-0") == "Unknown")
    eventually(lambda: _ready(running, "worker-0") == "True")
    assert _reported_boot(running, "worker-0") == gates.boot_id_of(running.settings, "worker-0") == before


def test_a_kubelet_that_does_not_start_is_mended(running: Lab) -> None:
    running.run("fault", "worker-0", "no-kubelet")
    before = gates.boot_id_of(running.settings, "worker-0")
    _restart(running, "worker-0")
    eventually(lambda: gates.boot_id_of(running.settings, "worker-0") != before)
    eventually(lambda: _ready(running, "worker-0") == "Unknown")
    assert _reported_boot(running, "worker-0") == before
    running.run("mend", "worker-0")
    eventually(lambda: _reported_boot(running, "worker-0") != before)


def test_a_fault_that_does_not_exist_is_refused(running: Lab) -> None:
    assert "worker-7" in running.run("fault", "worker-7", "hold", check=False).stderr
    assert "30 seconds" in running.run("fault", "worker-0", "hold", "30", check=False).stderr


def _wait_until_whole(settings: Settings) -> None:
    api = Api(settings)
    eventually(lambda: gates.look(lambda: gates.nodes_ready(api, settings)) == [])
    eventually(lambda: gates.look(lambda: gates.static_pods_ready(api, settings)) == [])


def _ready(lab: Lab, node: str) -> str:
    conditions = lab.api().get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return next(str(c["status"]) for c in conditions if c["type"] == "Ready")


def _reported_boot(lab: Lab, node: str) -> str:
    found: str = lab.api().get(f"/api/v1/nodes/{node}")["status"]["nodeInfo"]["bootID"]
    return found


def _restart(lab: Lab, node: str, boot_id: str | None = None, after: int = 10) -> str:
    """A restart pod has succeeded on the node and is gone; its log."""
    boot_id = boot_id or gates.boot_id_of(lab.settings, node) or ""
    return _run(lab, node, GUARD, boot_id, str(after), UNIT)


def _run(lab: Lab, node: str, script: str, *arguments: str) -> str:
    """The log of a privileged pod that has run the script on the node to its end, and is gone."""
    api = lab.api()
    api.request("POST", PODS, _pod(node, script, *arguments))
    pod = f"{PODS}/restart-{node}"
    try:
        eventually(lambda: api.get(pod)["status"]["phase"] == "Succeeded")
        config.load_kube_config(str(lab.settings.kubeconfig))
        log: str = client.CoreV1Api().read_namespaced_pod_log(f"restart-{node}", "default")
    finally:
        api.request("DELETE", f"{pod}?gracePeriodSeconds=0")
    return log


def _pod(node: str, script: str, *arguments: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"restart-{node}"},
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": 60,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "restart",
                    "image": "lab.local/shell:1",
                    "command": ["sh", "-c", script, *arguments],
                    "securityContext": {"privileged": True, "runAsUser": 0},
                    "volumeMounts": [{"name": "host", "mountPath": "/host"}],
                }
            ],
            "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        },
    }


class _Answers:
    """Asks the API for an object all the time, each time by a new connection."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.good = 0
        self.longest_gap = 0.0

    def __enter__(self) -> _Answers:
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(0.1):
            try:
                Api(self._settings).get("/api/v1/namespaces/default")
            except (ApiError, Unreachable):
                continue
            finally:
                self.longest_gap = max(self.longest_gap, time.monotonic() - last)
            self.good += 1
            last = time.monotonic()
