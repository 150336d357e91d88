# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import random
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import (
    MARK,
    BudgetFacts,
    NodeFacts,
    NodeMark,
    PoolFacts,
    budget_facts,
    matches,
    node_facts,
    node_pod,
    parse_mark,
    pool_facts,
)

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
NODES = yaml.safe_load((FIXTURES / "nodes.yml").read_text())
PODS = yaml.safe_load((FIXTURES / "node_pods.yml").read_text())
MCO = "machineconfiguration.openshift.io/"
BOOT_ID = "8d9c2f4e-3b1a-4c5d-9e8f-7a6b5c4d3e2f"
M = NodeMark(run_id="r1", boot_id=BOOT_ID)


RUN_IDS_OF_NOBODY = ("", "r1\n", "r 1", "r1\x1b[2J", "\ud800", "-r1", "r" * 64, 1, 0, None, {})


def at(hour, minute, second, day=22):
    return datetime(2026, 11, day, hour, minute, second, tzinfo=timezone.utc)


def with_annotations(node="worker", **changes):
    """A node with annotations of the machine-config operator changed, or removed (None)."""
    found = deepcopy(NODES[node])
    for name, value in changes.items():
        found["metadata"]["annotations"][MCO + name] = value
        if value is None:
            del found["metadata"]["annotations"][MCO + name]
    return found


def with_mark(text):
    node = deepcopy(NODES["worker"])
    node["metadata"]["annotations"][MARK] = text
    return node


def test_facts_of_a_worker():
    assert node_facts(NODES["worker"]) == NodeFacts(
        name="worker-0",
        version="48213",
        boot_id=BOOT_ID,
        roles=("worker",),
        zone="eu-central-1a",
        labels=NODES["worker"]["metadata"]["labels"],
        is_ready=True,
        heartbeat=at(7, 59, 42),
        allocatable={"cpu": "3500m", "ephemeral-storage": "113754505216", "memory": "15270408Ki", "pods": "250"},
    )


@pytest.mark.parametrize(
    ("node", "field", "value"),
    [
        ("master", "roles", ("control-plane", "master")),
        ("master", "is_control_plane", True),
        ("master", "taints", (("node-role.kubernetes.io/master", "", "NoSchedule"),)),
        ("worker", "is_control_plane", False),
        ("worker", "is_unavailable", False),
        ("lost", "is_ready", False),
        ("lost", "is_unreachable", True),
        ("lost", "is_cordoned", True),
        ("lost", "is_unavailable", True),
        ("lost", "heartbeat", at(7, 49, 12)),
        ("lost", "zone", ""),
        ("registered", "boot_id", ""),
        ("registered", "version", ""),
        ("registered", "roles", ()),
        ("registered", "is_ready", False),
        ("registered", "heartbeat", None),
        ("registered", "is_unreachable", False),
        ("registered", "update", ""),
        ("registered", "mark", None),
    ],
)
def test_facts_of_other_nodes(node, field, value):
    assert getattr(node_facts(NODES[node]), field) == value


def test_taints_come_with_value_and_effect():
    assert ("dedicated", "gpu", "NoSchedule") in node_facts(NODES["lost"]).taints


@pytest.mark.parametrize(
    ("roles", "is_control_plane"),
    [
        (("arbiter",), True),
        (("control-plane",), True),
        (("master", "worker"), True),
        (("infra", "worker"), False),
        (("masters",), False),
        (("",), False),
    ],
)
def test_the_control_plane_is_where_etcd_is(roles, is_control_plane):
    assert NodeFacts(name="n", roles=roles).is_control_plane is is_control_plane


@pytest.mark.parametrize(
    ("cordoned", "ready", "is_unavailable"),
    [(False, True, False), (True, True, True), (False, False, True), (True, False, True)],
)
def test_a_node_is_unavailable_when_cordoned_or_not_ready(cordoned, ready, is_unavailable):
    assert NodeFacts(name="n", is_cordoned=cordoned, is_ready=ready).is_unavailable is is_unavailable


@pytest.mark.parametrize(
    ("name", "node", "update"),
    [
        ("nothing to do", with_annotations(), ""),
        ("not OpenShift", with_annotations(**dict.fromkeys(
            ("currentConfig", "desiredConfig", "state", "desiredDrain", "lastAppliedDrain"))), ""),
        ("another configuration", with_annotations(desiredConfig="rendered-worker-77"),
         "it is on its way from rendered-worker-5d1f to rendered-worker-77"),
        ("its first configuration", with_annotations(currentConfig=None),
         "it is on its way from nothing to rendered-worker-5d1f"),
        ("another image", with_annotations(currentImage="q/os@sha256:1", desiredImage="q/os@sha256:2"),
         "it is on its way from q/os@sha256:1 to q/os@sha256:2"),
        ("its first image", with_annotations(desiredImage="q/os@sha256:2"),
         "it is on its way from nothing to q/os@sha256:2"),
        ("the same image", with_annotations(currentImage="q/os@sha256:1", desiredImage="q/os@sha256:1"), ""),
        ("no image any more", with_annotations(currentImage=""), ""),
        ("working", with_annotations(state="Working"), "the machine-config daemon reports Working"),
        ("degraded", with_annotations(state="Degraded"), "the machine-config daemon reports Degraded"),
        ("rebooting", with_annotations(state="Rebooting"), "the machine-config daemon reports Rebooting"),
        ("no state", with_annotations(state=""), ""),
        ("drained", with_annotations(desiredDrain="drain-rendered-worker-5d1f"),
         "the machine-config operator drains it"),
        ("drained for the first time", with_annotations(lastAppliedDrain=None),
         "the machine-config operator drains it"),
    ],
)  # fmt: skip
def test_what_the_machine_config_operator_has_yet_to_do(name, node, update):
    assert node_facts(node).update == update


def test_a_cordon_is_no_update():
    cordoned = {**NODES["worker"], "spec": {"unschedulable": True}}
    assert node_facts(cordoned).is_cordoned
    assert node_facts(cordoned).update == ""


@pytest.mark.parametrize(
    "mark",
    [
        M,
        replace(M, was_cordoned=True),
        replace(M, requested_at="2026-11-22T08:00:02Z"),
        replace(M, emptied_at="2026-11-22T08:00:02Z"),
        replace(M, run_id="20261122-075532-3fa2b1", boot_id=""),
    ],
)
def test_a_mark_is_read_as_it_was_written(mark):
    assert node_facts(with_mark(mark.dump())).mark == mark


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "true",
        "[]",
        "{}",
        '"r1"',
        "r1",
        M.dump()[:-1],
        "[" * 100_000,
        json.dumps({"run_id": "r1"}),
        json.dumps({"run_id": "r1", "boot_id": BOOT_ID, "owner": "me"}),
        json.dumps({"run_id": None, "boot_id": BOOT_ID}),
        json.dumps({"run_id": ["r1"], "boot_id": BOOT_ID}),
        *(json.dumps({"run_id": run_id, "boot_id": BOOT_ID}) for run_id in RUN_IDS_OF_NOBODY),
        json.dumps({"run_id": "r1", "boot_id": 7}),
        json.dumps({"run_id": "r1", "boot_id": BOOT_ID, "was_cordoned": "false"}),
        json.dumps({"run_id": "r1", "boot_id": BOOT_ID, "was_cordoned": None}),
        json.dumps({"run_id": "r1", "boot_id": BOOT_ID, "requested_at": "yesterday"}),
        json.dumps({"run_id": "r1", "boot_id": BOOT_ID, "emptied_at": "yesterday"}),
        json.dumps({"run_id": "r1", "boot_id": BOOT_ID, "requested_at": 1763798400}),
        *(
            json.dumps({"run_id": "r1", "boot_id": BOOT_ID, m: v})
            for m in ("requested_at", "emptied_at")
            for v in (0, [], {}, False)
        ),
    ],
    ids=lambda text: str(text)[:60],
)
def test_what_no_run_has_written_is_no_mark(text):
    assert parse_mark(text) is None


def test_a_damaged_mark_of_any_kind_stops_nobody():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    whole = replace(M, requested_at="2026-11-22T08:00:02Z").dump()
    for _round in range(2000):
        characters = list(whole)
        for _change in range(rng.randint(1, 4)):
            characters[rng.randrange(len(characters))] = rng.choice('{}[]",:0eatz\\ \x00')
        mark = node_facts(with_mark("".join(characters))).mark
        assert mark is None or mark == parse_mark(mark.dump())


def test_facts_of_a_pod():
    pod = node_pod(PODS["cart"])
    assert str(pod) == "shop/cart-7d9f8c6b5-x2x7k"
    assert pod.has_local_data
    assert not pod.is_restart_pod
    assert pod.labels["app"] == "cart"
    assert pod.started_at == at(17, 20, 6, day=20)  # the first of its containers
    assert pod.finished_at is None
    assert (pod.words, pod.facts.finalizers, pod.deletion_time) == ("", (), None)
    assert pod.requests == (("cpu", "250m"), ("memory", "1Gi"), ("cpu", "50m"))
    assert pod.node_selector == {"kubernetes.io/os": "linux"}
    assert [t["key"] for t in pod.tolerations] == ["node.kubernetes.io/not-ready"]


@pytest.mark.parametrize(
    ("pod", "field", "value"),
    [
        ("restart", "is_restart_pod", True),
        ("restart", "has_local_data", False),
        ("restart", "words", "Running timer as unit: bound-tokens-restart-8d9c2f4e.timer"),
        ("restart", "finished_at", at(8, 0, 2)),
        ("restart", "started_at", None),
        ("refused", "is_restart_pod", True),
        ("refused", "finished_at", None),
        ("ending", "words", "OOMKilled disk full"),
        ("ending", "finished_at", at(7, 58, 25)),
        ("ending", "started_at", at(7, 0, 0)),
        ("ending", "deletion_time", at(7, 58, 30)),
        ("daemon", "has_local_data", True),
        ("daemon", "is_restart_pod", False),
    ],
)
def test_facts_of_other_pods(pod, field, value):
    assert getattr(node_pod(PODS[pod]), field) == value


def test_a_pods_finalizers_are_known():
    assert node_pod(PODS["ending"]).facts.finalizers == ("example.com/archive", "example.com/bill")


def test_a_pod_that_never_ran_says_why():
    assert node_pod(PODS["refused"]).words.startswith("Pod was rejected: Node didn't have enough resource: pods")


@pytest.mark.parametrize("label", ["app.kubernetes.io/managed-by", "app.kubernetes.io/component"])
def test_one_of_the_labels_makes_no_restart_pod(label):
    pod = deepcopy(PODS["restart"])
    del pod["metadata"]["labels"][label]
    assert not node_pod(pod).is_restart_pod


def test_facts_of_a_budget():
    assert budget_facts(NODES["budget"]) == BudgetFacts(
        namespace="shop",
        name="cart",
        selector={"matchLabels": {"app": "cart"}},
        allowed=1,
        healthy=3,
        desired=2,
        expected=3,
    )


def test_a_budget_that_the_controller_has_not_seen_allows_nothing_and_covers_nothing():
    fresh = {"metadata": NODES["budget"]["metadata"], "spec": {"maxUnavailable": 1}}
    facts = budget_facts(fresh)
    assert (facts.allowed, facts.selector) == (0, None)
    assert not facts.covers(node_pod(PODS["cart"]))


@pytest.mark.parametrize(("healthy", "desired", "satisfied"), [(3, 2, True), (2, 2, True), (1, 2, False), (0, 0, True)])
def test_a_budget_is_satisfied_by_numbers(healthy, desired, satisfied):
    assert BudgetFacts(namespace="shop", name="cart", healthy=healthy, desired=desired).is_satisfied is satisfied


def test_a_budget_covers_pods_of_its_namespace_only():
    budget = budget_facts(NODES["budget"])
    assert budget.covers(node_pod(PODS["cart"]))
    assert not replace(budget, namespace="shop2").covers(node_pod(PODS["cart"]))
    assert not budget.covers(node_pod(PODS["ending"]))
    assert replace(budget, selector={}).covers(node_pod(PODS["ending"]))


def expression(operator, *values):
    return {"matchExpressions": [{"key": "app", "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        (None, {"app": "cart"}, False),
        ({}, {}, True),
        ({"matchLabels": None, "matchExpressions": None}, {}, True),
        ({"matchLabels": {"app": "cart"}}, {"app": "cart", "tier": "web"}, True),
        ({"matchLabels": {"app": "cart"}}, {"app": "carts"}, False),
        ({"matchLabels": {"app": "cart", "tier": "web"}}, {"app": "cart"}, False),
        ({"matchLabels": {"app": ""}}, {}, False),
        ({"matchLabels": {"app": ""}}, {"app": ""}, True),
        (expression("Exists"), {"app": ""}, True),
        (expression("Exists"), {"apps": "cart"}, False),
        (expression("DoesNotExist"), {}, True),
        (expression("DoesNotExist"), {"app": ""}, False),
        (expression("In", "cart", "pay"), {"app": "pay"}, True),
        (expression("In", "cart", "pay"), {"app": "shop"}, False),
        (expression("In", "cart", "pay"), {}, False),
        (expression("NotIn", "cart", "pay"), {"app": "pay"}, False),
        (expression("NotIn", "cart", "pay"), {"app": "shop"}, True),
        (expression("NotIn", "cart", "pay"), {}, True),
        ({"matchLabels": {"tier": "web"}, **expression("In", "cart")}, {"app": "cart"}, False),
        ({"matchLabels": {"tier": "web"}, **expression("In", "cart")}, {"app": "cart", "tier": "web"}, True),
    ],
)
def test_label_selectors(selector, labels, fits):
    assert matches(selector, labels) is fits


@pytest.mark.parametrize(
    ("pool", "facts"),
    [
        ("master", PoolFacts(name="master", selector={"matchLabels": {"node-role.kubernetes.io/master": ""}})),
        (
            "worker",
            PoolFacts(
                name="worker",
                selector={"matchLabels": {"node-role.kubernetes.io/worker": ""}},
                max_unavailable="50%",
                is_paused=True,
                degraded="Node worker-3 is reporting",
            ),
        ),
        (
            "infra",
            PoolFacts(
                name="infra",
                selector={"matchExpressions": [{"key": "node-role.kubernetes.io/infra", "operator": "Exists"}]},
                max_unavailable=2,
            ),
        ),
    ],
)
def test_facts_of_pools(pool, facts):
    assert pool_facts(NODES["pools"][pool]) == facts


def test_a_degraded_pool_without_a_message_gives_its_reason():
    pool = {
        **NODES["pools"]["worker"],
        "status": {"conditions": [{"type": "Degraded", "status": "True", "reason": "R"}]},
    }
    assert pool_facts(pool).degraded == "R"
