# SPDX-License-Identifier: GPL-3.0-or-later
"""The phase against a small cluster whose controllers work whenever the clock moves on. Nothing here sleeps."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _facts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    Refused,
    WaitFailed,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import parse_time, pod_facts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import NodePod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases import waves
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.drain import Drainer
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.pods import renew_pods
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import DrainOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pods import Override, RenewalRequest
from clocks import FakeClock

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
PODS = yaml.safe_load((FIXTURES / "pods.yml").read_text())
OWNERS = yaml.safe_load((FIXTURES / "pod_owners.yml").read_text())
ROLLOUT = yaml.safe_load((FIXTURES / "rollout_complete.yml").read_text())
FINISHED = "2026-11-22T08:02:31Z"
NOW = "2026-11-22T09:00:00Z"
BEFORE, AFTER = "2026-11-22T08:02:30Z", "2026-11-22T08:02:32Z"
BUDGET = (
    "Cannot evict pod as it would violate the pod's disruption budget. "
    "The disruption budget web needs 3 healthy pods and has 3 currently"
)
WAIT = WaitOptions(timeout=100, interval=2)


def api_error(status, words="", *, reason="x", retry_after=None):
    return ApiError(
        verb="try", target="it", host="h", status=status, words=words, reason=reason, retry_after=retry_after
    )


class FakeCluster:
    """Keeps objects, tells what it was asked to do, and refuses what it is told to refuse."""

    def __init__(self, clock):
        self.clock = clock
        clock.on_sleep.append(self.control)
        self.objects = {kind: [] for kind in ("Namespace", "Pod", "Deployment", "ReplicaSet", "StatefulSet")}
        self.objects["DaemonSet"] = []
        self.singletons = {
            "Authentication": copy.deepcopy(ROLLOUT["authentication"]),
            "KubeAPIServer": copy.deepcopy(ROLLOUT["kube_apiserver"]),
        }
        self.username = "system:admin"
        self.own_pod = None
        self.forbidden_kinds = set()
        self.forbidden = set()  # (namespace, subresource of pods)
        self.reviewed = []  # the namespaces for which permissions were asked; "" for all at once
        self.deeds = []  # (seconds, verb, pod name)
        self.refusals = {}  # pod name -> errors, one for each attempt
        self.faults = []  # errors for the next lists of pods, None for none
        self.never_ready = set()  # names of owners whose new pods do not become Ready
        self.never_gone = set()  # names of pods that keep terminating
        self.lowest = {}  # owner name -> fewest Ready pods ever seen
        self.uids = (f"uid-{n}" for n in itertools.count())
        self.can_watch = False
        self.lists = []  # (seconds, kind, namespace)
        self.frozen = set()  # names of Deployments that do not roll out
        self.uncreated = set()  # names of owners that create no pods any more
        self.events = {}  # uid of an owner -> why it can't create pods; None for who may not read them
        self.kubelets = {}  # node -> when its kubelet started
        self.highest = {}  # namespace -> most pods ever on their way out at once

    # what a test prepares

    def add_namespace(self, name):
        if not any(n["metadata"]["name"] == name for n in self.objects["Namespace"]):
            self.objects["Namespace"].append({"metadata": {"name": name}})

    def add_owner(self, kind, name, namespace="web", *, replicas, deployment=None):
        key = {"ReplicaSet": "replica_set", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}[kind]
        owner = copy.deepcopy(OWNERS[key])
        owner["metadata"] = {"name": name, "namespace": namespace, "uid": next(self.uids)}
        if kind == "DaemonSet":
            owner["status"]["desiredNumberScheduled"] = replicas
        else:
            owner["spec"]["replicas"] = replicas
        if deployment:
            keeper = copy.deepcopy(OWNERS["deployment"])
            keeper["metadata"].update(name=deployment, namespace=namespace, uid=next(self.uids))
            keeper["spec"]["replicas"] = replicas
            keeper["status"].update(dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas))
            self.objects["Deployment"].append(keeper)
            reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment, "controller": True}
            owner["metadata"]["ownerReferences"] = [{**reference, "uid": keeper["metadata"]["uid"]}]
        self.objects[kind].append(owner)
        owner["kind"] = kind
        return owner

    def add_pod(self, owner, name, namespace="web", *, started=BEFORE, is_ready=True, like="deployment"):
        pod = copy.deepcopy(PODS[like])
        pod["metadata"].update(name=name, namespace=namespace, uid=next(self.uids))
        if owner:
            reference = {"apiVersion": "apps/v1", "kind": owner["kind"], "controller": True}
            reference.update(name=owner["metadata"]["name"], uid=owner["metadata"]["uid"])
            pod["metadata"]["ownerReferences"] = [reference]
        pod["status"]["startTime"] = started
        set_ready(pod, is_ready)
        self.objects["Pod"].append(pod)
        self.add_namespace(namespace)
        return pod

    def add_workload(self, name="web", namespace="web", *, kind="ReplicaSet", replicas=3, deployment=None):
        owner = self.add_owner(kind, name, namespace, replicas=replicas, deployment=deployment)
        for number in range(replicas):
            self.add_pod(owner, f"{name}-{number}", namespace)
        return owner

    # what the controllers and kubelets do

    def control(self):
        for deployment in self.objects["Deployment"]:
            if deployment["metadata"]["name"] not in self.frozen:
                self.roll(deployment)
        for kind in ("StatefulSet", "DaemonSet"):
            for owner in self.objects[kind]:
                self.roll_in_place(owner)
        for pod in self.objects["Pod"]:
            owner = (pod["metadata"].get("ownerReferences") or [{}])[0].get("name")
            if pod["status"]["startTime"] == AFTER and owner not in self.never_ready:
                set_ready(pod, True)
        for pod in [p for p in self.objects["Pod"] if p["metadata"].get("deletionTimestamp")]:
            if pod["metadata"]["name"] not in self.never_gone:
                self.objects["Pod"].remove(pod)
                self.replace(pod)
        self.witness()

    def pods_of(self, owner):
        uid = owner["metadata"]["uid"]
        return [p for p in self.objects["Pod"] if (p["metadata"].get("ownerReferences") or [{}])[0].get("uid") == uid]

    def roll(self, deployment):
        """One new pod more and, once it is Ready, one old pod less, at each step."""
        metadata, status = deployment["metadata"], deployment["status"]
        if status["observedGeneration"] == metadata["generation"] == status.get("done", 1):
            return
        status["observedGeneration"] = metadata["generation"]
        name = f"{metadata['name']}-{metadata['generation']}"
        kept = [
            o
            for o in self.objects["ReplicaSet"]
            if any(r["uid"] == metadata["uid"] for r in o["metadata"].get("ownerReferences", ()))
        ]
        new = next((o for o in kept if o["metadata"]["name"] == name), None)
        if new is None:
            new = self.add_owner("ReplicaSet", name, metadata["namespace"], replicas=deployment["spec"]["replicas"])
            new["metadata"]["ownerReferences"] = kept[0]["metadata"]["ownerReferences"]
        old = [o for o in kept if o is not new]
        old_pods = [p for o in old for p in self.pods_of(o) if not p["metadata"].get("deletionTimestamp")]
        ready = [p for p in self.pods_of(new) if is_ready(p)]
        for each in old:
            each["spec"]["replicas"] = 0
        if len(ready) < len(self.pods_of(new)):
            pass
        elif len(ready) + len(old_pods) > deployment["spec"]["replicas"]:
            old_pods[0]["metadata"]["deletionTimestamp"] = AFTER
        elif old_pods or len(ready) < deployment["spec"]["replicas"]:
            self.add_pod(new, f"{name}-{next(self.uids)}", metadata["namespace"], started=AFTER, is_ready=False)
        status.update(updatedReplicas=len(self.pods_of(new)), availableReplicas=len(ready))
        status["replicas"] = len(self.pods_of(new)) + len(old_pods)
        if not old_pods and len(ready) == deployment["spec"]["replicas"]:
            status["done"] = metadata["generation"]

    def roll_in_place(self, owner):
        """The next old pod goes when all are Ready, the last one first."""
        generation, status = owner["metadata"].get("generation", 0), owner["status"]
        if status.get("observedGeneration", 0) == generation and status.get("done", 0) == generation:
            return
        status["observedGeneration"] = generation
        pods = self.pods_of(owner)
        old = [p for p in pods if p["status"]["startTime"] == BEFORE]
        whole = all(is_ready(p) and not p["metadata"].get("deletionTimestamp") for p in pods)
        if old and whole:
            old[-1]["metadata"]["deletionTimestamp"] = AFTER
        done = not old and whole
        updated, wanted = len(pods) - len(old), status.get("desiredNumberScheduled", 0)
        status.update(readyReplicas=len(pods) - (not whole), updateRevision="2", currentRevision="2" if done else "1")
        status.update(updatedNumberScheduled=updated, numberAvailable=wanted if done else wanted - 1)
        if done:
            status["done"] = generation

    def replace(self, pod):
        reference = (pod["metadata"].get("ownerReferences") or [{}])[0]
        known = [o for o in self.objects.get(reference.get("kind"), ()) if o["metadata"]["uid"] == reference["uid"]]
        if known and known[0]["metadata"]["name"] in self.uncreated:
            return
        if known and len(self.pods_of(known[0])) < known[0]["spec"].get("replicas", math.inf):
            same_name = reference["kind"] == "StatefulSet"
            name = pod["metadata"]["name"] if same_name else f"{reference['name']}-{next(self.uids)}"
            self.add_pod(known[0], name, pod["metadata"]["namespace"], started=AFTER, is_ready=False)

    def witness(self):
        leaving = Counter(
            p["metadata"]["namespace"] for p in self.objects["Pod"] if p["metadata"].get("deletionTimestamp")
        )
        leaving[""] = leaving.total()
        self.highest = {name: max(leaving[name], self.highest.get(name, 0)) for name in {*leaving, *self.highest}}
        ready = {o["metadata"]["name"]: 0 for kind in ("ReplicaSet", "StatefulSet") for o in self.objects[kind]}
        for pod in self.objects["Pod"]:
            owner = (pod["metadata"].get("ownerReferences") or [{}])[0].get("name")
            if owner in ready and is_ready(pod) and not pod["metadata"].get("deletionTimestamp"):
                ready[owner] += 1
        self.lowest = {name: min(count, self.lowest.get(name, count)) for name, count in ready.items()}

    # the client

    def list(self, kind, namespace=None, *, label_selector="", field_selector=""):
        if kind == "Event":
            assert field_selector == "reason=FailedCreate"
            if self.events is None:
                raise api_error(403, "events is forbidden")
            return iter([{"involvedObject": {"uid": uid}, "message": words} for uid, words in self.events.items()])
        if kind == "Pod" and namespace != "openshift-kube-apiserver" and self.faults:
            fault = self.faults.pop(0)
            if fault:
                raise fault
        if kind in self.forbidden_kinds:
            raise api_error(403, f"{kind} is forbidden")
        found = self.objects.get(kind, [])
        if kind == "Pod" and namespace == "openshift-kube-apiserver":
            found = copy.deepcopy(ROLLOUT["static_pods"])
            for pod in found:
                latest = self.singletons["KubeAPIServer"]["status"]["latestAvailableRevision"]
                pod["metadata"]["labels"]["revision"] = str(latest)
        wanted = dict(pair.split("=") for pair in label_selector.split(",") if pair)
        found = [o for o in found if wanted.items() <= o["metadata"].get("labels", {}).items()]
        return iter([copy.deepcopy(o) for o in found if namespace in (None, o["metadata"].get("namespace"))])

    def list_at(self, kind, namespace=None, *, label_selector="", read):
        self.lists.append((self.clock.now, kind, namespace))
        return "1", [read(o) for o in self.list(kind, namespace, label_selector=label_selector)]

    def await_change(self, kind, namespace=None, *, known_version, timeout):
        if not self.can_watch:
            raise api_error(403, "pods is forbidden")
        self.clock.sleep(min(timeout, 0.5))

    def server_time(self):
        return parse_time(NOW)

    def read_node_metric(self, node, name):
        if node not in self.kubelets:
            raise api_error(403, "nodes/proxy is forbidden")
        return parse_time(self.kubelets[node]).timestamp()

    def merge_patch(self, kind, name, patch, namespace=None):
        key = (namespace, name)
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        found = [o for o in self.objects[kind] if (o["metadata"]["namespace"], o["metadata"]["name"]) == key]
        if not found:
            raise api_error(404, f"{name} not found", reason="NotFound")
        (obj,) = found
        if obj["metadata"]["uid"] != patch["metadata"]["uid"]:
            raise api_error(422, "metadata.uid: Invalid value: field is immutable", reason="Invalid")
        self.deeds.append((self.clock.now, "rollout", name))
        metadata = obj["spec"].setdefault("template", {}).setdefault("metadata", {})
        annotations = patch["spec"]["template"]["metadata"]["annotations"]
        if metadata.get("annotations") != annotations:
            metadata["annotations"] = annotations
            obj["metadata"]["generation"] = obj["metadata"].get("generation", 0) + 1

    def get(self, kind, name, namespace=None):
        if kind == "Namespace":
            return next((n for n in self.objects[kind] if n["metadata"]["name"] == name), None)
        if kind == "ConfigMap":
            config = ROLLOUT["revisions"].get(int(name.removeprefix("config-")))
            return {"data": {"config.yaml": config}} if config else None
        return self.singletons.get(kind)

    def require(self, kind, name, namespace=None):
        if kind not in self.singletons:
            raise api_error(404, "404 page not found", reason="")
        return self.singletons[kind]

    def create(self, kind, body, namespace=None):
        if kind == "SelfSubjectAccessReview":
            asked = body["spec"]["resourceAttributes"]
            namespace, subresource = asked["namespace"], asked["subresource"]
            self.reviewed.append(namespace)
            denied = {n for n, s in self.forbidden if s == subresource}
            return {"status": {"allowed": namespace not in denied if namespace else not denied}}
        assert kind == "SelfSubjectReview"
        extra = {}
        if self.own_pod:
            for key in ("name", "uid"):
                extra[f"authentication.kubernetes.io/pod-{key}"] = [self.own_pod["metadata"][key]]
        return {"status": {"userInfo": {"username": self.username, "extra": extra}}}

    def evict(self, name, namespace, *, uid, grace_period=None):
        self.remove("evict", name, namespace, uid, grace_period)

    def delete(self, kind, name, namespace=None, *, uid, grace_period=None):
        assert kind == "Pod"
        self.remove("delete", name, namespace, uid, grace_period)

    def remove(self, verb, name, namespace, uid, grace_period):
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        key = (namespace, name)
        pod = next((p for p in self.objects["Pod"] if (p["metadata"]["namespace"], p["metadata"]["name"]) == key), None)
        if pod is None:
            raise api_error(404, f'pods "{name}" not found', reason="NotFound")
        if pod["metadata"]["uid"] != uid:
            raise api_error(409, "Precondition failed: UID", reason="Conflict")
        self.deeds.append((self.clock.now, verb, name))
        self.grace_period = grace_period
        pod["metadata"]["deletionTimestamp"] = AFTER
        self.witness()


def set_ready(pod, value):
    for condition in pod["status"].setdefault("conditions", []):
        if condition["type"] == "Ready":
            condition["status"] = str(value)


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


@pytest.fixture(autouse=True)
def namespace_file(monkeypatch, tmp_path):
    """Where this runs is no pod, unless a test writes the file."""
    path = tmp_path / "namespace"
    monkeypatch.setattr(_facts, "NAMESPACE_FILE", path)
    return path


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster(clock):
    return FakeCluster(clock)


def renew(cluster, *, check_mode=False, options=WAIT, say=lambda line: None, note=lambda read: None, **request):
    request = RenewalRequest(**request)
    return renew_pods(cluster, request, check_mode=check_mode, options=options, clock=cluster.clock, say=say, note=note)


def outcomes(result):
    return {p["name"]: (p["outcome"], p["reason"]) for p in result["pods"]}


def names(cluster):
    return [name for _seconds, _verb, name in cluster.deeds]


def test_what_is_planned_is_noted_before_anything_goes_and_where_nothing_has_to(cluster):
    cluster.add_workload("web", replicas=2)
    noted = []
    for planned in (2, 0):
        del noted[:]
        renew(cluster, note=lambda read: noted.append((read()[0]["planned"], len(cluster.deeds))))
        assert noted[0][0] == planned
        assert noted[0][1] == 2 - planned, "a pod has gone before"
    renew(cluster, check_mode=True, note=lambda read: pytest.fail("noted in check mode"))


def test_old_pods_are_renewed_one_by_one_and_a_second_run_finds_nothing(cluster):
    cluster.add_workload("web", replicas=3)
    result = renew(cluster)
    assert result["changed"]
    assert result["started_before"] == FINISHED
    assert result["namespaces"] == [
        {
            "name": "web",
            "tier": "user namespaces",
            "planned": 3,
            "renewed": 3,
            "methods": {"evict": 3},
            "left": {},
            "seconds": 12.0,
            "estimated_seconds": None,
        }
    ]
    assert result["summary"] == {
        "planned": 3,
        "renewed": 3,
        "blocked": 0,
        "left": 0,
        "reasons": {},
        "namespaces": 1,
        "estimated_seconds": None,
    }
    assert outcomes(result) == {f"web-{n}": ("renewed", None) for n in range(3)}
    assert cluster.deeds == [(0.0, "evict", "web-0"), (4.0, "evict", "web-1"), (8.0, "evict", "web-2")]
    assert cluster.lowest == {"web": 2}

    again = renew(cluster)
    assert not again["changed"]
    assert again["namespaces"] == again["pods"] == []
    assert again["summary"] == {
        "planned": 0,
        "renewed": 0,
        "blocked": 0,
        "left": 3,
        "reasons": {"StartedAfter": 3},
        "namespaces": 0,
        "estimated_seconds": None,
    }
    assert len(cluster.deeds) == 3


def test_the_strategy_of_the_deployment_says_how_many_may_be_down(cluster):
    cluster.add_workload("web-1", replicas=8, deployment="web")
    renew(cluster)
    assert cluster.lowest == {"web-1": 6}
    assert len(cluster.deeds) == 8
    assert cluster.clock.now == 16.0


def test_check_mode_returns_the_plan_and_changes_nothing(cluster):
    cluster.add_workload("web", replicas=2)
    cluster.add_pod(None, "nginx", like="bare")
    planned = renew(cluster, check_mode=True)
    assert cluster.deeds == []
    assert planned["changed"]
    assert planned["namespaces"][0]["seconds"] is None
    assert outcomes(planned) == {
        "web-0": ("planned", None),
        "web-1": ("planned", None),
        "nginx": ("left", "NoOwner"),
    }
    done = renew(cluster)
    assert [p["uid"] for p in done["pods"]] == [p["uid"] for p in planned["pods"]]
    assert done.keys() == planned.keys()
    assert not renew(cluster, check_mode=True)["changed"]


def test_namespaces_are_renewed_in_order_and_one_is_whole_before_the_next_begins(cluster):
    for namespace in ("web", "automation", "openshift-ingress", "openshift-dns", "openshift-dns-operator"):
        cluster.add_workload(namespace, namespace, replicas=1)
    cluster.username = "system:serviceaccount:automation:runner"
    result = renew(cluster)
    order = ["openshift-dns-operator", "openshift-dns", "openshift-ingress", "web", "automation"]
    assert [n["name"] for n in result["namespaces"]] == order
    assert [n["tier"] for n in result["namespaces"]][-1] == "own namespace"
    assert cluster.deeds == [(4.0 * place, "evict", f"{name}-0") for place, name in enumerate(order)]


@pytest.mark.parametrize(
    ("username", "text", "last"),
    [
        ("system:admin", "automation\n", "automation"),
        (None, "automation", "automation"),
        ("system:admin", "", "zoo"),
        ("system:admin", None, "zoo"),
        ("system:serviceaccount:runners:runner", "automation", "runners"),
    ],
)
def test_the_own_namespace_is_told_by_the_user_or_by_the_pod(cluster, namespace_file, username, text, last):
    for namespace in ("automation", "runners", "zoo"):
        cluster.add_workload(namespace, namespace, replicas=1)
    cluster.username = username
    if text is not None:
        namespace_file.write_text(text)
    assert renew(cluster, check_mode=True)["namespaces"][-1]["name"] == last


def test_without_the_api_that_tells_the_user_the_pod_tells_the_own_namespace(cluster, namespace_file):
    for namespace in ("automation", "zoo"):
        cluster.add_workload(namespace, namespace, replicas=1)
    namespace_file.write_text("automation")
    plain = cluster.create

    def create(kind, *args):
        if kind == "SelfSubjectReview":
            raise api_error(404, "the server could not find the requested resource", reason="")
        return plain(kind, *args)

    cluster.create = create
    assert renew(cluster, check_mode=True)["namespaces"][-1]["name"] == "automation"


def test_many_namespaces_are_read_at_once_and_only_the_selected_ones_renewed(cluster):
    for number in range(15):
        cluster.add_workload(f"a{number}", f"a{number}", replicas=1)
    cluster.add_workload("b", "b", replicas=1)
    assert renew(cluster, include=("a*",))["summary"]["renewed"] == 15
    assert "b-0" not in names(cluster)


def test_namespaces_and_pods_are_selected_by_labels(cluster):
    for name in ("a", "b"):
        cluster.add_workload(name, name, replicas=1)
    cluster.objects["Namespace"][0]["metadata"]["labels"] = {"team": "a"}
    assert renew(cluster, namespace_selector="team=a")["summary"]["planned"] == 1
    assert names(cluster) == ["a-0"]
    with pytest.raises(CollectionError, match="Could not find the namespace b with the labels team=a"):
        renew(cluster, include=("b",), namespace_selector="team=a")


def test_of_an_owner_of_which_some_pods_are_asked_for_all_pods_count(cluster):
    cluster.add_workload("web", replicas=4)
    for pod in cluster.objects["Pod"][:2]:
        pod["metadata"]["labels"] = {"half": "first"}
    result = renew(cluster, pod_selector="half=first")
    assert names(cluster) == ["web-0", "web-1"]
    assert cluster.lowest == {"web": 3}
    assert result["summary"] == {
        "planned": 2,
        "renewed": 2,
        "blocked": 0,
        "left": 0,
        "reasons": {},
        "namespaces": 1,
        "estimated_seconds": None,
    }


def test_a_budget_that_forbids_it_is_asked_again_and_others_go_on(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.add_workload("db", replicas=1, kind="StatefulSet")
    cluster.refusals["web-0"] = [api_error(429, BUDGET, retry_after=5), api_error(429, BUDGET)]
    result = renew(cluster)
    assert outcomes(result) == {"web-0": ("renewed", None), "db-0": ("renewed", None)}
    # asked at 0, again after the 5 s that the server wanted, then soon
    assert cluster.deeds == [(0.0, "evict", "db-0"), (5.5, "evict", "web-0")]


def test_a_pod_that_may_not_go_is_asked_for_less_and_less_often(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.refusals["web-0"] = [api_error(429, BUDGET)] * 5
    renew(cluster)
    assert cluster.deeds == [(0.25 + 0.5 + 1 + 2 + 2, "evict", "web-0")]


def test_each_namespace_and_each_held_back_pod_is_told_once(cluster):
    cluster.add_workload("web", replicas=3)
    cluster.add_workload("zoo", "zoo", replicas=1)
    cluster.refusals["web-1"] = [api_error(429, BUDGET), api_error(429, BUDGET), api_error(429, "another")]
    lines = []
    renew(cluster, check_mode=True, say=lines.append)
    assert lines == []
    renew(cluster, say=lines.append)
    seconds = [line.rpartition(" after ")[2] for line in lines if " after " in line]
    assert lines == [
        "web: 3 pod(s) to renew",
        f"web: web-1 may not go yet: {BUDGET}",
        "web: web-1 may not go yet: another",
        f"web: 3 pod(s) renewed after {seconds[0]}",
        "zoo: 1 pod(s) to renew",
        f"zoo: 1 pod(s) renewed after {seconds[1]}",
    ]


def test_a_time_out_tells_the_progress_and_the_servers_words(cluster):
    cluster.add_workload("web", replicas=2)
    cluster.add_workload("other", "zoo", replicas=1)
    cluster.refusals["web-1"] = [api_error(429, BUDGET)] * 1000
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert caught.value.message == (
        "Waiting for the renewal of the pods in namespace web has seen no progress for 100 s; "
        f"last seen: 1 of 2 pods are still there: web-1 ({BUDGET})."
    )
    progress = caught.value.progress
    assert progress["changed"]
    assert outcomes(progress) == {
        "web-0": ("renewed", None),
        "web-1": ("blocked", BUDGET),
        "other-0": ("planned", None),
    }
    assert progress["summary"] == {
        "planned": 3,
        "renewed": 1,
        "blocked": 1,
        "left": 0,
        "reasons": {},
        "namespaces": 2,
        "estimated_seconds": None,
    }
    assert [n["seconds"] for n in progress["namespaces"]] == [104.0, None]
    assert names(cluster) == ["web-0"]


def test_nothing_is_sent_away_at_the_last_look(cluster):
    cluster.add_workload("web", replicas=2)
    cluster.refusals["web-0"] = [api_error(429, BUDGET, retry_after=4)]
    cluster.refusals["web-1"] = [api_error(429, BUDGET, retry_after=9)]
    with pytest.raises(WaitTimedOut):
        renew(cluster, options=WaitOptions(timeout=4, interval=2))
    assert cluster.deeds == []


def test_the_time_limit_counts_from_the_last_progress(cluster):
    cluster.add_workload("web", kind="DaemonSet", replicas=10)
    result = renew(cluster, options=WaitOptions(timeout=6, interval=2))
    assert result["summary"]["renewed"] == 10
    assert cluster.clock.now == 20


def test_a_replacement_that_is_ready_only_now_and_then_does_not_prolong_the_wait(cluster):
    cluster.add_workload("web", replicas=2)
    cluster.never_ready.add("web")
    cluster.refusals["web-1"] = [api_error(429, BUDGET)] * 1000

    def flap():
        for pod in cluster.objects["Pod"]:
            if pod["status"]["startTime"] == AFTER:
                set_ready(pod, cluster.clock.now % 4 == 0)

    cluster.clock.on_sleep.append(flap)
    with pytest.raises(WaitTimedOut):
        renew(cluster)
    assert cluster.clock.now == 104


def test_a_pod_that_does_not_go_is_told(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.never_gone.add("web-0")
    with pytest.raises(WaitTimedOut, match=r"1 of 1 pods are still there: web-0 \(terminating\)\."):
        renew(cluster)
    try:
        renew(cluster, options=WaitOptions(timeout=4, interval=2))
    except WaitTimedOut as error:
        pytest.fail(f"what terminates already is not waited for again: {error}")


def test_a_replacement_that_does_not_get_ready_stops_the_run(cluster):
    cluster.add_workload("web", replicas=3)
    cluster.never_ready.add("web")
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert names(cluster) == ["web-0"]
    assert caught.value.progress["summary"]["renewed"] == 1


def test_the_namesake_of_a_stateful_set_is_not_taken_for_the_old_pod(cluster):
    cluster.add_workload("db", kind="StatefulSet", replicas=2)
    old = {p["metadata"]["uid"] for p in cluster.objects["Pod"]}
    result = renew(cluster)
    assert names(cluster) == ["db-1", "db-0"]
    assert {p["uid"] for p in result["pods"]} == old
    assert old.isdisjoint(p["metadata"]["uid"] for p in cluster.objects["Pod"])
    assert cluster.lowest == {"db": 1}


def test_a_namesake_that_came_meanwhile_is_not_evicted(cluster):
    owner = cluster.add_workload("db", kind="StatefulSet", replicas=1)

    original = cluster.evict

    def evict(name, namespace, **options):
        cluster.objects["Pod"].clear()
        cluster.add_pod(owner, "db-0", started=AFTER)
        cluster.evict = original
        original(name, namespace, **options)

    cluster.evict = evict
    result = renew(cluster)
    assert cluster.deeds == []
    assert not result["changed"]
    assert outcomes(result) == {"db-0": ("renewed", "GoneAlready")}


def test_a_pod_that_is_gone_already_is_no_error(cluster):
    cluster.add_workload("web", replicas=1)
    original = cluster.evict

    def evict(name, namespace, **options):
        pod = cluster.objects["Pod"].pop()
        cluster.replace(pod)
        original(name, namespace, **options)

    cluster.evict = evict
    assert outcomes(renew(cluster)) == {"web-0": ("renewed", "GoneAlready")}


@pytest.mark.parametrize("status", [0, 500, 503, 504])
def test_an_eviction_whose_answer_was_lost_is_a_change(cluster, status):
    cluster.add_workload("web", replicas=1)
    plain = cluster.evict

    def evict(*args, **options):
        plain(*args, **options)
        raise api_error(status, "the answer was lost")

    cluster.evict = evict
    result = renew(cluster)
    assert result["changed"]
    assert outcomes(result) == {"web-0": ("renewed", None)}
    assert len(cluster.deeds) == 1


def test_a_pod_on_its_way_out_after_a_lost_answer_is_a_change_too(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.never_gone.add("web-0")
    plain = cluster.evict

    def evict(*args, **options):
        plain(*args, **options)
        raise api_error(0, "the answer was lost")

    cluster.evict = evict
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert caught.value.progress["changed"]
    assert outcomes(caught.value.progress) == {"web-0": ("renewed", "Terminating")}


def test_an_eviction_that_was_tried_in_vain_is_no_change(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.refusals["web-0"] = [api_error(503, "away")] * 1000
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert not caught.value.progress["changed"]
    assert outcomes(caught.value.progress) == {"web-0": ("planned", None)}


def test_an_owner_that_was_unwell_before_is_not_held_against_the_run(cluster):
    owner = cluster.add_owner("ReplicaSet", "web", replicas=3)
    for number, ready in enumerate((False, True, True)):
        cluster.add_pod(owner, f"web-{number}", is_ready=ready)
    stuck = cluster.add_owner("StatefulSet", "db", replicas=3)
    cluster.add_pod(stuck, "db-0", is_ready=False)
    cluster.never_ready.add("db")
    result = renew(cluster)
    assert result["summary"]["renewed"] == 4
    assert sorted(names(cluster)[:3]) == ["db-0", "web-0", "web-1"]
    assert cluster.lowest["web"] == 1


def test_what_gets_ready_before_its_turn_is_not_all_sent_away(cluster):
    cluster.add_workload("a", "a", replicas=1)
    cluster.add_workload("web", replicas=3)
    cluster.never_ready.add("web")
    flapping = [p for p in cluster.objects["Pod"] if p["metadata"]["namespace"] == "web"]
    for pod in flapping:
        set_ready(pod, False)
    cluster.clock.on_sleep.append(lambda: [set_ready(p, True) for p in flapping])
    with pytest.raises(WaitTimedOut, match=r"web has 2 of 3 Ready pods|2 of 3 pods are still there"):
        renew(cluster)
    assert names(cluster) == ["a-0", "web-0"]


def test_an_owner_that_was_whole_owes_what_it_wants_by_now(cluster):
    owner = cluster.add_workload("web", replicas=2)
    cluster.clock.on_sleep.append(lambda: owner["spec"].update(replicas=4))
    with pytest.raises(WaitTimedOut):
        renew(cluster)
    assert names(cluster) == ["web-0"]
    for number in range(2):
        cluster.add_pod(owner, f"more-{number}", started=AFTER)
    assert renew(cluster)["summary"]["renewed"] == 1


@pytest.mark.parametrize("status", [0, 503, 401])
def test_an_api_server_that_is_away_while_looking_is_borne(cluster, status):
    cluster.add_workload("web", replicas=2)
    cluster.faults = [None, None, api_error(status, "away", retry_after=7), None, api_error(status, "away")]
    options = WaitOptions(timeout=100, interval=2, unauthorized_grace=50)
    assert renew(cluster, options=options)["summary"]["renewed"] == 2
    assert cluster.lowest == {"web": 1}


@pytest.mark.parametrize("status", [0, 503])
@pytest.mark.parametrize("method", ["require", "get", "list", "create"])
def test_an_api_server_that_is_away_while_the_plan_is_made_is_borne(cluster, method, status):
    cluster.add_workload("web", replicas=1)
    plain, calls = getattr(cluster, method), []

    def call(*args, **more):
        calls.append(args)
        # every other request of the first ones gets no answer
        if len(calls) in (1, 3):
            raise api_error(status, "away")
        return plain(*args, **more)

    setattr(cluster, method, call)
    assert renew(cluster, include=("web",))["summary"]["renewed"] == 1


def test_a_cluster_that_stays_away_is_told_before_anything_is_done(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.faults = [api_error(503, "away")] * 1000
    with pytest.raises(WaitTimedOut, match=r"^Waiting for the cluster to be read did not end within 120 s; last seen:"):
        renew(cluster)
    assert cluster.deeds == []


def test_an_api_server_that_is_away_while_evicting_is_borne_and_not_asked_for_more(cluster):
    cluster.add_workload("db", replicas=1)
    cluster.add_workload("web", replicas=1)
    cluster.refusals["db-0"] = [api_error(503, "away"), api_error(0, "refused")]
    assert renew(cluster)["summary"]["renewed"] == 2
    assert (2.0, "evict", "db-0") in cluster.deeds
    assert sorted(names(cluster)) == ["db-0", "web-0"]


def test_a_pod_under_two_budgets_does_not_keep_others_waiting(cluster):
    words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    cluster.add_workload("db", replicas=1)
    cluster.add_workload("web", replicas=1)
    cluster.refusals["db-0"] = [api_error(500, words)] * 1000
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert outcomes(caught.value.progress) == {"db-0": ("blocked", words), "web-0": ("renewed", None)}


def test_the_pod_that_the_run_is_in_is_known_by_its_name_where_its_token_is_not_used(
    cluster, namespace_file, monkeypatch
):
    cluster.add_workload("robot", "ci", kind="StatefulSet")
    namespace_file.write_text("ci")
    monkeypatch.setattr(_facts.socket, "gethostname", lambda: "robot-1")
    with pytest.raises(Refused, match="one of them is ci/robot-1, in which this run is"):
        renew(cluster)
    monkeypatch.setattr(_facts.socket, "gethostname", lambda: "laptop")
    assert renew(cluster)["summary"]["renewed"] == 3


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_pod_in_which_the_run_has_its_credentials_is_refused_before_any_pod_has_gone(cluster, check_mode):
    cluster.add_workload("a", "a", kind="StatefulSet")
    cluster.add_workload("robot", "ci", kind="StatefulSet")
    cluster.username = "system:serviceaccount:ci:robot"
    cluster.own_pod = next(p for p in cluster.objects["Pod"] if p["metadata"]["name"] == "robot-1")
    with pytest.raises(Refused) as caught:
        renew(cluster, check_mode=check_mode)
    assert caught.value.message == (
        "No pod was renewed, because one of them is ci/robot-1, in which this run is: it would end it; "
        "leave it out with exclude_namespaces: [ci] and renew it from elsewhere."
    )
    assert cluster.deeds == []
    assert renew(cluster, exclude=("ci",))["summary"]["renewed"] == 3


@pytest.mark.parametrize("check_mode", [False, True])
def test_missing_permissions_are_named_all_at_once_before_any_pod_has_gone(cluster, check_mode):
    for name in ("a", "b", "c"):
        cluster.add_workload(name, name, replicas=1)
    cluster.forbidden = {("b", "eviction"), ("c", "eviction")}
    with pytest.raises(Refused) as caught:
        renew(cluster, check_mode=check_mode)
    assert caught.value.message == (
        "No pod was renewed: you are not allowed to create pods/eviction in namespace b; "
        "create pods/eviction in namespace c; ask a cluster administrator for this."
    )
    assert cluster.deeds == []


@pytest.mark.parametrize(
    ("forbidden", "include", "reviewed"),
    [
        (set(), ("*",), [""]),
        (set(), ("b",), ["b"]),
        ({("z", "eviction")}, ("*",), ["", "a", "b", "c"]),
    ],
)
def test_permissions_are_asked_for_at_once_and_one_by_one_only_where_that_is_denied(
    cluster, forbidden, include, reviewed
):
    for name in ("a", "b", "c"):
        cluster.add_workload(name, name, replicas=1)
    cluster.forbidden = forbidden
    renew(cluster, include=include)
    assert cluster.reviewed == reviewed


def test_a_missing_permission_ends_the_run_with_what_was_done(cluster):
    cluster.add_workload("a", "a", replicas=1)
    cluster.add_workload("b", "b", replicas=1)
    cluster.refusals["b-0"] = [api_error(403, "pods is forbidden")]
    with pytest.raises(ApiError) as caught:
        renew(cluster)
    assert caught.value.status == 403
    assert outcomes(caught.value.progress) == {"a-0": ("renewed", None), "b-0": ("planned", None)}
    assert caught.value.progress["changed"]


def test_what_is_left_alone_is_named_or_counted(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.add_pod(None, "nginx", like="bare")
    cluster.add_pod(None, "backup", like="job")
    cluster.add_pod(None, "static", like="mirror")
    done = cluster.add_pod(None, "done", like="job")
    done["status"]["phase"] = "Succeeded"
    cluster.add_pod(None, "apart", "young", started=AFTER, like="bare")
    result = renew(cluster)
    assert outcomes(result) == {
        "web-0": ("renewed", None),
        "nginx": ("left", "NoOwner"),
        "backup": ("left", "RunsToCompletion"),
    }
    assert [n["name"] for n in result["namespaces"]] == ["web"]
    assert result["namespaces"][0]["left"] == {"Finished": 1, "NoOwner": 1, "RunsToCompletion": 1, "Static": 1}
    assert [p["owner"] for p in result["pods"]] == ["ReplicaSet/web", "Job/backup-29379840", None]
    assert names(cluster) == ["web-0"]
    assert result["summary"]["left"] == 5


def test_all_are_deleted_but_static_ones(cluster):
    cluster.add_workload("web", replicas=2)
    cluster.add_pod(None, "nginx", like="bare")
    cluster.add_pod(None, "backup", like="job")
    cluster.add_pod(None, "static", like="mirror")
    cluster.add_pod(None, "young", started=AFTER, like="bare")
    result = renew(cluster, everything=True, method="delete", grace_period=3)
    assert {verb for _seconds, verb, _name in cluster.deeds} == {"delete"}
    assert cluster.grace_period == 3
    assert sorted(names(cluster)) == ["backup", "nginx", "web-0", "web-1", "young"]
    assert outcomes(result)["static"] == ("left", "Static")
    assert result["started_before"] is None
    assert result["summary"] == {
        "planned": 5,
        "renewed": 5,
        "blocked": 0,
        "left": 1,
        "reasons": {"Static": 1},
        "namespaces": 1,
        "estimated_seconds": None,
    }


def test_with_a_moment_all_are_those_that_started_before(cluster):
    cluster.add_pod(None, "old", like="bare")
    cluster.add_pod(None, "young", started=AFTER, like="bare")
    renew(cluster, everything=True, method="delete", started_before=parse_time(FINISHED))
    assert names(cluster) == ["old"]


def test_nothing_is_done_while_a_rollout_runs(cluster):
    cluster.add_workload("web")
    cluster.singletons["KubeAPIServer"]["status"]["nodeStatuses"][2]["currentRevision"] = 11
    for request in ({}, {"started_before": parse_time(FINISHED)}, {"everything": True, "method": "delete"}):
        with pytest.raises(Refused) as caught:
            renew(cluster, **request)
        assert caught.value.message == (
            "No pod was renewed, because the rollout of the kube-apiservers is not finished: 2 of 3 nodes are at "
            "revision 12: master-0 at 12, master-1 at 12, master-2 at 11; "
            "wait for it with bound_tokens.openshift.kube_apiserver_rollout."
        )
    assert cluster.deeds == []


def begin_rollout(cluster, at):
    """Have one API server fall behind when ``at`` has come."""
    nodes = cluster.singletons["KubeAPIServer"]["status"]["nodeStatuses"]

    def work():
        if cluster.clock.now >= at:
            nodes[2]["currentRevision"] = 11

    cluster.clock.on_sleep.append(work)
    return nodes


def test_while_a_rollout_that_begins_meanwhile_runs_no_pod_goes(cluster):
    cluster.add_workload("a", "a", replicas=2)
    cluster.add_workload("b", "b", replicas=1)
    nodes = begin_rollout(cluster, at=2)
    looks = []

    def end():
        looks.append(cluster.clock.now)
        if cluster.clock.now >= 30:
            nodes[2]["currentRevision"] = 12

    cluster.clock.on_sleep.append(end)
    told = []
    result = renew(cluster, say=told.append)
    assert cluster.deeds == [(0.0, "evict", "a-0"), (30.0, "evict", "a-1"), (34.0, "evict", "b-0")]
    assert [n["seconds"] for n in result["namespaces"]] == [34.0, 4.0]
    assert "paused: a rollout of the kube-apiservers has begun: 2 of 3 nodes are at" in "\n".join(told)


def test_without_require_rollout_rollouts_are_not_looked_at(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.singletons.clear()
    assert renew(cluster, requires_rollout=False, started_before=parse_time(FINISHED))["summary"]["renewed"] == 1


def test_a_rollout_that_begins_meanwhile_and_does_not_end_is_named(cluster):
    cluster.add_workload("a", "a", replicas=1)
    cluster.add_workload("b", "b", replicas=1)
    begin_rollout(cluster, at=2)
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert caught.value.message == (
        "Waiting for the end of the rollout of the kube-apiservers that began during the renewal of the pods in namespace b, "
        "has seen no progress for 100 s; last seen: 2 of 3 nodes are at revision 12: master-0 at 12, master-1 at 12, "
        "master-2 at 11."
    )
    assert outcomes(caught.value.progress) == {"a-0": ("renewed", None), "b-0": ("planned", None)}
    assert cluster.clock.now == 104


def test_a_rollout_that_goes_on_is_given_the_time_anew_for_each_node(cluster):
    cluster.add_workload("a", "a", replicas=1)
    cluster.add_workload("b", "b", replicas=1)
    nodes = begin_rollout(cluster, at=2)
    steps = {80: {"targetRevision": 12}, 160: {"currentRevision": 12}, 240: {"targetRevision": 0}}

    def go_on():
        for at, step in steps.items():
            if cluster.clock.now >= at:
                nodes[2].update(step)

    cluster.clock.on_sleep.append(go_on)
    assert renew(cluster)["summary"]["renewed"] == 2
    assert cluster.deeds[-1] == (240.0, "evict", "b-0")


def test_an_installer_that_fails_again_and_again_is_no_progress(cluster):
    cluster.add_workload("a", "a", replicas=1)
    cluster.add_workload("b", "b", replicas=1)
    nodes = begin_rollout(cluster, at=2)

    def fail():
        assert cluster.clock.now < 1000
        nodes[2].update(lastFailedCount=int(cluster.clock.now))

    cluster.clock.on_sleep.append(fail)
    with pytest.raises(WaitTimedOut, match="has seen no progress for 100 s"):
        renew(cluster)


def test_an_issuer_that_somebody_changes_meanwhile_ends_the_run(cluster):
    cluster.add_workload("a", "a", replicas=1)
    cluster.add_workload("b", "b", replicas=1)
    spec = cluster.singletons["Authentication"]["spec"]
    cluster.clock.on_sleep.append(lambda: spec.update(serviceAccountIssuer="https://other.example.com"))
    with pytest.raises(WaitFailed, match=r"asks for https://other\.example\.com, not for https://issuer\.example\.com"):
        renew(cluster)
    assert names(cluster) == ["a-0"]


def test_a_moment_that_the_cluster_does_not_tell_any_more_must_be_given(cluster):
    cluster.add_workload("web", replicas=1)
    config = cluster.singletons["KubeAPIServer"]["spec"]["observedConfig"]["apiServerArguments"]
    ROLLOUT["revisions"][13] = ROLLOUT["revisions"][12]
    status = cluster.singletons["KubeAPIServer"]["status"]
    status["latestAvailableRevision"] = 13
    for node in status["nodeStatuses"]:
        node["currentRevision"] = 13
    try:
        with pytest.raises(CollectionError) as caught:
            renew(cluster)
        assert caught.value.message == (
            "Could not find out which pods to renew: the cluster does not tell any more when the rollout of the "
            f"kube-apiservers to the issuer {config['service-account-issuer'][0]} finished, and started_before is not "
            "given; set started_before to that moment, such as 2026-11-22T08:02:31Z, or to now to renew all that run "
            "now."
        )
        assert renew(cluster, started_before=parse_time(FINISHED))["started_before"] == FINISHED
    finally:
        del ROLLOUT["revisions"][13]


def test_on_plain_kubernetes_the_moment_must_be_given(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.singletons.clear()
    with pytest.raises(CollectionError) as caught:
        renew(cluster)
    assert caught.value.message == (
        "Could not find out which pods to renew: this cluster does not report rollouts of its kube-apiservers "
        "(it has no kubeapiservers.operator.openshift.io) and started_before is not given; set started_before to the "
        "moment since which every new token is as wanted, such as 2026-11-22T08:02:31Z."
    )
    assert renew(cluster, started_before=parse_time(FINISHED))["summary"]["renewed"] == 1


def test_a_namespace_that_does_not_exist_is_told_before_anything_is_done(cluster):
    cluster.add_workload("web", replicas=1)
    with pytest.raises(CollectionError, match="Could not find the namespace wbe"):
        renew(cluster, include=("web", "wbe"))
    assert cluster.deeds == []


def test_who_may_not_look_at_the_rollout_may_not_renew(cluster):
    def forbid(kind, name, namespace=None):
        raise api_error(403, "kubeapiservers is forbidden")

    cluster.require = forbid
    with pytest.raises(ApiError, match="is forbidden"):
        renew(cluster, started_before=parse_time(FINISHED))


def deployment_of(cluster, name):
    return next(o for o in cluster.objects["Deployment"] if o["metadata"]["name"] == name)


def annotate(owner, moment):
    owner["spec"]["template"] = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": moment}}}


def surge(deployment):
    deployment["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return deployment


def test_each_owner_is_rolled_out_once_until_its_rollout_is_complete(cluster):
    cluster.add_workload("web-1", replicas=3, deployment="web")
    cluster.add_workload("db", kind="StatefulSet", replicas=2)
    cluster.add_workload("agent", kind="DaemonSet", replicas=2)
    result = renew(cluster, method="rollout")
    assert sorted(cluster.deeds) == [(0.0, "rollout", "agent"), (0.0, "rollout", "db"), (0.0, "rollout", "web")]
    assert result["changed"]
    assert set(outcomes(result).values()) == {("renewed", None)}
    assert result["namespaces"][0]["methods"] == {"rollout": 7}
    assert {p["status"]["startTime"] for p in cluster.objects["Pod"]} == {AFTER}
    assert deployment_of(cluster, "web")["status"]["done"] == 2
    template = deployment_of(cluster, "web")["spec"]["template"]
    assert template == {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": NOW}}}
    again = renew(cluster, method="rollout")
    assert not again["changed"]
    assert len(cluster.deeds) == 3


def test_pods_that_are_gone_are_no_proof_of_a_rollout(cluster):
    cluster.add_workload("web-1", replicas=1, deployment="web")
    plain = cluster.roll

    def roll(deployment):
        plain(deployment)
        deployment["status"]["availableReplicas"] = 0

    cluster.roll = roll
    with pytest.raises(WaitTimedOut, match=r"last seen: Deployment/web is still rolling out\.$"):
        renew(cluster, method="rollout")


def test_a_rollout_whose_answer_was_lost_is_not_asked_for_twice(cluster):
    cluster.add_workload("web-1", replicas=2, deployment="web")
    plain, lost = cluster.merge_patch, [api_error(0, "connection reset")]

    def patch(*args):
        plain(*args)
        if lost:
            raise lost.pop()

    cluster.merge_patch = patch
    result = renew(cluster, method="rollout")
    assert len(cluster.deeds) == 1
    assert result["changed"]
    assert set(outcomes(result).values()) == {("renewed", None)}


@pytest.mark.parametrize(
    ("moment", "is_under_way", "patched"), [(AFTER, True, 0), (AFTER, False, 1), (FINISHED, True, 1), (NOW, True, 0)]
)
def test_a_rollout_that_was_asked_for_after_the_moment_is_waited_for(cluster, moment, is_under_way, patched):
    cluster.add_workload("web-1", replicas=2, deployment="web")
    annotate(deployment_of(cluster, "web"), moment)
    if is_under_way:
        deployment_of(cluster, "web")["metadata"]["generation"] = 2
    result = renew(cluster, method="rollout")
    assert len(cluster.deeds) == patched
    assert result["changed"] == bool(patched)
    assert {p["reason"] for p in result["pods"]} == {None if patched else "GoneAlready"}


@pytest.mark.parametrize("has_namesake", [False, True])
def test_an_owner_that_is_gone_when_its_rollout_is_asked_for_is_not_waited_for(cluster, has_namesake):
    cluster.add_workload("web-1", replicas=1, deployment="web")
    plain = cluster.merge_patch

    def patch(*args):
        for kind in ("Deployment", "ReplicaSet", "Pod"):
            cluster.objects[kind].clear()
        if has_namesake:
            cluster.add_owner("ReplicaSet", "web-2", replicas=0, deployment="web")
        plain(*args)

    cluster.merge_patch = patch
    result = renew(cluster, method="rollout")
    assert (result["changed"], outcomes(result)) == (False, {"web-1-0": ("renewed", "GoneAlready")})
    assert cluster.deeds == []


def test_a_namespace_that_waits_for_another_because_of_max_pods_does_not_stand_still(cluster):
    cluster.add_workload("big", "a", replicas=60)
    cluster.add_workload("small", "b", replicas=3)
    assert renew(cluster, max_namespaces=2, max_pods=1)["summary"]["renewed"] == 63
    assert cluster.clock.now > WAIT.timeout
    assert cluster.highest[""] == 1


def test_a_namespace_that_stands_still_ends_the_run_though_others_wait_for_it(cluster):
    cluster.add_workload("big", "a", replicas=3)
    cluster.add_workload("small", "b", replicas=3)
    cluster.never_ready.add("big")
    with pytest.raises(WaitTimedOut, match="in namespace") as caught:
        renew(cluster, max_namespaces=2, max_pods=1)
    assert caught.value.progress["summary"]["renewed"] == 1
    assert cluster.clock.now <= 2 * WAIT.timeout


def test_a_rollout_that_would_replace_the_pod_of_the_run_itself_is_not_begun(cluster):
    cluster.add_workload("web-1", replicas=2, deployment="web")
    cluster.own_pod = cluster.objects["Pod"][-1]
    cluster.own_pod["status"]["startTime"] = AFTER
    with pytest.raises(Refused, match="one of them is web/web-1-1, in which this run is"):
        renew(cluster, method="rollout")
    assert cluster.deeds == []
    assert renew(cluster)["summary"]["renewed"] == 1


def test_a_rollout_that_is_not_allowed_ends_the_run(cluster):
    cluster.add_workload("web-1", replicas=1, deployment="web")
    cluster.refusals["web"] = [api_error(422, "spec.template: denied by a webhook", reason="Invalid")]
    with pytest.raises(ApiError, match="denied by a webhook") as caught:
        renew(cluster, method="rollout")
    assert caught.value.progress["changed"] is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["spec"].update(paused=True), "Paused"),
        (lambda d: d["metadata"].update(ownerReferences=[{"kind": "Web", "name": "shop"}]), "Operator"),
    ],
)
def test_what_does_not_follow_a_rollout_is_evicted_and_told(cluster, change, reason):
    cluster.add_workload("web-1", replicas=1, deployment="web")
    change(deployment_of(cluster, "web"))
    result = renew(cluster, method="rollout")
    assert cluster.deeds == [(0.0, "evict", "web-1-0")]
    assert [(p["method"], p["method_reason"]) for p in result["pods"]] == [("evict", reason)]


def test_auto_rolls_out_what_an_eviction_would_take_down(cluster):
    cluster.add_workload("one-1", replicas=1, deployment="one")
    cluster.add_workload("two-1", replicas=2, deployment="two")
    cluster.add_workload("dns", "openshift-dns", replicas=1)
    surge(deployment_of(cluster, "one"))
    planned = renew(cluster, method="auto", check_mode=True)
    assert [n["methods"] for n in planned["namespaces"]] == [{"evict": 1}, {"evict": 2, "rollout": 1}]
    renew(cluster, method="auto")
    assert sorted(names(cluster)) == ["dns-0", "one", "two-1-0", "two-1-1"]
    assert cluster.lowest["two-1"] == 1


def test_auto_reads_budgets(cluster):
    cluster.add_workload("web-1", replicas=2, deployment="web")
    surge(deployment_of(cluster, "web"))
    budget = {"spec": {"selector": {}}, "status": {"desiredHealthy": 2, "expectedPods": 2}}
    cluster.objects["PodDisruptionBudget"] = [{"metadata": {"name": "web", "namespace": "web"}, **budget}]
    renew(cluster, method="auto")
    assert cluster.deeds == [(0.0, "rollout", "web")]


def test_rollouts_are_asked_for_by_those_who_may(cluster):
    cluster.add_workload("web-1", replicas=1, deployment="web")
    cluster.add_workload("db", kind="StatefulSet", replicas=1)
    cluster.forbidden = {("web", "")}
    with pytest.raises(
        Refused, match=r"not allowed to patch deployments\.apps in namespace web; patch statefulsets\.apps"
    ):
        renew(cluster, method="rollout")
    assert cluster.deeds == []


def test_without_pace_all_pods_go_at_once(cluster):
    cluster.add_workload("web", replicas=5)
    renew(cluster, keeps_pace=False)
    assert sorted(names(cluster)) == [f"web-{n}" for n in range(5)]
    assert cluster.highest["web"] == 5
    assert cluster.clock.now == 4


def test_namespaces_of_a_tier_overlap_as_far_as_is_allowed(cluster):
    for name in ("a", "b", "c", "d", "openshift-dns"):
        cluster.add_workload(name, name, replicas=2)
    told = []
    result = renew(cluster, max_namespaces=3, say=told.append)
    assert result["summary"]["renewed"] == 10
    assert cluster.deeds[:2] == [(0.0, "evict", "openshift-dns-0"), (4.0, "evict", "openshift-dns-1")]
    assert sorted(cluster.deeds[2:8]) == [(8.0 + s, "evict", f"{n}-{int(s / 4)}") for s in (0.0, 4.0) for n in "abc"]
    # the fourth begins as soon as one is done
    assert cluster.deeds[8:] == [(16.0, "evict", "d-0"), (20.0, "evict", "d-1")]
    assert cluster.highest[""] == 3
    assert set(cluster.lowest.values()) == {1}


def test_so_many_pods_are_down_at_most(cluster):
    for name in ("a", "b", "c"):
        cluster.add_workload(name, name, replicas=3)
    cluster.add_workload("web-1", "a", replicas=3, deployment="web")
    surge(deployment_of(cluster, "web"))["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 9
    assert renew(cluster, max_namespaces=9, max_pods=2, keeps_pace=False)["summary"]["renewed"] == 12
    assert cluster.highest[""] == 2
    # more than ever may be down, so it waits until nothing else is
    renew(cluster, max_namespaces=9, max_pods=2, method="rollout", everything=True)
    assert (cluster.deeds[12][1:], cluster.clock.now > cluster.deeds[12][0]) == (("rollout", "web"), True)


def test_the_canary_is_whole_before_anything_else_is_touched(cluster):
    for name in ("openshift-dns", "web", "zoo"):
        cluster.add_workload(name, name, replicas=1)
    cluster.never_ready.add("zoo")
    with pytest.raises(WaitTimedOut, match=r"the pods in namespace zoo "):
        renew(cluster, canary="zoo", max_namespaces=9)
    assert names(cluster) == ["zoo-0"]


def test_one_namespace_that_stands_still_ends_the_run_of_all(cluster):
    for name in ("a", "b", "c"):
        cluster.add_workload(name, name, replicas=1)
    cluster.add_workload("busy", "d", replicas=60)
    cluster.never_ready.add("b")
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster, max_namespaces=9)
    assert caught.value.message == (
        "Waiting for the renewal of the pods in namespace b has seen no progress for 100 s; last seen: ReplicaSet/b has 0 of "
        "1 Ready pods."
    )
    seconds = {n["name"]: n["seconds"] for n in caught.value.progress["namespaces"]}
    assert seconds["a"] == seconds["c"] == 4
    assert seconds["b"] == seconds["d"] == 102
    assert 20 < caught.value.progress["summary"]["renewed"] < 60


def operator(name, status):
    condition = {"type": "Degraded", "status": status, "reason": "Sad", "message": "it is sad"}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}}


def test_a_platform_namespace_is_not_done_while_a_cluster_operator_is_degraded_since(cluster):
    for name in ("openshift-dns", "openshift-ingress", "web"):
        cluster.add_workload(name, name, replicas=1)
    cluster.objects["ClusterOperator"] = [operator("sad before", "True"), operator("dns", "False")]

    def trouble():
        status = "True" if 2 <= cluster.clock.now < 30 else "False"
        cluster.objects["ClusterOperator"][1] = operator("dns", status)

    cluster.clock.on_sleep.append(trouble)
    renew(cluster)
    assert cluster.deeds == [
        (0.0, "evict", "openshift-dns-0"),
        (30.0, "evict", "openshift-ingress-0"),
        (34.0, "evict", "web-0"),
    ]


def test_an_operator_that_stays_degraded_is_named(cluster):
    cluster.add_workload("dns", "openshift-dns", replicas=1)
    cluster.objects["ClusterOperator"] = [operator("dns", "False")]
    cluster.clock.on_sleep.append(lambda: cluster.objects.update(ClusterOperator=[operator("dns", "True")]))
    with pytest.raises(
        WaitTimedOut, match=r"last seen: ClusterOperators are not well any more: dns is degraded \(it is"
    ):
        renew(cluster)


def test_where_pods_may_be_watched_the_next_look_comes_with_the_next_change(cluster):
    cluster.can_watch = True
    cluster.add_workload("web", replicas=3)
    renew(cluster)
    assert cluster.lowest == {"web": 2}
    assert cluster.clock.now == pytest.approx(3 * 0.6)


def test_what_a_look_reads_does_not_grow_with_the_pods(cluster):
    for name, replicas in (("a", 3), ("b", 30)):
        cluster.add_workload(name, name, replicas=replicas)
        renew(cluster, include=(name,), keeps_pace=False)
    looks = {n: [seconds for seconds, _kind, namespace in cluster.lists if namespace == n] for n in ("a", "b")}
    assert [len(found) for found in looks.values()] == [7, 7]


def test_a_pod_that_is_held_by_finalizers_is_told_with_them(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.never_gone.add("web-0")
    cluster.objects["Pod"][0]["metadata"]["finalizers"] = ["example.com/a", "example.com/b"]
    words = r"web-0 \(terminating, held by its finalizers example.com/a, example.com/b\)\.$"
    with pytest.raises(WaitTimedOut, match=words):
        renew(cluster)


QUOTA = "pods is forbidden: exceeded quota: small"


def test_while_pods_cannot_be_created_no_more_go_in_their_namespace(cluster):
    for name in ("a", "b"):
        cluster.add_workload(name, "web", replicas=2)
    db = cluster.add_workload("db", kind="StatefulSet", replicas=2)
    cluster.add_workload("zoo", "zoo", replicas=2)
    cluster.refusals = {name: [api_error(429, BUDGET, retry_after=5)] for name in ("a-0", "a-1", "b-0", "b-1")}
    cluster.uncreated.add("db")
    cluster.events = {db["metadata"]["uid"]: QUOTA}
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster, max_namespaces=2)
    assert [name for name in names(cluster) if "zoo" not in name] == ["db-1"]
    assert caught.value.progress["summary"]["renewed"] == 3
    assert (
        "4 of 6 pods are still there" in caught.value.message or "5 of 6 pods are still there" in caught.value.message
    )


def test_why_pods_cannot_be_created_is_told(cluster):
    db = cluster.add_workload("db", kind="StatefulSet", replicas=1)
    cluster.uncreated.add("db")
    cluster.events = {db["metadata"]["uid"]: QUOTA}
    with pytest.raises(WaitTimedOut) as caught:
        renew(cluster)
    assert caught.value.message.endswith(f"last seen: StatefulSet/db has 0 of 1 Ready pods ({QUOTA}).")
    cluster.uncreated.clear()
    cluster.add_pod(db, "db-0", started=AFTER)
    assert renew(cluster)["summary"]["planned"] == 0


@pytest.mark.parametrize("events", [{}, None])
def test_what_no_event_tells_is_waited_for_all_the_same(cluster, events):
    cluster.add_workload("db", kind="StatefulSet", replicas=1)
    cluster.uncreated.add("db")
    cluster.events = events
    with pytest.raises(WaitTimedOut, match=r"last seen: StatefulSet/db has 0 of 1 Ready pods\.$"):
        renew(cluster)


def test_an_owner_that_could_not_create_pods_before_holds_nobody_up(cluster):
    owner = cluster.add_owner("ReplicaSet", "web", replicas=3)
    owner["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": QUOTA}]}
    for number in range(2):
        cluster.add_pod(owner, f"web-{number}")
    assert renew(cluster)["summary"]["renewed"] == 2


def test_a_namespace_that_is_deleted_meanwhile_is_done_with_its_pods(cluster):
    cluster.add_workload("a", "a", replicas=3)
    cluster.add_workload("b", "b", replicas=1)

    def delete():
        for kind in ("Pod", "ReplicaSet", "Namespace"):
            kept = [
                o for o in cluster.objects[kind] if "a" not in (o["metadata"]["name"], o["metadata"].get("namespace"))
            ]
            cluster.objects[kind][:] = kept

    cluster.clock.on_sleep.append(delete)
    assert outcomes(renew(cluster)) == {
        "a-0": ("renewed", None),
        "a-1": ("renewed", "GoneAlready"),
        "a-2": ("renewed", "GoneAlready"),
        "b-0": ("renewed", None),
    }


def test_a_namespace_that_is_being_deleted_is_not_begun(cluster):
    cluster.add_workload("a", "a", replicas=3)
    cluster.objects["Namespace"][0]["metadata"]["deletionTimestamp"] = AFTER
    result = renew(cluster)
    assert cluster.deeds == []
    assert result["summary"]["left"] == 3


def test_pods_that_appear_meanwhile_are_left_alone_and_count(cluster):
    owner = cluster.add_workload("web", replicas=2)
    more = []

    def scale():
        if not more:
            owner["spec"]["replicas"] = 3
            more.append(cluster.add_pod(owner, "web-new", started="2026-11-22T08:02:33Z", is_ready=False))
        set_ready(more[0], cluster.clock.now >= 8)

    cluster.clock.on_sleep.append(scale)
    result = renew(cluster)
    assert names(cluster) == ["web-0", "web-1"]
    assert result["summary"]["planned"] == 2
    # the new one, too, is waited for: the owner was whole
    assert cluster.deeds[1][0] == 8.0


def test_check_mode_tells_what_will_hold_it_up_and_how_long_it_may_take(cluster):
    cluster.add_workload("web-1", replicas=3, deployment="web")
    cluster.add_workload("one", "zoo", replicas=1)
    cluster.add_workload("gone", "old", replicas=2)
    cluster.objects["Namespace"][-1]["metadata"]["deletionTimestamp"] = AFTER
    budget = {"spec": {"selector": {}}, "status": {"desiredHealthy": 3, "currentHealthy": 3, "expectedPods": 3}}
    cluster.objects["PodDisruptionBudget"] = [{"metadata": {"name": "strict", "namespace": "web"}, **budget}]
    for pod in cluster.objects["Pod"]:
        next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["lastTransitionTime"] = FINISHED
        pod["status"]["startTime"] = "2026-11-22T08:02:11Z"
    planned = renew(cluster, check_mode=True)
    assert [(f["namespace"], f["check"], f["blocking"]) for f in planned["findings"]] == [
        ("old", "NamespaceTerminating", False),
        ("web", "BudgetNeverAllows", True),
        ("zoo", "SingleReplica", False),
    ]
    assert planned["findings"][1]["message"] == (
        "web: budget strict never lets a pod of ReplicaSet/web-1 go: 3 of 3 are healthy, 3 must be; have more replicas, or "
        "change it."
    )
    assert [(n["name"], n["estimated_seconds"]) for n in planned["namespaces"]] == [("web", 60), ("zoo", 20)]
    assert planned["summary"]["estimated_seconds"] == 80
    assert cluster.deeds == []


def forbid_budgets(cluster):
    plain = cluster.list

    def forbid(kind, *args, **selectors):
        if kind == "PodDisruptionBudget":
            raise api_error(403, "poddisruptionbudgets is forbidden")
        return plain(kind, *args, **selectors)

    cluster.list = forbid


def test_pods_of_one_owner_go_side_by_side_where_no_budget_can_cover_them(cluster, monkeypatch):
    cluster.add_workload("web", replicas=3)
    turns = []

    def in_turns(deeds):
        for turn, deed in deeds:
            turns.append(turn)
            deed()

    def count_turns(**options):
        turns.clear()
        renew(cluster, everything=True, keeps_pace=False, **options)
        assert len(turns) == 3
        return len(set(turns))

    monkeypatch.setattr(waves, "in_turns", in_turns)
    assert count_turns() == 3
    budget = {"spec": {"selector": {}}, "status": {"desiredHealthy": 1, "currentHealthy": 3, "expectedPods": 3}}
    cluster.objects["PodDisruptionBudget"] = [{"metadata": {"name": "other", "namespace": "other"}, **budget}]
    assert count_turns() == 3
    cluster.objects["PodDisruptionBudget"][0]["metadata"]["namespace"] = "web"
    assert count_turns() == 1
    assert count_turns(method="delete") == 3
    forbid_budgets(cluster)
    assert count_turns() == 1


def test_who_may_not_read_budgets_is_told_the_rest(cluster):
    cluster.add_workload("one", "zoo", replicas=1)
    forbid_budgets(cluster)
    assert [f["check"] for f in renew(cluster, check_mode=True)["findings"]] == ["SingleReplica"]
    with pytest.raises(ApiError, match="poddisruptionbudgets is forbidden"):
        renew(cluster, check_mode=True, method="auto")


def test_whether_a_rollout_runs_is_not_asked_for_each_pod(cluster):
    cluster.can_watch = True
    cluster.add_workload("web", replicas=9)
    plain, asked = cluster.require, []

    def require(kind, *args):
        asked.append(kind)
        return plain(kind, *args)

    cluster.require = require
    renew(cluster)
    assert cluster.clock.now == pytest.approx(9 * 0.6)
    # before the plan, and then every 2 s at most
    assert asked.count("Authentication") == 1 + 3


READY_NODE = {
    "metadata": {"name": "worker-0"},
    "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"}]},
}


def test_files_are_left_to_the_kubelets_where_only_what_lasts_is_to_go(cluster):
    cluster.objects["Node"] = [READY_NODE]
    for namespace in ("shop", "web"):
        cluster.add_workload(namespace=namespace, replicas=1)
    kept = cluster.add_workload("cache", replicas=1)
    (pod,) = cluster.pods_of(kept)
    pod["spec"]["nodeName"] = "worker-1"  # of which nobody knows whether it is Ready
    other = Override(namespaces=("shop",), method="delete", tokens="any", everything=False)
    result = renew(cluster, tokens="lasting", overrides=(other,))
    assert [(verb, name) for _seconds, verb, name in cluster.deeds] == [
        ("delete", "web-0"),
        ("evict", "cache-0"),
    ]
    assert [n["left"] for n in result["namespaces"]] == [{}, {"FileRenewed": 1}]


def test_what_runs_on_a_node_that_is_not_ready_is_left_and_holds_nothing_up(cluster):
    unready = copy.deepcopy(READY_NODE)
    unready["metadata"]["name"] = "worker-9"
    unready["status"]["conditions"][0]["status"] = "Unknown"
    cluster.objects["Node"] = [READY_NODE, unready]
    lost, *_others = cluster.pods_of(cluster.add_workload(replicas=3))
    lost["spec"]["nodeName"] = "worker-9"
    result = renew(cluster)
    assert lost["metadata"]["name"] not in [name for _seconds, _verb, name in cluster.deeds]
    assert (result["summary"]["renewed"], result["summary"]["reasons"]) == (2, {"NodeNotReady": 1})
    (left,) = [p for p in result["pods"] if p["outcome"] == "left"]
    assert (left["name"], left["reason"]) == (lost["metadata"]["name"], "NodeNotReady")


def test_nodes_that_may_not_be_read_are_no_reason_to_renew_nothing(cluster):
    cluster.add_workload(replicas=1)
    cluster.forbidden_kinds = {"Node"}
    assert renew(cluster)["summary"]["renewed"] == 1


def test_before_the_change_files_are_expected_to_follow_within_a_day(cluster):
    cluster.objects["Node"] = [READY_NODE]
    cluster.add_workload(replicas=1)
    later = parse_time("9999-12-31T23:59:59Z")
    plan = renew(cluster, check_mode=True, tokens="lasting", started_before=later)
    assert plan["summary"]["planned"] == 0
    cluster.singletons["KubeAPIServer"]["status"].pop("serviceAccountIssuers")
    plan = renew(cluster, check_mode=True, tokens="lasting", started_before=later)
    assert plan["summary"]["planned"] == 1


def test_a_kubelet_that_has_started_since_has_rewritten_its_files_whatever_their_lifetime(cluster):
    cluster.objects["Node"] = [READY_NODE]
    cluster.add_workload(replicas=1)
    (pod,) = cluster.objects["Pod"]
    token = pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    token["expirationSeconds"] = (
        30 * 3600
    )  # rewritten after 24 hours, by when the former issuer is not trusted any more
    assert renew(cluster, check_mode=True, tokens="lasting")["summary"]["planned"] == 1
    cluster.kubelets["worker-0"] = "2026-11-22T08:30:00Z"
    assert renew(cluster, check_mode=True, tokens="lasting")["summary"]["planned"] == 0


def test_of_many_namespaces_all_pods_are_read_at_once_where_that_takes_fewer_requests(cluster, monkeypatch):
    for number in range(12):
        cluster.add_workload(namespace=f"n{number:02}", replicas=2, deployment=None)
    monkeypatch.setattr(waves, "PAGE_SIZE", 4)  # 24 pods are seven pages
    monkeypatch.setattr(waves, "OWNERS_PER_POD", 1)
    assert renew(cluster, max_namespaces=99)["summary"]["renewed"] == 24
    looks = [namespace for seconds, kind, namespace in cluster.lists if kind == "Pod" and seconds > 0]
    assert set(looks) == {None}
    cluster.lists.clear()
    monkeypatch.setattr(waves, "PAGE_SIZE", 1)
    begin = cluster.clock.now
    assert renew(cluster, max_namespaces=99, everything=True)["summary"]["renewed"] == 24
    assert {n for seconds, kind, n in cluster.lists if kind == "Pod" and seconds > begin} == {
        f"n{number:02}" for number in range(12)
    }


def test_what_goes_for_long_stops_when_a_rollout_begins(cluster, monkeypatch):
    cluster.add_workload("web", replicas=4)
    monkeypatch.setattr(waves, "MAX_AT_ONCE", 2)
    paused = []

    def pause(gate, *, during):
        paused.append(len(cluster.deeds))
        return len(paused) == 2

    monkeypatch.setattr(waves.RolloutGate, "pause", pause)
    renew(cluster, keeps_pace=False)
    assert len(cluster.deeds) == 4
    assert paused[:2] == [0, 2]
    assert [seconds for seconds, _verb, _name in cluster.deeds][1:3] == [0.0, cluster.deeds[2][0]] != [0.0, 0.0]


@pytest.mark.parametrize("tokens", ["any", "old"])
def test_a_pod_whose_only_token_a_csi_driver_was_given_is_renewed(cluster, tokens):
    cluster.objects["Node"] = [READY_NODE]
    owner = cluster.add_workload("web", replicas=1)
    (pod,) = cluster.pods_of(owner)
    pod["spec"]["volumes"] = [{"name": "secrets", "csi": {"driver": "secrets.example.com"}}]
    assert renew(cluster, tokens=tokens)["summary"]["planned"] == 0
    driver = {"metadata": {"name": "secrets.example.com"}, "spec": {"tokenRequests": [{"audience": ""}]}}
    cluster.objects["CSIDriver"] = [driver]
    assert renew(cluster, tokens=tokens)["summary"]["renewed"] == 1


def test_who_may_not_read_csi_drivers_renews_what_its_volumes_show(cluster):
    cluster.add_workload("web", replicas=1)
    cluster.forbidden_kinds = {"CSIDriver"}
    assert renew(cluster)["summary"]["renewed"] == 1


def test_pods_that_are_to_be_ready_for_some_time_are_waited_for(cluster):
    owner = cluster.add_workload("web", replicas=2)
    owner["spec"]["minReadySeconds"], since = 300, [0.0]

    def count_available(*_details):
        ready = sum(map(is_ready, cluster.pods_of(owner)))
        if len(cluster.deeds) > len(since) - 1:
            since.append(cluster.clock.now)
        is_warm = len(since) == 1 or cluster.clock.now >= since[-1] + 302
        owner["status"]["availableReplicas"] = ready if is_warm else ready - 1

    cluster.clock.on_sleep.append(count_available)
    count_available()
    assert renew(cluster)["summary"]["renewed"] == 2
    (first, _verb, _name), (second, _verb, _name) = cluster.deeds
    assert second >= first + 300 > first + WAIT.timeout


def test_one_who_may_list_owners_only_in_namespaces_goes_on_there(cluster):
    for number in range(12):
        cluster.add_workload(namespace=f"n{number:02}", replicas=1)
    plain = cluster.list_at

    def list_at(kind, namespace=None, **options):
        if kind == "ReplicaSet" and namespace is None:
            raise api_error(403, "replicasets is forbidden")
        return plain(kind, namespace, **options)

    cluster.list_at = list_at
    assert renew(cluster, max_namespaces=99)["summary"]["renewed"] == 12


def node_pods(cluster, *pods):
    return [NodePod(facts=pod_facts(p)) for p in cluster.objects["Pod"] if p in pods]


def test_a_drain_knows_what_the_replica_sets_of_a_deployment_lack_together(cluster):
    old = cluster.add_workload("web-1", replicas=1, deployment="web")
    new = cluster.add_owner("ReplicaSet", "web-2", replicas=1)
    new["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]
    cluster.add_pod(new, "web-2-0")
    deployment_of(cluster, "web")["spec"]["replicas"] = 2
    first, second = cluster.objects["Pod"]
    drainer = Drainer(cluster=cluster, options=DrainOptions(), clock=cluster.clock, say=lambda line: None)
    drainer.work(node_pods(cluster, first, second))
    assert names(cluster) == ["web-1-0"]
    cluster.never_ready.add("web-1")
    cluster.clock.sleep(1)
    drainer.work(node_pods(cluster, second))
    assert names(cluster) == ["web-1-0"]
    cluster.never_ready.clear()
    cluster.clock.sleep(1)
    drainer.work(node_pods(cluster, second))
    assert names(cluster) == ["web-1-0", "web-2-0"]


def test_a_drain_does_not_wait_for_min_ready_seconds(cluster):
    owner = cluster.add_workload("web", replicas=2)
    owner["spec"]["minReadySeconds"], owner["status"] = 900, {"availableReplicas": 1}
    drainer = Drainer(cluster=cluster, options=DrainOptions(), clock=cluster.clock, say=lambda line: None)
    drainer.work(node_pods(cluster, cluster.objects["Pod"][0]))
    assert names(cluster) == ["web-0"]
