# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's files over real connections to a small server that serves them as a kubelet behind an API server does."""

from __future__ import annotations

import json
import re
import tracemalloc
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.cluster import Cluster
from ansible_collections.bound_tokens.openshift.plugins.module_utils._client.node_files import (
    PIECE,
    find_metric,
    find_names,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._options import ConnectionOptions
from servers import QuietServer, serving

#: As kubelets of Kubernetes 1.34 answer, with names that need escaping.
PAGE = b"""<!doctype html>
<meta name="viewport" content="width=device-width">
<pre>
<a href="audit-2026-11-22T11-00-00.000.log">audit-2026-11-22T11-00-00.000.log</a>
<a href="audit.log">audit.log</a>
<a href="a&amp;b%20c">a&amp;b c</a>
<a href="old/">old/</a>
</pre>
"""
PREFIX = "/api/v1/nodes/master-0/proxy/logs/"
METRICS = "/api/v1/nodes/master-0/proxy/metrics"
FORBIDDEN = {
    "kind": "Status",
    "message": 'nodes "master-0" is forbidden: User "u" cannot get resource "nodes/proxy" in API group "" at the cluster scope',
    "reason": "Forbidden",
    "code": 403,
}


class Handler(BaseHTTPRequestHandler):
    """Serves ``files``; ``mode`` spoils it: a status refuses, "whole" knows no ranges, "short" ends in the middle."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, name = self.server, self.path.removeprefix(PREFIX)
        if self.path == METRICS:
            self.answer(200, server.metrics)
            return
        server.asked.append((self.path, self.headers.get("Range")))
        if server.mode == 403:
            self.answer(403, json.dumps(FORBIDDEN).encode())
        elif name not in server.files:
            self.answer(404, b"404 page not found\n")
        elif name.endswith("/"):
            self.answer(200, server.files[name])
        else:
            self.serve(server.files[name])

    def serve(self, content):
        start, last = (int(n) for n in re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        if self.server.mode == "whole" or not content:
            self.answer(200, content)
        elif start >= len(content):
            self.answer(416, b"invalid range\n", **{"Content-Range": f"bytes */{len(content)}"})
        else:
            part = content[start : last + 1]
            told = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self.answer(206, part, **{"Content-Range": told})

    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.server.mode == "short":
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    found = QuietServer(Handler)
    found.asked, found.mode = [], ""
    found.files = {"x/": PAGE, "x/audit.log": b"0123456789", "x/empty.log": b""}
    with serving(found):
        yield found


@pytest.fixture
def cluster(server):
    return Cluster(ConnectionOptions(host=f"http://127.0.0.1:{server.server_port}", api_key="not-a-real-one"))


def read(cluster, start, end, file="x/audit.log"):
    return b"".join(cluster.read_node_file("master-0", file, start, end))


def test_the_files_of_a_folder(cluster, server):
    wanted = ["audit-2026-11-22T11-00-00.000.log", "audit.log", "a&b c"]
    assert cluster.list_node_files("master-0", "x") == wanted
    assert server.asked == [(f"{PREFIX}x/", None)]
    assert find_names(b"<pre>\n</pre>\n") == []


def test_a_part_of_a_file(cluster, server):
    assert read(cluster, 3, 6) == b"345"
    assert server.asked == [(f"{PREFIX}x/audit.log", "bytes=3-5")]
    assert read(cluster, 0, 10) == b"0123456789"
    assert read(cluster, 8, 20) == b"89"


def test_nothing_is_asked_for_nothing(cluster, server):
    assert read(cluster, 4, 4) == b""
    assert server.asked == []


def test_the_length_of_a_file(cluster, server):
    assert cluster.measure_node_file("master-0", "x/audit.log") == 10
    assert cluster.measure_node_file("master-0", "x/empty.log") == 0
    server.mode = "whole"
    assert cluster.measure_node_file("master-0", "x/audit.log") == 10


def test_a_large_file_comes_in_pieces(cluster, server):
    server.files["x/audit.log"] = bytes(3 * PIECE + 7)
    pieces = list(cluster.read_node_file("master-0", "x/audit.log", 0, 4 * PIECE))
    assert max(map(len, pieces)) <= PIECE
    assert sum(map(len, pieces)) == 3 * PIECE + 7


@pytest.mark.parametrize(
    ("mode", "file", "span", "status", "words"),
    [
        (403, "x/audit.log", (0, 5), 403, 'cannot get resource "nodes/proxy"'),
        ("", "x/gone.log", (0, 5), 404, "the node has no such file"),
        ("", "x/audit.log", (10, 15), 416, "invalid range"),
        ("whole", "x/audit.log", (5, 8), 502, "the node does not serve parts of files"),
        ("short", "x/audit.log", (0, 10), 0, ""),
    ],
)
def test_what_can_go_wrong_is_told(cluster, server, mode, file, span, status, words):
    server.mode = mode
    with pytest.raises(ApiError) as caught:
        read(cluster, *span, file)
    assert caught.value.status == status
    assert words in caught.value.words
    assert caught.value.message.startswith(f"Could not read /var/log/{file} of nodes/master-0: ")


def test_a_folder_that_is_missing_or_forbidden_is_told(cluster, server):
    with pytest.raises(ApiError, match=r"^Could not list /var/log/y/ of nodes/master-0: the node has no such file;"):
        cluster.list_node_files("master-0", "y")
    server.mode = 403
    with pytest.raises(ApiError, match="ask a cluster administrator for this permission"):
        cluster.list_node_files("master-0", "x")


def test_a_metric_of_the_kubelet(cluster, server):
    server.metrics = b'# HELP x\n# TYPE x gauge\nx_total{a="b"} 3\nx 1.79537871907e+09\ny 2\n'
    assert cluster.read_node_metric("master-0", "x") == 1795378719.07
    assert cluster.read_node_metric("master-0", "x_total") is None
    server.metrics += b"z 5\n" * PIECE
    assert cluster.read_node_metric("master-0", "y") == 2.0  # the rest is not read
    assert cluster.read_node_metric("master-0", "y") == 2.0  # over a sound connection


def test_a_metric_that_comes_in_pieces():
    text = b"a 1\nprocess_start 12.5\nb 2\n"
    for size in range(1, len(text)):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert find_metric(pieces, "process_start") == 12.5
    assert find_metric([], "process_start") is None


@pytest.mark.parametrize("value", [b"", b" ", b"soon", b"0x10", b"\xff"])
def test_a_metric_that_is_no_number_is_none(value):
    assert find_metric([b"a 1\nx " + value + b"\nb 2\n"], "x") is None


def test_of_an_endless_line_only_the_start_is_kept():
    def stream():
        yield b"long{a="
        for _piece in range(50):
            tracemalloc.reset_peak()
            yield b"x" * PIECE
        yield b"}\nx 1\n"

    tracemalloc.start()
    try:
        assert find_metric(stream(), "x") == 1
        assert tracemalloc.get_traced_memory()[1] < 10 * PIECE
    finally:
        tracemalloc.stop()


def test_metrics_that_break_off_are_an_error(cluster, server):
    server.metrics, server.mode = b"a 1\n" * 100, "short"
    with pytest.raises(ApiError, match="Could not read the metrics of nodes/master-0"):
        cluster.read_node_metric("master-0", "x")
