# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check before the edit, against objects of a real API. Nothing is changed: check mode."""

from __future__ import annotations

import contextlib
import time

import pytest
from issuers import new_token
from lab.standins.pools import FAILS, STATE
from labs import KUBE_APISERVER
from modules import run_module

CONFIG = "/apis/config.openshift.io/v1"
POOL = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools/worker"
WANTED = "https://preflight.example.test"


def look(lab, **more):
    given = {"kubeconfig": lab.kubeconfig, "issuer": WANTED, "documents": "skip", "check_mode": True, **more}
    return run_module("service_account_issuer", **given)


def found(result, check):
    return [(f["blocking"], f["message"]) for f in result["preflight"] if f["check"] == check]


@contextlib.contextmanager
def changed(lab, path, body, back):
    lab.api.merge(path, body)
    try:
        yield
    finally:
        lab.api.merge(path, back)


def conditions(lab, path, kind, status, message):
    """The status with one condition changed, and as it is."""
    now = lab.api.get(path)["status"]["conditions"]
    new = {"type": kind, "status": status, "message": message, "lastTransitionTime": "2026-11-22T08:00:00Z"}
    return {"status": {"conditions": [c for c in now if c["type"] != kind] + [new]}}, {"status": {"conditions": now}}


@pytest.mark.parametrize(
    ("topology", "blocking", "words"),
    [
        ("SingleReplica", False, "There is one control-plane node: the API is away for some minutes"),
        ("External", True, "set spec.issuerURL of its HostedCluster on the management cluster"),
    ],
)
def test_the_topology(lab, topology, blocking, words):
    path = f"{CONFIG}/infrastructures/cluster/status"
    back = {"status": {"controlPlaneTopology": "HighlyAvailable"}}
    with changed(lab, path, {"status": {"controlPlaneTopology": topology}}, back):
        result = look(lab)
        assert bool(result.get("failed")) is blocking
        [(is_blocking, message)] = found(result, "topology")
        assert (is_blocking, words in message) == (blocking, True)
        assert found(look(lab, skip_checks=["topology"]), "topology") == []
    assert found(look(lab), "topology") == []


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        (f"{CONFIG}/clusteroperators/authentication", "Degraded", "ClusterOperator authentication is degraded: It is."),
        (f"{CONFIG}/clusterversions/version", "Progressing", "The cluster is being updated: It is."),
    ],
)
def test_a_cluster_that_is_not_quiet(lab, path, kind, words):
    patch, back = conditions(lab, path, kind, "True", "It is.")
    with changed(lab, f"{path}/status", patch, back):
        result = look(lab)
        assert result["failed"]
        assert (True, words) in found(result, "quiet")
    assert (True, words) not in found(look(lab), "quiet")


@pytest.mark.parametrize(
    ("kind", "words", "body", "back"),
    [
        (
            "Updating",
            "MachineConfigPool worker is updating its nodes: ",
            {"spec": {"unschedulable": True}},
            {"spec": {"unschedulable": None}},
        ),
        (
            "Degraded",
            "MachineConfigPool worker is degraded: ",
            {"metadata": {"annotations": {STATE: "Degraded", FAILS: "yes"}}},
            {"metadata": {"annotations": {STATE: "Done", FAILS: None}}},
        ),
    ],
)
def test_a_pool_that_is_not_quiet(lab, kind, words, body, back):
    with changed(lab, "/api/v1/nodes/worker-0", body, back):
        wait_for_pool(lab, kind, "True")
        result = look(lab)
        assert result["failed"]
        assert [message for _blocking, message in found(result, "quiet") if message.startswith(words)]
    wait_for_pool(lab, kind, "False")


def wait_for_pool(lab, kind, status):
    """Return when the stand-in of the machine-config operator has taken over what was done to a node."""
    deadline = time.monotonic() + 60
    while {c["type"]: c["status"] for c in lab.api.get(POOL)["status"]["conditions"]}[kind] != status:
        assert time.monotonic() < deadline, f"the pool never reports {kind} {status}"
        time.sleep(0.2)


def test_an_override_of_the_issuer(lab):
    arguments = {"apiServerArguments": {"service-account-issuer": ["https://override.example"]}}
    back = {"spec": {"unsupportedConfigOverrides": None}}
    with changed(lab, KUBE_APISERVER, {"spec": {"unsupportedConfigOverrides": arguments}}, back):
        [(blocking, message)] = found(look(lab), "overrides")
        assert blocking
        assert "sets apiServerArguments.service-account-issuer, which wins" in message


def test_documents_that_are_required_and_not_there(lab):
    result = look(lab, documents="required")
    assert result["failed"]
    [(blocking, message)] = found(result, "documents")
    assert blocking
    assert message.startswith(
        f"Nobody outside the cluster could verify tokens of {WANTED}: {WANTED}/.well-known/openid-configuration could not"
    )
    [(blocking, _message)] = found(look(lab, documents="auto"), "documents")
    assert not blocking


def test_a_token_of_the_issuer_that_becomes_a_former_one_is_a_warning(lab):
    binding = {
        "metadata": {"name": "default-admin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    lab.api.create_missing("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    token = new_token(lab)
    result = look(lab, kubeconfig=None, host=lab.url, ca_cert=lab.ca, api_key=token)
    [(blocking, message)] = found(result, "credential")
    assert not blocking
    assert "stops being accepted at " in message
    assert message in str(result["warnings"])
    assert token.split(".")[1] not in str(result)
    assert found(look(lab), "credential") == []
