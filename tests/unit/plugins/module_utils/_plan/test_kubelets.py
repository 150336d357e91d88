# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import PodFacts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import NodeFacts, NodeMark, NodePod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.gates import GATE_NAMES
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.kubelets import (
    SCRIPT,
    Kubelet,
    choose_fate,
    find_complaint,
    find_unready,
    judge_kubelet,
    read_kubelet_request,
    refuse_unfit,
)

BEFORE = datetime(2026, 11, 22, 8, 0, 0, 250_000, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
AFTER = BEFORE + 60 * SECOND
WELL = NodeFacts(name="w", is_ready=True, heartbeat=AFTER + 2 * SECOND)
PARAMS = {
    "nodes": None,
    "label_selectors": [],
    "roles": [],
    "pools": [],
    "started_before": None,
    "require_rollout": True,
    "gate_timeout": 1800,
    "skip_gates": [],
    "image": None,
}

CASES = [
    ("back", WELL, AFTER, "done Restarted"),
    ("the same", WELL, BEFORE, "waiting SameKubelet"),
    ("the same, on a host whose clock was adjusted", WELL, BEFORE + 2 * SECOND, "waiting SameKubelet"),
    ("older than before, as a clock may say that was set back", WELL, BEFORE - 60 * SECOND, "waiting SameKubelet"),
    ("as soon as can be", replace(WELL, heartbeat=BEFORE + 9 * SECOND), BEFORE + 3 * SECOND, "done Restarted"),
    ("silent", replace(WELL, is_ready=False), None, "waiting Silent"),
    ("not Ready", replace(WELL, is_ready=False), AFTER, "waiting NotReady"),
    ("a report of the former one", replace(WELL, heartbeat=AFTER - SECOND), AFTER, "waiting StaleHeartbeat"),
    ("no report", replace(WELL, heartbeat=None), AFTER, "waiting StaleHeartbeat"),
    ("a report of that second", replace(WELL, heartbeat=AFTER.replace(microsecond=0)), AFTER, "done Restarted"),
    ("unreachable", replace(WELL, is_unreachable=True), AFTER, "waiting Unreachable"),
    ("cordoned is no matter", replace(WELL, is_cordoned=True), AFTER, "done Restarted"),
    ("no node", None, AFTER, "failed Gone"),
]


@pytest.mark.parametrize(("name", "node", "started_at", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_whether_a_kubelet_is_back(name, node, started_at, wanted):
    verdict = judge_kubelet(node, started_at, (), before=BEFORE)
    assert f"{verdict.outcome.value} {verdict.reason}" == wanted
    assert verdict.started_at == started_at


def test_a_kubelet_that_nothing_will_restart_is_not_waited_for():
    verdict = judge_kubelet(WELL, BEFORE, (), before=BEFORE, is_asked=False)
    assert f"{verdict.outcome.value} {verdict.message}" == (
        "failed it is still the one that was started at 2026-11-22T08:00:00Z"
    )
    assert judge_kubelet(WELL, None, (), before=BEFORE, is_asked=False).outcome.value == "waiting"
    assert judge_kubelet(WELL, AFTER, (), before=BEFORE, is_asked=False).outcome.value == "done"


@pytest.mark.parametrize(
    ("unready", "message"),
    [
        (["n/a"], "it has restarted, and not Ready again yet are n/a"),
        (["n/a", "n/b", "n/c", "n/d", "n/e"], "it has restarted, and not Ready again yet are n/a, n/b, n/c and 2 more"),
    ],
)
def test_the_pods_are_waited_for(unready, message):
    verdict = judge_kubelet(WELL, AFTER, unready, before=BEFORE)
    assert (verdict.outcome.value, verdict.message) == ("waiting", message)


def node_pod(name, *, is_ready, **more):
    facts = PodFacts(namespace="n", name=name, uid=f"uid-{name}", is_ready=is_ready, **more)
    return NodePod(facts=facts)


def test_which_pods_are_not_ready_any_more():
    pods = [
        node_pod("lost", is_ready=False),
        node_pod("kept", is_ready=True),
        node_pod("going", is_ready=False, is_terminating=True),
        node_pod("ended", is_ready=False, phase="Succeeded"),
        node_pod("never", is_ready=False),
    ]
    assert find_unready(pods, {"uid-lost", "uid-kept", "uid-going", "uid-ended", "uid-gone"}) == ["n/lost"]


@pytest.mark.parametrize(
    ("started_at", "started_before", "fate"),
    [
        (BEFORE, AFTER, "planned"),
        (BEFORE, BEFORE, "planned"),
        (AFTER, BEFORE, "left"),
        (BEFORE, None, "planned"),
    ],
)
def test_which_kubelets_are_restarted(started_at, started_before, fate):
    assert choose_fate(started_at, started_before).value == fate


@pytest.mark.parametrize(
    ("exit_status", "output", "complaint"),
    [
        (0, "aaa bbb\n", ""),
        (1, "Job for kubelet.service failed.\n", "exit status 1: Job for kubelet.service failed."),
        (127, "", "exit status 127: no word why"),
        (3, "aaa bbb\n", "exit status 3: aaa bbb"),
        (0, "aaa aaa\n", "no.* another invocation of kubelet.service: aaa aaa"),
        (0, "bbb\n", "another invocation of kubelet.service: bbb"),
        (0, "", "another invocation of kubelet.service: nothing"),
    ],
)
def test_what_is_wrong_with_what_the_command_did(exit_status, output, complaint):
    found = find_complaint(exit_status, output)
    assert complaint.rpartition("* ")[2] in found
    assert bool(found) == bool(complaint)


def run_script(tmp_path, *, restart="echo bbb > id", is_active="exit 0"):
    """What the script says where systemctl is one that keeps the invocation in a file."""
    fake = tmp_path / "systemctl"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> asked\ncase $1 in show) cat id ;; restart) {restart} ;; is-active) {is_active} ;; esac\n'
    )
    fake.chmod(0o700)
    (tmp_path / "id").write_text("aaa\n")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-ec", SCRIPT, "sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    return find_complaint(done.returncode, done.stdout + done.stderr), (tmp_path / "asked").read_text().splitlines()


def test_the_script_restarts_the_unit_and_tells_which_invocations_it_saw(tmp_path):
    complaint, asked = run_script(tmp_path)
    assert complaint == ""
    assert asked == [
        "show -p InvocationID --value kubelet.service",
        "restart kubelet.service",
        "show -p InvocationID --value kubelet.service",
        "is-active --quiet kubelet.service",
    ]


@pytest.mark.parametrize(
    ("fakes", "complaint"),
    [
        ({"restart": "echo Job failed >&2; exit 1"}, "exit status 1: Job failed"),
        ({"restart": "true"}, "aaa aaa"),
        ({"is_active": "exit 3"}, "exit status 3"),
    ],
)
def test_a_restart_that_fails_is_told(tmp_path, fakes, complaint):
    assert complaint in run_script(tmp_path, **fakes)[0]


def test_what_is_asked_for():
    asked = {**PARAMS, "nodes": ["a"], "started_before": "2026-11-22T08:00:00Z", "roles": ["worker"]}
    request = read_kubelet_request(asked)
    assert (request.nodes.names, request.nodes.roles) == (("a",), ("worker",))
    assert request.started_before == BEFORE.replace(microsecond=0)
    assert read_kubelet_request(PARAMS).started_before is None


@pytest.mark.parametrize(
    ("options", "gates"),
    [
        ({}, ["pools", "rollout", "update"]),
        ({"require_rollout": False}, ["pools", "update"]),
        ({"skip_gates": ["pools", "rollout"]}, ["update"]),
    ],
)
def test_what_others_must_not_be_busy_with(options, gates):
    asked = read_kubelet_request({**PARAMS, "gate_timeout": 7, **options}).gates
    assert ([name for name in GATE_NAMES if asked.wants(name)], asked.timeout) == (gates, 7)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"nodes": []}, "option nodes is empty"), ({"started_before": "noon"}, "started_before is")],
)
def test_what_cannot_be_meant(options, sentence):
    with pytest.raises(InvalidOption, match=sentence):
        read_kubelet_request({**PARAMS, **options})


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (NodeFacts(name="dead"), "because dead is or are not Ready"),
        (NodeFacts(name="win", is_ready=True, labels={"kubernetes.io/os": "windows"}), "because win do"),
        (
            replace(WELL, mark=NodeMark(run_id="r1", boot_id="b")),
            r"because w \(run r1\) is or are in the middle of a restart",
        ),
    ],
)
def test_nodes_on_which_no_kubelet_can_be_restarted(node, sentence):
    with pytest.raises(Refused, match=f"No kubelet was restarted, {sentence}"):
        refuse_unfit([WELL, node])
    refuse_unfit([WELL, replace(WELL, is_unreachable=True)])  # the taint goes a little later


def test_a_kubelet_as_the_result_shows_it():
    assert Kubelet(node="w", pool="worker", started_before=BEFORE).record() == {
        "node": "w",
        "pool": "worker",
        "outcome": "planned",
        "started_before": "2026-11-22T08:00:00Z",
        "started_at": "2026-11-22T08:00:00Z",
        "message": None,
    }
