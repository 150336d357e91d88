# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    Condition,
    Outcome,
    RolloutVerdict,
    parse_time,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import (
    BudgetFacts,
    node_facts,
    pool_facts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan import gates
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.gates import (
    GATE_ARG_SPEC,
    GATE_NAMES,
    GATES,
    GateFacts,
    GateRequest,
    GateResult,
    GateVerdict,
    ProbeGate,
    ResourceGate,
    find_satisfied,
    find_unrest,
    find_unwell_operators,
    is_in_window,
    judge_answer,
    judge_gates,
    judge_objects,
    judge_stability,
    parse_window,
    read_gate_request,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.nodes import NodeRequest

NOW = datetime(2026, 11, 22, 23, 0, tzinfo=timezone.utc)
MCO = "machineconfiguration.openshift.io/"
DONE = {f"{MCO}currentConfig": "rendered-1", f"{MCO}desiredConfig": "rendered-1", f"{MCO}state": "Done"}


def node(name, *, annotations=None, ready=True, cordoned=False):
    """A node as the API shows it; its role is the first part of its name."""
    return node_facts(
        {
            "metadata": {
                "name": name,
                "labels": {f"node-role.kubernetes.io/{name.partition('-')[0]}": ""},
                "annotations": {**DONE, **(annotations or {})},
            },
            "spec": {"unschedulable": True} if cordoned else {},
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        }
    )


def pool(name, *, paused=False, **conditions):
    return pool_facts(
        {
            "metadata": {"name": name},
            "spec": {"nodeSelector": {"matchLabels": {f"node-role.kubernetes.io/{name}": ""}}, "paused": paused},
            "status": {
                "conditions": [{"type": t, "status": "True", "message": words} for t, words in conditions.items()]
            },
        }
    )


def operator(**differing):
    statuses = {"Available": "True", "Progressing": "False", "Degraded": "False", **differing}
    return {t: Condition(status=s, message=f"{t} it is.") for t, s in statuses.items() if s}


def budget(name="cart", *, healthy=2, desired=2):
    return BudgetFacts(namespace="shop", name=name, healthy=healthy, desired=desired, expected=3)


def verdict(outcome, message="1 of 3 nodes are at revision 12."):
    return RolloutVerdict(outcome=outcome, reason="x", message=message)


NODES = [node(name) for name in ("master-0", "master-1", "master-2", "worker-0", "worker-1", "worker-2")]
MASTERS = dict.fromkeys(("master-0", "master-1", "master-2"), True)
QUIET = GateFacts(
    nodes=NODES,
    pools=[pool("master"), pool("worker")],
    budgets=[budget()],
    operators={"dns": operator(), "ingress": operator()},
    updating=Condition(status="False", message="Cluster version is 4.20.1"),
    etcd_members=MASTERS,
    api_servers=MASTERS,
    rollout=verdict(Outcome.DONE),
    results=[GateResult(description="ceph")],
    now=NOW,
)


def with_node(name, **more):
    return [node(name, **more) if n.name == name else n for n in NODES]


def with_operator(**differing):
    return {"dns": operator(), "ingress": operator(**differing)}


W, M = ["worker-0"], ["master-0"]
MOVING = {f"{MCO}desiredConfig": "rendered-2"}

#: Name, batch, what differs from a quiet cluster, and the gate and words that it is told in; None for open.
CASES = [
    ("a quiet cluster, before a worker", W, {}, None),
    ("a quiet cluster, before a master", M, {}, None),
    ("not OpenShift", M, {"pools": (), "operators": {}, "updating": None, "etcd_members": {}, "api_servers": {}}, None),
    ("no rollout to be judged", M, {"rollout": None}, None),
    (
        "the cluster is updated",
        W,
        {"updating": Condition(status="True", message="Working towards 4.20.2: 3 of 9 done.")},
        ("update", "the cluster is being updated: Working towards 4.20.2: 3 of 9 done"),
    ),
    ("whether it is updated is not known", W, {"updating": Condition(status="Unknown")}, None),
    (
        "a rollout runs",
        W,
        {"rollout": verdict(Outcome.WAITING)},
        ("rollout", "a rollout of the kube-apiservers is running: 1 of 3 nodes are at revision 12"),
    ),
    (
        "a rollout that can't end",
        W,
        {"rollout": verdict(Outcome.FAILED, "")},
        ("rollout", "a rollout of the kube-apiservers is running"),
    ),
    (
        "a degraded pool, though of other nodes",
        W,
        {"pools": [pool("master", Degraded="Node master-1 reports: x."), pool("worker")]},
        ("pools", "MachineConfigPool master is degraded: Node master-1 reports: x"),
    ),
    (
        "a pool that says it is updating, as it does for our own cordon",
        W,
        {"pools": [pool("master"), pool("worker", Updating="All nodes are updating")]},
        None,
    ),
    ("a paused pool", W, {"pools": [pool("worker", paused=True)]}, None),
    (
        "another node changes its configuration",
        W,
        {"nodes": with_node("worker-2", annotations=MOVING)},
        ("pools", "at work on node worker-2: it is on its way from rendered-1 to rendered-2"),
    ),
    (
        "another node is drained by the machine-config operator",
        W,
        {"nodes": with_node("master-1", annotations={f"{MCO}desiredDrain": "drain-rendered-1"})},
        ("pools", "at work on node master-1: the machine-config operator drains it"),
    ),
    (
        "another worker is cordoned",
        W,
        {"nodes": with_node("worker-1", cordoned=True)},
        ("room", "unavailable in the pool worker, of which 1 may be: worker-1"),
    ),
    (
        "another worker is not Ready",
        W,
        {"nodes": with_node("worker-1", ready=False)},
        ("room", "unavailable in the pool worker, of which 1 may be: worker-1"),
    ),
    ("the worker itself is cordoned already", W, {"nodes": with_node("worker-0", cordoned=True)}, None),
    (
        "a node of another pool is cordoned",
        W,
        {"nodes": with_node("master-1", cordoned=True)},
        ("room", "unavailable of all nodes, of which 1 may be (max_unavailable): master-1"),
    ),
    (
        "another etcd member is not Ready",
        M,
        {"etcd_members": {**MASTERS, "master-2": False}},
        ("etcd", "the etcd member on master-2 is not Ready"),
    ),
    (
        "another etcd member has no pod",
        M,
        {"etcd_members": {"master-0": True, "master-1": True}},
        ("etcd", "the etcd member on master-2 is not Ready"),
    ),
    (
        "an arbiter has an etcd member and no API server",
        M,
        {"nodes": [*NODES, node("arbiter-0")], "etcd_members": {**MASTERS, "arbiter-0": True}},
        None,
    ),
    (
        "an arbiter lacks its etcd member",
        M,
        {"nodes": [*NODES, node("arbiter-0")]},
        ("etcd", "the etcd member on arbiter-0 is not Ready"),
    ),
    (
        "an API server has no pod",
        M,
        {"api_servers": {"master-1": True}},
        ("etcd", "the kube-apiserver on master-2 is not Ready"),
    ),
    (
        "an etcd member on a node of no role",
        M,
        {"etcd_members": {**MASTERS, "arbiter-0": False}},
        ("etcd", "the etcd member on arbiter-0 is not Ready"),
    ),
    ("the node's own etcd member is not Ready", M, {"etcd_members": {**MASTERS, "master-0": False}}, None),
    ("an etcd member is not Ready before a worker", W, {"etcd_members": {**MASTERS, "master-2": False}}, None),
    (
        "another API server is not Ready",
        M,
        {"api_servers": {**MASTERS, "master-1": False, "master-2": False}},
        ("etcd", "the kube-apiserver on master-1, master-2 is not Ready"),
    ),
    ("a single etcd member", M, {"nodes": NODES[:1], "etcd_members": {"master-0": True}, "api_servers": {}}, None),
    (
        "an operator progresses",
        W,
        {"operators": with_operator(Progressing="True")},
        ("operators", "ClusterOperator ingress is progressing: Progressing it is"),
    ),
    (
        "an operator is degraded",
        W,
        {"operators": with_operator(Degraded="True")},
        ("operators", "ClusterOperator ingress is degraded: Degraded it is"),
    ),
    (
        "an operator is not available, which is worse than that it progresses",
        W,
        {"operators": with_operator(Available="False", Progressing="True")},
        ("operators", "ClusterOperator ingress is not available: Available it is"),
    ),
    (
        "an operator that does not say whether it is degraded",
        W,
        {"operators": with_operator(Degraded=None)},
        ("operators", "ClusterOperator ingress reports Degraded Unknown"),
    ),
    (
        "an operator that was unwell before",
        W,
        {"operators": {"ingress": operator(), "etcd": operator(Degraded="True")}},
        None,
    ),
    (
        "a budget that was satisfied",
        W,
        {"budgets": [budget(healthy=1)]},
        ("budgets", "budget shop/cart has 1 healthy pods of the 2 that it needs"),
    ),
    ("a budget that was not satisfied before either", W, {"budgets": [budget("old", healthy=0)]}, None),
    ("a budget that is gone", W, {"budgets": []}, None),
    (
        "a gate of the user's own",
        W,
        {"results": [GateResult(description="ceph"), GateResult(description="web", problem="it answers HTTP 503.")]},
        ("own", "the gate web is closed: it answers HTTP 503"),
    ),
]


def judge(batch, *, request=None, limits=None, own=(), **differing):
    return judge_gates(
        request or GateRequest(),
        replace(QUIET, **differing),
        limits=limits or NodeRequest(),
        batch=batch,
        own=own,
        satisfied_before={"shop/cart", "shop/gone"},
        unwell_before={"etcd"},
    )


@pytest.mark.parametrize(("name", "batch", "differing", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_each_gate_is_judged_and_can_be_skipped(name, batch, differing, wanted):
    found = judge(batch, **differing)
    if wanted is None:
        assert (found.outcome, found.reason) == (Outcome.DONE, "Open")
        return
    gate, words = wanted
    assert (found.outcome, found.reason) == (Outcome.WAITING, GATES[gate][0])
    assert found.message.endswith(words)
    if gate in GATE_NAMES:
        assert judge(batch, request=GateRequest(skip=frozenset({gate})), **differing).outcome is Outcome.DONE


def test_every_gate_has_a_case_that_closes_it():
    assert {c[3][0] for c in CASES if c[3]} == set(GATES)
    assert set(GATE_NAMES) == set(GATES) - {"own"}


def test_a_node_that_this_run_has_left_cordoned_is_named_as_such():
    nodes = with_node("worker-1", cordoned=True)
    assert judge(W, nodes=nodes, own=["worker-1"]).message.endswith("worker-1 (left cordoned by this run: worker-1)")
    assert judge(["worker-1"], nodes=nodes, own=["worker-1"]).outcome is Outcome.DONE


@pytest.mark.parametrize("case", [c for c in CASES if c[3]], ids=lambda c: c[0])
def test_a_batch_that_has_begun_is_only_held_up_by_what_its_restart_would_endanger(case):
    _name, batch, differing, (gate, _words) = case
    found = judge(batch, own=["worker-2", *batch], request=GateRequest(deadline=NOW), **differing)
    assert found.reason == (GATES[gate][0] if gate in ("rollout", "etcd") else "Open")
    both = [*batch, "worker-1"]
    assert judge(both, own=batch, request=GateRequest(deadline=NOW), **differing).reason == "DeadlinePassed"


def test_the_limit_per_pool_of_the_task_counts():
    nodes = with_node("worker-1", cordoned=True)
    two = NodeRequest(max_unavailable="9", max_unavailable_per_pool="2")
    assert judge(W, nodes=nodes, pools=(), limits=two).outcome is Outcome.DONE
    assert judge(["worker-0", "worker-2"], nodes=nodes, pools=(), limits=two).reason == "NoRoom"


NOTES = [
    (W, {"pools": [pool("worker", paused=True)]}, "pools", "pool worker", "MachineConfigPool worker is paused; "),
    (
        W,
        {"operators": {"etcd": operator(Degraded="True")}},
        "operators",
        "operator etcd",
        "ClusterOperator etcd is degraded: Degraded it is; it was so at the start of the run",
    ),
    (M, {"etcd_members": {"master-0": True}}, "etcd", "etcd master-0", "of 1 etcd members none is to spare"),
    (
        M,
        {"etcd_members": {"master-0": True, "master-1": True}},
        "etcd",
        "etcd master-0",
        "of 2 etcd members none is to spare: the API is away while master-0 restarts",
    ),
]


@pytest.mark.parametrize(("batch", "differing", "gate", "about", "words"), NOTES, ids=[n[4] for n in NOTES])
def test_what_stops_nothing_is_told_once_one_knows_what_it_is_about(batch, differing, gate, about, words):
    notes = judge(batch, **differing).notes
    assert list(notes) == [about]
    assert notes[about].startswith(words)
    assert judge(batch, request=GateRequest(skip=frozenset({gate})), **differing).notes == {}


@pytest.mark.parametrize("batch", [W, M])
def test_a_quiet_cluster_has_no_notes(batch):
    assert judge(batch).notes == {}
    assert judge(W, etcd_members={"master-0": True}).notes == {}
    assert judge(W, operators=with_operator(Degraded="True")).notes == {}


WINDOWS = [
    ("22:00-05:00", "21:59:59", False),
    ("22:00-05:00", "22:00:00", True),
    ("22:00-05:00", "23:59:59.999999", True),
    ("22:00-05:00", "00:00:00", True),
    ("22:00-05:00", "04:59:59", True),
    ("22:00-05:00", "05:00:00", False),
    ("08:00-17:30", "07:59:59", False),
    ("08:00-17:30", "17:29:00", True),
    ("08:00-17:30", "17:30:00", False),
    ("22:00-00:00", "23:00:00", True),
    ("22:00-00:00", "00:00:00", False),
    ("22:00-05:00Z", "22:00:00", True),
    (" 22:00-05:00+02:00 ", "20:00:00", True),
    ("22:00-05:00+02:00", "19:59:00", False),
    ("22:00-05:00+02:00", "03:00:00", False),
    ("22:00-05:00-05:30", "03:29:00", False),
    ("22:00-05:00-05:30", "03:30:00", True),
    ("22:00-05:00-05:30", "10:29:00", True),
    ("00:00-01:00+14:00", "10:30:00", True),
]


@pytest.mark.parametrize(("text", "moment", "wanted"), WINDOWS, ids=[f"{t} {m}" for t, m, _w in WINDOWS])
def test_a_moment_is_in_the_window(text, moment, wanted):
    now = datetime.fromisoformat(f"2026-11-22T{moment}+00:00")
    assert is_in_window(now, parse_window(text)) is wanted
    elsewhere = now.astimezone(timezone(timedelta(hours=-7)))
    assert is_in_window(elsewhere, parse_window(text)) is wanted


NO_WINDOWS = [
    "",
    "22-5",
    "22:00",
    "22:00-25:00",
    "24:00-05:00",
    "22:00-22:00",
    "2:00-5:00",
    "22:00\u201305:00",
    "always",
]
NO_ZONES = ["22:00-05:00 UTC", "22:00-05:00+2", "22:00-05:00+24:00", "22:00-05:00+02:60", "22:00-05:0\u0660"]


@pytest.mark.parametrize("text", [*NO_WINDOWS, *NO_ZONES])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(InvalidOption, match="which is not a span of time"):
        parse_window(text)


LATER, EARLIER = NOW + timedelta(seconds=1), NOW
GOES_ON = ", and it goes on where it stopped"
TIMES = [
    ("inside", {"window": parse_window("22:00-05:00")}, NOW, Outcome.DONE, "Open", ""),
    (
        "outside",
        {"window": parse_window("08:00-17:00+02:00")},
        NOW,
        Outcome.FAILED,
        "WindowClosed",
        f"the time window 08:00-17:00+02:00 is closed at 2026-11-22T23:00:00Z; run it again when it is open{GOES_ON}",
    ),
    ("before the deadline", {"deadline": LATER}, NOW, Outcome.DONE, "Open", ""),
    (
        "at the deadline",
        {"deadline": EARLIER},
        NOW,
        Outcome.FAILED,
        "DeadlinePassed",
        f"the deadline 2026-11-22T23:00:00Z has passed; run it again with a later one{GOES_ON}",
    ),
    (
        "nobody tells the time",
        {"deadline": LATER},
        None,
        Outcome.WAITING,
        "TimeUnknown",
        "no API server tells the time",
    ),
    ("nobody needs the time", {}, None, Outcome.DONE, "Open", ""),
]


@pytest.mark.parametrize(("name", "given", "now", "outcome", "reason", "message"), TIMES, ids=[t[0] for t in TIMES])
def test_no_node_is_begun_outside_the_time(name, given, now, outcome, reason, message):
    request = GateRequest(**given)
    found = judge(W, request=request, now=now)
    assert (found.outcome, found.reason) == (outcome, reason)
    assert message in found.message
    assert find_unrest(request, replace(QUIET, now=now)) == ([message] if message else [])
    assert request.needs_time is bool(given)


def test_time_is_judged_before_what_may_still_change():
    request = GateRequest(deadline=NOW, window=parse_window("22:00-05:00"))
    assert judge(W, request=request, rollout=verdict(Outcome.WAITING)).reason == "DeadlinePassed"


def test_all_unrest_is_told_at_once_and_can_be_skipped():
    facts = replace(
        QUIET,
        updating=Condition(status="True", message="4.20.2"),
        rollout=verdict(Outcome.WAITING, "busy"),
        pools=[pool("master", Degraded="a"), pool("worker", Degraded="b")],
        operators={"dns": operator(Degraded="True")},
        budgets=[budget(healthy=0)],
        results=[GateResult(description="ceph", problem="no")],
    )
    assert find_unrest(GateRequest(deadline=NOW), facts) == [
        f"the deadline 2026-11-22T23:00:00Z has passed; run it again with a later one{GOES_ON}",
        "the cluster is being updated: 4.20.2 (it is not looked at with update in skip_gates)",
        "a rollout of the kube-apiservers is running: busy (it is not looked at with rollout in skip_gates)",
        "MachineConfigPool master is degraded: a (it is not looked at with pools in skip_gates)",
        "MachineConfigPool worker is degraded: b (it is not looked at with pools in skip_gates)",
    ]
    assert find_unrest(GateRequest(skip=frozenset({"update", "rollout", "pools"})), facts) == []


def test_what_holds_at_the_start_is_found():
    facts = replace(
        QUIET,
        budgets=[budget(), budget("old", healthy=1), budget("none", healthy=0, desired=0)],
        operators={"b": operator(Progressing="True"), "a": operator(), "c": {}},
    )
    assert find_satisfied(facts) == {"shop/cart", "shop/none"}
    assert list(find_unwell_operators(facts)) == ["b", "c"]


OPEN = GateVerdict(outcome=Outcome.DONE, reason="Open", message="open", notes={"a": "b"})
CLOSED = GateVerdict(outcome=Outcome.WAITING, reason="NoRoom", message="none")


@pytest.mark.parametrize(
    ("seconds", "looks", "wanted"),
    [
        (0, [(5, OPEN)], "Open"),
        (10, [(5, OPEN)], "Settling"),
        (10, [(5, OPEN), (14.9, OPEN)], "Settling"),
        (10, [(5, OPEN), (15, OPEN)], "Open"),
        (10, [(5, OPEN), (14, CLOSED), (15, OPEN)], "Settling"),
        (10, [(5, OPEN), (14, CLOSED), (15, OPEN), (25, OPEN)], "Open"),
        (10, [(5, CLOSED)], "NoRoom"),
    ],
)
def test_gates_must_stay_open(seconds, looks, wanted):
    since = None
    for now, look in looks:
        found, since = judge_stability(look, since, now, seconds)
    assert found.reason == wanted
    if wanted == "Settling":
        assert (found.outcome, found.notes) == (Outcome.WAITING, OPEN.notes)
        assert found.message == f"open, for {now - since:.0f} of 10 s"


def params(**given):
    defaults = {name: option.get("default") for name, option in GATE_ARG_SPEC.items()}
    return {**defaults, **given}


def gate(**given):
    """A gate as Ansible hands it over: with everything that is not given as None."""
    return {**dict.fromkeys(GATE_ARG_SPEC["gates"]["options"]), **given}


CEPH = {
    "api_version": "ceph.rook.io/v1",
    "kind": "CephCluster",
    "expression": "status.ceph.health",
    "value": "HEALTH_OK",
}


def test_the_options_are_read():
    assert read_gate_request(params()) == GateRequest()
    request = read_gate_request(
        params(
            gates=[
                gate(**CEPH, name="rook", namespace="rook-ceph"),
                gate(**{**CEPH, "value": []}, label_selectors=["a=b", "c"], description="storage"),
                gate(**CEPH, label_selectors=[]),
                gate(url="https://shop.example/healthz?deep=1"),
                gate(url="http://10.0.0.1:8080", status=204, ca_cert="/ca", validate_certs=False, description="web"),
            ],
            gate_timeout=60,
            stable_seconds=0,
            skip_gates=["etcd"],
            window="22:00-05:00",
            deadline="2026-11-23T06:00:00+02:00",
        )
    )
    assert request.gates == (
        ResourceGate(description="CephCluster rook-ceph/rook", name="rook", namespace="rook-ceph", **CEPH),
        ResourceGate(description="storage", label_selectors=("a=b", "c"), **{**CEPH, "value": []}),
        ResourceGate(description="CephCluster", **CEPH),
        ProbeGate(description="https://shop.example/healthz?deep=1", url="https://shop.example/healthz?deep=1"),
        ProbeGate(description="web", url="http://10.0.0.1:8080", status=204, ca_cert="/ca", validate_certs=False),
    )
    assert (request.timeout, request.stable_seconds, request.skip) == (60, 0, {"etcd"})
    assert request.window == parse_window("22:00-05:00")
    assert request.deadline == parse_time("2026-11-23T04:00:00Z")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"gates": [gate(**CEPH), gate(**CEPH, url="https://x")]},
            "The gate 2 has api_version and url; give it either",
        ),
        ({"gates": [gate(**CEPH, status=204)]}, "The gate 1 has api_version and status; "),
        ({"gates": [gate()]}, "The gate 1 lacks api_version, kind, expression, value; "),
        ({"gates": [gate(**{**CEPH, "value": None})]}, "The gate 1 lacks value; "),
        ({"gates": [gate(**CEPH, name="a", label_selectors=["b"])]}, "The gate 1 has both name and label_selectors; "),
        ({"gates": [gate(url="shop.example")]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(url="ftp://shop.example")]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(url="https://")]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(url="https://x:port")]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(url="https://[::1")]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(url="https://me:word@x")]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(status=200)]}, "The url of the gate 1 can't be used; "),
        ({"gates": [gate(url="https://x", status=99)]}, "The status of the gate 1 is 99; "),
        ({"gate_timeout": 9, "stable_seconds": 10}, r"stable_seconds \(10\) and gate_timeout \(9\) do not fit"),
        ({"stable_seconds": -1}, r"stable_seconds \(-1\)"),
        ({"window": "always"}, "The option window is 'always'"),
        ({"deadline": "tomorrow"}, "The option deadline is 'tomorrow', which is not a moment"),
    ],
)
def test_options_that_can_not_be_meant_are_refused(given, words):
    with pytest.raises(InvalidOption, match=words) as caught:
        read_gate_request(params(**given))
    assert "word@" not in caught.value.message


@pytest.mark.parametrize(
    ("value", "found", "problem"),
    [
        ("HEALTH_OK", [("rook", "HEALTH_OK")], ""),
        ("HEALTH_OK", [], "there is no such object"),
        (
            "HEALTH_OK",
            [("a", "HEALTH_OK"), ("b", "HEALTH_WARN")],
            'status.ceph.health is "HEALTH_WARN" in b, not "HEALTH_OK"',
        ),
        ("HEALTH_OK", [("a", None)], 'status.ceph.health is null in a, not "HEALTH_OK"'),
        (True, [("a", "True")], ""),
        ("true", [("a", True)], ""),
        ("3", [("a", 3)], ""),
        (3, [("a", 4)], "status.ceph.health is 4 in a, not 3"),
        (True, [("a", 1)], "status.ceph.health is 1 in a, not true"),
        ([], [("a", [])], ""),
        ([], [("a", ["x"])], 'status.ceph.health is ["x"] in a, not []'),
        ("[]", [("a", [])], 'status.ceph.health is [] in a, not "[]"'),
        ({"a": 1}, [("a", {"a": 1})], ""),
    ],
)
def test_the_users_own_objects_are_judged(value, found, problem):
    own = ResourceGate(description="ceph", **{**CEPH, "value": value})
    assert judge_objects(own, found) == GateResult(description="ceph", problem=problem)


def test_long_values_are_cut():
    own = ResourceGate(description="ceph", **CEPH)
    assert len(judge_objects(own, [("a", "x" * 9999)]).problem) < gates.MAX_WORDS + 100
    long = {"operators": with_operator(), "updating": Condition(status="True", message="line\n" * 999)}
    assert len(judge(W, **long).message) < gates.MAX_WORDS + 100


@pytest.mark.parametrize(("status", "problem"), [(204, ""), (200, "it answers HTTP 200, not 204")])
def test_the_users_own_addresses_are_judged(status, problem):
    probe = ProbeGate(description="web", url="https://x", status=204)
    assert judge_answer(probe, status) == GateResult(description="web", problem=problem)
