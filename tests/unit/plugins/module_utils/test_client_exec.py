# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in containers, over a connection that plays what a kubelet was seen to send."""

from __future__ import annotations

import json

import pytest
import websocket
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import configuration
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client import exec as door
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, CommandFailed
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import connection_options

BINARY, CLOSE = websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CLOSE
SUCCESS = (3, {"metadata": {}, "status": "Success"})
EXIT_1 = (
    3,
    {
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 1",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "1"}]},
    },
)
WORDS = 'OCI runtime exec failed: unable to start container process: exec: "cut": executable file not found in $PATH'
NO_PROGRAM = (3, {"status": "Failure", "message": WORDS, "reason": "InternalError", "code": 500})
STOPPED = (3, {"status": "Failure", "message": "container is not running", "reason": "InternalError", "code": 500})


class FakeConnection:
    """Plays frames of (channel, text or Status), then the end; an exception among them is raised."""

    def __init__(self, frames):
        self.frames = [] if isinstance(frames, Exception) else list(frames)
        self.is_closed = False

    def recv_data(self):
        if not self.frames:
            return CLOSE, b"\x03\xe8"
        frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        channel, content = frame
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        return BINARY, bytes([channel]) + content

    def close(self):
        self.is_closed = True


@pytest.fixture
def play(monkeypatch):
    """Returns a function that runs a command against ``frames`` and returns the result and what was asked for."""

    def run(frames, **options):
        asked = {}
        connection = FakeConnection(frames)

        def create_connection(url, **settings):
            asked.update(settings, url=url)
            if isinstance(frames, Exception):
                raise frames
            return connection

        monkeypatch.setattr(door.libraries.websocket, "create_connection", create_connection)
        # what the files hold is not looked at here
        monkeypatch.setattr(configuration, "_check_certificates", lambda configuration: None)
        given = {"host": "https://h:6443", "api_key": "t0k3n", **options}
        cluster = Cluster(connection_options(given, {}))
        try:
            return cluster.run_in_container("p", "n", "c", ["cut", "-d.", "a b&c"]), asked
        finally:
            assert connection.is_closed or isinstance(frames, Exception)

    return run


def test_it_returns_what_the_command_printed(play):
    output, asked = play([(1, "né".encode()[:2]), (1, "né".encode()[2:]), (2, b"a warning"), (1, b"\n"), SUCCESS])
    assert output == "né\n"
    assert asked["url"] == (
        "wss://h:6443/api/v1/namespaces/n/pods/p/exec"
        "?command=cut&command=-d.&command=a+b%26c&container=c&stdout=true&stderr=true"
    )
    assert asked["timeout"] > 0
    assert asked["subprotocols"] == ["v4.channel.k8s.io"]


def test_a_command_that_prints_nothing_is_no_failure(play):
    assert play([SUCCESS])[0] == ""


def test_it_authenticates_and_impersonates_as_every_other_request(play):
    _output, asked = play([SUCCESS], impersonate_user="jane", impersonate_groups=["a", "b"])
    headers = [h.partition(": ")[::2] for h in asked["header"]]
    named = [(name.lower(), value) for name, value in headers]
    assert ("authorization", "Bearer t0k3n") in named
    assert ("impersonate-user", "jane") in named
    assert [value for name, value in named if name == "impersonate-group"] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {"cert_reqs": door.ssl.CERT_REQUIRED}),
        ({"ca_cert": "/ca"}, {"cert_reqs": door.ssl.CERT_REQUIRED, "ca_certs": "/ca"}),
        ({"validate_certs": False}, {"cert_reqs": door.ssl.CERT_NONE, "check_hostname": False}),
        (
            {"client_cert": "/c", "client_key": "/k"},
            {"cert_reqs": door.ssl.CERT_REQUIRED, "certfile": "/c", "keyfile": "/k"},
        ),
    ],
)
def test_it_trusts_what_every_other_request_trusts(play, options, wanted):
    assert play([SUCCESS], **options)[1]["sslopt"] == wanted


def test_it_takes_the_proxy(play):
    _output, asked = play([SUCCESS], proxy="http://proxy:3128", no_proxy="a,b")
    assert (asked["http_proxy_host"], asked["http_proxy_port"]) == ("proxy", 3128)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([(2, b"cut: /f: No such file or directory\n"), EXIT_1], "cut: /f: No such file or directory"),
        ([(1, b"half"), EXIT_1], "command terminated with non-zero exit code: exit status 1"),
        ([NO_PROGRAM], WORDS),
    ],
)
def test_a_command_that_fails_is_told_apart_from_a_cluster_that_does(play, frames, words):
    with pytest.raises(CommandFailed) as caught:
        play(frames)
    assert caught.value.message == f"The command cut failed in container c of pods n/p: {words}."


@pytest.mark.parametrize(
    ("frames", "status", "words"),
    [
        ([STOPPED], 500, "container is not running"),
        ([(1, b"half")], 0, "the connection ended before the command"),
        ([(1, b"half"), websocket.WebSocketTimeoutException("Connection timed out")], 0, "Connection timed out"),
        ([websocket.WebSocketConnectionClosedException("lost")], 0, "lost"),
        (ConnectionRefusedError(111, "Connection refused"), 0, "Connection refused"),
        (websocket.WebSocketBadStatusException("Handshake status %d %s", 503, "x", {}, b"starting"), 503, "starting"),
    ],
)
def test_what_may_pass_by_itself_may_be_tried_again(play, frames, status, words):
    with pytest.raises(ApiError) as caught:
        play(frames)
    assert (caught.value.status, caught.value.words) == (status, words)
    assert caught.value.is_transient


def test_a_refused_handshake_is_told_in_the_servers_words(play):
    body = {"kind": "Status", "message": 'pods "p" is forbidden: User "jane" cannot get', "reason": "Forbidden"}
    refusal = websocket.WebSocketBadStatusException("Handshake status %d %s", 403, "x", {}, json.dumps(body).encode())
    with pytest.raises(ApiError) as caught:
        play(refusal)
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
    assert caught.value.words == body["message"]
    assert "t0k3n" not in caught.value.message


def test_a_command_that_never_ends_is_given_up(play, monkeypatch):
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(door.time, "monotonic", lambda: next(seconds))
    with pytest.raises(ApiError, match="did not end within 30 s"):
        play([(1, b".")] * 50)


def test_a_command_that_says_too_much_is_given_up(play):
    with pytest.raises(ApiError, match="65536 bytes of output"):
        play([(1, b"." * 4096)] * 50)


def test_it_follows_no_redirect_with_its_credentials(play):
    assert play([SUCCESS])[1]["redirect_limit"] == 0
