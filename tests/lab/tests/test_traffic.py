# SPDX-License-Identifier: GPL-3.0-or-later
"""The client that makes requests without a pause, against servers of this process."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from lab import traffic


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests += 1  # type: ignore[attr-defined]
        if self.server.mood == "cut":  # type: ignore[attr-defined]
            self.close_connection = True
            return
        self.send_response(500 if self.server.mood == "broken" else 200)  # type: ignore[attr-defined]
        if self.server.mood == "leaving":  # type: ignore[attr-defined]
            self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_unused: Any) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[list[Any]]:
    made = []
    for _unused in range(2):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.mood, server.requests = "good", 0  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made.append(server)
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


class _Endpoints:
    """The servers in turn."""

    def __init__(self, servers: list[Any]) -> None:
        self.places = [server.server_address for server in servers]

    def next(self) -> Any:
        if not self.places:
            return None
        self.places.append(self.places.pop(0))
        return self.places[-1]


def _client(servers: list[Any]) -> traffic.Client:
    return traffic.Client(_Endpoints(servers), rate=100)  # type: ignore[arg-type]


def test_a_kept_connection_is_used_until_the_server_says_close(servers: list[Any]) -> None:
    client = _client(servers)
    connection = None
    for _unused in range(3):
        connection = client._ask("kept connection", connection)
    assert connection
    [used] = [server for server in servers if server.requests]
    used.mood = "leaving"
    assert client._ask("kept connection", connection) is None
    assert client.result == traffic.Result({"new connection": 0, "kept connection": 4}, [])


def test_new_connections_take_turns(servers: list[Any]) -> None:
    client = _client(servers)
    for _unused in range(4):
        assert client._ask("new connection", None) is None
    assert [server.requests for server in servers] == [2, 2]
    assert client.result.answers["new connection"] == 4


@pytest.mark.parametrize(("mood", "why"), [("cut", "RemoteDisconnected"), ("broken", "status 500")])
def test_what_gets_no_good_answer_is_a_failure(servers: list[Any], mood: str, why: str) -> None:
    client = _client(servers)
    connection = client._ask("kept connection", None)
    for server in servers:
        server.mood = mood
    assert client._ask("kept connection", connection) is None
    [failure] = client.result.failures
    assert "kept connection to 127.0.0.1:" in failure
    assert why in failure


def test_nobody_to_ask_and_nobody_who_listens_are_failures_too(servers: list[Any]) -> None:
    client = _client([])
    assert client._ask("new connection", None) is None
    servers[0].shutdown()
    servers[0].server_close()
    client._endpoints = _Endpoints(servers[:1])  # type: ignore[assignment]
    assert client._ask("new connection", None) is None
    assert ["no endpoint is ready" in client.result.failures[0], "Refused" in client.result.failures[1]] == [True, True]


def test_the_loops_keep_the_rate_and_stop(servers: list[Any]) -> None:
    client = _client(servers)
    thread = threading.Thread(target=client.run, args=(2,))
    thread.start()
    while sum(client.result.answers.values()) < 20:
        thread.join(0.01)
    client.stop.set()
    thread.join()
    assert client.result.failures == []
    assert min(client.result.answers.values()) > 0


def _slice(*endpoints: tuple[str, bool | None, bool, bool]) -> dict[str, Any]:
    return {
        "ports": [{"port": 8080}],
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": ready, "serving": serving, "terminating": terminating}}
            for address, ready, serving, terminating in endpoints
        ],
    }


def test_ready_endpoints_come_first_then_those_that_still_serve() -> None:
    leaving, unready = ("a", False, True, True), ("b", False, False, False)
    both = [_slice(leaving, unready, ("c", True, True, False)), _slice(("d", None, True, False))]
    assert traffic.choose_endpoints(both) == [("c", 8080), ("d", 8080)]
    assert traffic.choose_endpoints([_slice(leaving, unready)]) == [("a", 8080)]
    assert traffic.choose_endpoints([_slice(unready), {"ports": [], "endpoints": None}]) == []
