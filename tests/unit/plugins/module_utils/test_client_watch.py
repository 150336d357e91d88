# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches over real connections to a small server that says what it is told to say."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import cluster as door
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions
from servers import QuietServer, serving


def event(kind, version):
    return {"type": kind, "object": {"metadata": {"name": "cluster", "resourceVersion": version}}}


def status(code, reason):
    return {"kind": "Status", "code": code, "reason": reason, "message": "said the server"}


class Handler(BaseHTTPRequestHandler):
    """Sends the script's events as chunks; a number is a pause, "reset" an end in the middle, a status a refusal."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        script = self.server.script
        if isinstance(script, dict):
            body = json.dumps(script).encode()
            self.send_response(script["code"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for step in script:
            if step == "reset":
                self.close_connection = True
                return
            if isinstance(step, float):
                time.sleep(step)
                continue
            line = json.dumps(step).encode() + b"\n"
            for part in (line[:7], line[7:]):  # a line may come in parts
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    found = QuietServer(Handler)
    found.asked = []
    with serving(found):
        yield found


def watch(server, script, *, timeout=0.5):
    server.script = script
    options = ConnectionOptions(host=f"http://127.0.0.1:{server.server_port}", api_key="not-a-real-one")
    return Cluster(options).watch("KubeAPIServer", "cluster", known_version="7", timeout=timeout)


NEWER = event("MODIFIED", "8")["object"]


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("it changes", [event("ADDED", "7"), 0.05, event("MODIFIED", "8")]),
        ("it had changed before the watch began", [event("ADDED", "8")]),
        ("the server lags behind at first", [event("ADDED", "5"), event("MODIFIED", "7"), event("MODIFIED", "8")]),
        ("the end is not waited for", [event("ADDED", "8"), 5.0]),
    ],
)
def test_a_change_is_returned_at_once(server, name, script):
    begin = time.monotonic()
    assert watch(server, script) == NEWER
    assert time.monotonic() - begin < 2


def test_nothing_new_is_none_and_the_server_is_told_when_to_end(server):
    assert watch(server, [event("ADDED", "7")]) is None
    asked = urlsplit(server.asked[0])
    assert asked.path == "/apis/operator.openshift.io/v1/kubeapiservers"
    assert parse_qs(asked.query) == {
        "fieldSelector": ["metadata.name=cluster"],
        "watch": ["true"],
        "timeoutSeconds": ["1"],
    }


@pytest.mark.parametrize(
    ("name", "script", "code"),
    [
        ("the connection breaks", [event("ADDED", "7"), "reset"], 0),
        ("it ends without a word", [], 0),
        ("the version is too old", [event("ADDED", "7"), {"type": "ERROR", "object": status(410, "Expired")}], 410),
        ("it is deleted", [event("ADDED", "7"), event("DELETED", "9")], 404),
        ("it is forbidden", status(403, "Forbidden"), 403),
        ("the server is stopping", status(503, "ServiceUnavailable"), 503),
    ],
)
def test_what_ends_a_watch_is_an_error(server, name, script, code):
    with pytest.raises(ApiError) as caught:
        watch(server, script)
    assert caught.value.status == code


def test_a_server_that_says_nothing_is_not_believed_for_long(server, monkeypatch):
    monkeypatch.setattr(door, "WATCH_GRACE", 0.1)
    begin = time.monotonic()
    with pytest.raises(ApiError) as caught:
        watch(server, [event("ADDED", "7"), 9.0])
    assert caught.value.is_transient
    assert time.monotonic() - begin < 4


def test_nothing_is_sent_before_the_first_look(server):
    Cluster(ConnectionOptions(host=f"http://127.0.0.1:{server.server_port}", api_key="not-a-real-one"))
    assert server.asked == []


@pytest.mark.parametrize(("namespace", "path"), [(None, "/api/v1/pods"), ("web", "/api/v1/namespaces/web/pods")])
def test_any_change_of_a_selection_ends_the_wait(server, namespace, path):
    server.script = [event("MODIFIED", "8"), 5.0]
    cluster = Cluster(ConnectionOptions(host=f"http://127.0.0.1:{server.server_port}", api_key="not-a-real-one"))
    begin = time.monotonic()
    cluster.await_change("Pod", namespace, known_version="7", timeout=9.5, label_selector="app=web")
    assert time.monotonic() - begin < 4
    asked = urlsplit(server.asked[0])
    assert asked.path == path
    assert parse_qs(asked.query) == {
        "labelSelector": ["app=web"],
        "watch": ["true"],
        "timeoutSeconds": ["10"],
        "resourceVersion": ["7"],
    }


def test_a_refused_watch_is_an_error_and_one_without_events_is_none(server):
    server.script = status(403, "Forbidden")
    cluster = Cluster(ConnectionOptions(host=f"http://127.0.0.1:{server.server_port}", api_key="not-a-real-one"))
    with pytest.raises(ApiError, match="Could not watch pods in namespace web"):
        cluster.await_change("Pod", "web", known_version="7", timeout=1)
    server.script = []
    cluster.await_change("Pod", "web", known_version="7", timeout=1)
