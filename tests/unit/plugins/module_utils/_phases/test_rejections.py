# SPDX-License-Identifier: GPL-3.0-or-later
"""The search in the logs of a cluster of three nodes, from the options and the record of a run to the module's result."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, CollectionError
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import MANAGED_BY
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.rejections import RejectionSearch
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.rejections import rejection_request
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.run_record import (
    RunRecord,
    SwitchRecord,
    dump_record,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._run import RecordStore
from clocks import FakeClock

ISSUER = "https://a.example.com"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)
SWITCHED, FINISHED = "2026-11-22T07:50:00Z", "2026-11-22T08:00:00Z"
RECORD = RunRecord(
    run_id="r",
    issuer=ISSUER,
    phase="done",
    finished_at=FINISHED,
    nodes={"master-0": SwitchRecord(not_before=SWITCHED), "master-1": SwitchRecord()},
)


def event(moment, **more):
    return json.dumps(
        {
            "auditID": "x",
            "requestURI": "/api",
            "verb": "get",
            "user": {},
            "sourceIPs": ["10.0.0.1"],
            "userAgent": "a",
            "stageTimestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            **more,
        },
        separators=(",", ":"),
    ).encode()


def log_of(*refused):
    """A log of a week with an event an hour, and refusals at these moments."""
    events = {NOW - timedelta(hours=n): {} for n in range(168)}
    events |= {moment: {"responseStatus": {"code": 401}} for moment in refused}
    return b"".join(event(moment, **events[moment]) + b"\n" for moment in sorted(events))


class FakeCluster:
    host = "https://api.example.com:6443"

    def __init__(self, record=RECORD, **logs):
        self.record, self.now = record, NOW
        self.logs = {f"master-{n}": log_of() for n in range(3)} | {k.replace("_", "-"): v for k, v in logs.items()}
        self.denied = set()
        self.profile = None

    def require(self, kind, name):
        assert (kind, name) == ("KubeAPIServer", "cluster")
        return {"status": {"nodeStatuses": [{"nodeName": n} for n in self.logs]}}

    def get(self, kind, name, namespace=None):
        self._check(kind)
        if kind == "APIServer":
            return {"spec": {"audit": {"profile": self.profile}}} if self.profile else None
        if kind == "Namespace":
            return {"metadata": {"name": name, "labels": MANAGED_BY}}
        return {"metadata": {"resourceVersion": "1"}, "data": dump_record(self.record)} if self.record else None

    def list(self, kind):
        self._check(kind)
        pod = {
            "metadata": {"namespace": "shop", "name": "web", "uid": "u"},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
        }
        return [pod] if kind == "Pod" else []

    def server_time(self):
        return self.now

    def list_node_files(self, node, folder):
        self._check(node)
        return ["audit.log"]

    def measure_node_file(self, node, file):
        return len(self.logs[node])

    def read_node_file(self, node, file, start, end):
        yield self.logs[node][start:end]

    def _check(self, what):
        if what in self.denied:
            words = f'User "u" cannot get {what}'
            raise ApiError(verb="get", target=what, host="h", status=403, words=words, reason="Forbidden")


def search(cluster, **more):
    given = {"since": None, "issuer": None, "max_bytes": 10**9, "loop_minutes": 10, "loop_pause": 90, **more}
    said = []
    result = RejectionSearch(
        cluster=cluster,
        clock=FakeClock(),
        request=rejection_request(given),
        store=RecordStore(cluster=cluster, namespace="bound-tokens"),
        say=said.append,
    ).run()
    assert result["changed"] is False
    return result["rejected_requests"], result["explanation"], said


#: Every ten minutes for a day.
DAY = [NOW - timedelta(minutes=10 * n) for n in range(1, 140)]


def test_the_end_of_the_recorded_rollout_is_where_it_begins():
    found, explanation, said = search(FakeCluster(), issuer=ISSUER)
    assert (found["in_loop"], found["since"], found["until"]) == (False, FINISHED, "2026-11-23T08:00:00Z")
    assert explanation.endswith("by the audit logs of master-0, master-1, master-2.")
    assert found["servers"][0] == {
        "name": "master-0",
        "covered_since": FINISHED,
        "covered_until": "2026-11-23T08:00:00Z",
        "bytes_read": len(log_of()),
    }
    assert sorted(said)[0].startswith("master-0: ")


def test_a_loop_on_one_server_is_found_and_its_pod_named():
    found, explanation, _said = search(FakeCluster(master_1=log_of(*DAY)))
    assert found["in_loop"] is True
    assert found["clients"][0]["pod"] == {"namespace": "shop", "name": "web"}
    assert "pod shop/web (10.0.0.1, a) 139 times" in explanation


def test_who_failed_before_the_recorded_change_is_told_apart():
    before = datetime(2026, 11, 22, 7, 30, tzinfo=timezone.utc)
    found, _explanation, _said = search(FakeCluster(master_1=log_of(before, *DAY)))
    assert (found["in_loop"], found["clients"][0]["refused_before"]) == (False, True)
    # a given moment before the switch of the record has nothing to do with it
    found, _explanation, _said = search(FakeCluster(master_1=log_of(before, *DAY)), since="2026-11-22T07:40:00Z")
    assert (found["in_loop"], found["clients"][0]["refused_before"]) == (True, False)


@pytest.mark.parametrize(
    ("record", "more"),
    [(None, {}), (RECORD, {"issuer": "https://b.example.com"}), (RunRecord(run_id="r", issuer=ISSUER), {})],
)
def test_without_a_moment_nothing_is_known(record, more):
    found, explanation, _said = search(FakeCluster(record), **more)
    assert (found["in_loop"], found["since"], found["servers"]) == (None, None, [])
    assert explanation == (
        "Whether anything is refused with 401 in a loop is unknown, because neither since nor the record of a finished "
        "rollout tells from when on to look."
    )


def test_a_log_that_may_not_be_read_is_unknown_and_says_what_is_missing():
    cluster = FakeCluster()
    cluster.denied = {"master-1"}
    found, explanation, _said = search(cluster)
    assert found["in_loop"] is None
    assert 'because could not get master-1: User "u" cannot get master-1; ask a cluster administrator' in explanation
    assert [s["covered_since"] for s in found["servers"]] == [FINISHED, None, FINISHED]


def test_a_log_of_profile_none_is_unknown():
    cluster = FakeCluster()
    cluster.profile = "None"
    assert search(cluster)[0]["in_loop"] is None


def test_names_are_left_out_where_pods_may_not_be_listed():
    cluster = FakeCluster(master_1=log_of(*DAY))
    cluster.denied = {"Pod", "Node", "APIServer"}
    found, explanation, _said = search(cluster)
    assert (found["in_loop"], found["clients"][0]["pod"]) == (True, None)
    assert "a from 10.0.0.1 139 times" in explanation


def test_a_record_that_may_not_be_read_is_needed_only_for_the_moment():
    cluster = FakeCluster()
    cluster.denied = {"ConfigMap"}
    assert search(cluster, since=FINISHED)[0]["in_loop"] is False
    with pytest.raises(ApiError):
        search(cluster)


def test_the_time_is_the_clusters():
    cluster = FakeCluster()
    cluster.now = None
    with pytest.raises(CollectionError, match="does not tell the time"):
        search(cluster)
