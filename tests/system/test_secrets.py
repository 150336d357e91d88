# SPDX-License-Identifier: GPL-3.0-or-later
"""No token in the output, however verbose it is."""

from __future__ import annotations

import re
import subprocess

import pytest

#: The beginning of every JSON Web Token's header or payload: '{"' in base64url.
ANY_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}")


def run_playbook(lab, playbook, *arguments, **environment):
    command = ["ansible-playbook", f"bound_tokens.openshift.{playbook}", "-vvvv", *arguments]
    return subprocess.run(
        command, env={**lab.environment, **environment}, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def credential(lab):
    """A token of an administrator's service account."""
    lab.api.create_missing("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "automation"}})
    lab.api.create_missing(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "automation"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "automation", "namespace": "default"}],
        },
    )
    answer = lab.api.request(
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/automation/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}},
    )
    return answer["status"]["token"]


def test_the_pattern_finds_a_token(credential):
    assert ANY_TOKEN.search(credential)


@pytest.mark.parametrize("way", ["environment", "option"])
def test_no_token_is_shown_while_a_pod_is_deployed(lab, credential, way):
    lab.command("apply", "tests/demo/workloads.yml")
    given = ["-e", "@tests/demo/rotation.yml", "-e", "projected_token_pod_name=secrets"]
    connection = {"K8S_AUTH_HOST": lab.url, "K8S_AUTH_CA_CERT": lab.ca, "K8S_AUTH_KUBECONFIG": ""}
    if way == "environment":
        result = run_playbook(lab, "deploy_projected_token_pod", *given, **connection, K8S_AUTH_API_KEY=credential)
    else:
        result = subprocess.run(
            [
                *("ansible", "localhost", "-vvvv", "-m", "bound_tokens.openshift.service_account_issuer_info"),
                *("-a", f"probe=true api_key={credential} host={lab.url} ca_cert={lab.ca}"),
            ],
            env=lab.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-3000:]
    assert "https://" in output
    assert ANY_TOKEN.search(output) is None


def test_no_token_is_shown_in_an_error(lab, credential):
    broken = credential[:-4] + "AAAA"
    result = run_playbook(
        lab,
        "set_issuer",
        *("-e", "service_account_issuer_name=https://a.example"),
        K8S_AUTH_HOST=lab.url,
        K8S_AUTH_CA_CERT=lab.ca,
        K8S_AUTH_KUBECONFIG="",
        K8S_AUTH_API_KEY=broken,
    )
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "did not accept the credentials" in output
    assert ANY_TOKEN.search(output) is None
