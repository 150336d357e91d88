# SPDX-License-Identifier: GPL-3.0-or-later
"""A real API server without OpenShift's API: one clear sentence each, and what needs no OpenShift works."""

from __future__ import annotations

import contextlib
import subprocess
import time

import pytest
import urllib3
from lab.binaries import provide
from lab.go import Go
from labs import free_port
from modules import run_module


@pytest.fixture(scope="module")
def client(lab):
    """An administrator of the server below."""
    pki = lab.settings.pki
    return urllib3.PoolManager(
        cert_file=pki / "admin.crt", key_file=pki / "admin.key", cert_reqs="CERT_NONE", retries=False, timeout=5
    )


@pytest.fixture(scope="module")
def plain(lab, client, tmp_path_factory):
    """The connection options of a kube-apiserver on its own etcd, as upstream builds them."""
    folder = tmp_path_factory.mktemp("plain")
    programs = provide(lab.settings.cache, Go(lab.settings.cache, print), print)
    etcd, peer, port = free_port(), free_port(), free_port()
    pki = lab.settings.pki
    key, cert, cert_key = pki / "sa.key", pki / "admin.crt", pki / "admin.key"
    commands = [
        [
            *(programs["etcd"].path, f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=error"),
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
        ],
        [
            *(programs["kube-apiserver"].path, f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={port}"),
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"),
            *(
                f"--cert-dir={folder}/certs",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.97.0.0/16",
            ),
            *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
            *(f"--service-account-signing-key-file={key}", f"--client-ca-file={pki}/ca.crt"),
        ],
    ]
    processes = []
    with (folder / "log").open("wb") as log, contextlib.ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            stack.callback(process.kill)
            processes.append(process)
        url = f"https://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not is_ready(url, client):
            assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            assert all(p.poll() is None for p in processes), (folder / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield {"host": url, "client_cert": str(cert), "client_key": str(cert_key), "validate_certs": False}


def is_ready(url, client):
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return client.request("GET", f"{url}/readyz").status == 200
    return False


MISSING = (
    "Could not get authentications.config.openshift.io/cluster: {host} does not serve this API (404 page not found); "
    "it is part of OpenShift, so check that this is the right cluster."
)


def test_the_api_that_is_missing_is_named(plain):
    result = run_module("kube_apiserver_rollout", **plain)
    assert result["failed"]
    assert result["msg"] == MISSING.format(host=plain["host"])


ISSUER_MODULES = [("service_account_issuer", {"issuer": "https://a.example"}), ("service_account_issuer_info", {})]


@pytest.mark.parametrize(("module", "arguments"), ISSUER_MODULES)
def test_where_the_issuer_is_set_instead_is_told(plain, module, arguments):
    result = run_module(module, **plain, **arguments)
    assert result["failed"]
    assert result["msg"] == (
        "This is Kubernetes without OpenShift, whose issuer is the option --service-account-issuer of its "
        "kube-apiservers; set it there, the new issuer first and the former one after it. The modules pod_restart "
        "(with started_before) and projected_token_pod work here."
    )


@pytest.mark.parametrize(("module", "arguments"), ISSUER_MODULES)
def test_microshift_is_recognised(plain, client, module, arguments):
    maps = f"{plain['host']}/api/v1/namespaces/kube-public/configmaps"
    body = {"metadata": {"name": "microshift-version"}, "data": {"version": "4.21.0"}}
    assert client.request("POST", maps, json=body).status in (201, 409)
    try:
        result = run_module(module, **plain, **arguments)
    finally:
        client.request("DELETE", f"{maps}/microshift-version")
    assert result["msg"] == (
        "This is MicroShift, whose issuer no operator manages: its kube-apiserver is part of the service microshift, "
        "and /etc/microshift/config.yaml on its host is where that is configured. The modules pod_restart (with "
        "started_before) and projected_token_pod work here."
    )


def test_pods_can_be_renewed_when_the_moment_is_given(plain):
    result = run_module("pod_restart", **plain)
    assert result["msg"] == (
        "Could not find out which pods to renew: this cluster does not report rollouts of its kube-apiservers "
        "(it has no kubeapiservers.operator.openshift.io) and started_before is not given; set started_before "
        "to the moment since which every new token is as wanted, such as 2026-11-22T08:02:31Z."
    )
    result = run_module("pod_restart", **plain, started_before="2026-11-22T08:02:31Z")
    assert result["changed"] is False
