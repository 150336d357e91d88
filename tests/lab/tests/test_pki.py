# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lab import pki
from lab.shape import HUB_ADDRESS, SERVICE_ADDRESS, make_nodes

NODES = make_nodes(3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.create(directory, NODES, "https://127.0.0.1:7443", directory / "kubeconfig")
    return directory


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def hosts(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_every_certificate_is_signed_by_its_authority(made: Path) -> None:
    for file in made.rglob("*.crt"):
        signer = load(made / ("etcd-ca.crt" if "etcd" in file.name else "ca.crt"))
        load(file).verify_directly_issued_by(signer)


def test_api_servers_are_valid_for_all_their_addresses(made: Path) -> None:
    for master in NODES[:3]:
        found = hosts(load(made / master.name / "apiserver.crt"))
        assert {"127.0.0.1", HUB_ADDRESS, SERVICE_ADDRESS, master.address, "kubernetes.default.svc"} <= found


def test_kubelets_are_clients_and_servers_in_the_nodes_group(made: Path) -> None:
    for node in NODES:
        certificate = load(made / node.name / "kubelet.crt")
        subject = certificate.subject
        assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == f"system:node:{node.name}"
        assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        assert usages == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


def test_the_administrator_reaches_the_lab_on_loopback(made: Path) -> None:
    config = json.loads((made / "kubeconfig").read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:7443"
    client = base64.b64decode(config["users"][0]["user"]["client-certificate-data"])
    subject = x509.load_pem_x509_certificate(client).subject
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"


def test_secrets_are_for_their_owner_only(made: Path) -> None:
    secrets = [*made.rglob("*.key"), *made.rglob("*kubeconfig")]
    assert len(secrets) > 10
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
