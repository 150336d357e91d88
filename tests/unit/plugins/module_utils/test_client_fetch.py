# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading documents outside the cluster, from a real HTTPS server on this machine."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import time

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import documents
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.documents import fetch_json, fetch_status
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import SystemClock
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, CollectionError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._facts import read_documents
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.issuer import DocumentOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.preflight import judge_documents
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from servers import QuietServer, serving


def write_certificate(folder):
    """A certificate for 127.0.0.1, its own authority; the paths of it and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "documents")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "crt").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "crt", folder / "key"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        if self.path == "/keys" and "application/jwk-set+json" not in self.headers["Accept"]:
            self.send_error(406)  # as a kube-apiserver does
            return
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in body if isinstance(body, list) else [body]:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.1 if isinstance(body, list) else 0)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def site(certificate, monkeypatch):
    """A server with answers to fill in; its address and the file of its authority."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = QuietServer(Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.answers, server.asked = {}, []
    server.url, server.ca = f"https://127.0.0.1:{server.server_port}", str(certificate[0])
    with serving(server):
        yield server


def fetch(site, path, **more):
    given = {"ca_cert": site.ca, "proxy": None, "timeout": 5.0, "clock": SystemClock(), **more}
    return fetch_json(f"{site.url}{path}", **given)


def test_a_document_is_read_without_credentials(site, monkeypatch):
    monkeypatch.setenv("K8S_AUTH_API_KEY", "secret")
    site.answers["/a"] = (200, {}, b'{"issuer": "x"}')
    assert fetch(site, "/a") == {"issuer": "x"}
    path, headers = site.asked[0]
    assert path == "/a"
    assert {name.lower() for name in headers} <= {"host", "accept", "accept-encoding", "user-agent"}


def test_redirects_are_followed_to_https_only(site):
    site.answers["/a"] = (302, {"Location": "/b"}, b"")
    site.answers["/b"] = (200, {}, b"{}")
    assert fetch(site, "/a") == {}
    for location in ("http://127.0.0.1:9/b", "file:///etc/passwd"):
        site.answers["/a"] = (302, {"Location": location}, b"")
        with pytest.raises(CollectionError, match=f"^{location} is not an https address$"):
            fetch(site, "/a")
    site.answers["/a"] = (302, {"Location": "/a"}, b"")
    with pytest.raises(CollectionError, match="is redirected more than 5 times"):
        fetch(site, "/a")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}, b""), "answers HTTP 404"),
        ((200, {}, b"<html>"), "could not be read: it is not JSON"),
        ((200, {}, b"\xff\xfe{"), "could not be read: it is not JSON"),
        ((200, {}, b" " * (documents.MAX_DOCUMENT_BYTES + 1)), "is longer than 262144 bytes"),
    ],
)
def test_what_is_no_document_is_told(site, answer, words):
    site.answers["/a"] = answer
    with pytest.raises(CollectionError) as caught:
        fetch(site, "/a")
    assert caught.value.message == f"{site.url}/a {words}"


def test_a_server_that_drips_does_not_hold_us(site):
    site.answers["/a"] = (200, {}, [b" "] * 100)
    start = time.monotonic()
    with pytest.raises(CollectionError, match="could not be read in time"):
        fetch(site, "/a", timeout=0.5)
    assert time.monotonic() - start < 4


def test_an_unknown_authority_and_a_dead_address_are_told(site):
    with pytest.raises(CollectionError, match="could not be read: certificate verify failed"):
        fetch(site, "/a", ca_cert=None)
    with pytest.raises(CollectionError, match=r"^https://127.0.0.1:1/x could not be read: .*[Cc]onnection refused$"):
        fetch_json("https://127.0.0.1:1/x", ca_cert=site.ca, proxy=None, timeout=5, clock=SystemClock())


def test_the_proxy_is_used(site):
    site.answers["/a"] = (200, {}, b"{}")
    with pytest.raises(CollectionError, match="refused"):
        fetch(site, "/a", proxy="http://127.0.0.1:1")


class Keys:
    """A cluster that signs with one key."""

    def __init__(self, mode="", jwks=None):
        self.mode, self.jwks = mode, jwks or {"keys": [{"kid": "k1"}]}

    def get(self, kind, name):
        assert (kind, name) == ("CloudCredential", "cluster")
        return {"spec": {"credentialsMode": self.mode}}

    def get_document(self, path):
        assert path == "/openid/v1/jwks"
        if isinstance(self.jwks, int):
            raise ApiError(verb="get", target=path, host="h", status=self.jwks, words="w")
        return self.jwks


def publish(site, **more):
    found = {"issuer": site.url, "jwks_uri": f"{site.url}/keys", **more}
    site.answers["/.well-known/openid-configuration"] = (200, {}, json.dumps(found).encode())
    site.answers["/keys"] = (200, {}, b'{"keys": [{"kid": "k0"}, {"kid": "k1"}]}')


def read(site, cluster, mode="auto"):
    return read_documents(cluster, site.url, DocumentOptions(mode=mode, ca_cert=site.ca, timeout=5), SystemClock())


@pytest.mark.parametrize(
    ("published", "jwks", "words"),
    [
        ({}, None, None),
        ({}, {"keys": [{"kid": "k2"}]}, "lacks the cluster's signing keys k2"),
        ({}, 404, "the cluster does not tell its own signing keys"),
        ({"issuer": "https://other.example"}, None, "names the issuer 'https://other.example'"),
        ({"jwks_uri": "http://127.0.0.1/keys"}, None, "is not an https URL"),
        ({"jwks_uri": None}, None, "is not an https URL"),
    ],
)
def test_published_documents_are_held_against_the_cluster(site, published, jwks, words):
    publish(site, **published)
    problem = judge_documents(site.url, read(site, Keys(jwks=jwks)))
    assert (words in problem) if words else problem is None


def test_documents_that_are_missing_are_told(site):
    found = read(site, Keys())
    assert judge_documents(site.url, found) == f"{site.url}/.well-known/openid-configuration answers HTTP 404"


@pytest.mark.parametrize(
    ("mode", "credentials", "required"),
    [("auto", "Manual", True), ("auto", "Mint", False), ("auto", "", False), ("required", "", True)],
)
def test_when_documents_are_required(site, mode, credentials, required):
    publish(site)
    assert read(site, Keys(credentials), mode).is_required is required


def test_nothing_is_read_when_nobody_wants_it(site):
    assert read(site, Keys(), "skip") is None
    assert read_documents(Keys(), "https://kubernetes.default.svc", DocumentOptions(), SystemClock()) is None
    assert read_documents(Keys(), "plain", DocumentOptions(), SystemClock()).problem == "it is not an https URL"
    assert site.asked == []


def probe(site, path="/", **more):
    return fetch_status(f"{site.url}{path}", **{"ca_cert": site.ca, "validate_certs": True, "timeout": 5.0, **more})


@pytest.mark.parametrize("status", [200, 204, 302, 404, 503])
def test_an_address_answers_with_a_status(site, status, monkeypatch):
    monkeypatch.setenv("K8S_AUTH_API_KEY", "secret")
    site.answers["/"] = (status, {"Location": "/elsewhere"}, b"")
    assert probe(site) == status
    ((path, headers),) = site.asked
    assert path == "/"
    assert {name.lower() for name in headers} <= {"host", "accept-encoding", "user-agent"}


def test_the_body_of_an_answer_is_not_read(site):
    taken = []

    class Pieces(list):
        def __iter__(self):
            for piece in super().__iter__():
                taken.append(piece)
                yield piece

    site.answers["/"] = (200, {}, Pieces([b" "] * 30))
    assert probe(site) == 200
    assert len(taken) < 30


def test_an_address_that_does_not_answer_is_told(site):
    with pytest.raises(CollectionError, match="/ does not answer: certificate verify failed"):
        probe(site, ca_cert=None)
    assert probe(site, ca_cert=None, validate_certs=False) == 404
    with pytest.raises(CollectionError, match=r"^http://127.0.0.1:1/ does not answer: .*[Cc]onnection refused$"):
        fetch_status("http://127.0.0.1:1/", ca_cert=None, validate_certs=True, timeout=5)
    with pytest.raises(CollectionError, match="does not answer: No such file"):
        probe(site, ca_cert="/no/such/file")


def test_an_address_without_encryption_is_asked_through_its_own_proxy(site, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(CollectionError, match="refused"):
        probe(site)
    plain = QuietServer(Handler)
    plain.answers, plain.asked = {"/": (200, {}, b"")}, []
    with serving(plain):
        url = f"http://127.0.0.1:{plain.server_port}/"
        assert fetch_status(url, ca_cert=None, validate_certs=True, timeout=5) == 200
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with pytest.raises(CollectionError, match="refused"):
            fetch_status(url, ca_cert=None, validate_certs=True, timeout=5)
