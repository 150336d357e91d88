# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods without a controller, against a small cluster whose kubelets work whenever the clock moves on. Nothing here sleeps."""

from __future__ import annotations

import copy
import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _facts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, Refused, WaitTimedOut
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import parse_time
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases import pods
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.pods import renew_pods
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pods import RenewalRequest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.run_record import merge_namespaces
from clocks import FakeClock

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
PODS = yaml.safe_load((FIXTURES / "pods.yml").read_text())
BEFORE, MOMENT, AFTER = "2026-11-22T08:00:00Z", "2026-11-22T08:02:31Z", "2026-11-22T08:05:00Z"
WAIT = WaitOptions(timeout=100, interval=2)
RECORDS = "bound-tokens"


class Killed(BaseException):
    """The process is gone."""


def api_error(status, words="no", reason="NotFound"):
    return ApiError(verb="do", target="it", host="h", status=status, words=words, reason=reason)


class Cluster:
    """Namespaces with pods that nobody creates anew, whose kubelets work whenever somebody sleeps."""

    def __init__(self, *names):
        self.clock = FakeClock()
        self.clock.on_sleep.append(self.work)
        self.objects = {kind: {} for kind in ("Namespace", "Pod", "Secret")}
        self.uids = (f"uid-{n}" for n in itertools.count())
        self.removed, self.created = Counter(), Counter()  # pods, by name
        self.fewest = {}  # namespace -> fewest Ready pods
        self.requests, self.kill_at, self.is_kill_late = 0, None, False
        self.refused = {}  # (what, name of the pod) -> error, as long as it is there
        self.denied = set()  # resources
        self.stuck = set()  # names of pods that do not go
        self.on_evict = []  # what happens when a pod is told to go
        self.lock = threading.Lock()
        for name in names:
            self.add(*name.split("/"))

    def add(self, namespace, name):
        self.objects["Namespace"].setdefault((None, namespace), {"metadata": {"name": namespace}})
        pod = copy.deepcopy(PODS["bare"])
        pod["metadata"].update(name=name, namespace=namespace, uid=next(self.uids), labels={"app": name})
        pod["status"]["startTime"] = BEFORE
        self.objects["Pod"][namespace, name] = pod
        return pod

    def pods(self):
        return self.objects["Pod"]

    def work(self):
        for key, pod in list(self.pods().items()):
            if pod["metadata"].get("deletionTimestamp") and key[1] not in self.stuck:
                del self.pods()[key]
            pod["status"]["conditions"][0]["status"] = "True"
        for _none, namespace in self.objects["Namespace"]:
            ready = [
                p
                for (n, _name), p in self.pods().items()
                if n == namespace and "deletionTimestamp" not in p["metadata"]
            ]
            self.fewest[namespace] = min(len(ready), self.fewest.get(namespace, len(ready)))

    # the client

    def request(self, act):
        """Carry out one request, or be killed before or after it."""
        with self.lock:
            self.requests += 1
            if self.requests == self.kill_at and not self.is_kill_late:
                raise Killed
            try:
                return copy.deepcopy(act())
            finally:
                if self.requests == self.kill_at:
                    raise Killed

    def refuse(self, what, name):
        if (what, name) in self.refused:
            raise self.refused[what, name]

    def get(self, kind, name, namespace=None):
        return self.request(lambda: self.objects[kind].get((namespace, name)))

    def list(self, kind, namespace=None, *, label_selector="", field_selector=""):
        def act():
            if kind == "Secret":
                assert namespace == RECORDS
                assert "app.kubernetes.io/component=bare-pod" in label_selector
                if "secrets" in self.denied:
                    raise api_error(403, "secrets is forbidden: User cannot list resource secrets")
            if kind == "Pod" and "list pods" in self.denied:
                raise api_error(403, "pods is forbidden: User cannot list resource pods")
            return [o for (n, _name), o in self.objects.get(kind, {}).items() if namespace in (None, n)]

        return iter(self.request(act))

    def list_at(self, kind, namespace=None, *, label_selector="", read):
        return "1", [read(o) for o in self.list(kind, namespace, label_selector=label_selector)]

    def server_time(self):
        return parse_time(MOMENT)

    def await_change(self, kind, namespace=None, *, known_version, timeout):
        self.clock.sleep(min(timeout, 0.5))

    def create(self, kind, body, namespace=None, *, dry_run=False):
        if kind == "SelfSubjectReview":
            return self.request(lambda: {"status": {"userInfo": {"username": "admin"}}})
        if kind == "SelfSubjectAccessReview":
            resource = body["spec"]["resourceAttributes"]["resource"]
            return self.request(lambda: {"status": {"allowed": resource not in self.denied}})
        return self.request(lambda: self._create(kind, copy.deepcopy(body), namespace, dry_run))

    def _create(self, kind, body, namespace, dry_run):
        metadata = body["metadata"]
        name = metadata.get("name") or metadata["generateName"] + "x"
        if namespace and (None, namespace) not in self.objects["Namespace"]:
            raise api_error(404, f'namespaces "{namespace}" not found')
        if (namespace, name) in self.objects[kind]:
            raise api_error(409, f'{kind} "{name}" already exists', "AlreadyExists")
        if kind == "Pod":
            self.refuse("dry run" if dry_run else "create", name.removesuffix("-x") if dry_run else name)
            assert "nodeName" not in body["spec"]
            body["status"] = {
                "startTime": AFTER,
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}],
            }
        metadata.update(uid=next(self.uids), namespace=namespace, name=name)
        if not dry_run:
            self.objects[kind][namespace, name] = body
            self.created[name] += 1
        return body

    def merge_patch(self, kind, name, patch, namespace=None):
        assert kind == "Secret"
        return self.request(
            lambda: (
                self.objects[kind][namespace, name]["data"].update(patch["data"]) or self.objects[kind][namespace, name]
            )
        )

    def evict(self, name, namespace, *, uid, grace_period=None):
        self.request(lambda: self._remove("Pod", name, namespace, uid))

    def delete(self, kind, name, namespace=None, *, uid, grace_period=None):
        self.request(lambda: self._remove(kind, name, namespace, uid))

    def _remove(self, kind, name, namespace, uid):
        found = self.objects[kind].get((namespace, name))
        if found is None:
            raise api_error(404, f"{name} not found")
        if found["metadata"]["uid"] != uid:
            raise api_error(409, "the UID in the precondition does not match", "Conflict")
        if kind == "Secret":
            del self.objects[kind][namespace, name]
            return
        self.refuse("evict", name)
        assert (RECORDS, f"bare-pod-{uid}") in self.objects["Secret"], "it is kept nowhere"
        found["metadata"]["deletionTimestamp"] = AFTER
        self.removed[name] += 1
        for call in self.on_evict:
            call()


@pytest.fixture(autouse=True)
def namespace_file(monkeypatch, tmp_path):
    monkeypatch.setattr(_facts, "NAMESPACE_FILE", tmp_path / "namespace")


def renew(cluster, *, check_mode=False, say=lambda line: None, note=lambda read: None, **request):
    given = {"started_before": parse_time(MOMENT), "requires_rollout": False, "recreates_bare_pods": True, **request}
    return renew_pods(
        cluster, RenewalRequest(**given), check_mode=check_mode, options=WAIT, clock=cluster.clock, say=say, note=note
    )


def outcomes(result):
    return {p["name"]: (p["method"], p["outcome"], p["reason"]) for p in result["pods"]}


def kept(cluster):
    return [name for _namespace, name in cluster.objects["Secret"]]


def stands(cluster, *names):
    """Whether these pods stand, all of them new ones."""
    return all(cluster.pods()[tuple(n.split("/"))]["status"]["startTime"] == AFTER for n in names)


def test_they_go_one_after_the_other_and_are_created_anew():
    cluster = Cluster("web/a", "web/b", "shop/c")
    result = renew(cluster)
    assert outcomes(result) == dict.fromkeys("abc", ("evict", "renewed", None))
    assert {p["owner"] for p in result["pods"]} == {None}
    assert stands(cluster, "web/a", "web/b", "shop/c")
    assert cluster.removed == {"a": 1, "b": 1, "c": 1}
    assert (cluster.fewest["web"], cluster.fewest["shop"]) == (1, 0)
    assert kept(cluster) == []
    assert not renew(cluster)["changed"]


def test_without_pace_they_go_together():
    cluster = Cluster("web/a", "web/b", "web/c")
    renew(cluster, keeps_pace=False)
    assert stands(cluster, "web/a", "web/b", "web/c")
    assert cluster.fewest["web"] == 0


def test_without_the_option_they_are_left():
    cluster = Cluster("web/a")
    result = renew(cluster, recreates_bare_pods=False)
    assert outcomes(result) == {"a": (None, "left", "NoOwner")}
    assert not cluster.removed


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"ownerReferences": [{"kind": "ConfigMap", "name": "x", "uid": "1"}]}},
        {"spec": {"restartPolicy": "OnFailure"}},
        {"status": {"phase": "Failed"}},
        {"metadata": {"namespace": "openshift-etcd"}},
    ],
    ids=["an owner that is no controller", "runs to completion", "finished", "platform"],
)
def test_what_somebody_else_may_create_or_need_not_run_is_left(change):
    cluster = Cluster("web/a")
    pod = cluster.pods().pop(("web", "a"))
    for part, more in change.items():
        pod[part].update(more)
    namespace = pod["metadata"]["namespace"]
    cluster.objects["Namespace"][None, namespace] = {"metadata": {"name": namespace}}
    cluster.pods()[namespace, "a"] = pod
    renew(cluster)
    assert not cluster.removed


@pytest.mark.parametrize("has_option", [True, False])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_a_run_that_is_killed_at_any_request_loses_none_and_is_completed_by_the_next(is_late, has_option):
    for kill_at in itertools.count(1):
        cluster = Cluster("web/a", "web/b")
        cluster.kill_at, cluster.is_kill_late = kill_at, is_late
        record = Record()
        try:
            renew(cluster, note=record.note)
        except Killed:
            cluster.kill_at = None
        else:
            assert kill_at > 30
            break
        touched = set(cluster.removed)
        record.resume()
        renew(cluster, recreates_bare_pods=has_option, note=record.note)
        assert record.counts in ([(2, 2)] if has_option else [(2, 2), None]), kill_at
        assert set(cluster.pods()) == {("web", "a"), ("web", "b")}, kill_at
        assert stands(cluster, *(f"web/{n}" for n in ("ab" if has_option else touched))), kill_at
        assert max(cluster.removed.values(), default=0) <= 1, kill_at
        renew(cluster)
        assert stands(cluster, "web/a", "web/b"), kill_at
        assert cluster.removed == {"a": 1, "b": 1}, kill_at
        assert kept(cluster) == [], kill_at


class Record:
    """What the record of a run tells of the namespace web: how many pods were planned, and how many are renewed."""

    def __init__(self):
        self.earlier = self.now = {}

    def note(self, read):
        self.now = {**self.now, **merge_namespaces(self.earlier, read())}

    def resume(self):
        self.earlier = self.now

    @property
    def counts(self):
        return (self.now["web"].planned, self.now["web"].renewed) if self.now else None


def killed_between(cluster):
    """A run that was killed when the first pod was told to go."""

    def die():
        raise Killed

    cluster.on_evict.append(die)
    with pytest.raises(Killed):
        renew(cluster)
    cluster.on_evict.clear()
    cluster.work()


def test_what_is_kept_is_created_and_shown_in_check_mode_first():
    cluster = Cluster("web/a")
    killed_between(cluster)
    assert not cluster.pods()
    for options in ({}, {"recreates_bare_pods": False, "pod_selector": "app=other"}):
        planned = renew(cluster, check_mode=True, **options)
        assert outcomes(planned) == {"a": ("create", "planned", None)}
        assert planned["changed"]
    assert not cluster.pods()
    result = renew(cluster, recreates_bare_pods=False)
    assert outcomes(result) == {"a": ("create", "renewed", "GoneAlready")}
    assert result["changed"]
    assert stands(cluster, "web/a")
    assert kept(cluster) == []


def test_nothing_is_created_in_check_mode_when_the_plan_is_refused(monkeypatch):
    cluster = Cluster("web/a")
    killed_between(cluster)

    def refuse(*_details):
        raise Refused("No pod was renewed.")

    monkeypatch.setattr(pods, "require_permissions", refuse)
    with pytest.raises(Refused):
        renew(cluster, check_mode=True)
    assert not cluster.pods()
    assert len(kept(cluster)) == 1


@pytest.mark.parametrize("has_option", [True, False])
def test_nothing_is_created_from_what_a_user_may_have_put_there(has_option):
    cluster = Cluster("web/a")
    killed_between(cluster)
    cluster.objects["Namespace"][None, RECORDS]["metadata"]["labels"] = {}
    with pytest.raises(Refused, match=f"the namespace {RECORDS} does not carry the label"):
        renew(cluster, recreates_bare_pods=has_option)
    assert not cluster.pods()


def test_a_pod_that_is_still_on_its_way_out_is_created_when_it_is_gone():
    cluster = Cluster("web/a")
    cluster.stuck.add("a")
    killed_between(cluster)
    cluster.stuck.clear()
    renew(cluster)
    assert stands(cluster, "web/a")
    assert (cluster.removed["a"], kept(cluster)) == (1, [])


def test_what_is_kept_of_pods_that_stand_or_whose_namespace_is_gone_is_forgotten():
    cluster = Cluster("web/a", "shop/b")
    killed_between(cluster)
    assert len(kept(cluster)) == 1
    del cluster.objects["Namespace"][None, "shop"]
    renew(cluster, include=("web",))
    assert len(kept(cluster)) == 1, "it may be in a namespace that was not looked through"
    result = renew(cluster)
    assert kept(cluster) == []
    assert [p["namespace"] for p in result["pods"]] == []
    cluster = Cluster("web/a")
    killed_between(cluster)
    cluster.add("web", "a")  # somebody else has created it
    assert outcomes(renew(cluster, recreates_bare_pods=False)) == {"a": (None, "left", "NoOwner")}
    assert kept(cluster) == []


def test_who_may_not_read_what_is_kept_must_be_allowed_only_with_the_option():
    cluster = Cluster("web/a")
    cluster.denied.add("secrets")
    renew(cluster, recreates_bare_pods=False)
    with pytest.raises(ApiError, match="cannot list resource secrets"):
        renew(cluster)
    cluster.denied = {"pods"}
    with pytest.raises(Refused, match="create pods"):
        renew(cluster)
    assert not cluster.removed


def test_a_pod_that_would_not_be_let_in_is_left_with_the_servers_words():
    cluster = Cluster("web/a", "web/b")
    cluster.refused["dry run", "a"] = api_error(403, "admission webhook says no", "Forbidden")
    for check_mode in (True, False):
        result = renew(cluster, check_mode=check_mode)
        assert outcomes(result)["a"] == (None, "left", "NotAdmitted: admission webhook says no")
        assert result["namespaces"][0]["left"] == {"NotAdmitted": 1}
    assert cluster.removed == {"b": 1}
    assert kept(cluster) == []


def test_a_pod_that_would_not_be_let_in_any_more_when_its_turn_comes_stays():
    cluster = Cluster("web/a", "web/b")
    cluster.on_evict.append(lambda: cluster.refused.update({("dry run", "b"): api_error(403, "no more", "Forbidden")}))
    with pytest.raises(WaitTimedOut, match=r"b \(no more\)"):
        renew(cluster)
    assert cluster.removed == {"a": 1}
    assert stands(cluster, "web/a")
    assert ("web", "b") in cluster.pods()
    assert kept(cluster) == []


def test_a_full_quota_that_the_old_pod_fills_itself_is_no_objection():
    cluster = Cluster("web/a")
    words = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    cluster.refused["dry run", "a"] = api_error(403, words, "Forbidden")
    renew(cluster)
    assert stands(cluster, "web/a")


def test_what_cannot_be_created_is_kept_and_told_and_created_by_the_next_run():
    cluster = Cluster("web/a", "web/b")
    cluster.refused["create", "a"] = api_error(403, "exceeded quota: q", "Forbidden")
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    (secret,) = kept(cluster)
    assert (
        f"Pod/a has 0 of 1 Ready pods (exceeded quota: q; what is created is kept in secrets {RECORDS}/{secret})"
        in (caught.value.message)
    )
    assert "1 pod(s) are gone and not created anew yet: web/a; they are kept" in caught.value.message
    found = outcomes(caught.value.progress)
    assert found["a"][:2] == ("evict", "missing")
    assert found["b"][:2] == ("evict", "planned")
    assert cluster.removed == {"a": 1}, "no more go meanwhile"
    del cluster.refused["create", "a"]
    assert outcomes(renew(cluster))["a"] == ("create", "renewed", "GoneAlready")
    assert stands(cluster, "web/a", "web/b")
    assert kept(cluster) == []


def test_a_run_that_fails_creates_what_it_has_taken_away_first():
    cluster = Cluster("a/stuck", "b/slow")
    cluster.refused["evict", "stuck"] = api_error(429, "its budget forbids it", "TooManyRequests")

    def hold():
        if cluster.clock.now > 95 and "slow" not in cluster.stuck and not cluster.removed:
            del cluster.refused["evict", "slow"]
            cluster.stuck.add("slow")
        if cluster.clock.now > 110:
            cluster.stuck.clear()

    cluster.refused["evict", "slow"] = api_error(429, "its budget forbids it", "TooManyRequests")
    cluster.clock.on_sleep.append(hold)
    with pytest.raises(WaitTimedOut, match="namespace a"):
        renew(cluster, max_namespaces=2)
    assert cluster.removed == {"slow": 1}
    assert stands(cluster, "b/slow")
    assert ("a", "stuck") in cluster.pods()
    assert kept(cluster) == []


def test_a_successor_that_goes_before_it_was_ready_is_created_once_more():
    cluster = Cluster("web/a")
    went = []

    def lose():
        if cluster.created["a"] == 1 and not went:
            went.append(cluster.pods().pop(("web", "a")))

    cluster.clock.on_sleep.insert(0, lose)
    result = renew(cluster)
    assert went
    assert outcomes(result) == {"a": ("evict", "renewed", None)}
    assert stands(cluster, "web/a")
    assert (cluster.created["a"], kept(cluster)) == (2, [])


def test_a_successor_that_somebody_deletes_when_it_was_ready_is_not_waited_for():
    cluster = Cluster("web/a", "web/b")
    cluster.on_evict.append(lambda: cluster.created["a"] and cluster.pods().pop(("web", "a")))
    renew(cluster)
    assert set(cluster.pods()) == {("web", "b")}
    assert kept(cluster) == []


def test_what_was_told_to_go_stays_kept_though_nothing_can_be_seen_any_more():
    cluster = Cluster("web/a")
    cluster.on_evict.append(lambda: cluster.denied.add("list pods"))
    with pytest.raises(ApiError, match="cannot list"):
        renew(cluster)
    assert len(kept(cluster)) == 1
    cluster.denied.clear()
    cluster.work()
    renew(cluster)
    assert stands(cluster, "web/a")


def test_a_pod_that_somebody_else_deletes_meanwhile_is_not_created():
    cluster = Cluster("web/a", "web/b")
    cluster.refused["evict", "a"] = api_error(429, "its budget forbids it", "TooManyRequests")

    def delete():
        if cluster.clock.now > 10:
            cluster.pods().pop(("web", "a"), None)

    cluster.clock.on_sleep.append(delete)
    renew(cluster)
    assert set(cluster.pods()) == {("web", "b")}
    assert kept(cluster) == []


@pytest.mark.parametrize("is_gone", [True, False])
def test_in_a_namespace_that_goes_meanwhile_nothing_is_created(is_gone):
    cluster = Cluster("web/a")

    def go():
        cluster.refused["create", "a"] = api_error(403, "unable to create: web is being terminated", "Forbidden")
        if is_gone:
            del cluster.objects["Namespace"][None, "web"]

    cluster.on_evict.append(go)
    renew(cluster)
    assert not cluster.pods()
    assert kept(cluster) == []


def test_what_is_kept_is_kept_anew_where_the_pod_has_changed_since():
    cluster = Cluster("web/a")
    cluster.refused["evict", "a"] = api_error(429, "its budget forbids it", "TooManyRequests")

    def relabel():
        if cluster.clock.now > 10 and cluster.refused.pop(("evict", "a"), None):
            cluster.pods()["web", "a"]["metadata"]["labels"]["later"] = "yes"

    cluster.clock.on_sleep.append(relabel)
    renew(cluster)
    assert cluster.pods()["web", "a"]["metadata"]["labels"] == {"app": "a", "later": "yes"}


def test_check_mode_tells_what_it_means():
    cluster = Cluster("web/a", "web/b")
    planned = renew(cluster, check_mode=True)
    (finding,) = planned["findings"]
    assert finding["check"] == "BarePods"
    assert finding["message"].startswith("web: a, b: without a controller; down until this run has created them anew")
    for pod in cluster.pods().values():
        pod["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-22T08:00:03Z"
    assert renew(cluster, check_mode=True)["summary"]["estimated_seconds"] == 6
    assert cluster.clock.now == 0
    assert kept(cluster) == []


def test_all_loses_them_only_without_the_option():
    cluster = Cluster("web/a")
    renew(cluster, everything=True, method="delete")
    assert stands(cluster, "web/a")
