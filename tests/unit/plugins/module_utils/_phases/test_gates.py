# SPDX-License-Identifier: GPL-3.0-or-later
"""The gatekeeper in front of a small OpenShift that is quiet until a test disturbs it. Nothing here sleeps."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _gate_facts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    InvalidOption,
    Refused,
    WaitFailed,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import MARK, NodeMark
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.gates import Gatekeeper
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.gates import (
    GateRequest,
    ProbeGate,
    ResourceGate,
    parse_window,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.nodes import NodeRequest

START = datetime(2026, 11, 22, 22, 0, tzinfo=timezone.utc)
ISSUER = "https://kubernetes.default.svc"
CONFIG = json.dumps({"apiServerArguments": {"service-account-issuer": [ISSUER]}})


def api_error(status, *, reason="", target="it"):
    return ApiError(verb="read", target=target, host="h", status=status, words="no", reason=reason)


def named(name, *, namespace=None, labels=None, annotations=None, spec=None, status=None):
    metadata = {"name": name, "uid": name, "labels": labels or {}, "annotations": annotations or {}}
    return {
        "metadata": {**metadata, "namespace": namespace} if namespace else metadata,
        "spec": spec or {},
        "status": status or {},
    }


def conditions(**statuses):
    return {"conditions": [{"type": t, "status": s, "message": f"{t} it is."} for t, s in statuses.items()]}


def static_pod(app, node, namespace):
    return named(
        f"{app}-{node}",
        namespace=namespace,
        labels={"app": app},
        annotations={"kubernetes.io/config.mirror": "x"},
        spec={"nodeName": node},
        status=conditions(Ready="True"),
    )


class OpenShift:
    """A cluster and its clock. ``events`` are what happens at which second."""

    def __init__(self, *, is_openshift=True):
        self.now, self.events, self.asked, self.slept = 0.0, [], [], []
        self.is_openshift, self.tells_time = is_openshift, True
        masters, workers = [f"master-{n}" for n in range(3)], [f"worker-{n}" for n in range(3)]
        node_status = conditions(Ready="True")
        self.objects = {
            "Node": [
                named(n, labels={f"node-role.kubernetes.io/{n.partition('-')[0]}": ""}, status=node_status)
                for n in (*masters, *workers)
            ],
            "MachineConfigPool": [
                named(p, spec={"nodeSelector": {"matchLabels": {f"node-role.kubernetes.io/{p}": ""}}})
                for p in ("master", "worker")
            ],
            "PodDisruptionBudget": [
                named("cart", namespace="shop", status={"currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 3})
            ],
            "ClusterOperator": [
                named(o, status=conditions(Available="True", Progressing="False", Degraded="False"))
                for o in ("dns", "ingress")
            ],
            "ClusterVersion": [named("version", status=conditions(Progressing="False"))],
            "Authentication": [named("cluster")],
            "KubeAPIServer": [
                named(
                    "cluster",
                    spec={"observedConfig": {"apiServerArguments": {"service-account-issuer": [ISSUER]}}},
                    status={
                        "latestAvailableRevision": 7,
                        "serviceAccountIssuers": [{"name": ISSUER}],
                        "nodeStatuses": [{"nodeName": m, "currentRevision": 7} for m in masters],
                        **conditions(
                            NodeInstallerProgressing="False", StaticPodsAvailable="True", NodeInstallerDegraded="False"
                        ),
                    },
                )
            ],
            "ConfigMap": [{**named("config-7", namespace="openshift-kube-apiserver"), "data": {"config.yaml": CONFIG}}],
            "Pod": [
                *(static_pod("etcd", m, "openshift-etcd") for m in masters),
                *(static_pod("openshift-kube-apiserver", m, "openshift-kube-apiserver") for m in masters),
                named("etcd-guard-master-1", namespace="openshift-etcd", labels={"app": "guard"}),
                named("web", namespace="openshift-etcd", labels={"app": "etcd"}, spec={"nodeName": "worker-0"}),
            ],
        }
        if not is_openshift:
            self.objects = {"Node": self.objects["Node"], "PodDisruptionBudget": [], "Pod": []}
        self.documents = {}

    # the clock

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0, "a sleep of no time makes a loop of no end"
        self.slept.append(seconds)
        self.now += seconds
        while self.events and self.events[0][0] <= self.now:
            self.events.pop(0)[1]()

    def at(self, second, act):
        self.events.append((second, act))

    # the client

    def find(self, kind):
        self.asked.append(kind)
        if kind not in self.objects:
            raise api_error(404, target=kind)
        found = self.objects[kind]
        if isinstance(found, Exception):
            raise found
        return copy.deepcopy(found)

    def list(self, kind, namespace=None, *, label_selector="", field_selector=""):
        key, _equals, value = label_selector.partition("=")
        return iter(
            o
            for o in self.find(kind)
            if namespace in (None, o["metadata"].get("namespace"))
            and (not key or o["metadata"]["labels"].get(key) == value)
        )

    def list_at(self, kind, namespace=None, *, read, **selectors):
        return "1", [read(o) for o in self.list(kind, namespace, **selectors)]

    def get(self, kind, name, namespace=None):
        return next((o for o in self.list(kind, namespace) if o["metadata"]["name"] == name), None)

    def require(self, kind, name, namespace=None):
        found = self.get(kind, name, namespace)
        if found is None:
            raise api_error(404, reason="NotFound")
        return found

    def get_document(self, path, query=None):
        self.asked.append(path)
        found = self.documents.get(path, api_error(404, target=path))
        if isinstance(found, Exception):
            raise found
        return copy.deepcopy(found)

    def server_time(self):
        self.asked.append("time")
        return START + timedelta(seconds=self.now) if self.tells_time else None

    # what happens to it

    def object(self, kind, name):
        return next(o for o in self.objects[kind] if o["metadata"]["name"] == name)

    def say(self, kind, name, **statuses):
        """Change conditions of an object."""
        for condition in self.object(kind, name)["status"]["conditions"]:
            condition["status"] = statuses.get(condition["type"], condition["status"])


@pytest.fixture
def cluster():
    return OpenShift()


def keep(cluster, *, limits=None, **given):
    """A gatekeeper that keeps what it says and warns of."""
    lines, warnings = [], []
    keeper = Gatekeeper(
        cluster=cluster,
        request=GateRequest(**{"timeout": 600, "stable_seconds": 0, **given}),
        node_request=limits or NodeRequest(),
        clock=cluster,
        say=lines.append,
        warn=warnings.append,
    )
    return keeper, lines, warnings


W, M = ["worker-0"], ["master-0"]


@pytest.mark.parametrize("batch", [W, M, ["worker-0", "worker-1", "worker-2"]])
@pytest.mark.parametrize("is_openshift", [True, False])
def test_nothing_is_said_and_nobody_sleeps_where_all_is_quiet(batch, is_openshift):
    cluster = OpenShift(is_openshift=is_openshift)
    keeper, lines, warnings = keep(cluster)
    keeper.require_quiet()
    keeper.wait(batch, [])
    assert (lines, warnings, cluster.slept) == ([], [], [])


def test_gates_stay_open_for_their_time_first(cluster):
    keeper, lines, _warnings = keep(cluster, stable_seconds=10)
    keeper.require_quiet()
    keeper.wait(W, [])
    assert cluster.now == 10
    assert len(cluster.slept) > 5  # looked at again and again meanwhile
    assert lines == []


def disturb_operator(cluster):
    cluster.say("ClusterOperator", "ingress", Progressing="True")


def calm_operator(cluster):
    cluster.say("ClusterOperator", "ingress", Progressing="False")


def test_a_wait_is_told_at_its_beginning_at_each_change_of_reason_and_at_its_end(cluster):
    keeper, lines, _warnings = keep(cluster, stable_seconds=10)
    keeper.require_quiet()
    disturb_operator(cluster)
    budget = cluster.object("PodDisruptionBudget", "cart")["status"]
    cluster.at(20, lambda: [calm_operator(cluster), budget.update(currentHealthy=1)])
    cluster.at(60, lambda: budget.update(currentHealthy=2))
    cluster.at(66, lambda: budget.update(currentHealthy=1))
    cluster.at(71, lambda: budget.update(currentHealthy=2))
    keeper.wait(["worker-0", "worker-1"], [])
    assert cluster.now >= 81
    told = [line.rpartition(", ")[0] if line.endswith(" s") and "waiting" in line else line for line in lines]
    assert lines[0] == "waiting before worker-0, worker-1: ClusterOperator ingress is progressing: Progressing it is"
    assert told[1:-1] == [
        "waiting before worker-0, worker-1: budget shop/cart has 1 healthy pods of the 2 that it needs",
        "waiting before worker-0, worker-1: budget shop/cart has 1 healthy pods of the 2 that it needs",
    ]
    assert lines[-1].startswith("going on with worker-0, worker-1 after 1 min ")


def test_an_error_that_passes_is_borne_and_the_time_of_stability_begins_anew(cluster):
    keeper, lines, _warnings = keep(cluster, stable_seconds=10)
    keeper.require_quiet()
    operators = cluster.objects["ClusterOperator"]
    cluster.at(4, lambda: cluster.objects.update(ClusterOperator=api_error(503)))
    cluster.at(7, lambda: cluster.objects.update(ClusterOperator=operators))
    keeper.wait(W, [])
    assert cluster.now >= 17
    assert lines == []


def test_at_the_start_an_error_that_passes_is_borne_too(cluster):
    keeper, _lines, _warnings = keep(cluster, gates=(CEPH,))
    cluster.documents["/apis/ceph.rook.io/v1"] = api_error(503)
    operators = cluster.objects["ClusterOperator"]
    cluster.objects["ClusterOperator"] = api_error(503)
    cluster.at(2, lambda: cluster.documents.update({"/apis/ceph.rook.io/v1": KIND}))
    cluster.at(6, lambda: cluster.objects.update(ClusterOperator=operators))
    keeper.require_gates()
    assert cluster.now >= 2
    keeper.require_quiet()
    assert cluster.now >= 6


def test_credentials_that_were_accepted_once_may_be_refused_for_a_while(cluster):
    keeper, _lines, _warnings = keep(cluster, stable_seconds=5)
    keeper.require_quiet()
    operators = cluster.objects["ClusterOperator"]
    cluster.at(3, lambda: cluster.objects.update(ClusterOperator=api_error(401)))
    cluster.at(200, lambda: cluster.objects.update(ClusterOperator=operators))
    keeper.wait(W, [])
    assert cluster.now >= 205


def test_a_budget_that_was_satisfied_at_the_start_must_be_so_before_the_first_node(cluster):
    keeper, _lines, _warnings = keep(cluster, timeout=10)
    keeper.require_quiet()
    cluster.object("PodDisruptionBudget", "cart")["status"]["currentHealthy"] = 1
    with pytest.raises(WaitTimedOut, match="budget shop/cart has 1 healthy pods"):
        keeper.wait(W, [])


@pytest.mark.parametrize("phase", ["require_quiet", "wait"])
def test_an_error_that_stays_is_raised(cluster, phase):
    keeper, _lines, _warnings = keep(cluster)
    cluster.objects["ClusterOperator"] = api_error(403, target="clusteroperators")
    with pytest.raises(ApiError, match="clusteroperators"):
        keeper.require_quiet() if phase == "require_quiet" else keeper.wait(W, [])
    keeper, _lines, _warnings = keep(cluster, skip=frozenset({"operators"}))
    keeper.require_quiet()
    keeper.wait(W, [])


def test_gates_that_do_not_open_in_time_fail_the_wait(cluster):
    keeper, _lines, _warnings = keep(cluster, timeout=60)
    keeper.require_quiet()
    disturb_operator(cluster)
    with pytest.raises(WaitTimedOut) as caught:
        keeper.wait(["worker-0"], [])
    assert caught.value.message == (
        "Waiting for the gates before worker-0 did not end within 60 s; last seen: ClusterOperator ingress is progressing: "
        "Progressing it is"
    )
    assert cluster.now == 60


def test_a_window_that_closes_ends_the_wait(cluster):
    keeper, _lines, _warnings = keep(cluster, window=parse_window("22:00-22:01"))
    keeper.require_quiet()
    disturb_operator(cluster)
    with pytest.raises(
        WaitFailed, match=r"^Waiting for the gates before worker-0 ended: the time window 22:00-22:01 is"
    ):
        keeper.wait(W, [])
    assert 60 <= cluster.now < 70
    cluster.now = 90
    keeper.wait(W, W)  # begun before: it is finished
    with pytest.raises(Refused, match="the time window 22:00-22:01 is closed at 2026-11-22T22:01:30Z; run it again"):
        keeper.require_quiet()


def test_nobody_asks_for_the_time_without_need(cluster):
    keeper, _lines, _warnings = keep(cluster)
    keeper.require_quiet()
    keeper.wait(W, [])
    assert "time" not in cluster.asked
    cluster.tells_time = False
    keeper, _lines, _warnings = keep(cluster, deadline=START)
    with pytest.raises(Refused, match="no API server tells the time"):
        keeper.require_quiet()


def start_rollout(cluster):
    cluster.object("KubeAPIServer", "cluster")["status"]["nodeStatuses"][0]["targetRevision"] = 8


def test_a_rollout_that_runs_holds_nodes_up_unless_nobody_minds(cluster):
    keeper, _lines, _warnings = keep(cluster)
    assert keeper.find_hold() is None
    start_rollout(cluster)
    hold = keeper.find_hold()
    assert hold.words.startswith("a rollout runs: 2 of 3 nodes are at revision 7: master-0 at 7 (going to 8)")
    assert hold.places == {("master-0", 7, 8), ("master-1", 7, 0), ("master-2", 7, 0)}
    cluster.object("KubeAPIServer", "cluster")["status"]["nodeStatuses"][0]["lastFailedCount"] = 3
    assert keeper.find_hold().places == hold.places
    keeper, _lines, _warnings = keep(cluster, skip=frozenset({"rollout"}))
    assert keeper.find_hold() is None


UNREST = {
    "update": lambda c: c.say("ClusterVersion", "version", Progressing="True"),
    "rollout": start_rollout,
    "pools": lambda c: c.object("MachineConfigPool", "master").update(status=conditions(Degraded="True")),
}


@pytest.mark.parametrize("gate", UNREST)
def test_a_run_does_not_begin_into_unrest(cluster, gate):
    UNREST[gate](cluster)
    keeper, _lines, _warnings = keep(cluster)
    with pytest.raises(Refused, match=rf"^No node was touched: .*\(it is not looked at with {gate} in skip_gates\)\.$"):
        keeper.require_quiet()
    mark = NodeMark(run_id="r", boot_id="b").dump()
    cluster.object("Node", "worker-0")["metadata"]["annotations"][MARK] = mark
    keeper.run_ids = frozenset({"other"})
    with pytest.raises(Refused):  # those of another run are not
        keeper.require_quiet()
    keeper.run_ids = frozenset({"r", "other"})
    keeper.require_quiet()  # nodes in the middle are finished first
    keeper, _lines, _warnings = keep(cluster, skip=frozenset({gate}))
    keeper.require_quiet()
    keeper.wait(W, [])


def test_a_run_is_refused_with_all_reasons_and_many_of_them_are_counted(cluster):
    for disturb in UNREST.values():
        disturb(cluster)
    for node in cluster.objects["Node"]:
        node["metadata"]["annotations"] = {"machineconfiguration.openshift.io/state": "Working"}
    keeper, _lines, _warnings = keep(cluster)
    with pytest.raises(Refused) as caught:
        keeper.require_quiet()
    words = caught.value.message
    assert "the cluster is being updated" in words
    assert "a rollout of the kube-apiservers is running" in words
    assert "MachineConfigPool master is degraded" in words
    assert words.endswith("; and 4 more.")
    assert words.count("(it is not looked at") == 5


def test_what_was_so_at_the_start_is_named_once_and_not_held_against_the_run(cluster):
    disturb_operator(cluster)
    cluster.object("PodDisruptionBudget", "cart")["status"]["currentHealthy"] = 1
    cluster.object("MachineConfigPool", "worker")["spec"]["paused"] = True
    keeper, lines, warnings = keep(cluster)
    keeper.require_quiet()
    keeper.wait(["worker-0"], [])
    keeper.wait(["worker-1"], [])
    assert lines == []
    assert [w[:40] for w in warnings] == [
        "MachineConfigPool worker is paused; a re",
        "ClusterOperator ingress is progressing: ",
    ]


@pytest.mark.parametrize("thing", ["operator", "budget"])
def test_what_has_come_right_since_the_start_is_held_against_the_run(cluster, thing):
    budget = cluster.object("PodDisruptionBudget", "cart")["status"]

    def set_well(is_well):
        if thing == "operator":
            calm_operator(cluster) if is_well else disturb_operator(cluster)
        else:
            budget["currentHealthy"] = 2 if is_well else 1

    set_well(False)
    keeper, lines, _warnings = keep(cluster)
    keeper.require_quiet()
    set_well(True)
    keeper.wait(["worker-0"], [])
    set_well(False)
    cluster.at(30, lambda: set_well(True))
    keeper.wait(["worker-1"], [])
    assert cluster.now >= 30
    assert lines[0].startswith("waiting before worker-1: ")


@pytest.mark.parametrize("app", ["etcd", "openshift-kube-apiserver"])
def test_a_control_plane_node_waits_for_the_others_and_nobody_else_asks_for_them(cluster, app):
    keeper, lines, _warnings = keep(cluster)
    keeper.require_quiet()
    cluster.say("Pod", f"{app}-master-1", Ready="False")
    keeper.wait(W, [])
    assert "Pod" not in cluster.asked
    cluster.at(30, lambda: cluster.say("Pod", f"{app}-master-1", Ready="True"))
    keeper.wait(["master-1"], [])
    assert cluster.now == 0
    keeper.wait(["master-0"], [])
    assert cluster.now >= 30
    assert lines[0].startswith("waiting before master-0: the ")
    assert lines[0].endswith(" on master-1 is not Ready")


def test_a_static_pod_that_is_going_is_not_ready(cluster):
    cluster.object("Pod", "etcd-master-2")["metadata"]["deletionTimestamp"] = "2026-11-22T22:00:00Z"
    keeper, _lines, _warnings = keep(cluster, timeout=10)
    with pytest.raises(WaitTimedOut, match="the etcd member on master-2 is not Ready"):
        keeper.wait(M, [])


def test_a_node_with_our_mark_that_was_left_is_named(cluster):
    node = cluster.object("Node", "worker-1")
    node["spec"]["unschedulable"] = True
    node["metadata"]["annotations"][MARK] = NodeMark(run_id="r", boot_id="b").dump()
    keeper, lines, _warnings = keep(cluster, timeout=10)
    with pytest.raises(WaitTimedOut, match=r"of which 1 may be: worker-1$"):  # it may be anybody's
        keeper.wait(W, [])
    keeper.run_ids = frozenset({"r"})
    with pytest.raises(WaitTimedOut, match=r"worker-1 \(left cordoned by this run: worker-1\)"):
        keeper.wait(W, [])
    keeper, lines, _warnings = keep(cluster, timeout=10)
    keeper.wait(["worker-1"], [])
    keeper, lines, _warnings = keep(cluster, limits=NodeRequest(max_unavailable_per_pool="1"), skip=frozenset({"room"}))
    keeper.wait(W, [])
    assert lines == []


def test_skipped_gates_are_not_even_asked_for(cluster):
    everything = frozenset({"operators", "etcd", "pools", "budgets", "update", "rollout", "room"})
    keeper, _lines, _warnings = keep(cluster, skip=everything)
    keeper.require_quiet()
    keeper.wait(M, [])
    assert set(cluster.asked) == {"Node"}


def test_the_requests_of_a_look_are_few(cluster):
    keeper, _lines, _warnings = keep(cluster)
    keeper.wait(W, [])
    print(len(cluster.asked), "requests per look:", *cluster.asked)
    assert len(cluster.asked) <= 9


def test_a_hosted_control_plane_has_no_rollout_to_wait_for(cluster):
    cluster.object("KubeAPIServer", "cluster")["status"] = {}
    cluster.objects["Infrastructure"] = [named("cluster", status={"controlPlaneTopology": "External"})]
    keeper, _lines, _warnings = keep(cluster)
    keeper.require_quiet()
    keeper.wait(W, [])


CEPH = ResourceGate(
    description="storage",
    api_version="ceph.rook.io/v1",
    kind="CephCluster",
    namespace="rook",
    name="main",
    expression="status.health",
    value="HEALTH_OK",
)
CEPH_PATH = "/apis/ceph.rook.io/v1/namespaces/rook/cephclusters/main"
KIND = {"resources": [{"name": "cephclusters", "kind": "CephCluster", "namespaced": True}]}


def test_an_object_of_the_users_own_is_waited_for(cluster):
    ceph = {"metadata": {"name": "main", "namespace": "rook"}, "status": {"health": "HEALTH_WARN"}}
    cluster.documents = {"/apis/ceph.rook.io/v1": KIND}
    keeper, lines, _warnings = keep(cluster, gates=(CEPH,))
    keeper.require_gates()  # that there is none yet is nothing to refuse
    cluster.at(10, lambda: cluster.documents.update({CEPH_PATH: ceph}))
    cluster.at(40, lambda: ceph["status"].update(health="HEALTH_OK"))
    keeper.wait(W, [])
    assert cluster.now >= 40
    assert lines[0] == "waiting before worker-0: the gate storage is closed: there is no such object"
    assert cluster.asked.count("/apis/ceph.rook.io/v1") == 1


def test_why_an_object_of_the_users_own_is_not_as_it_should_be_is_told(cluster):
    ceph = {"metadata": {"name": "main", "namespace": "rook"}, "status": {"health": "HEALTH_WARN"}}
    cluster.documents = {"/apis/ceph.rook.io/v1": KIND, CEPH_PATH: ceph}
    keeper, _lines, _warnings = keep(cluster, gates=(CEPH,), timeout=10)
    with pytest.raises(
        WaitTimedOut, match=r'storage is closed: status.health is "HEALTH_WARN" in rook/main, not "HEALTH_OK"$'
    ):
        keeper.wait(W, [])


@pytest.mark.parametrize(
    ("gate", "error", "words"),
    [
        ({"kind": "CephClutter"}, InvalidOption, "The cluster has no CephClutter of ceph.rook.io/v1"),
        ({"namespace": None}, InvalidOption, "without its namespace"),
        ({"expression": "status["}, InvalidOption, "is not JMESPath"),
    ],
)
def test_a_gate_that_can_not_be_looked_at_is_refused_at_the_start(cluster, gate, error, words):
    cluster.documents = {"/apis/ceph.rook.io/v1": KIND}
    fields = {name: getattr(CEPH, name) for name in CEPH.__slots__}
    keeper, _lines, _warnings = keep(cluster, gates=(ResourceGate(**{**fields, **gate}),))
    with pytest.raises(error, match=words):
        keeper.require_gates()
    if "expression" not in gate:
        with pytest.raises(error, match=words):
            keeper.wait(W, [])


def test_an_expression_that_does_not_suit_the_object_yet_is_a_closed_gate(cluster):
    fields = {name: getattr(CEPH, name) for name in CEPH.__slots__}
    gate = ResourceGate(**{**fields, "expression": "length(status.osds)", "value": 3})
    ceph = {"metadata": {"name": "main", "namespace": "rook"}}
    cluster.documents = {"/apis/ceph.rook.io/v1": KIND, CEPH_PATH: ceph}
    keeper, lines, _warnings = keep(cluster, gates=(gate,))
    keeper.require_gates()
    cluster.at(10, lambda: ceph.update(status={"osds": [1, 2, 3]}))
    keeper.wait(W, [])
    assert lines[0].startswith(
        "waiting before worker-0: the gate storage is closed: length(status.osds) can't be told: In fun"
    )


def test_an_address_of_the_users_own_is_waited_for(cluster, monkeypatch):
    answers = [CollectionError("https://x does not answer: refused"), 503, 200]

    def fetch(url, *, ca_cert, validate_certs, timeout):
        assert (url, ca_cert, validate_certs, timeout) == ("https://x", "/ca", False, _gate_facts.PROBE_TIMEOUT)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_gate_facts, "fetch_status", fetch)
    probe = ProbeGate(description="web", url="https://x", ca_cert="/ca", validate_certs=False)
    keeper, lines, _warnings = keep(cluster, gates=(probe,))
    keeper.require_quiet()
    keeper.wait(W, [])
    assert answers == []
    assert lines[0] == "waiting before worker-0: the gate web is closed: https://x does not answer: refused"
