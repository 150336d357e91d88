# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts of nodes on a small cluster in memory: for what no lab can provoke at will, such as a kill at each request."""

from __future__ import annotations

import copy
import itertools
import re
import threading
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    InvalidOption,
    Refused,
    WaitFailed,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import MARK, NodeMark, parse_mark
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.node_batch import Way
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.nodes import NodeRun, RunChoice
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import DrainOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.gates import GateRequest, Hold
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.nodes import NodeRequest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import RESTART_NAMESPACE
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.restart import BOOT_LABEL
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.run_record import RunRecord
from ansible_collections.bound_tokens.openshift.plugins.module_utils._run import RecordStore

START = datetime(2026, 11, 22, 8, 0, 0, tzinfo=timezone.utc)


class Killed(BaseException):
    """The process is gone."""


def api_error(status, words="no", reason="NotFound"):
    return ApiError(verb="do", target="it", host="h", status=status, words=words, reason=reason)


class Cluster:
    """Nodes with pods, whose kubelets and controllers work whenever somebody sleeps."""

    def __init__(self, *names, boot_seconds=20):
        self.now, self.boot_seconds = 0.0, boot_seconds
        self.objects = {
            k: {} for k in ("Node", "Pod", "Namespace", "RoleBinding", "ConfigMap", "ReplicaSet", "DaemonSet")
        }
        self.versions, self.uids = itertools.count(1), itertools.count(1)
        self.restarts, self.deeds, self.refused = Counter(), [], {}
        self.reboots = {}  # node name -> when its host goes down, when it is back
        self.requests, self.kill_at, self.is_kill_late = 0, None, False
        self.broken = set()  # nodes that never restart
        self.conflict_from = float("inf")  # the first write to a node after this meets one of somebody else
        self.stale = set()  # nodes whose pods are shown as they were before the restart
        self.hasty = set()  # nodes that are down before their restart pod has ended
        self.lock, self.lists = threading.Lock(), []
        self.own_uid, self.denied = "", set()  # the pod that we run in; resources that we may do nothing with
        for name in names:
            self.add_node(name)

    def add_node(self, name):
        role = "master" if name.startswith("m") else "worker"
        labels = {f"node-role.kubernetes.io/{role}": "", "kubernetes.io/hostname": f"{name}.example.test"}
        self.put("Node", {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {}})
        self.boot(name)
        self.add_pod(f"agent-{name}", name, kind="DaemonSet")
        self.add_pod(f"etcd-{name}", name, kind="Node")
        self.add_pod(f"web-{name}", name, kind="ReplicaSet")

    def boot(self, name):
        node = self.objects["Node"][None, name]
        node["status"]["nodeInfo"] = {"bootID": f"boot-{next(self.uids)}"}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": self.moment()}
        node["status"]["conditions"] = [ready]
        node["metadata"]["resourceVersion"] = str(next(self.versions))

    def moment(self, seconds=0.0):
        return (START + timedelta(seconds=self.now + seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def put(self, kind, body, namespace=None):
        metadata = body["metadata"]
        metadata.setdefault("uid", f"uid-{next(self.uids)}")
        metadata["resourceVersion"] = str(next(self.versions))
        self.objects[kind][namespace, metadata["name"]] = body
        return body

    def add_pod(self, name, node, *, kind, is_ready=True):
        owner = {"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": f"owner-{kind}", "controller": True}
        pod = {
            "metadata": {"name": name, "namespace": "shop", "ownerReferences": [owner], "labels": {"app": "web"}},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "startTime": self.moment()},
        }
        if kind == "Node":
            pod["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
        self.put("Pod", pod, "shop")
        self.start(pod, is_ready=is_ready)

    def start(self, pod, *, is_ready=True):
        pod["status"]["conditions"] = [{"type": "Ready", "status": str(is_ready)}]
        pod["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {"startedAt": self.moment()}}}]

    # time, kubelets, controllers

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for (namespace, name), pod in list(self.objects["Pod"].items()):
            if pod["metadata"].get("deletionTimestamp"):
                del self.objects["Pod"][namespace, name]
                if namespace == "shop":
                    free = [n for (_x, n), o in self.objects["Node"].items() if not o["spec"].get("unschedulable")]
                    if free:
                        self.add_pod(f"web-{next(self.uids)}", min(free), kind="ReplicaSet")
            elif namespace == RESTART_NAMESPACE and pod["status"]["phase"] == "Pending":
                self.run_restart_pod(pod)
        for name, (down, up) in list(self.reboots.items()):
            if self.now >= up:
                del self.reboots[name]
                self.restarts[name] += 1
                self.boot(name)
                for pod in self.objects["Pod"].values():
                    is_here = pod["spec"]["nodeName"] == name and pod["metadata"]["namespace"] == "shop"
                    if is_here and name not in self.stale:
                        self.start(pod)
            elif self.now >= down:
                node = self.objects["Node"][None, name]
                ready = node["status"]["conditions"][0]
                if ready["status"] != "Unknown":
                    ready["status"] = "Unknown"
                    node["metadata"]["resourceVersion"] = str(next(self.versions))

    def run_restart_pod(self, pod):
        node, wanted = pod["spec"]["nodeName"], pod["metadata"]["labels"][BOOT_LABEL]
        is_same = self.objects["Node"][None, node]["status"]["nodeInfo"]["bootID"] == wanted
        delay = 0 if node in self.hasty else 3
        if is_same and node not in self.broken and node not in self.reboots:
            self.reboots[node] = (self.now + delay, self.now + delay + self.boot_seconds)
        if node not in self.hasty:
            pod["status"]["phase"] = "Succeeded"
            ended = {"terminated": {"exitCode": 0, "finishedAt": self.moment()}}
            pod["status"]["containerStatuses"] = [{"name": "restart", "state": ended}]

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

    def get(self, kind, name, namespace=None):
        return self.request(lambda: self.objects.get(kind, {}).get((namespace, name)))

    def select(self, kind, namespace, label_selector, field_selector):
        field, _sign, wanted = field_selector.partition("=")
        label, _in, values = label_selector.rstrip(")").partition(" in (")
        found = [o for (n, _name), o in self.objects.get(kind, {}).items() if namespace in (None, n)]
        if field:
            found = [o for o in found if wanted in (o["metadata"]["name"], o["spec"].get("nodeName"))]
        return [o for o in found if not label or o["metadata"]["labels"].get(label) in values.split(",")]

    def list(self, kind, namespace=None, *, label_selector="", field_selector=""):
        self.lists.append((kind, label_selector or field_selector or namespace))
        return iter(self.request(lambda: self.select(kind, namespace, label_selector, field_selector)))

    def list_at(self, kind, namespace=None, *, read, **selectors):
        return "1", [read(found) for found in self.list(kind, namespace, **selectors)]

    def await_change(self, kind, *, known_version, timeout, label_selector="", field_selector=""):
        assert known_version
        before = copy.deepcopy(self.select(kind, None, label_selector, field_selector))
        for _second in range(int(timeout)):
            self.sleep(1)
            if self.select(kind, None, label_selector, field_selector) != before:
                break

    def create(self, kind, body, namespace=None):
        def act():
            if kind == "SelfSubjectReview":
                return {"status": {"userInfo": {"extra": {"authentication.kubernetes.io/pod-uid": [self.own_uid]}}}}
            if kind == "SelfSubjectAccessReview":
                return {"status": {"allowed": body["spec"]["resourceAttributes"]["resource"] not in self.denied}}
            if namespace and namespace not in ("bound-tokens",) and (None, namespace) not in self.objects["Namespace"]:
                raise api_error(404, f'namespaces "{namespace}" not found')
            if (namespace, body["metadata"]["name"]) in self.objects[kind]:
                raise api_error(409, "already exists", reason="AlreadyExists")
            made = copy.deepcopy(dict(body))
            if kind == "Pod":
                made["metadata"]["namespace"] = namespace
                made["metadata"]["creationTimestamp"] = self.moment()
                made["status"] = {"phase": "Pending"}
            return self.put(kind, made, namespace)

        return self.request(act)

    def merge_patch(self, kind, name, patch, namespace=None, *, subresource=""):
        def act():
            found = self.objects[kind].get((namespace, name))
            if found is None:
                raise api_error(404)
            if kind == "Node" and self.now >= self.conflict_from:
                self.conflict_from = float("inf")
                found["metadata"]["resourceVersion"] = str(next(self.versions))
            version = patch.get("metadata", {}).get("resourceVersion")
            if version and version != found["metadata"]["resourceVersion"]:
                raise api_error(409, "the object has been modified", reason="Conflict")
            before = bool(found.get("spec", {}).get("unschedulable"))
            merge(found, {k: v for k, v in patch.items() if k != "apiVersion"})
            found["metadata"]["resourceVersion"] = str(next(self.versions))
            after = bool(found.get("spec", {}).get("unschedulable"))
            if kind == "Node" and before != after:
                self.deeds.append((self.now, "cordon" if after else "uncordon", name))
            return found

        return self.request(act)

    def evict(self, name, namespace, *, uid, grace_period=None):
        def act():
            if self.refused.get(name, 0) > self.now:
                raise api_error(429, "the disruption budget web needs 3 healthy pods and has 3 currently")
            pod = self.objects["Pod"].get((namespace, name))
            if pod is None or pod["metadata"]["uid"] != uid:
                raise api_error(404)
            pod["metadata"]["deletionTimestamp"] = self.moment()
            self.deeds.append((self.now, "evict", name))
            return {}

        self.request(act)

    def delete(self, kind, name, namespace=None, *, uid, grace_period=None):
        def act():
            self.deeds.append((self.now, f"delete {kind}", name))
            if kind == "Namespace":
                self.objects["Namespace"].pop((None, name))
                self.objects["Pod"] = {key: pod for key, pod in self.objects["Pod"].items() if key[0] != name}
                return {}
            pod = self.objects["Pod"].get((namespace, name))
            if pod is None or pod["metadata"]["uid"] != uid:
                raise api_error(404)
            pod["metadata"]["deletionTimestamp"] = self.moment()
            return {}

        self.request(act)

    def server_time(self):
        return START + timedelta(seconds=self.now)

    def own_token_claims(self):
        return {}


def merge(target, patch):
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


class OpenGates:
    def __init__(self):
        self.request = GateRequest()
        self.unwell = self.satisfied = self.run_ids = frozenset()
        self.asked = 0

    def require_gates(self):
        pass

    def require_quiet(self):
        self.asked += 1

    def find_hold(self):
        return None

    def wait(self, batch, own):
        pass


def run(
    cluster,
    *,
    check_mode=False,
    run_id=None,
    new_id="first",
    take_over=False,
    way=Way.RESTART,
    requires_restart=True,
    said=None,
    say=None,
    keeper=None,
    canary_pause=0,
    **request,
):
    request = NodeRequest(image="shell", **request)
    return NodeRun(
        cluster=cluster,
        request=request,
        keeper=keeper or OpenGates(),
        choice=RunChoice(run_id=run_id, new_id=new_id, take_over=take_over),
        store=RecordStore(cluster=cluster, namespace="bound-tokens"),
        clock=cluster,
        acquire=lambda run_id: None,
        options=WaitOptions(timeout=0, interval=1),
        say=say or ([] if said is None else said).append,
        way=way,
        requires_restart=requires_restart,
        canary_pause=canary_pause,
    ).work(check_mode=check_mode)


def cordoned(cluster):
    return {n for (_x, n), o in cluster.objects["Node"].items() if o["spec"].get("unschedulable")}


def boot_id(cluster, name):
    return cluster.objects["Node"][None, name]["status"]["nodeInfo"]["bootID"]


def marks(cluster):
    return {n for (_x, n), o in cluster.objects["Node"].items() if MARK in o["metadata"].get("annotations", {})}


def parse_mark_of(cluster, name):
    return parse_mark(cluster.objects["Node"][None, name]["metadata"]["annotations"][MARK])


def leftovers(cluster):
    """What a run must not leave behind."""
    names = [n for (namespace, n) in cluster.objects["Pod"] if namespace == RESTART_NAMESPACE]
    return names + [n for (_x, n) in cluster.objects["Namespace"]]


def test_nodes_are_restarted_one_by_one_and_put_back():
    cluster, said = Cluster("m0", "w0", "w1"), []
    result = run(cluster, said=said)
    assert result["changed"]
    assert result["batches"] == [["w0"], ["w1"], ["m0"]]
    assert cluster.restarts == {"m0": 1, "w0": 1, "w1": 1}
    assert {n["name"]: n["outcome"] for n in result["nodes"]} == {"m0": "done", "w0": "done", "w1": "done"}
    assert cordoned(cluster) == marks(cluster) == set()
    assert leftovers(cluster) == []
    order = [(what, name) for _at, what, name in cluster.deeds if what.endswith("cordon")]
    assert order == [(w, n) for n in ("w0", "w1", "m0") for w in ("cordon", "uncordon")]
    assert "record.json" not in cluster.objects["ConfigMap"]["bound-tokens", "bound-tokens-run"]["data"]
    assert cluster.objects["ConfigMap"]["bound-tokens", "bound-tokens-run"]["data"] == {}


def test_nodes_of_a_batch_go_side_by_side_and_nobody_elses_pods_are_read_again():
    cluster = Cluster(*(f"w{number}" for number in range(12)), boot_seconds=60)
    assert len(run(cluster, max_unavailable="4")["batches"]) == 3
    assert set(cluster.restarts.values()) == {1}
    assert len(cluster.restarts) == 12
    assert cordoned(cluster) == marks(cluster) == set()
    assert cluster.lists.count(("Pod", None)) == 2  # the plan, and again under the lease
    hosts = ",".join(f"w{number}.example.test" for number in (0, 1, 10, 11))
    assert ("Node", f"kubernetes.io/hostname in ({hosts})") in cluster.lists
    assert cluster.requests / 12 < 32


def test_a_node_is_not_gone_because_a_label_by_which_it_was_found_has_changed():
    cluster = Cluster("w0", "w1", "w2")
    labels, sleep = cluster.objects["Node"][None, "w1"]["metadata"]["labels"], cluster.sleep

    def rename(seconds):
        if marks(cluster):
            labels["kubernetes.io/hostname"] = "other"
        sleep(seconds)

    cluster.sleep = rename
    result = run(cluster, max_unavailable="3")
    assert [n["outcome"] for n in result["nodes"]] == ["done", "done", "done"]
    assert cluster.restarts == {"w0": 1, "w1": 1, "w2": 1}


def test_pods_of_a_node_are_evicted_side_by_side_but_for_those_of_one_owner():
    """One budget covers these, and the server would make one of two wait."""
    cluster, under_way, most = Cluster("w0", "w1"), Counter(), Counter()
    together = threading.Barrier(2, timeout=10)
    for number in range(4):
        cluster.add_pod(f"web-{number}", "w0", kind="ReplicaSet", is_ready=False)  # these may go at once
        cluster.objects["Pod"]["shop", f"web-{number}"]["metadata"]["ownerReferences"][0]["uid"] = (
            f"owner-{number // 2}"
        )
    del cluster.objects["Pod"]["shop", "web-w0"]
    evict = cluster.evict

    def meet(name, *arguments, **options):
        owner = int(name[-1]) // 2
        under_way[owner] += 1
        most[owner] = max(most[owner], under_way[owner])
        together.wait()
        evict(name, *arguments, **options)
        under_way[owner] -= 1

    cluster.evict = meet
    run(cluster, names=("w0",))
    assert cluster.restarts == {"w0": 1}
    assert most == {0: 1, 1: 1}


def test_check_mode_changes_nothing_and_shows_the_same_batches():
    cluster = Cluster("m0", "w0", "w1")
    before = copy.deepcopy(cluster.objects)
    plan = run(cluster, check_mode=True)
    assert cluster.objects == before
    assert plan["changed"]
    assert plan["batches"] == run(cluster)["batches"]


def test_a_cordon_of_somebody_else_stays():
    cluster = Cluster("w0", "w1")
    cluster.objects["Node"][None, "w1"]["spec"]["unschedulable"] = True
    run(cluster)
    assert cordoned(cluster) == {"w1"}
    assert marks(cluster) == set()
    assert cluster.restarts == {"w0": 1, "w1": 1}


def has_record(cluster):
    kept = cluster.objects["ConfigMap"].get(("bound-tokens", "bound-tokens-run"))
    return kept is None or bool(kept["data"])


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("other", ["m0", "w1"], ids=["alone", "together"])
def test_a_run_that_is_killed_at_any_request_is_completed_by_the_next(is_late, other):
    for kill_at in itertools.count(1):
        cluster = Cluster(other, "w0", boot_seconds=2)
        cluster.objects["Node"][None, other]["spec"]["unschedulable"] = True
        cluster.kill_at, cluster.is_kill_late = kill_at, is_late
        try:
            run(cluster, max_unavailable="2")
        except Killed:
            cluster.kill_at = None
        else:
            assert kill_at > 50
            break
        if has_record(cluster):  # else nothing was left to do but to tell
            run(cluster, new_id="second", max_unavailable="2")
        assert cluster.restarts == {other: 1, "w0": 1}, kill_at
        assert cordoned(cluster) == {other}, kill_at
        assert marks(cluster) == set(), kill_at
        assert leftovers(cluster) == [], kill_at


def test_a_node_that_does_not_restart_is_named_and_left_cordoned_and_the_next_run_goes_on():
    cluster = Cluster("w0", "w1")
    cluster.broken.add("w0")
    with pytest.raises(WaitFailed) as caught:
        run(cluster, restart_timeout=60)
    assert "1 node(s) failed: w0: after 1 min: asked to restart at" in caught.value.message
    assert (
        "Z, it is Ready, and its boot ID is still boot-2. 1 node(s) were not begun. Mend them and run it again"
        in caught.value.message
    )
    outcomes = {n["name"]: (n["outcome"], n["reason"]) for n in caught.value.progress["nodes"]}
    assert outcomes == {"w0": ("failed", "NotRestarted"), "w1": ("planned", None)}
    assert cordoned(cluster) == {"w0"}
    cluster.reboots["w0"] = (cluster.now, cluster.now + 5)  # somebody presses the button
    run(cluster, new_id="second")
    assert cluster.restarts == {"w0": 1, "w1": 1}
    assert cordoned(cluster) == set()


def test_a_node_that_somebody_changes_while_it_fails_fails_all_the_same():
    cluster = Cluster("w0", "w1")
    cluster.broken.add("w0")
    cluster.conflict_from = 60.0
    with pytest.raises(WaitFailed, match="w0: after 1 min: asked to restart at"):
        run(cluster, names=("w0",), restart_timeout=60)
    assert cluster.conflict_from == float("inf")


def test_a_node_that_ignores_the_request_is_asked_again_by_the_next_run():
    cluster = Cluster("w0", "w1")
    cluster.broken.add("w0")
    with pytest.raises(WaitFailed) as caught:
        run(cluster, names=("w0",), restart_timeout=60)
    assert caught.value.progress["nodes"][0]["restarted_at"] == cluster.moment(-cluster.now)
    cluster.broken.clear()
    run(cluster, names=("w0",), new_id="second", restart_timeout=60)
    assert cluster.restarts == {"w0": 1}
    assert cordoned(cluster) == marks(cluster) == set()
    assert leftovers(cluster) == []


def test_a_node_that_goes_down_before_its_pod_has_ended_is_left_cordoned_when_it_fails():
    cluster = Cluster("w0", "w1", boot_seconds=10**6)
    cluster.hasty.add("w0")
    with pytest.raises(WaitFailed, match="w0: after 1 min: its restart pod is Pending, it is not Ready"):
        run(cluster, names=("w0",), restart_timeout=60)
    assert cordoned(cluster) == marks(cluster) == {"w0"}
    assert parse_mark_of(cluster, "w0").requested_at == cluster.moment(-cluster.now)
    cluster.reboots["w0"] = (cluster.now, cluster.now + 5)
    run(cluster, names=("w0",), new_id="second")
    assert cluster.restarts == {"w0": 1}
    assert cordoned(cluster) == marks(cluster) == set()


def test_when_a_node_that_went_down_before_its_pod_had_ended_was_asked_is_known():
    cluster = Cluster("w0", "w1")
    cluster.hasty.add("w0")
    result = run(cluster, names=("w0",))
    assert result["nodes"][0]["restarted_at"] == cluster.moment(-cluster.now)


def test_what_the_api_shows_of_before_is_not_taken_for_the_proof_of_a_node_that_went_down_at_once():
    cluster = Cluster("w0", "w1")
    cluster.hasty.add("w0")
    cluster.stale.add("w0")
    cluster.sleep(100)
    with pytest.raises(WaitFailed, match="w0: after 1 min: not Ready on it yet: shop/DaemonSet/web, shop/etcd-w0"):
        run(cluster, names=("w0",), restart_timeout=60)
    assert cordoned(cluster) == {"w0"}


def test_a_budget_that_allows_later_is_waited_for_and_told():
    cluster, said = Cluster("w0", "w1"), []
    cluster.refused["web-w0"] = 75
    run(cluster, names=("w0",), said=said)
    assert cluster.restarts == {"w0": 1}
    told = [line for line in said if "may not go yet" in line]
    assert (
        told[0] == "w0: shop/web-w0 may not go yet: the disruption budget web needs 3 healthy pods and has 3 currently"
    )
    assert re.search(r", waiting 6\d s$", told[-1])
    assert len(told) == 3


def test_a_budget_that_never_allows_ends_the_drain_and_the_node_is_put_back():
    cluster = Cluster("w0", "w1")
    cluster.refused["web-w0"] = 10**9
    with pytest.raises(
        WaitFailed, match=r"w0: after 1 min 40 s: 1 pod\(s\) to go: shop/web-w0 may not go yet: the disruption"
    ):
        run(cluster, drain=DrainOptions(timeout=100))
    assert cluster.restarts == {}
    assert cordoned(cluster) == marks(cluster) == set()


def test_what_another_run_has_begun_elsewhere_stops_nobody_and_counts_as_away():
    """The kubelet of any node may write such a mark to its own."""
    cluster, names = Cluster("w0", "w1", "w2"), ("w0", "w1")
    mark = NodeMark(run_id="other", boot_id="b").dump()
    other = {"metadata": {"annotations": {MARK: mark}}, "spec": {"unschedulable": True}}
    merge(cluster.objects["Node"][None, "w2"], other)
    keeper = OpenGates()
    result = run(cluster, names=names, max_unavailable="2", take_over=True, keeper=keeper)
    assert result["batches"] == [["w0"], ["w1"]]
    assert keeper.run_ids == {"first"}
    assert cluster.restarts == {"w0": 1, "w1": 1}
    assert cordoned(cluster) == marks(cluster) == {"w2"}


def test_check_mode_knows_whose_marks_are_its_own():
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    run(cluster, names=("w0",), way=Way.DRAIN, run_id="r1")
    run(cluster, names=("w0",), run_id="r1", keeper=keeper, check_mode=True)
    assert keeper.run_ids == {"r1"}


def test_what_another_run_has_begun_is_not_touched_without_consent():
    cluster = Cluster("w0", "w1")
    mark = NodeMark(run_id="other", boot_id=boot_id(cluster, "w0")).dump()
    merge(
        cluster.objects["Node"][None, "w0"],
        {"metadata": {"annotations": {MARK: mark}}, "spec": {"unschedulable": True}},
    )
    with pytest.raises(Refused, match="because w0 is in the middle of the run other"):
        run(cluster)
    assert cluster.deeds == []
    run(cluster, take_over=True)
    assert cluster.restarts == {"w0": 1, "w1": 1}
    assert cordoned(cluster) == set()


def test_a_finished_run_is_not_repeated_under_its_name():
    cluster = Cluster("w0", "w1")
    assert run(cluster, run_id="one")["changed"]
    assert not run(cluster, run_id="one")["changed"]
    assert cluster.restarts == {"w0": 1, "w1": 1}


def test_a_node_is_emptied_restarted_by_other_means_and_put_back():
    cluster = Cluster("w0", "w1")
    assert run(cluster, names=("w0",), way=Way.DRAIN)["changed"]
    assert cordoned(cluster) == {"w0"}
    assert [run(cluster, names=("w0",), way=Way.DRAIN, check_mode=mode)["changed"] for mode in (True, False)] == [
        False
    ] * 2
    with pytest.raises(WaitFailed, match=r"w0: after 10 s: it has not restarted: the boot ID is still boot-2\."):
        run(cluster, names=("w0",), way=Way.RETURN, restart_timeout=10)
    assert cordoned(cluster) == {"w0"}
    cluster.reboots["w0"] = (cluster.now, cluster.now + 5)
    result = run(cluster, names=("w0",), way=Way.RETURN)
    assert result["changed"]
    assert cordoned(cluster) == marks(cluster) == set()
    assert not run(cluster, names=("w0",), way=Way.RETURN)["changed"]


def test_a_node_that_somebody_uncordons_is_cordoned_again():
    cluster, said = Cluster("w0", "w1"), []
    cluster.refused["web-w0"] = 20

    def uncordon(line):
        said.append(line)
        if "may not go yet" in line and len(said) < 8:
            merge(cluster.objects["Node"][None, "w0"], {"spec": {"unschedulable": None}})

    run(cluster, names=("w0",), say=uncordon)
    assert "w0 was uncordoned by somebody else and is cordoned again" in said
    assert cluster.restarts == {"w0": 1}
    assert cordoned(cluster) == set()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"status": {"nodeInfo": None}}, "because w1 report(s) no boot ID"),
        ({"metadata": {"labels": {"kubernetes.io/os": "windows"}}}, "because w1 do(es) not run Linux"),
    ],
)
def test_what_can_not_be_restarted_is_refused_before_anything_is_done(change, sentence):
    cluster = Cluster("w0", "w1")
    merge(cluster.objects["Node"][None, "w1"], change)
    with pytest.raises(Refused, match=re.escape(sentence)):
        run(cluster)
    assert cluster.deeds == []


def test_a_node_that_was_emptied_is_put_back_without_a_restart_when_none_is_required():
    cluster = Cluster("w0", "w1")
    run(cluster, names=("w0",), way=Way.DRAIN)
    assert run(cluster, names=("w0",), way=Way.RETURN, requires_restart=False)["changed"]
    assert cordoned(cluster) == marks(cluster) == set()
    assert cluster.restarts == {}


def test_draining_never_puts_a_node_back_that_has_restarted_meanwhile():
    cluster = Cluster("w0", "w1")
    run(cluster, names=("w0",), way=Way.DRAIN)
    cluster.reboots["w0"] = (cluster.now, cluster.now + 1)
    cluster.sleep(2)
    result = run(cluster, names=("w0",), way=Way.DRAIN)
    assert [n["outcome"] for n in result["nodes"] if n["name"] == "w0"] == ["returning"]
    assert cordoned(cluster) == {"w0"}
    run(cluster, names=("w0",), way=Way.RETURN)
    assert cordoned(cluster) == set()


def test_a_node_that_an_earlier_run_has_done_is_emptied_all_the_same():
    cluster = Cluster("w0", "w1")
    run(cluster, run_id="one", names=("w0",))
    assert run(cluster, run_id="one", names=("w0",), way=Way.DRAIN)["changed"]
    assert cordoned(cluster) == {"w0"}


def test_a_pod_that_comes_meanwhile_and_may_not_go_keeps_its_node_from_being_restarted():
    cluster = Cluster("w0", "w1")

    def add_bare_pod(line):
        if line == "w0 is done":
            cluster.add_pod("bare", "w1", kind="ReplicaSet")
            del cluster.objects["Pod"]["shop", "bare"]["metadata"]["ownerReferences"]

    words = r"w1: after 1 min: .*shop/bare has come meanwhile and may not go \(NoOwner\) without delete_options.force"
    with pytest.raises(WaitFailed, match=words):
        run(cluster, say=add_bare_pod, drain=DrainOptions(timeout=60))
    assert cluster.restarts == {"w0": 1}
    assert cordoned(cluster) == set()


def test_the_control_plane_is_not_emptied_together():
    cluster = Cluster("m0", "m1", "w0")
    with pytest.raises(Refused, match="because m0, m1 are all of the control plane"):
        run(cluster, names=("m0", "m1"), way=Way.DRAIN)
    assert cluster.deeds == []


def test_a_cordon_that_its_owner_has_undone_does_not_come_back():
    cluster = Cluster("w0", "w1")
    cluster.objects["Node"][None, "w0"]["spec"]["unschedulable"] = True
    cluster.refused["web-w0"] = 20

    def uncordon(line):
        if "may not go yet" in line:
            merge(cluster.objects["Node"][None, "w0"], {"spec": {"unschedulable": None}})

    run(cluster, names=("w0",), say=uncordon)
    assert cordoned(cluster) == set()


def test_a_plan_tells_what_would_be_refused_later():
    cluster = Cluster("w0", "w1")
    cluster.create = lambda kind, body, namespace=None: {"status": {"allowed": False}}
    plan = run(cluster, check_mode=True)
    assert [(f["check"], f["blocking"]) for f in plan["findings"]][:1] == [("Permissions", True)]


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        ({"securitycontextconstraints"}, None),
        ({"clusterroles"}, None),
        (
            {"clusterroles", "securitycontextconstraints"},
            "you are not allowed to use securitycontextconstraints.security.openshift.io privileged in namespace bound-tokens",
        ),
        ({"rolebindings"}, "you are not allowed to create rolebindings.rbac.authorization.k8s.io in namespace"),
    ],
)
def test_who_may_not_grant_the_restart_pod_its_privileges_is_told_before_the_first_cordon(denied, words):
    cluster = Cluster("w0", "w1")
    cluster.denied = denied
    if words is None:
        run(cluster, names=("w0",))
        assert cluster.restarts == {"w0": 1}
        return
    with pytest.raises(Refused, match=re.escape(words)):
        run(cluster, names=("w0",))
    assert cluster.deeds == []
    assert run(cluster, names=("w0",), way=Way.DRAIN)["changed"]  # which needs none of it


def test_while_a_rollout_runs_no_pod_goes_and_no_node_restarts():
    cluster, said, keeper = Cluster("w0", "w1"), [], OpenGates()
    keeper.find_hold = lambda: Hold(words="a rollout runs: 2 of 3") if 5 <= cluster.now < 60 else None
    cluster.refused["web-w0"] = 10
    run(cluster, names=("w0",), said=said, keeper=keeper, drain=DrainOptions(timeout=30))
    assert "w0 is paused: a rollout runs: 2 of 3" in said
    assert [at >= 60 for at, what, name in cluster.deeds if (what, name) == ("evict", "web-w0")] == [True]
    assert cluster.restarts == {"w0": 1}


def test_a_rollout_that_goes_on_is_waited_for_longer_than_one_that_does_not():
    """Each of three nodes takes almost all of gate_timeout."""
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    keeper.request = GateRequest(timeout=100)

    def find_hold():
        done = int(cluster.now // 90)
        return Hold(words=f"{done} of 3", places=frozenset({(f"m{done}", 8, 0)})) if cluster.now < 270 else None

    keeper.find_hold = find_hold
    run(cluster, names=("w0",), keeper=keeper, drain=DrainOptions(timeout=30))
    assert cluster.restarts == {"w0": 1}
    assert cluster.now > 270


@pytest.mark.parametrize("period", [None, 20], ids=["at a stretch", "again and again"])
@pytest.mark.parametrize(("begins", "is_cordoned"), [(0, False), (5, True)], ids=["before the cordon", "in the drain"])
def test_a_rollout_that_does_not_go_on_makes_a_node_fail(begins, is_cordoned, period):
    cluster, said, keeper = Cluster("w0", "w1"), [], OpenGates()
    keeper.request = GateRequest(timeout=300)
    stuck = Hold(words="a rollout runs: 2 of 3", places=frozenset({("m0", 8, 0), ("m1", 7, 8)}))

    def find_hold():
        assert cluster.now < 1000
        return stuck if cluster.now >= begins and (not period or cluster.now % period > 1) else None

    keeper.find_hold = find_hold
    cluster.refused["web-w0"] = 10**9
    words = "w0: paused for 5 min in which this has not gone on: a rollout runs: 2 of 3"
    if period:
        words = f"{words}|w0: after 1 min"  # what is left of its own time passes in between
    with pytest.raises(WaitFailed, match=words) as caught:
        run(cluster, names=("w0",), said=said, keeper=keeper, drain=DrainOptions(timeout=60), restart_timeout=60)
    assert [(n["outcome"], n["reason"]) for n in caught.value.progress["nodes"]] == [("failed", "NotDrained")]
    assert ("w0 is cordoned and being emptied" in said) is (is_cordoned or bool(period))
    assert cordoned(cluster) == marks(cluster) == set()  # as any node that was not asked to restart yet


def test_a_node_that_changes_while_it_is_given_up_is_given_up_at_the_next_look():
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    keeper.request = GateRequest(timeout=100)
    keeper.find_hold = lambda: Hold(words="a rollout runs") if cluster.now >= 5 else None
    cluster.refused["web-w0"], cluster.conflict_from = 10**9, 50
    with pytest.raises(WaitFailed, match="w0: paused for 1 min 40 s in which"):
        run(cluster, names=("w0",), keeper=keeper)
    assert cordoned(cluster) == marks(cluster) == set()


def refuse(error, words):
    def check():
        raise error(words)

    return check


@pytest.mark.parametrize(
    ("way", "checks"), [(Way.RESTART, ["Gates", "Quiet"]), (Way.DRAIN, ["Gates", "Quiet"]), (Way.RETURN, [])]
)
def test_check_mode_tells_what_the_gates_would_refuse(way, checks):
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    if way is Way.RETURN:
        run(cluster, names=("w0",), way=Way.DRAIN)
    keeper.require_gates = refuse(InvalidOption, "The expression is not JMESPath.")
    keeper.require_quiet = refuse(Refused, "No node was touched: a rollout runs.")
    findings = run(cluster, names=("w0",), way=way, keeper=keeper, check_mode=True)["findings"]
    assert [f["check"] for f in findings if f["blocking"]] == checks
    if checks:
        with pytest.raises(InvalidOption, match="is not JMESPath"):
            run(cluster, names=("w0",), way=way, keeper=keeper)
    assert cordoned(cluster) == ({"w0"} if way is Way.RETURN else set())


def test_check_mode_asks_for_no_gates_where_nothing_is_left_to_do():
    cluster, keeper = Cluster("w0"), OpenGates()
    run(cluster, run_id="r1")
    keeper.require_gates = refuse(InvalidOption, "The expression is not JMESPath.")
    assert run(cluster, run_id="r1", keeper=keeper, check_mode=True)["findings"] == []


# -- node_drain and node_restart together


@pytest.mark.parametrize("is_restarted", [False, True], ids=["still empty", "restarted by hand"])
def test_a_node_that_node_drain_has_emptied_is_restarted_and_put_back_by_node_restart(is_restarted):
    cluster = Cluster("w0", "w1")
    run(cluster, names=("w0",), way=Way.DRAIN)
    mark = parse_mark_of(cluster, "w0")
    assert (mark.requested_at, mark.emptied_at is None) == (None, False)
    if is_restarted:
        cluster.reboots["w0"] = (cluster.now, cluster.now + 5)
        cluster.sleep(10)
    waited, keeper = [], OpenGates()
    keeper.wait = lambda batch, own: waited.append((list(batch), list(own)))
    result = run(cluster, names=("w0",), keeper=keeper, restart_timeout=60)
    assert [n["outcome"] for n in result["nodes"]] == ["done"]
    assert cluster.restarts == {"w0": 1}
    assert waited == ([] if is_restarted else [(["w0"], ["w0"])])  # it is ours, and yet to restart
    assert cordoned(cluster) == marks(cluster) == set()
    assert leftovers(cluster) == []


def test_what_was_shown_before_a_node_was_emptied_is_no_proof_of_its_restart_by_other_means():
    cluster = Cluster("w0", "w1")
    cluster.sleep(100)
    run(cluster, names=("w0",), way=Way.DRAIN)
    cluster.stale.add("w0")
    cluster.reboots["w0"] = (cluster.now, cluster.now + 5)
    with pytest.raises(WaitFailed, match="w0: after 1 min: not Ready on it yet: shop/DaemonSet/web, shop/etcd-w0"):
        run(cluster, names=("w0",), way=Way.RETURN, restart_timeout=60)
    assert cordoned(cluster) == {"w0"}


def test_an_emptied_node_on_which_something_blocks_now_is_left_to_who_emptied_it():
    cluster = Cluster("w0", "w1")
    run(cluster, names=("w0",), way=Way.DRAIN)
    cluster.add_pod("late", "w0", kind="ReplicaSet")
    cluster.refused["late"] = 10**9
    with pytest.raises(WaitFailed, match="w0: after 30 s: 1 pod"):
        run(cluster, names=("w0",), way=Way.DRAIN, drain=DrainOptions(timeout=30))
    assert cordoned(cluster) == marks(cluster) == {"w0"}


def test_a_node_that_is_to_be_put_back_and_fails_stays_cordoned():
    cluster = Cluster("w0", "w1")
    interrupt(cluster, "w0 is cordoned and being emptied", names=("w0",), way=Way.DRAIN)
    with pytest.raises(WaitFailed, match="w0: after 10 s: it has not restarted"):
        run(cluster, names=("w0",), way=Way.RETURN, restart_timeout=10)
    assert cordoned(cluster) == marks(cluster) == {"w0"}


def test_nodes_that_are_put_back_pass_no_gate():
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    run(cluster, names=("w0",), way=Way.DRAIN, keeper=keeper)
    assert keeper.asked == 1
    keeper.wait = keeper.require_quiet = None
    assert run(cluster, names=("w0",), way=Way.RETURN, requires_restart=False, keeper=keeper)["changed"]


def test_the_node_of_a_single_node_cluster_is_not_called_empty():
    cluster, said = Cluster("m0"), []
    run(cluster, names=("m0",), way=Way.DRAIN, said=said)
    assert "m0 is cordoned with its pods on it, for there is no other node" in said
    assert not [line for line in said if "empty" in line]
    assert [what for _at, what, _name in cluster.deeds] == ["cordon"]
    cluster.reboots["m0"] = (cluster.now, cluster.now + 5)
    run(cluster, names=("m0",), way=Way.RETURN)
    run(cluster, names=("m0",), said=said)
    assert "m0 is restarted with its pods on it, for there is no other node" in said
    assert cluster.restarts == {"m0": 2}


# -- failures


def test_what_the_last_step_of_a_failed_node_took_and_sent_away_is_told():
    cluster = Cluster("w0", "w1")
    cluster.add_pod("other", "w0", kind="ReplicaSet", is_ready=False)
    cluster.refused["web-w0"] = 10**9
    with pytest.raises(WaitFailed) as caught:
        run(cluster, names=("w0",), drain=DrainOptions(timeout=30))
    (node,) = caught.value.progress["nodes"]
    assert (node["outcome"], node["evicted"]) == ("failed", 1)
    assert node["seconds"]["draining"] >= 30


FAILING = {"restart_timeout": 60, "max_failures": 1}


def test_a_failed_node_that_is_left_cordoned_does_not_keep_others_waiting_in_vain():
    cluster, keeper = Cluster("w0", "w1", "w2"), OpenGates()
    cluster.broken.add("w0")
    words = (
        r"1 node\(s\) failed: w0: after 1 min: .* 2 node\(s\) were not begun\. There is no room beside that for w1, whatever "
        r"max_failures says: unavailable of all nodes, of which 1 may be \(max_unavailable\): w0\. Mend them and run it again"
    )
    with pytest.raises(WaitFailed, match=words):
        run(cluster, keeper=keeper, **FAILING)
    assert cordoned(cluster) == {"w0"}
    assert cluster.restarts == {}


def test_as_many_nodes_go_on_as_there_is_room_for_beside_a_failed_one():
    cluster, said = Cluster("w0", "w1", "w2", "w3"), []
    cluster.broken.add("w0")
    with pytest.raises(
        WaitFailed, match=r"^1 node\(s\) failed: w0: [^.]*\. Mend them and run it again: it goes on where it"
    ):
        run(cluster, said=said, max_unavailable="2", **FAILING)
    assert [line.partition("next: ")[2] for line in said if "next: " in line] == ["w0, w1", "w2", "w3"]
    assert cluster.restarts == {"w1": 1, "w2": 1, "w3": 1}
    assert cordoned(cluster) == {"w0"}


def test_what_was_begun_before_goes_on_whatever_room_a_failed_node_takes():
    cluster = Cluster("w0", "w1", "w2")
    cluster.broken.add("w0")
    with pytest.raises(WaitFailed):
        run(cluster, only=("w0",), restart_timeout=60)
    interrupt(cluster, "w1 restarts within", only=("w1",), max_unavailable="2", **FAILING)
    run(cluster, only=("w1",), **FAILING)
    assert cluster.restarts == {"w1": 1}
    interrupt(cluster, "w2 is cordoned and", only=("w2",), max_unavailable="2", **FAILING)
    with pytest.raises(WaitFailed, match=r"^1 node\(s\) failed: w0: [^.]*\. Mend them"):
        run(cluster, only=("w2",), **FAILING)
    assert cluster.restarts == {"w1": 1, "w2": 1}


def test_a_failed_node_that_was_put_back_takes_no_room():
    cluster = Cluster("w0", "w1")
    cluster.broken.add("w0")
    with pytest.raises(WaitFailed, match=r"^1 node\(s\) failed: w0: [^.]*\. Mend them"):
        run(cluster, on_failure="put_back", **FAILING)
    assert cluster.restarts == {"w1": 1}
    assert cordoned(cluster) == set()


def test_with_the_room_gate_skipped_a_failed_node_takes_no_room():
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    keeper.request = GateRequest(skip=frozenset({"room"}))
    cluster.broken.add("w0")
    with pytest.raises(WaitFailed):
        run(cluster, keeper=keeper, **FAILING)
    assert cluster.restarts == {"w1": 1}


def test_emptying_nodes_fails_when_more_have_failed_than_may():
    cluster = Cluster("w0", "w1", "w2")
    cluster.add_pod("stuck", "w0", kind="ReplicaSet", is_ready=False)
    cluster.refused["stuck"] = 10**9
    options = {"names": ("w0", "w1"), "way": Way.DRAIN, "drain": DrainOptions(timeout=30)}
    result = run(cluster, max_failures=1, **options)
    assert {n["name"]: n["outcome"] for n in result["nodes"]} == {"w0": "failed", "w1": "restarting"}
    with pytest.raises(WaitFailed, match=r"1 node\(s\) failed: w0: "):
        run(cluster, **options)


def test_nodes_that_are_emptied_together_are_not_begun_one_by_one_beside_a_failed_one():
    cluster = Cluster("w0", "w1", "w2", "w3")
    cluster.refused["web-w0"] = 10**9
    limits = {"max_unavailable": "2", "max_failures": 1, "on_failure": "leave", "drain": DrainOptions(timeout=30)}
    run(cluster, names=("w0",), way=Way.DRAIN, **limits)
    words = r"no room beside that for w1, w2, .* of which 2 may be \(max_unavailable\): w0\."
    with pytest.raises(WaitFailed, match=words):
        run(cluster, names=("w1", "w2"), way=Way.DRAIN, **limits)
    assert cordoned(cluster) == {"w0"}
    run(cluster, names=("w1",), way=Way.DRAIN, **limits)
    assert cordoned(cluster) == {"w0", "w1"}


# -- one task after the other


def test_a_task_that_begins_some_nodes_names_no_others():
    cluster, said = Cluster("w0", "w1", "w2"), []
    run(cluster, max_unavailable="3", only=("w1",), said=said)
    assert [line.partition("next: ")[2] for line in said if "next: " in line] == ["w1"]
    assert cluster.restarts == {"w1": 1}


CANARY = {"has_canary": True, "canary_pause": 600, "max_unavailable": "3"}


def cordons(cluster):
    return {name: at for at, what, name in cluster.deeds if what == "cordon"}


def returns(cluster):
    return {name: at for at, what, name in cluster.deeds if what == "uncordon"}


def test_the_others_wait_for_the_pause_after_the_canary():
    cluster, said = Cluster("w0", "w1", "w2"), []
    run(cluster, said=said, **CANARY)
    assert 600 <= cordons(cluster)["w1"] - returns(cluster)["w0"] <= 606
    assert [line[:13] for line in said if "paus" in line] == ["pausing for 9"]
    assert cluster.now - returns(cluster)["w1"] < 100  # and no other pause


def test_no_other_node_is_begun_when_the_canary_fails_until_another_one_has_gone_well():
    cluster, limits = Cluster("w0", "w1", "w2", "w3"), {**CANARY, **FAILING, "canary_pause": 0}
    cluster.broken.add("w0")
    with pytest.raises(
        WaitFailed, match=r"^1 node\(s\) failed: w0: .* 3 node\(s\) were not begun\. Mend them and run it again"
    ):
        run(cluster, **limits)
    assert cluster.restarts == {}
    cluster.broken = {"w2"}
    with pytest.raises(WaitFailed, match=r"^1 node\(s\) failed: w2: "):
        run(cluster, **limits)
    assert cluster.restarts == {"w0": 1, "w1": 1, "w3": 1}


@pytest.mark.parametrize("seconds", [100, 1000], ids=["within the pause", "after it"])
def test_the_pause_is_kept_by_the_next_run_and_not_taken_twice(seconds):
    cluster = Cluster("w0", "w1", "w2")

    def end(line):
        if line.startswith("pausing"):
            raise Killed

    with pytest.raises(Killed):
        run(cluster, say=end, **CANARY)
    done_at = returns(cluster)["w0"]
    cluster.sleep(seconds)
    begun_at = cluster.now
    run(cluster, new_id="second", **CANARY)
    expected = max(begun_at, done_at + 600)
    assert expected <= cordons(cluster)["w1"] <= expected + 10
    assert abs(cordons(cluster)["w1"] - cordons(cluster)["w2"]) < 2  # no second canary
    assert cluster.restarts == {"w0": 1, "w1": 1, "w2": 1}


def test_a_canary_that_was_killed_on_its_way_is_the_canary_of_the_next_run():
    cluster = Cluster("w0", "w1", "w2")

    def end(line):
        if "restarts within" in line:
            raise Killed

    with pytest.raises(Killed):
        run(cluster, say=end, **CANARY)
    result = run(cluster, new_id="second", **CANARY)
    assert result["batches"] == [["w0"], ["w1", "w2"]]
    assert 600 <= cordons(cluster)["w1"] - returns(cluster)["w0"] <= 606


def test_the_pause_is_kept_when_nobody_noted_that_the_canary_was_done():
    cluster = Cluster("w0", "w1", "w2")
    put_back = cluster.merge_patch

    def end(*arguments, **options):
        found = put_back(*arguments, **options)
        if returns(cluster):
            raise Killed
        return found

    cluster.merge_patch = end
    with pytest.raises(Killed):
        run(cluster, **CANARY)
    cluster.merge_patch, begun_at = put_back, cluster.now
    run(cluster, new_id="second", **CANARY)
    assert 600 <= cordons(cluster)["w1"] - begun_at <= 606


def test_emptying_nodes_keeps_the_pause_after_the_first_node_of_the_run():
    cluster = Cluster("w0", "w1", "w2")
    run(cluster, only=())
    run(cluster, names=("w0",), way=Way.DRAIN, canary_pause=600)
    run(cluster, names=("w0",), way=Way.RETURN, requires_restart=False, canary_pause=600)
    run(cluster, names=("w1",), way=Way.DRAIN, canary_pause=600)
    assert 600 <= cordons(cluster)["w1"] - returns(cluster)["w0"] <= 606


# -- what nodes are restarted for


def rotate(cluster, run_id, *, finished_at):
    """The record of a rotation whose rollout ended so many seconds from now."""
    store = RecordStore(cluster=cluster, namespace="bound-tokens")
    store.read()
    store.write(RunRecord(run_id=run_id, issuer="https://x", finished_at=cluster.moment(finished_at)))


def interrupt(cluster, words, **options):
    """A run that is killed when it says so."""

    def end(line):
        if words in line:
            raise Killed

    with pytest.raises(Killed):
        run(cluster, say=end, **options)


@pytest.mark.parametrize(
    ("run_id", "finished_at", "count"),
    [("two", 0, 2), ("two", -(10**6), 1), ("one", -(10**6), 1), ("one", 0, 2)],
    ids=["another issuer", "the same rollout", "the same run", "the same run whose issuer was set again"],
)
def test_nodes_that_were_restarted_for_something_else_are_restarted_again(run_id, finished_at, count):
    cluster = Cluster("w0", "w1")
    rotate(cluster, "one", finished_at=-1)
    interrupt(cluster, "w0 is done", run_id="one")
    cluster.sleep(100)
    rotate(cluster, run_id, finished_at=finished_at)
    result = run(cluster, run_id=run_id, take_over=True)
    assert cluster.restarts == {"w0": count, "w1": 1}
    assert [n["outcome"] for n in result["nodes"]] == ["done", "done"]
    assert cordoned(cluster) == marks(cluster) == set()
    assert not run(cluster, run_id=run_id)["changed"]


def test_a_node_that_was_on_its_way_for_something_else_is_put_back_and_restarted_again():
    cluster = Cluster("w0", "w1")
    rotate(cluster, "one", finished_at=-1)
    interrupt(cluster, "w0 restarts within", run_id="one")
    cluster.sleep(100)
    rotate(cluster, "two", finished_at=0)
    result = run(cluster, run_id="two", take_over=True)
    assert cluster.restarts == {"w0": 2, "w1": 1}
    assert [n["outcome"] for n in result["nodes"]] == ["done", "done"]
    assert cordoned(cluster) == marks(cluster) == set()


def test_without_a_rotation_a_run_that_takes_over_leaves_alone_what_is_done():
    cluster = Cluster("w0", "w1")
    interrupt(cluster, "w0 is done", run_id="one")
    rotate(cluster, "another", finished_at=10**6)
    run(cluster, run_id="two", take_over=True)
    assert cluster.restarts == {"w0": 1, "w1": 1}


# -- the run itself, and others at work


def test_the_node_of_the_runs_own_pod_is_refused_before_the_first_cordon_unless_that_is_meant():
    cluster = Cluster("m0", "w0", "w1")
    cluster.own_uid = cluster.objects["Pod"]["shop", "web-w0"]["metadata"]["uid"]
    with pytest.raises(Refused) as caught:
        run(cluster)
    assert caught.value.message == (
        "No node was touched, because: w0: this run is in shop/web-w0, which is on it, and ends with that pod; "
        "run it from elsewhere, leave the node out, or set allow_disruption to true and run it again then: another run goes "
        "on where it stopped."
    )
    assert cluster.deeds == []
    plan = run(cluster, check_mode=True)
    assert ("OwnPod", "allow_disruption", True) in [(f["check"], f["option"], f["blocking"]) for f in plan["findings"]]
    run(cluster, names=("w1",))
    assert cluster.restarts == {"w1": 1}
    result = run(cluster, names=("w0", "w1"), allow_disruption=True)
    assert result["batches"] == [["w1"], ["w0"]]
    assert [f["blocking"] for f in result["findings"] if f["check"] == "OwnPod"] == [False]


def test_the_runs_own_pod_does_not_outlive_the_restart_of_the_only_node_either():
    cluster = Cluster("m0")
    cluster.own_uid = cluster.objects["Pod"]["shop", "agent-m0"]["metadata"]["uid"]
    with pytest.raises(Refused, match="m0: this run is in shop/agent-m0"):
        run(cluster)


UPDATING = {"machineconfiguration.openshift.io/state": "Working"}


def update(cluster, name, *, is_over=False):
    """The machine-config daemon begins to work on a node, or has done so."""
    node = cluster.objects["Node"][None, name]
    merge(node, {"metadata": {"annotations": dict.fromkeys(UPDATING) if is_over else dict(UPDATING)}})
    node["metadata"]["resourceVersion"] = str(next(cluster.versions))


def test_a_node_that_the_machine_config_operator_takes_after_the_gates_is_left_to_it():
    cluster, said, keeper = Cluster("w0", "w1"), [], OpenGates()
    keeper.wait = lambda batch, own: update(cluster, "w0")
    sleep = cluster.sleep

    def end_later(seconds):
        sleep(seconds)
        if cluster.now >= 300:
            update(cluster, "w0", is_over=True)

    cluster.sleep = end_later
    run(cluster, names=("w0",), said=said, keeper=keeper)
    words = "w0 is left alone: the machine-config operator is at work on it: the machine-config daemon reports Working"
    assert said.count(words) == 1
    assert cordons(cluster)["w0"] >= 300
    assert cluster.restarts == {"w0": 1}


def test_an_update_that_does_not_end_in_time_is_told_and_its_node_not_touched():
    cluster, said, keeper = Cluster("w0", "w1"), [], OpenGates()
    keeper.wait = lambda batch, own: update(cluster, "w0")
    words = "w0: after 1 min: the machine-config operator is at work on it: the machine-config daemon reports Working"
    with pytest.raises(WaitFailed, match=words):
        run(cluster, names=("w0",), said=said, keeper=keeper, drain=DrainOptions(timeout=60))
    assert cluster.deeds == []
    assert [line for line in said if "FAILED" in line] == [
        f"w0 FAILED and is left as it is: {words.partition(': ')[2]}"
    ]


def test_a_node_that_the_machine_config_operator_takes_while_it_is_drained_is_not_uncordoned():
    cluster = Cluster("w0", "w1")
    cluster.refused["web-w0"] = 10**9

    def take(line):
        if "being emptied" in line:
            update(cluster, "w0")

    with pytest.raises(WaitFailed, match="w0: after 30 s: the machine-config operator is at work on it"):
        run(cluster, names=("w0",), say=take, drain=DrainOptions(timeout=30))
    assert cordoned(cluster) == {"w0"}
    assert [what for _at, what, _name in cluster.deeds] == ["cordon"]


def test_the_cordon_stays_while_the_machine_config_operator_is_at_work_on_a_node_that_has_restarted():
    cluster, keeper = Cluster("w0", "w1"), OpenGates()
    boot = cluster.boot
    cluster.boot = lambda name: (boot(name), update(cluster, name))
    with pytest.raises(
        WaitFailed, match="w0: after 1 min: it is well, and the machine-config operator is at work on it"
    ):
        run(cluster, names=("w0",), restart_timeout=60)
    assert cordoned(cluster) == {"w0"}
    keeper.request = GateRequest(skip=frozenset({"pools"}))
    run(cluster, names=("w0",), keeper=keeper, restart_timeout=60)
    assert cordoned(cluster) == set()
    assert cluster.restarts == {"w0": 1}
