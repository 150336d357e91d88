# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated nodes: their objects, what restarts them, and following objects while API servers come and go."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from lab import gates, simulation, simulator, versions, watching
from lab.api import ApiError, Unreachable
from lab.errors import LabError
from lab.settings import Settings
from lab.standins.pools import POOLS

REQUEST = simulation.Request(nodes=5, pools=2, restart_pods="a=b", restart_after=5, restart_takes=20)


def _pod(boot_id: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "n", "name": "p"},
        "spec": {"containers": [{"env": [{"name": "BOOT_ID", "value": boot_id}]}]},
        "status": status,
    }


def test_nodes_are_spread_over_zones_and_pools() -> None:
    nodes = [simulation.node(index, REQUEST) for index in range(5)]
    zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes]
    assert zones == ["zone-0", "zone-1", "zone-2", "zone-0", "zone-1"]
    pools = [[label for label in node["metadata"]["labels"] if "sim-pool" in label] for node in nodes]
    assert pools == [[f"node-role.kubernetes.io/sim-pool-{index % 2}"] for index in range(5)]
    assert len({node["status"]["nodeInfo"]["bootID"] for node in nodes}) == 5
    assert len({node["status"]["addresses"][0]["address"] for node in nodes}) == 5


def test_a_pod_restarts_the_boot_that_it_names_and_no_other() -> None:
    node = simulation.node(0, REQUEST)
    boot_id = node["status"]["nodeInfo"]["bootID"]
    assert simulator.find_obstacle(node, _pod(boot_id)) is None
    assert simulator.find_obstacle(node, _pod("of before")) == "the pod does not name the node's present boot"
    node["metadata"]["annotations"][simulation.RESTART_TAKES] = "ignored"
    assert simulator.find_obstacle(node, _pod(boot_id)) == "the node ignores it"
    del node["metadata"]["labels"][simulation.LABEL]
    assert simulator.find_obstacle(node, _pod(boot_id)) == "the node is not simulated"


def test_pods_that_ran_before_the_restart_run_again_after_it() -> None:
    container = {"name": "c", "ready": False, "restartCount": 2, "state": {"running": {"startedAt": "before"}}}
    pods = [_pod("", phase="Running", containerStatuses=[container]), _pod("", phase="Succeeded"), _pod("")]
    [(path, patch)] = simulator.restart_pod_statuses(pods, "now").items()
    assert path == "/api/v1/namespaces/n/pods/p/status"
    [again] = patch["status"]["containerStatuses"]
    assert (again["restartCount"], again["ready"], again["state"]["running"]["startedAt"]) == (3, True, "now")


def test_a_silent_node_has_no_heartbeat_and_a_healthy_one_has() -> None:
    healthy, silent = simulation.conditions("True", "now"), simulation.conditions("Unknown", "now")
    assert {c["type"]: c["status"] for c in healthy}["MemoryPressure"] == "False"
    assert all(c["lastHeartbeatTime"] == "now" for c in healthy)
    assert all(c["status"] == "Unknown" and "lastHeartbeatTime" not in c for c in silent)


def test_kwok_is_told_to_leave_real_nodes_alone() -> None:
    settings = simulation.Settings.from_environment({"HOME": "/h"})
    command = simulation.kwok_command(settings, simulation.Wanted("/bin/kwok", "a=b"))
    assert "--manage-all-nodes=false" in command
    annotation = simulation.node(0, REQUEST)["metadata"]["annotations"][simulation.ANNOTATION]
    assert f"--manage-nodes-with-annotation-selector={simulation.ANNOTATION}={annotation}" in command
    assert versions.kwok().startswith("v0.")
    stages = list(yaml.safe_load_all(simulation._STAGES.read_text()))
    assert [stage["metadata"]["name"] for stage in stages] == [
        "node-left-alone",
        "pod-ready",
        "pod-complete",
        "pod-delete",
    ]


class _Server:
    """Answers each list and watch from a script; an exception stands for itself."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[str] = []

    def get(self, path: str) -> Any:
        self.asked.append(path)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"metadata": {"resourceVersion": "10"}, "items": answer}

    def watch(self, path: str) -> Iterator[tuple[str, Any]]:
        self.asked.append(path)
        for event in self.script.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


def _thing(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"uid": name, "resourceVersion": version}}


def _follow(server: _Server, count: int) -> list[tuple[str, str]]:
    events = watching.follow(server, "/things", "q=1", sleep=lambda seconds: None)  # type: ignore[arg-type]
    return [(kind, thing["metadata"]["uid"]) for kind, thing in itertools.islice(events, count)]


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    changed, bookmark = ("MODIFIED", _thing("a", "11")), ("BOOKMARK", _thing("", "15"))
    server = _Server([_thing("a", "1")], [changed, bookmark, Unreachable("gone")], [("DELETED", _thing("a", "16"))])
    assert _follow(server, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert server.asked[-1] == "/things?q=1&resourceVersion=15"


@pytest.mark.parametrize("how", [ApiError(410, "too old"), ApiError(500, "oh")])
def test_a_watch_that_is_refused_begins_anew_and_misses_no_deletion(how: Exception) -> None:
    server = _Server([_thing("a", "1"), _thing("b", "2")], [how], Unreachable("not yet"), [_thing("b", "2")])
    assert _follow(server, 4)[2:] == [("DELETED", "a"), ("ADDED", "b")]


class _OverloadedApi:
    """Holds nodes and pools; some of its answers are lost or refused. It has no time, so that no look waits for another."""

    def __init__(self, names: dict[str, set[str]], *troubles: Exception | None) -> None:
        self.names = names
        self.troubles = list(troubles)

    def items(self, path: str) -> list[dict[str, Any]]:
        self._get_into_trouble()
        return [{"metadata": {"name": name}} for name in sorted(self.names.get(path.partition("?")[0], ()))]

    def request(self, method: str, path: str) -> None:
        assert method == "DELETE"
        collection, _slash, name = path.rpartition("/")
        if name not in self.names[collection]:
            raise ApiError(404, f"{name} not found")
        self.names[collection].remove(name)
        self._get_into_trouble()

    def create_missing(self, path: str, body: dict[str, Any]) -> None:
        self.names[path].add(body["metadata"]["name"])
        self._get_into_trouble()

    def _get_into_trouble(self) -> None:
        if self.troubles and (trouble := self.troubles.pop(0)):
            raise trouble


NODES = "/api/v1/nodes"
NONE = dataclasses.replace(REQUEST, nodes=0, pools=0)


def _simulate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, api: _OverloadedApi, request: simulation.Request
) -> None:
    now = itertools.count()
    monkeypatch.setattr(gates, "time", SimpleNamespace(monotonic=lambda: next(now), sleep=lambda _seconds: None))
    monkeypatch.setattr(simulation, "Api", lambda _settings: api)
    settings = Settings("logic", 7543, 1.0, tmp_path)
    simulation.simulate(settings, request, lambda _line: None, lambda: None)


def test_nodes_are_removed_although_answers_are_lost_and_requests_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = {NODES: {simulation.name(i) for i in range(5)}, POOLS: {"worker", "sim-pool-0", "sim-pool-1"}}
    lost, refused = Unreachable("read timed out"), ApiError(429, "too many requests")
    # the answers to: lists of nodes and pools, a removal that is lost, another look, one that is refused, ...
    api = _OverloadedApi(
        names, lost, None, refused, None, None, lost, None, None, None, refused, lost, None, None, lost
    )
    _simulate(monkeypatch, tmp_path, api, NONE)
    assert names == {NODES: set(), POOLS: {"worker"}}
    assert api.troubles == []


def test_what_can_not_be_removed_is_named_within_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api = _OverloadedApi({NODES: {"sim-000"}, POOLS: set()})
    api.request = lambda *_details: None  # type: ignore[method-assign]
    with pytest.raises(LabError, match=r"not within 120 s, still missing: /api/v1/nodes/sim-000 is not gone"):
        _simulate(monkeypatch, tmp_path, api, NONE)
