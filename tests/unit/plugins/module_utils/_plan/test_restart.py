# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Outcome
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import node_facts, node_pod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import DrainOptions, judge_drain_pod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import RESTART_NAMESPACE
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.restart import (
    build_restart_pod,
    describe_keeper,
    find_unwell,
    judge_restarted,
    restart_pod_name,
)

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
NODES = yaml.safe_load((FIXTURES / "nodes.yml").read_text())
RAW = {
    **yaml.safe_load((FIXTURES / "pods.yml").read_text()),
    **yaml.safe_load((FIXTURES / "node_pods.yml").read_text()),
}
WORKER = node_facts(NODES["worker"])
CART, DAEMON, MIRROR, BARE, RESTART = (node_pod(RAW[n]) for n in ("cart", "daemon", "mirror", "bare", "restart"))
BEFORE, AFTER = "00000000-0000-4000-8000-000000000001", "8d9c2f4e-3b1a-4c5d-9e8f-7a6b5c4d3e2f"
ASKED = datetime(2026, 11, 22, 7, 58, 0, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
#: Back for a minute: it has reported, and all that belongs to it was started since.
BACK = replace(WORKER, boot_id=AFTER, heartbeat=ASKED + 60 * SECOND)


def started(pod, moment, **facts):
    return replace(pod, started_at=moment, facts=replace(pod.facts, **facts))


WELL = [started(DAEMON, ASKED + 50 * SECOND), started(MIRROR, ASKED + 40 * SECOND)]
ONE_UNREADY = [WELL[0], started(MIRROR, None, is_ready=False)]
DNS, API = "openshift-dns/DaemonSet/dns-default", "openshift-kube-apiserver/kube-apiserver-master-0"


def changed(**fields):
    return replace(BACK, **fields)


CASES = [
    ("all is well", BACK, WELL, {}, "done Restarted"),
    ("it runs nothing of its own", BACK, [], {}, "done Restarted"),
    ("nothing has happened yet", changed(boot_id=BEFORE), WELL, {}, "waiting SameBoot"),
    ("it reports no boot ID", changed(boot_id=""), WELL, {}, "waiting SameBoot"),
    ("no boot ID, where none is asked for", changed(boot_id=""), WELL, {"boot_id": ""}, "waiting SameBoot"),
    ("any boot ID will do", BACK, WELL, {"boot_id": ""}, "done Restarted"),
    ("the boot ID is asked for before readiness", changed(boot_id=BEFORE, is_ready=False), [], {}, "waiting SameBoot"),
    ("not Ready", changed(is_ready=False), WELL, {}, "waiting NotReady"),
    ("a report from before", changed(heartbeat=ASKED - SECOND), WELL, {}, "waiting StaleHeartbeat"),
    ("no report", changed(heartbeat=None), WELL, {}, "waiting StaleHeartbeat"),
    ("a report of that second", changed(heartbeat=ASKED), WELL, {}, "done Restarted"),
    ("nobody knows when it was asked", changed(heartbeat=None), WELL, {"requested_at": None}, "done Restarted"),
    ("still unreachable", changed(is_unreachable=True), WELL, {}, "waiting Unreachable"),
    ("a cordon is no matter", changed(is_cordoned=True), WELL, {}, "done Restarted"),
    ("a static pod is not Ready", BACK, ONE_UNREADY, {}, "waiting PodsNotReady"),
    ("it was not Ready before either", BACK, ONE_UNREADY, {"unwell_before": [API]}, "done Restarted"),
    ("another one was not Ready before", BACK, ONE_UNREADY, {"unwell_before": [DNS]}, "waiting PodsNotReady"),
    ("a status from before the boot", BACK, [started(DAEMON, ASKED - SECOND)], {}, "waiting PodsNotReady"),
    ("the same, when nobody knows when", BACK, [started(DAEMON, ASKED - SECOND)], {"requested_at": None},
     "done Restarted"),
    ("other pods are no matter", BACK, [replace(CART, facts=replace(CART.facts, is_ready=False)), BARE, RESTART], {},
     "done Restarted"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "node", "pods", "asked", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_the_proof(name, node, pods, asked, wanted):
    verdict = judge_restarted(node, pods, **{"boot_id": BEFORE, "requested_at": ASKED, **asked})
    assert f"{verdict.outcome.value} {verdict.reason}" == wanted


def test_what_is_waited_for_is_named():
    many = [
        replace(started(DAEMON, None, is_ready=False), facts=replace(DAEMON.facts, is_ready=False, namespace=f"ns{i}"))
        for i in (5, 2, 4, 1, 3)
    ]
    verdict = judge_restarted(BACK, many, boot_id=BEFORE, requested_at=ASKED)
    names = ", ".join(f"ns{i}/DaemonSet/dns-default" for i in (1, 2, 3))
    assert verdict.message == f"not Ready on it yet: {names} and 2 more"
    assert judge_restarted(BACK, many[1:], boot_id=BEFORE).message.endswith("ns3/DaemonSet/dns-default and 1 more")
    assert judge_restarted(BACK, many[2:], boot_id=BEFORE).message.endswith("ns4/DaemonSet/dns-default")
    assert judge_restarted(BACK, WELL, boot_id=BEFORE).message == f"the boot ID is {AFTER}"
    assert judge_restarted(BACK, WELL, boot_id=AFTER).message == f"the boot ID is still {AFTER}"


def test_the_proof_asks_for_the_first_sign_that_is_missing():
    """A node on its way back, look by look; no order of signs makes a judgement of DONE before the last of them."""
    signs = [
        ("SameBoot", {"boot_id": BEFORE}),
        ("NotReady", {"is_ready": False}),
        ("StaleHeartbeat", {"heartbeat": ASKED - SECOND}),
        ("Unreachable", {"is_unreachable": True}),
    ]
    for missing in range(1, 2 ** len(signs)):
        present = [s for n, s in enumerate(signs) if missing & 1 << n]
        node = changed(**{k: v for _reason, fields in present for k, v in fields.items()})
        verdict = judge_restarted(node, WELL, boot_id=BEFORE, requested_at=ASKED)
        assert (verdict.outcome, verdict.reason) == (Outcome.WAITING, present[0][0])


@pytest.mark.parametrize(
    ("name", "pod", "since", "unwell"),
    [
        ("Ready", DAEMON, None, False),
        ("Ready, started since", started(DAEMON, ASKED), ASKED, False),
        ("Ready, as it was before", started(DAEMON, ASKED - SECOND), ASKED, True),
        ("Ready, nobody knows since when", started(DAEMON, None), ASKED, False),
        ("not Ready", started(DAEMON, ASKED, is_ready=False), ASKED, True),
        ("going", started(DAEMON, ASKED, is_ready=False, is_terminating=True), ASKED, False),
        ("evicted, not replaced yet", started(DAEMON, None, is_ready=False, phase="Failed"), ASKED, True),
        (
            "a static pod that has ended for good",
            started(MIRROR, None, is_ready=False, phase="Succeeded"),
            ASKED,
            False,
        ),
        ("a static pod that has failed", started(MIRROR, None, is_ready=False, phase="Failed"), ASKED, False),
        ("a static pod that is not Ready", started(MIRROR, None, is_ready=False), ASKED, True),
        ("a pod of a ReplicaSet", started(CART, None, is_ready=False), ASKED, False),
        ("a pod of nobody", started(BARE, None, is_ready=False), ASKED, False),
    ],
)
def test_who_is_unwell(name, pod, since, unwell):
    assert find_unwell([pod], since) == ([describe_keeper(pod)] if unwell else [])


def test_a_static_pod_is_stale_when_one_of_its_containers_is():
    pod = deepcopy(RAW["mirror"])
    moments = ("2026-11-22T07:58:40Z", "2026-11-20T10:00:00Z")
    pod["status"]["containerStatuses"] = [{"name": m, "state": {"running": {"startedAt": m}}} for m in moments]
    assert find_unwell([node_pod(pod)], ASKED) == [API]
    pod["status"]["containerStatuses"].pop()
    assert find_unwell([node_pod(pod)], ASKED) == []


def test_what_keeps_a_pod_has_a_name_that_outlives_it():
    assert describe_keeper(DAEMON) == DNS
    assert describe_keeper(MIRROR) == API  # its owner is the node, which has many
    annotated = replace(MIRROR, facts=replace(MIRROR.facts, owner=None))
    assert describe_keeper(annotated) == API


@pytest.fixture
def pod():
    return build_restart_pod(WORKER, boot_id=BEFORE, image="quay.example/mcd@sha256:1", delay=3)


def test_the_pod_is_bound_to_its_node_and_has_no_token(pod):
    spec = pod["spec"]
    assert pod["metadata"]["name"] == restart_pod_name("worker-0") == "restart-worker-0"
    assert (spec["nodeName"], spec["restartPolicy"], spec["hostPID"]) == ("worker-0", "Never", True)
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    assert spec["terminationGracePeriodSeconds"] == 0
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert 0 < spec["activeDeadlineSeconds"] <= 600
    (container,) = spec["containers"]
    assert "resources" not in container
    assert container["securityContext"] == {"privileged": True, "runAsUser": 0}
    assert container["image"] == "quay.example/mcd@sha256:1"
    (mount,), (volume,) = container["volumeMounts"], spec["volumes"]
    assert volume == {"name": mount["name"], "hostPath": {"path": "/", "type": "Directory"}}
    assert container["command"][:2] == ["chroot", mount["mountPath"]]


def test_the_drain_leaves_the_pod_alone(pod):
    seen = {**pod, "metadata": {**pod["metadata"], "namespace": RESTART_NAMESPACE, "uid": "u"}, "status": {}}
    assert judge_drain_pod(node_pod(seen), DrainOptions(force=True)).reason == "RestartPod"


def run_script(tmp_path, *, boot_id, delay=3):
    """Run what the pod runs in the host's root, on this machine, with a systemd-run that only notes what it is asked for."""
    noted = tmp_path / "noted"
    fake = tmp_path / "systemd-run"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {noted}\n')
    fake.chmod(0o700)
    command = build_restart_pod(WORKER, boot_id=boot_id, image="i", delay=delay)["spec"]["containers"][0]["command"]
    assert command[:3] == ["chroot", "/host", "/bin/sh"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command[2:], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    return done, noted.read_text().splitlines() if noted.exists() else []


def test_the_host_restarts_a_little_later_while_its_boot_id_is_the_expected_one(tmp_path):
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    done, noted = run_script(tmp_path, boot_id=boot_id, delay=7)
    assert done.returncode == 0
    assert {"--on-active=7", "--timer-property=AccuracySec=100ms"} <= set(noted)
    assert f"--unit=bound-tokens-restart-{boot_id[:8]}" in noted
    assert noted[-2:] == ["systemctl", "reboot"]


def test_run_again_after_the_boot_it_does_nothing(tmp_path):
    done, noted = run_script(tmp_path, boot_id=BEFORE)
    assert (done.returncode, noted) == (0, [])
    assert done.stdout.endswith(" already\n")


@pytest.mark.parametrize(
    "boot_id", ['"; touch pwned; "', "$(touch pwned)", "`touch pwned`", "'; touch pwned #", "-x", ""]
)
def test_nothing_in_a_boot_id_is_run(tmp_path, boot_id):
    done, noted = run_script(tmp_path, boot_id=boot_id)
    assert (done.returncode, noted) == (0, [])
    assert not (tmp_path / "pwned").exists()
