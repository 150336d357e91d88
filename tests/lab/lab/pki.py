# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, certificates and kubeconfigs of one lab."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .shape import API_PORT, HUB_ADDRESS, SERVICE_ADDRESS, Node

KUBELET_CLIENT_GROUP = "lab:kubelet-api-admin"
"""The API servers' group towards kubelets; a ClusterRoleBinding gives it system:kubelet-api-admin."""

INSIDE_URL = f"https://{HUB_ADDRESS}:{API_PORT}"
"""Where the lab's own components reach the API."""

_LIFETIME = datetime.timedelta(days=3650)
_BACKDATED = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, stem: Path) -> None:
        """STEM.crt and STEM.key hold the pair."""
        write(stem.with_name(stem.name + ".crt"), self.certificate_pem, 0o644)
        write(stem.with_name(stem.name + ".key"), self.key_pem)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return _pem(self.key)


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """The file holds the data and never was readable by more than `mode` allows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def authority(name: str) -> Pair:
    """A self-signed certificate that may sign others."""
    return _sign(name, None, None, [], [])


def certificate(
    signer: Pair, name: str, *, group: str | None = None, client: bool = True, hosts: Sequence[str] = ()
) -> Pair:
    """A certificate for a client and, where hosts are given, for a server under these names and addresses."""
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] if client else []
    if hosts:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    return _sign(name, group, signer, usages, hosts)


def kubeconfig(server: str, ca: Pair, client: Pair) -> bytes:
    """A kubeconfig that needs no other file."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [
            {"name": "lab", "cluster": {"server": server, "certificate-authority-data": _b64(ca.certificate_pem)}}
        ],
        "users": [
            {
                "name": "lab",
                "user": {
                    "client-certificate-data": _b64(client.certificate_pem),
                    "client-key-data": _b64(client.key_pem),
                },
            }
        ],
    }
    return json.dumps(content, indent=1).encode()


def create(
    directory: Path, nodes: Sequence[Node], server_url: str, admin_kubeconfig: Path, inside_url: str = INSIDE_URL
) -> None:
    """All keys and kubeconfigs of a lab are in `directory`, those of a node in a folder with its name."""
    ca, etcd_ca = authority("lab-ca"), authority("lab-etcd-ca")
    ca.write(directory / "ca")
    etcd_ca.write(directory / "etcd-ca")
    signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    write(directory / "sa.key", _pem(signing))
    write(directory / "sa.pub", _public_pem(signing), 0o644)
    certificate(etcd_ca, "kube-apiserver-etcd-client").write(directory / "apiserver-etcd-client")
    certificate(ca, "kube-apiserver-kubelet-client", group=KUBELET_CLIENT_GROUP).write(
        directory / "apiserver-kubelet-client"
    )
    admin = certificate(ca, "lab-admin", group="system:masters")
    admin.write(directory / "admin")
    write(admin_kubeconfig, kubeconfig(server_url, ca, admin))
    for component in ("kube-controller-manager", "kube-scheduler"):
        client = certificate(ca, f"system:{component}")
        write(directory / f"{component}.kubeconfig", kubeconfig(inside_url, ca, client))
    for node in nodes:
        kubelet = certificate(ca, f"system:node:{node.name}", group="system:nodes", hosts=[node.name, node.address])
        kubelet.write(directory / node.name / "kubelet")
        write(directory / node.name / "kubelet.kubeconfig", kubeconfig(inside_url, ca, kubelet))
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    for node in (node for node in nodes if node.master):
        own = [node.name, node.address, "127.0.0.1", "localhost"]
        certificate(ca, "kube-apiserver", client=False, hosts=[*own, HUB_ADDRESS, SERVICE_ADDRESS, *service]).write(
            directory / node.name / "apiserver"
        )
        for role in ("server", "peer"):
            certificate(etcd_ca, node.name, hosts=own).write(directory / node.name / f"etcd-{role}")


def _sign(
    name: str, group: str | None, signer: Pair | None, usages: list[x509.ObjectIdentifier], hosts: Sequence[str]
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_authority = signer is None
    signing_key = signer.key if signer else key
    start = datetime.datetime.now(datetime.timezone.utc) - _BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
    return Pair(builder.sign(signing_key, hashes.SHA256()), key)


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
