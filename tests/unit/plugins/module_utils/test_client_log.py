# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's log over a real connection to a small server."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions
from servers import QuietServer, serving


class Handler(BaseHTTPRequestHandler):
    """Serves ``log`` up to limitBytes, in chunks as an API server does; with ``is_cut`` it hangs up in the middle."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, url = self.server, urlsplit(self.path)
        server.asked.append(url.path)
        log = server.log[: int(parse_qs(url.query)["limitBytes"][0])]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(log), 7):
            part = log[start : start + 7]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if server.is_cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    found = QuietServer(Handler)
    found.asked, found.log, found.is_cut = [], "one line\nund noch eine: ä\n".encode(), False
    with serving(found):
        yield found


@pytest.fixture
def cluster(server):
    return Cluster(ConnectionOptions(host=f"http://127.0.0.1:{server.server_port}", api_key="not-a-real-one"))


def test_all_that_a_pod_has_printed(cluster, server):
    assert cluster.read_log("p", "n") == "one line\nund noch eine: ä\n"
    assert server.asked == ["/api/v1/namespaces/n/pods/p/log"]
    server.log = b""
    assert cluster.read_log("p", "n") == ""


def test_what_is_no_text_does_no_harm(cluster, server):
    server.log = b"a\xffb"
    assert cluster.read_log("p", "n") == "a\N{REPLACEMENT CHARACTER}b"


def test_a_log_that_is_too_long_is_told_and_not_cut(cluster, server):
    assert cluster.read_log("p", "n", max_bytes=len(server.log)).endswith("\n")
    with pytest.raises(ApiError, match="Could not read the log of pods n/p: it is longer than 24 bytes") as caught:
        cluster.read_log("p", "n", max_bytes=24)
    assert not caught.value.is_transient


def test_a_log_that_breaks_off_is_read_again_by_whoever_retries(cluster, server):
    server.is_cut = True
    with pytest.raises(ApiError, match="Could not read the log of pods n/p") as caught:
        cluster.read_log("p", "n")
    assert caught.value.is_transient
