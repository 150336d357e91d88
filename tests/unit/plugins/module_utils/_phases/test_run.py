# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs against a small cluster that keeps ConfigMaps under optimistic locking. Nothing here sleeps."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    Refused,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import MANAGED_BY
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.run import RunOffice, RunRequest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._run import RecordStore, Run
from clocks import FakeClock

A, B, C = (f"https://{letter}.example.com" for letter in "abc")


def api_error(status, reason="x"):
    return ApiError(verb="try", target="it", host="h", status=status, words="no", reason=reason)


def fail(error):
    raise error


class FakeCluster:
    def __init__(self):
        self.record = None
        self.issuer = A
        self.namespaces = {"bound-tokens"}
        self.denied = set()
        self.labels = MANAGED_BY
        self.writes = 0
        self.faults = []  # errors instead of the answers to the next writes, None for none
        self.now = datetime(2026, 11, 22, 8, 0, 0, tzinfo=timezone.utc)

    def server_time(self):
        return self.now

    def require(self, kind, name, namespace=None):
        assert kind == "Authentication"
        return {"spec": {"serviceAccountIssuer": self.issuer}}

    def get(self, kind, name, namespace=None):
        if kind == "Namespace":
            return {"metadata": {"name": name, "labels": self.labels}} if name in self.namespaces else None
        return copy.deepcopy(self.record)

    def create(self, kind, body, namespace=None):
        if kind == "SelfSubjectAccessReview":
            asked = body["spec"]["resourceAttributes"]
            return {"status": {"allowed": (asked["verb"], asked["resource"]) not in self.denied}}
        if self.record:
            raise api_error(409)
        return self.write(body)

    def merge_patch(self, kind, name, patch, namespace=None):
        if patch["metadata"]["resourceVersion"] != self.record["metadata"]["resourceVersion"]:
            raise api_error(409)
        return self.write({"metadata": {}, "data": patch["data"]})

    def write(self, body):
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, str):
            raise api_error(0)  # nothing arrived
        self.writes += 1
        body = copy.deepcopy(dict(body))
        body["metadata"] = {**body["metadata"], "resourceVersion": str(self.writes)}
        self.record = body
        if isinstance(fault, ApiError):
            fail(fault)  # it arrived, and the answer was lost
        return body


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def office(cluster):
    acquired = []
    office = RunOffice(
        cluster=cluster,
        store=RecordStore(cluster=cluster, namespace="bound-tokens"),
        clock=FakeClock(),
        holder="me@here",
        acquire=acquired.append,
    )
    cluster.acquired = acquired
    return office


def request(issuer=B, run_id=None, *, new_id="new", take_over=False, needed_for=(), strategy=None):
    return RunRequest(
        issuer=issuer, run_id=run_id, new_id=new_id, take_over=take_over, needed_for=needed_for, strategy=strategy
    )


def resume(cluster, run_id="new"):
    store = RecordStore(cluster=cluster, namespace="bound-tokens")
    return Run.resume(store, run_id, clock=FakeClock(), holder="me@here")


def namespaces(planned, renewed=0):
    return [{"name": "web", "tier": "user namespaces", "planned": planned, "renewed": renewed, "seconds": 1.0}]


ROLLOUT = {
    "complete": True,
    "issuer": B,
    "finished_at": "2026-11-22T07:59:00Z",
    "nodes": [{"name": "master-0", "switched_not_before": "x", "switched_not_after": "y"}],
}


def test_a_rotation_from_its_begin_to_its_end(cluster, office):
    begun = office.begin(request(), check_mode=False)
    assert (begun["changed"], begun["reason"], begun["run"]["former_issuer"]) == (True, "NoRecord", A)
    assert begun["run"]["phase"] == "issuer", "from now on the edit may have been made"
    cluster.issuer = B
    resume(cluster).absorb({"changed": True, "issuer": {"previous": A}})
    resume(cluster).absorb({"changed": False, "rollout": ROLLOUT})
    resume(cluster).absorb({"changed": True, "namespaces": namespaces(3, 3)})
    finished = office.finish("new", check_mode=False)
    assert (finished["changed"], finished["run"]["phase"]) == (True, "done")
    assert finished["run"]["namespaces"][0]["renewed"] == 3
    assert cluster.acquired == ["new", "new"]


def test_no_record_is_read_from_a_namespace_that_a_user_may_have_made(cluster, office):
    office.begin(request(), check_mode=False)
    cluster.labels = {}
    store = RecordStore(cluster=cluster, namespace="bound-tokens")
    for read in (store.read, store.read_nodes):
        with pytest.raises(Refused, match="namespace bound-tokens does not carry the label"):
            read()
    cluster.labels = {**MANAGED_BY, "team": "x"}
    assert store.read().run_id == "new"


def test_moments_are_the_clusters_so_that_a_wrong_clock_here_decides_nothing(cluster, office):
    """By when the run was begun it is decided which nodes are restarted again, see find_outdated."""
    begun = office.begin(request(), check_mode=False)["run"]
    assert (begun["started_at"], begun["updated_at"]) == ("2026-11-22T08:00:00Z",) * 2
    cluster.now, cluster.issuer = cluster.now + timedelta(minutes=3), B
    assert "last heard of 3 minutes ago" in office.show()["explanation"]
    with pytest.raises(Refused, match="last heard of 3 minutes ago"):
        office.begin(request(C), check_mode=False)
    finished = office.finish("new", check_mode=False)["run"]
    assert (finished["started_at"], finished["updated_at"]) == ("2026-11-22T08:00:00Z", "2026-11-22T08:03:00Z")


def test_where_nobody_tells_the_time_no_moment_is_noted(cluster, office):
    cluster.now = None
    begun = office.begin(request(), check_mode=False)["run"]
    assert (begun["started_at"], begun["updated_at"]) == (None, None)
    assert "last heard" not in office.show()["explanation"]


def test_the_strategy_stays_until_another_one_is_given_or_another_run_begins(cluster, office):
    def begin(**more):
        office.begin(request(**more), check_mode=False)
        return office.show()["run"]["strategy"]

    mixed = {"name": "wait", "namespaces": [{"namespaces": ["a*"], "strategy": "pods"}]}
    assert begin(strategy=mixed) == mixed
    assert begin() == mixed
    assert begin(strategy={"name": "pods", "namespaces": []})["name"] == "pods"
    assert begin(issuer=C, take_over=True) == {}


def test_check_mode_writes_nothing_and_takes_no_lease(cluster, office):
    begun = office.begin(request(), check_mode=True)
    assert (begun["changed"], begun["run"]["phase"], cluster.writes, cluster.acquired) == (True, "planned", 0, [])
    office.begin(request(), check_mode=False)
    writes = cluster.writes
    assert office.finish("new", check_mode=True)["changed"] is True
    assert (cluster.writes, cluster.acquired) == (writes, ["new"])


def test_the_second_run_goes_on_and_knows_what_the_first_saw(cluster, office):
    office.begin(request(), check_mode=False)
    cluster.issuer = B
    resume(cluster).absorb({"changed": False, "rollout": ROLLOUT})
    killed = resume(cluster)
    killed.note(lambda: namespaces(5))
    again = office.begin(request(new_id="other"), check_mode=False)
    assert (again["changed"], again["reason"], again["run"]["run_id"]) == (False, "SameRun", "new")
    assert again["run"]["former_issuer"] == A
    unknown = {**ROLLOUT, "finished_at": None, "nodes": [{**ROLLOUT["nodes"][0], "switched_not_before": None}]}
    shown = resume(cluster).absorb({"changed": False, "rollout": unknown})
    assert shown["rollout"] == ROLLOUT
    second = resume(cluster)
    second.note(lambda: namespaces(2))
    second.absorb({"changed": True, "namespaces": namespaces(2, 2)})
    assert office.show()["run"]["namespaces"] == [
        {"name": "web", "tier": "user namespaces", "planned": 5, "renewed": 5, "seconds": 2.0}
    ]


def test_what_was_renewed_before_a_kill_counts_although_the_next_run_has_nothing_to_do_there(cluster, office):
    office.begin(request(), check_mode=False)
    resume(cluster).note(lambda: namespaces(5))  # killed, with all pods on their way
    second = resume(cluster)
    second.note(lambda: namespaces(0))
    second.absorb({"changed": False, "namespaces": []})
    assert [n["renewed"] for n in office.show()["run"]["namespaces"]] == [5]


def test_the_former_issuer_is_the_one_that_the_first_run_found(cluster, office):
    office.begin(request(), check_mode=False)
    cluster.issuer = C
    assert office.begin(request(), check_mode=False)["run"]["former_issuer"] == A


def test_a_failure_is_progress_but_no_phase(cluster, office):
    office.begin(request(), check_mode=False)
    resume(cluster).absorb({"namespaces": namespaces(5, 2), "rollout": {"complete": False}}, failed=True)
    run = office.show()["run"]
    assert (run["phase"], run["namespaces"][0]["renewed"]) == ("issuer", 2)


def test_a_run_that_is_done_and_done_again_writes_nothing(cluster, office):
    office.begin(request(), check_mode=False)
    cluster.issuer = B
    resume(cluster).absorb({"changed": False, "rollout": ROLLOUT})
    office.finish("new", check_mode=False)
    writes = cluster.writes
    assert office.begin(request(), check_mode=False)["changed"] is False
    resume(cluster).absorb({"changed": False, "issuer": {"previous": B}})
    resume(cluster).absorb({"changed": False, "rollout": ROLLOUT})
    resume(cluster).note(lambda: namespaces(0))
    resume(cluster).absorb({"changed": False, "namespaces": []})
    assert office.finish("new", check_mode=False)["changed"] is False
    assert cluster.writes == writes


def test_another_run_is_refused_until_it_is_told_to_take_over(cluster, office):
    office.begin(request(), check_mode=False)
    cluster.issuer = B
    for check_mode in (True, False):
        with pytest.raises(Refused, match=r"the run new to the issuer .* by me@here is not finished"):
            office.begin(request(C), check_mode=check_mode)
    taken = office.begin(request(C, new_id="newer", take_over=True), check_mode=False)
    assert (taken["run"]["run_id"], taken["run"]["former_issuer"]) == ("newer", B)
    with pytest.raises(CollectionError, match="the record is of the run newer"):
        resume(cluster, "new")


def test_a_run_that_is_taken_over_keeps_what_it_knew_under_a_new_name(cluster, office):
    office.begin(request(run_id="r1"), check_mode=False)
    cluster.issuer = B
    resume(cluster, "r1").absorb({"changed": False, "rollout": ROLLOUT})
    taken = office.begin(request(run_id="r2", take_over=True), check_mode=False)["run"]
    assert (taken["run_id"], taken["former_issuer"], taken["phase"]) == ("r2", A, "renewal")


def test_what_another_run_wrote_before_the_lease_was_held_is_seen(cluster, office):
    other = RunOffice(
        cluster=cluster, store=RecordStore(cluster=cluster, namespace="x"), clock=FakeClock(), holder="you@there",
        acquire=lambda run_id: None,
    )  # fmt: skip

    def acquire(run_id):
        other.begin(request(C, new_id="quicker"), check_mode=False)
        cluster.issuer = C

    slow = RunOffice(
        cluster=cluster, store=office.store, clock=FakeClock(), holder="me@here", acquire=acquire
    )  # fmt: skip
    with pytest.raises(Refused, match="the run quicker"):
        slow.begin(request(), check_mode=False)


@pytest.mark.parametrize("fault", [api_error(0), "lost before it arrived"], ids=["answer lost", "request lost"])
def test_a_write_whose_answer_was_lost_is_done_once(cluster, office, fault):
    cluster.faults = [fault]
    office.begin(request(), check_mode=False)
    run = resume(cluster)
    cluster.faults = [fault]
    run.note(lambda: namespaces(5))
    assert office.show()["run"]["namespaces"][0]["planned"] == 5


def test_a_record_that_was_written_meanwhile_is_written_all_the_same_unless_it_is_another_runs(cluster, office):
    office.begin(request(), check_mode=False)
    run = resume(cluster)
    resume(cluster).save(run.record)
    run.note(lambda: namespaces(5))
    assert office.show()["run"]["namespaces"][0]["planned"] == 5
    office.begin(request(C, new_id="newer", take_over=True), check_mode=False)
    with pytest.raises(CollectionError, match="the record is of the run newer"):
        run.save(run.record)
    assert office.show()["run"]["run_id"] == "newer"


def test_all_missing_permissions_are_told_at_once(cluster, office):
    cluster.denied = {("create", "leases"), ("patch", "configmaps"), ("create", "namespaces")}
    with pytest.raises(Refused) as refusal:
        office.begin(request(), check_mode=True)
    words = "create leases.coordination.k8s.io in namespace bound-tokens; patch configmaps in namespace bound-tokens"
    assert refusal.value.message.startswith(f"No run was begun: you are not allowed to {words}; ask")
    cluster.namespaces = set()
    with pytest.raises(Refused, match="create namespaces"):
        office.begin(request(), check_mode=True)


def test_what_later_tasks_lack_is_told_in_the_same_list_before_anything_is_read(cluster, office, monkeypatch):
    monkeypatch.setattr(cluster, "require", lambda *what: fail(api_error(403)))
    cluster.denied = {
        ("patch", "configmaps"),
        ("patch", "authentications"),
        ("create", "pods"),
        ("create", "serviceaccounts"),
    }
    with pytest.raises(Refused) as refusal:
        office.begin(request(needed_for=("eviction", "issuer", "probe")), check_mode=False)
    assert refusal.value.message == (
        "No run was begun: you are not allowed to patch configmaps in namespace bound-tokens; create pods/eviction; "
        "patch authentications.config.openshift.io; create serviceaccounts/token in namespace default; "
        "ask a cluster administrator for this."
    )
    assert cluster.writes == 0


def test_progress_is_noted_every_few_seconds_at_most(cluster, office):
    office.begin(request(), check_mode=False)
    run, writes = resume(cluster), cluster.writes
    for renewed, seconds in ((0, 0), (1, 2), (2, 4.9), (3, 5)):
        run.clock.now = seconds
        run.note(lambda renewed=renewed: namespaces(5, renewed))
    assert cluster.writes == writes + 2
    assert office.show()["run"]["namespaces"][0]["renewed"] == 3


def test_what_is_under_way_is_told(office):
    office.begin(request(), check_mode=False)
    shown = office.show()
    assert shown["reason"] == "Found"
    assert shown["explanation"].startswith(
        f"The run new to the issuer {B} by me@here is not finished (phase issuer, last heard of "
    )
    office.finish("new", check_mode=False)
    shown = office.show()
    assert (shown["reason"], shown["explanation"]) == ("Found", "No run is under way.")


def test_nothing_is_shown_where_there_is_nothing(office):
    assert office.show() == {
        "changed": False,
        "run": None,
        "reason": "NoRecord",
        "explanation": "No run is under way.",
    }
