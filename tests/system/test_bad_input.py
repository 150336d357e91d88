# SPDX-License-Identifier: GPL-3.0-or-later
"""Each bad input and each refusal of the cluster, with the exact sentence that the user gets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from modules import run_module

TABLE = yaml.safe_load((Path(__file__).parent / "sentences.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", TABLE, ids=[row["name"] for row in TABLE])
def test_the_sentence(lab, row):
    asked = lab.api.get("/apis/config.openshift.io/v1/authentications/cluster")["spec"].get("serviceAccountIssuer")
    values = {
        "url": lab.url,
        "ca": lab.ca,
        "kubeconfig": lab.kubeconfig,
        "issuer": asked or "https://kubernetes.default.svc",
    }
    given = {k: v.format(**values) if isinstance(v, str) else v for k, v in row["arguments"].items()}
    if "host" not in given:
        given.setdefault("kubeconfig", lab.kubeconfig)
    result = run_module(row["module"], **given)
    assert result["failed"]
    assert result["msg"] == row["sentence"].format(**values)
    assert "exception" not in result or "Traceback" not in str(result["exception"])


@pytest.fixture
def reader(lab):
    """The name of somebody who may read the configuration and write nothing."""
    name, user = "view-config", "reader"
    lab.api.apply(
        f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [
                {
                    "apiGroups": ["config.openshift.io", "operator.openshift.io"],
                    "resources": ["*"],
                    "verbs": ["get", "list"],
                },
                {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
                {
                    "apiGroups": ["authorization.k8s.io"],
                    "resources": ["selfsubjectaccessreviews"],
                    "verbs": ["create"],
                },
            ],
        },
    )
    lab.api.apply(
        f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        },
    )
    return user


def test_a_refused_write_names_every_missing_permission_and_changes_nothing(lab, reader):
    result = run_module(
        "service_account_issuer",
        issuer="https://denied.example",
        kubeconfig=lab.kubeconfig,
        impersonate_user=reader,
    )
    assert result["msg"] == (
        "The service account issuer was not changed to https://denied.example: "
        "You are not allowed to patch authentications.config.openshift.io; "
        "You are not allowed to list machineconfigpools.machineconfiguration.openshift.io; "
        "You are not allowed to list pods in namespace openshift-kube-apiserver."
    )
    assert result["changed"] is False
    assert [f["check"] for f in result["preflight"] if f["blocking"]] == ["permissions"] * 3
    spec = lab.api.get("/apis/config.openshift.io/v1/authentications/cluster")["spec"]
    assert spec.get("serviceAccountIssuer") != "https://denied.example"


def test_a_rotation_tells_in_one_list_what_it_would_not_be_allowed_to_do(lab, reader):
    command = [
        "ansible-playbook",
        "bound_tokens.openshift.rotate",
        "--check",
        "-e",
        "rotation_issuer=https://denied.example",
    ]
    environment = {**lab.environment, "K8S_AUTH_IMPERSONATE_USER": reader}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    told = " ".join((done.stdout + done.stderr).split()).partition("No run was begun: you are not allowed to ")[2]
    missing = told.partition("; ask a cluster administrator for this.")[0].split("; ")
    assert {
        "create leases.coordination.k8s.io in namespace bound-tokens",
        "create configmaps in namespace bound-tokens",
        "patch authentications.config.openshift.io",
        "list machineconfigpools.machineconfiguration.openshift.io",
        "create pods/eviction",
        "create serviceaccounts/token in namespace default",
    } <= set(missing), done.stdout[-3000:]
    assert "get authentications.config.openshift.io" not in missing
