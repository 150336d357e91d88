# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself, on a machine that can run it."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path

import pytest
from kubernetes import client, config, stream
from lab import boxes, gates, manifests, supervisor
from lab.api import Api

from .conftest import Lab, eventually

POD = "token-reader"


def test_up_prints_the_kubeconfig_last_and_twice_changes_nothing(lab: Lab) -> None:
    assert lab.up() == str(lab.settings.kubeconfig)
    assert lab.settings.kubeconfig.stat().st_mode & 0o777 == 0o600
    before = supervisor.running(lab.settings)
    again = lab.run("up").stdout
    assert "already up" in again
    assert again.splitlines()[-1] == str(lab.settings.kubeconfig)
    assert supervisor.running(lab.settings) == before


def test_the_api_shows_openshift_on_its_nodes(running: Lab) -> None:
    api = running.api()
    expected = {node.name for node in running.settings.nodes}
    assert {node["metadata"]["name"] for node in api.items("/api/v1/nodes")} == expected
    assert gates.static_pods_ready(api, running.settings) == []
    operators = api.items("/apis/config.openshift.io/v1/clusteroperators")
    assert "kube-apiserver" in {operator["metadata"]["name"] for operator in operators}
    version = api.get("/apis/config.openshift.io/v1/clusterversions/version")
    assert version["status"]["desired"]["version"].startswith("4.21.")
    pools = api.items("/apis/machineconfiguration.openshift.io/v1/machineconfigpools")
    assert [pool["status"]["machineCount"] for pool in pools] == [running.settings.master_count, 2]


def test_every_api_server_runs_what_its_manifest_says(running: Lab) -> None:
    pods = running.api().items("/api/v1/namespaces/openshift-kube-apiserver/pods?labelSelector=apiserver%3Dtrue")
    assert len(pods) == running.settings.master_count
    for pod in pods:
        issuers = manifests.flag_values(pod, "service-account-issuer")
        assert manifests.flag_values(pod, "api-audiences") == [",".join(issuers)]


def test_a_pod_on_a_worker_reads_its_projected_token(running: Lab) -> None:
    config.load_kube_config(str(running.settings.kubeconfig))
    core = client.CoreV1Api()
    core.create_namespaced_pod("default", _token_pod())
    try:
        eventually(lambda: _ready(core.read_namespaced_pod(POD, "default")))
        pod = core.read_namespaced_pod(POD, "default")
        assert pod.spec.node_name.startswith("worker-")
        payload = stream.stream(
            core.connect_get_namespaced_pod_exec,
            POD,
            "default",
            command=["cut", "-d.", "-f2", "/var/run/secrets/tokens/vault-token"],
            stdout=True,
            stderr=True,
        ).strip()
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["aud"] == ["vault"]
        assert claims["exp"] - claims["iat"] == 7200
        assert claims["kubernetes.io"]["pod"] == {"name": POD, "uid": pod.metadata.uid}
    finally:
        core.delete_namespaced_pod(POD, "default", grace_period_seconds=0)


def test_the_audit_log_is_readable_through_the_kubelet(running: Lab) -> None:
    config.load_kube_config(str(running.settings.kubeconfig))
    core = client.CoreV1Api()
    text = core.connect_get_node_proxy_with_path(running.settings.masters[0].name, "logs/kube-apiserver/audit.log")
    event = json.loads(text.splitlines()[0])
    assert event["kind"] == "Event"
    assert event["level"] == "Metadata"


@pytest.mark.parametrize("place", [1, -1], ids=["second", "last"])
def test_a_reboot_gives_a_new_boot_id_and_the_lab_recovers(running: Lab, place: int) -> None:
    api, node = running.api(), running.settings.nodes[place].name
    before, restarts = gates.boot_id_of(running.settings, node), _restarts(api, node)
    running.run("exec", node, "systemctl", "reboot", check=False)  # the reboot ends the command too
    eventually(lambda: gates.boot_id_of(running.settings, node) != before)
    eventually(lambda: gates.look(lambda: gates.nodes_ready(api, running.settings)) == [])
    seen = api.get(f"/api/v1/nodes/{node}")["status"]["nodeInfo"]["bootID"]
    assert seen == gates.boot_id_of(running.settings, node) != before
    eventually(lambda: _all_greater(_restarts(api, node), restarts))
    eventually(lambda: gates.look(lambda: gates.static_pods_ready(api, running.settings)) == [])


def test_a_node_without_power_stays_down_until_it_is_let_go(running: Lab) -> None:
    home = running.settings.node("worker-1")
    before = gates.boot_id_of(running.settings, "worker-1")
    (home / "hold").touch()
    boxes.cut_power(home)
    eventually(lambda: not (home / "init.pid").exists())
    assert gates.boot_id_of(running.settings, "worker-1") == before
    (home / "hold").unlink()
    eventually(lambda: gates.look(lambda: gates.nodes_ready(running.api(), running.settings)) == [])
    assert gates.boot_id_of(running.settings, "worker-1") != before


def test_a_manifest_that_a_pod_replaces_restarts_the_static_pod(running: Lab) -> None:
    """What an installer pod does: a new file in the node's folder, by a hostPath mount."""
    api = running.api()
    master = running.settings.masters[-1]
    pod = "/api/v1/namespaces/openshift-kube-scheduler/pods/" + f"openshift-kube-scheduler-{master.name}"
    before = api.get(pod)["metadata"]["uid"]
    folder = manifests.MANIFESTS
    script = (
        f"sed 's/^    revision: .*/    revision: \"77\"/' /host{folder}/kube-scheduler-pod.yaml > /host{folder}/../new"
        f" && mv /host{folder}/../new /host{folder}/kube-scheduler-pod.yaml"
    )
    _run_on(api, master.name, script)

    def replaced() -> bool:
        found = gates.look(lambda: [] if api.get(pod)["metadata"]["uid"] != before else ["the old pod"])
        return not found and api.get(pod)["metadata"]["labels"]["revision"] == "77"

    eventually(replaced)
    eventually(lambda: gates.look(lambda: gates.static_pods_ready(api, running.settings)) == [])


def test_the_balancer_and_the_operator_come_back(running: Lab) -> None:
    for name in ("balancer", "operator"):
        file = running.settings.run / f"{name}.pid"
        before = file.read_text()
        os.kill(int(before), signal.SIGKILL)
        eventually(lambda file=file, before=before: file.read_text() != before)  # type: ignore[misc]
    eventually(running.api().ready)


def test_a_killed_supervisor_leaves_nothing_running(running: Lab) -> None:
    pid = supervisor.running(running.settings)
    assert pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: running.leftovers() == [])
    assert running.run("status", check=False).returncode == 1


def test_up_after_a_crash_makes_a_new_cluster(lab: Lab) -> None:
    assert lab.up() == str(lab.settings.kubeconfig)


def test_down_leaves_nothing(running: Lab) -> None:
    pid = supervisor.running(running.settings)
    namespace = str(Path(f"/proc/{pid}/ns/net").readlink())
    running.run("down")
    assert running.leftovers() == []
    assert not running.settings.run.exists()
    assert namespace not in _network_namespaces()
    assert "was not up" in running.run("down").stdout


def _all_greater(now: dict[str, int], before: dict[str, int]) -> bool:
    return now.keys() == before.keys() and all(count > before[name] for name, count in now.items())


def _restarts(api: Api, node: str) -> dict[str, int]:
    """Restarts of the node's static pods; empty while the API does not answer."""
    found: dict[str, int] = {}

    def gate() -> list[str]:
        for pod in api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"):
            if "kubernetes.io/config.mirror" in pod["metadata"].get("annotations", {}):
                found[pod["metadata"]["name"]] = sum(c["restartCount"] for c in pod["status"]["containerStatuses"])
        return []

    return {} if gates.look(gate) else found


def _token_pod() -> dict[str, object]:
    token = {"path": "vault-token", "audience": "vault", "expirationSeconds": 7200}
    return {
        "metadata": {"name": POD},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": "lab.local/shell:1",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/tokens"}],
                }
            ],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}],
        },
    }


def _ready(pod: client.V1Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])


def _run_on(api: Api, node: str, script: str) -> None:
    """A pod like an installer runs to its end on this node."""
    path = "/api/v1/namespaces/openshift-kube-scheduler/pods"
    api.request(
        "POST",
        path,
        {
            "metadata": {"name": "replace-manifest"},
            "spec": {
                "nodeName": node,
                "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "main",
                        "image": "lab.local/shell:1",
                        "command": ["sh", "-ec", script],
                        "securityContext": {"privileged": True, "runAsUser": 0},
                        "volumeMounts": [{"name": "host", "mountPath": "/host"}],
                    }
                ],
                "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
            },
        },
    )
    eventually(lambda: api.get(f"{path}/replace-manifest")["status"].get("phase") == "Succeeded")
    api.request("DELETE", f"{path}/replace-manifest")


def _network_namespaces() -> set[str]:
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found.add(str((process / "ns/net").readlink()))
            except OSError:
                continue
    return found
