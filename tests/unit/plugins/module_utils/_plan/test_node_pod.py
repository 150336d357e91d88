# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import node_pod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import DrainOptions, judge_drain_pod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.node_pod import (
    build_command_pod,
    build_namespace,
    build_role_binding,
    judge_command,
    read_image,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import RESTART_NAMESPACE


def command_pod(node="worker-0", **more):
    return build_command_pod(
        node, purpose="files", nonce="3fa2b1c0", image="quay.example/mcd", script="echo $1", arguments=("x",), **more
    )


def test_a_command_pod_runs_its_script_once_in_the_hosts_root_of_its_node_and_has_no_token():
    pod = command_pod(deadline=20)
    spec = pod["spec"]
    assert pod["metadata"]["name"] == "files-3fa2b1c0-worker-0"
    assert (spec["nodeName"], spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("worker-0", "Never", 20)
    assert spec["automountServiceAccountToken"] is False
    assert spec["tolerations"] == [{"operator": "Exists"}]
    (container,) = spec["containers"]
    assert container["command"] == ["chroot", "/host", "/bin/sh", "-ec", "echo $1", "sh", "x"]
    assert "resources" not in container


def test_the_name_fits_however_long_the_nodes_is():
    name = command_pod(node="n" * 237 + "." + "n" * 15)["metadata"]["name"]
    assert len(name) <= 253
    assert name[-1].isalnum()


def test_a_drain_leaves_a_command_pod_alone_and_nobody_takes_it_for_a_restart_pod():
    pod = command_pod()
    seen = node_pod({**pod, "metadata": {**pod["metadata"], "namespace": RESTART_NAMESPACE, "uid": "u"}, "status": {}})
    assert not seen.is_restart_pod
    assert judge_drain_pod(seen, DrainOptions(force=True)).reason == "CommandPod"


def status(phase, *, terminated=None, waiting=None, **more):
    state = {"terminated": terminated} if terminated else {"waiting": waiting} if waiting else {"running": {}}
    return {"status": {"phase": phase, "containerStatuses": [{"name": "command", "state": state}], **more}}


PULL = {"reason": "ErrImagePull", "message": "no such image"}
TOO_LONG = {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the specified deadline"}
CASES = [
    ("it has not begun", {}, "waiting 0 the pod is Pending"),
    ("it runs", status("Running"), "waiting 0 the pod is Running"),
    ("its image does not come", status("Pending", waiting=PULL), "waiting 0 the pod is Pending: no such image"),
    ("a word", status("Pending", waiting={"reason": "PodInitializing"}), "waiting 0 the pod is Pending: PodInitializing"),
    ("it has succeeded", status("Succeeded", terminated={"exitCode": 0}), "done 0 the command has ended"),
    ("it has failed", status("Failed", terminated={"exitCode": 7}), "done 7 the command has ended"),
    ("too long", status("Failed", terminated={"exitCode": 137}, **TOO_LONG),
     f"failed 0 the pod was ended from outside: {TOO_LONG['message']}"),
    ("never ran", {"status": {"phase": "Failed", "reason": "OutOfpods"}},
     "failed 0 the pod was ended from outside: OutOfpods"),
    ("never ran, and nobody says why", {"status": {"phase": "Failed"}}, "failed 0 the pod was ended from outside: Failed"),
    ("it is gone", None, "failed 0 somebody else has deleted the pod; run it again."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pod", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_how_a_command_stands(name, pod, wanted):
    verdict = judge_command(pod)
    assert f"{verdict.outcome.value} {verdict.exit_status} {verdict.message}" == wanted


def test_the_namespace_lets_a_privileged_pod_in_and_keeps_nobody_elses_settings():
    metadata = build_namespace()["metadata"]
    assert metadata["name"] == RESTART_NAMESPACE
    modes = {k.rpartition("/")[2]: v for k, v in metadata["labels"].items() if k.startswith("pod-security")}
    assert modes == dict.fromkeys(("enforce", "audit", "warn"), "privileged")
    assert metadata["labels"]["security.openshift.io/scc.podSecurityLabelSync"] == "false"
    assert metadata["annotations"] == {"openshift.io/node-selector": ""}


def test_only_the_namespaces_own_account_may_use_the_privileged_scc():
    binding = build_role_binding()
    assert binding["roleRef"]["name"] == "system:openshift:scc:privileged"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "default", "namespace": RESTART_NAMESPACE}]


def daemon_set(*containers):
    return {
        "spec": {"template": {"spec": {"containers": [{"name": n, "image": f"quay.example/{n}"} for n in containers]}}}
    }


@pytest.mark.parametrize(
    ("found", "image"),
    [
        (daemon_set("machine-config-daemon", "kube-rbac-proxy"), "quay.example/machine-config-daemon"),
        (daemon_set("kube-rbac-proxy", "machine-config-daemon"), "quay.example/machine-config-daemon"),
        (daemon_set("kube-rbac-proxy"), None),
        (daemon_set(), None),
        ({}, None),
        (None, None),
    ],
)
def test_the_image_is_the_machine_config_daemons(found, image):
    assert read_image(found) == image
