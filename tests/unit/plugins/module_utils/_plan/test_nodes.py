# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError, InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import (
    BudgetFacts,
    NodeMark,
    PoolFacts,
    node_facts,
    node_pod,
    pool_facts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import DrainOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.nodes import (
    NodeRequest,
    Surroundings,
    choose_nodes,
    count_limit,
    find_limits,
    find_pool,
    find_room,
    fit_beside,
    matches_text,
    plan_batches,
    read_drain_request,
    read_node_request,
    select_nodes,
)

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
RAW = yaml.safe_load((FIXTURES / "nodes.yml").read_text())
CART = node_pod(yaml.safe_load((FIXTURES / "node_pods.yml").read_text())["cart"])
POOLS = [pool_facts(p) for p in RAW["pools"].values()]  # master: not said, worker: 50%, infra: 2
PARAMS = {
    "nodes": None,
    "label_selectors": [],
    "roles": [],
    "pools": [],
    "max_unavailable": "1",
    "max_unavailable_per_pool": None,
    "max_failures": 0,
    "restart_timeout": 1800,
    "canary": False,
    "canary_pause": 0,
    "restart_delay": 3,
    "delete_options": None,
    "allow_disruption": False,
    "only": None,
    "on_failure": "auto",
    "image": None,
}


def node(name, zone="", *roles, **facts):
    """A node as the API shows it, Ready, with more facts than that set afterwards."""
    raw = deepcopy(RAW["worker"])
    raw["metadata"]["name"] = name
    raw["metadata"]["labels"] = {f"node-role.kubernetes.io/{r}": "" for r in roles or ("worker",)}
    raw["metadata"]["labels"].update({"topology.kubernetes.io/zone": zone} if zone else {})
    return replace(node_facts(raw), **facts)


def workers(count, **facts):
    return [node(f"w{i}", **facts) for i in range(count)]


def masters(count):
    return [node(f"m{i}", "", "control-plane", "master") for i in range(count)]


def request(**fields):
    return NodeRequest(**fields)


def names(nodes):
    return [n.name for n in nodes]


# -- what the options ask for


def test_the_options_are_read():
    assert read_node_request(PARAMS) == NodeRequest()
    given = {
        "nodes": ["w0"],
        "label_selectors": ["gpu"],
        "roles": ["worker"],
        "pools": ["infra"],
        "max_unavailable": "10%",
        "max_unavailable_per_pool": "2",
        "canary": True,
        "only": ["w0"],
        "on_failure": "put_back",
        "max_failures": 2,
        "restart_timeout": 60,
        "restart_delay": 5,
        "image": "i",
        "delete_options": {"force": True},
        "allow_disruption": True,
    }
    assert read_node_request({**PARAMS, **given}) == NodeRequest(
        names=("w0",),
        labels=("gpu",),
        roles=("worker",),
        pools=("infra",),
        max_unavailable="10%",
        max_unavailable_per_pool="2",
        has_canary=True,
        only=("w0",),
        drain=DrainOptions(force=True),
        allow_disruption=True,
        on_failure="put_back",
        max_failures=2,
        restart_timeout=60,
        delay=5,
        image="i",
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_unavailable", "0"),
        ("max_unavailable", "none"),
        ("max_unavailable_per_pool", "200%"),
        ("max_failures", -1),
        ("restart_timeout", -1),
        ("restart_timeout", 0),
        ("restart_timeout", 3),
        ("canary_pause", -1),
        ("restart_delay", 0),
        ("restart_delay", 61),
    ],
)
def test_options_that_cannot_be_meant_are_named(option, value):
    with pytest.raises(InvalidOption, match=f"The option {option} is "):
        read_node_request({**PARAMS, option: value})


@pytest.mark.parametrize("delay", [1, 60])
def test_delays_at_their_bounds(delay):
    assert read_node_request({**PARAMS, "restart_delay": delay}).delay == delay


DRAIN_PARAMS = {
    **{name: PARAMS[name] for name in ("delete_options", "allow_disruption", "on_failure")},
    **{name: PARAMS[name] for name in ("max_unavailable_per_pool", "max_failures", "canary_pause")},
    "max_unavailable": "100%",
}


def test_the_options_of_node_drain_are_read():
    given = {**DRAIN_PARAMS, "nodes": ["w0"], "restart_timeout": 0, "delete_options": {"wait_timeout": 5}}
    drain = DrainOptions(timeout=5)
    wanted = NodeRequest(names=("w0",), restart_timeout=0, drain=drain, max_unavailable="100%")
    assert read_drain_request(given) == wanted
    limits = {"max_unavailable": "3", "max_unavailable_per_pool": "2", "max_failures": 1}
    assert read_drain_request({**given, **limits}) == replace(wanted, **limits)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nodes": []}, "The option nodes is empty"),
        ({"restart_timeout": -1}, "The option restart_timeout is -1"),
        ({"max_unavailable": "none"}, "The option max_unavailable is 'none'"),
        ({"max_failures": -1}, "The option max_failures is -1"),
    ],
)
def test_options_of_node_drain_that_cannot_be_meant_are_named(given, words):
    with pytest.raises(InvalidOption, match=words):
        read_drain_request({**DRAIN_PARAMS, "nodes": ["w0"], "restart_timeout": 60, **given})


@pytest.mark.parametrize(
    ("given", "total", "count"),
    [
        ("1", 5, 1),
        ("7", 5, 7),
        (3, 5, 3),
        (" 2 ", 5, 2),
        ("50%", 5, 2),
        ("10%", 5, 1),
        ("1%", 200, 2),
        ("99%", 3, 2),
        ("100%", 3, 3),
        ("150", 200, 150),
        ("33%", 1, 1),
        ("50%", 0, 1),
    ],
)
def test_numbers_and_percentages(given, total, count):
    assert count_limit(given, total) == count


@pytest.mark.parametrize(
    "given", ["", "0", "00", "0%", "%", "101%", "-1", "+1", "1.5", "10 %", "10%%", "ten", "²", "½", 0]
)
def test_what_is_no_number_of_nodes(given):
    with pytest.raises(InvalidOption, match="give a number of nodes such as 2, or a share such as 10%"):
        count_limit(given, 10)


# -- which nodes, in which order


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        ("zone=a", {"zone": "a"}, True),
        ("zone==a", {"zone": "a"}, True),
        (" zone = a ", {"zone": "a"}, True),
        ("zone=a", {"zone": "b"}, False),
        ("zone=a", {}, False),
        ("zone=", {"zone": ""}, True),
        ("zone=", {}, False),
        ("zone!=a", {"zone": "b"}, True),
        ("zone!=a", {}, True),
        ("zone != a", {"zone": "a"}, False),
        ("gpu", {"gpu": ""}, True),
        ("gpu", {}, False),
        ("!gpu", {}, True),
        ("!gpu", {"gpu": ""}, False),
        ("! gpu", {"gpu": ""}, False),
        ("example.com/a_b-c", {"example.com/a_b-c": "x"}, True),
        ("node-role.kubernetes.io/worker=", {"node-role.kubernetes.io/worker": ""}, True),
        ("zone=a,gpu", {"zone": "a"}, False),
        ("zone=a, !gpu", {"zone": "a"}, True),
    ],
)
def test_label_selectors_as_people_write_them(selector, labels, fits):
    assert matches_text(selector, labels) is fits


@pytest.mark.parametrize(
    "selector",
    [
        "zone in (a,b)",
        "zone notin (a)",
        "cpu>4",
        "!",
        "!!gpu",
        "!gpu=a",
        "=a",
        "a=b=c",
        "a===b",
        "a b",
        "",
        " ",
        "a,,b",
        "a=b,",
    ],
)
def test_a_selector_that_cannot_be_read_selects_nothing_by_mistake(selector):
    with pytest.raises(InvalidOption, match="can't be read"):
        matches_text(selector, {})
    with pytest.raises(InvalidOption, match="can't be read"):
        choose_nodes(workers(2), request(labels=(selector,)), POOLS, None)


SMALL = [*masters(3), node("w2", "b"), node("w1", "a"), node("w3", "a"), node("i0", "a", "infra", "worker")]

SELECTIONS = [
    ("everything", {}, "i0 w1 w3 w2 m0 m1 m2"),
    ("by name", {"names": ("w2", "w1", "w1")}, "w1 w2"),
    ("by label", {"labels": ("topology.kubernetes.io/zone=a",)}, "i0 w1 w3"),
    ("by labels", {"labels": ("topology.kubernetes.io/zone=a", "!node-role.kubernetes.io/infra")}, "w1 w3"),
    ("by role", {"roles": ("worker",)}, "i0 w1 w3 w2"),
    ("by roles", {"roles": ("infra", "master")}, "i0 m0 m1 m2"),
    ("by pool", {"pools": ("worker",)}, "w1 w3 w2"),
    ("each narrows the others", {"roles": ("worker",), "pools": ("infra",), "names": ("i0", "w1")}, "i0"),
]


@pytest.mark.parametrize(("name", "asked", "wanted"), SELECTIONS, ids=[s[0] for s in SELECTIONS])
def test_which_nodes_are_chosen(name, asked, wanted):
    assert names(choose_nodes(SMALL, request(**asked), POOLS, None)) == wanted.split()
    shuffled = random.Random(1).sample(SMALL, len(SMALL))
    assert names(choose_nodes(shuffled, request(**asked), POOLS, None)) == wanted.split()


@pytest.mark.parametrize(
    ("own", "wanted"),
    [("w1", "i0 w3 w2 w1 m0 m1 m2"), ("i0", "w1 w3 w2 i0 m0 m1 m2"), ("m0", "i0 w1 w3 w2 m1 m2 m0"), ("x", None)],
)
def test_the_node_that_the_automation_runs_on_is_the_last_of_its_kind(own, wanted):
    chosen = names(choose_nodes(SMALL, request(), POOLS, own))
    assert chosen == (wanted or "i0 w1 w3 w2 m0 m1 m2").split()


def test_an_arbiter_comes_with_the_control_plane():
    nodes = [node("a0", "", "arbiter"), *masters(2), *workers(2)]
    chosen = choose_nodes(nodes, request(), [], None)
    assert names(chosen) == ["w0", "w1", "a0", "m0", "m1"]
    assert plan_batches(chosen, request(max_unavailable="5"), Surroundings(nodes=nodes)) == [
        ("w0", "w1"),
        ("a0",),
        ("m0",),
        ("m1",),
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"names": ("w1", "w8", "w9")}, r"Could not find the node\(s\) w8, w9"),
        ({"pools": ("worker", "gpu")}, r"Could not find the pool\(s\) gpu"),
        ({"roles": ("gpu",)}, "because none is selected"),
        ({"pools": ("infra",), "roles": ("master",)}, "because none is selected"),
    ],
)
def test_a_selection_that_cannot_be_meant(asked, words):
    with pytest.raises(CollectionError, match=words):
        choose_nodes(SMALL, request(**asked), POOLS, None)


def test_a_pool_without_nodes_may_be_named():
    with pytest.raises(CollectionError, match="none is selected"):
        choose_nodes(workers(1), request(pools=("infra",)), POOLS, None)


@pytest.mark.parametrize(
    ("name", "roles", "pools", "wanted"),
    [
        ("a worker", ("worker",), POOLS, "worker"),
        ("a pool of one's own comes before worker", ("worker", "infra"), POOLS, "infra"),
        ("the control plane's before all", ("worker", "infra", "master"), POOLS, "master"),
        ("a name that sorts after worker", ("worker", "x"),
         [*POOLS, PoolFacts(name="zz", selector={"matchLabels": {"node-role.kubernetes.io/x": ""}})], "zz"),
        ("two of one's own", ("worker", "infra"),
         [*POOLS, PoolFacts(name="aa", selector={"matchLabels": {"node-role.kubernetes.io/infra": ""}})], "aa"),
        ("no pool selects it", ("odd",), POOLS, "worker"),
        ("no pools, a worker", ("worker",), [], "worker"),
        ("no pools, a control-plane node", ("control-plane", "worker"), [], "control-plane"),
        ("an empty selector manages nothing", ("worker",), [PoolFacts(name="all", selector={}), *POOLS], "worker"),
        ("nor one of empty parts", ("worker",),
         [PoolFacts(name="all", selector={"matchLabels": {}, "matchExpressions": []}), *POOLS], "worker"),
    ],
)  # fmt: skip
def test_which_pool_manages_a_node(name, roles, pools, wanted):
    assert find_pool(node("n", "", *roles), pools) == wanted
    assert find_pool(node("n", "", *roles), pools[::-1]) == wanted


# -- how many at a time


@pytest.mark.parametrize(
    ("said", "asked", "size", "limit"),
    [
        (None, None, 10, 1),
        (None, "3", 10, 3),
        (3, None, 10, 3),
        (3, "5", 10, 3),
        (5, "3", 10, 3),
        ("50%", None, 10, 5),
        ("50%", None, 5, 2),
        ("50%", None, 1, 1),
        ("50%", "20%", 10, 2),
        ("10%", "50%", 10, 1),
        (0, None, 10, 1),
        ("0%", None, 10, 1),
        (0, "3", 10, 1),
        ("3", None, 10, 3),
        ("some", None, 10, 1),
        (-1, None, 10, 1),
    ],
)
def test_how_many_nodes_of_a_pool_may_be_unavailable(said, asked, size, limit):
    pools = [PoolFacts(name="worker", selector={"matchLabels": {"a": "b"}}, max_unavailable=said)]
    pool_of = {f"w{i}": "worker" for i in range(size)}
    assert find_limits(pool_of, request(max_unavailable_per_pool=asked), pools) == {"worker": limit}


def test_each_pool_has_its_own_limit():
    pool_of = {**{f"w{i}": "worker" for i in range(9)}, **{f"i{i}": "infra" for i in range(3)}, "m0": "master"}
    assert find_limits(pool_of, request(), POOLS) == {"worker": 4, "infra": 2, "master": 1}
    assert find_limits(pool_of, request(max_unavailable_per_pool="50%"), POOLS) == {
        "worker": 4,
        "infra": 1,
        "master": 1,
    }


def test_where_there_are_no_pools_only_the_request_limits():
    pool_of = {**{f"w{i}": "worker" for i in range(9)}, "m0": "control-plane"}
    assert find_limits(pool_of, request(), []) == {"worker": 9, "control-plane": 1}
    assert find_limits(pool_of, request(max_unavailable_per_pool="3"), []) == {"worker": 3, "control-plane": 3}


def plan(nodes, pools=(), pods=None, budgets=(), chosen=None, **asked):
    around = Surroundings(nodes=nodes, pools=pools, pods=pods or {}, budgets=budgets)
    picked = choose_nodes(nodes, request(**asked), pools, None) if chosen is None else chosen
    return " | ".join(" ".join(batch) for batch in plan_batches(picked, request(**asked), around))


AWAY = {"is_cordoned": True}
OURS = NodeMark(run_id="r1", boot_id="b")
SILENT_POOLS = [
    PoolFacts(name=name, selector={"matchLabels": {f"node-role.kubernetes.io/{name}": ""}}) for name in ("worker", "x")
]
FULL_POOL = [node("i0", "", "infra"), node("x0", "", "infra", **AWAY), node("x1", "", "infra", **AWAY)]

PLANS = [
    ("one after the other", {"nodes": workers(3)}, "w0 | w1 | w2"),
    ("two at a time", {"nodes": workers(5), "max_unavailable": "2"}, "w0 w1 | w2 w3 | w4"),
    ("a share of all nodes", {"nodes": workers(5), "max_unavailable": "40%"}, "w0 w1 | w2 w3 | w4"),
    ("a share counts nodes that are not chosen, too", {"nodes": workers(4), "names": ("w0", "w1", "w2"),
     "max_unavailable": "50%"}, "w0 w1 | w2"),
    ("control plane alone", {"nodes": [*masters(3), *workers(2)], "max_unavailable": "5"}, "w0 w1 | m0 | m1 | m2"),
    ("a canary", {"nodes": workers(5), "max_unavailable": "2", "has_canary": True}, "w0 | w1 w2 | w3 w4"),
    ("a canary of the control plane", {"nodes": masters(2), "max_unavailable": "2", "has_canary": True}, "m0 | m1"),
    ("a pool's half", {"nodes": workers(5), "pools": POOLS, "max_unavailable": "9"}, "w0 w1 | w2 w3 | w4"),
    ("two pools together", {"nodes": [*workers(4), node("i0", "", "infra"), node("i1", "", "infra")], "pools": POOLS,
     "max_unavailable": "9"}, "i0 i1 w0 w1 | w2 w3"),
    ("a pool that says nothing", {"nodes": workers(3), "pools": [PoolFacts(name="worker", selector={"matchLabels": {
     "node-role.kubernetes.io/worker": ""}})], "max_unavailable": "9"}, "w0 | w1 | w2"),
    ("per pool", {"nodes": workers(5), "max_unavailable": "9", "max_unavailable_per_pool": "2"}, "w0 w1 | w2 w3 | w4"),
    ("one is away already", {"nodes": [*workers(4), node("x0", **AWAY)], "names": ("w0", "w1", "w2", "w3"),
     "max_unavailable": "3"}, "w0 w1 | w2 w3"),
    ("one of the pool is away already", {"nodes": [*workers(5), node("x0", **AWAY)], "pools": POOLS,
     "names": ("w0", "w1", "w2", "w3"), "max_unavailable": "9"}, "w0 w1 | w2 w3"),
    ("one of another pool is no matter", {"nodes": [*workers(4), node("x0", "", "infra", **AWAY)], "pools": POOLS,
     "names": ("w0", "w1", "w2", "w3"), "max_unavailable": "9"}, "w0 w1 | w2 w3"),
    ("one that comes later is away until then", {"nodes": [*workers(3), node("w3", is_ready=False)],
     "max_unavailable": "2"}, "w0 w3 | w1 | w2"),
    ("one that came before may stay away", {"nodes": [node("a0", **AWAY), *workers(3)], "max_unavailable": "2"},
     "a0 w0 | w1 | w2"),
    ("no room at all", {"nodes": [*workers(3), node("x0", **AWAY), node("x1", **AWAY)], "names": ("w0", "w1", "w2"),
     "max_unavailable": "2"}, "w0 | w1 | w2"),
    ("a pool without room does not take another with it", {"nodes": [*FULL_POOL, *workers(2)], "pools": POOLS,
     "names": ("i0", "w0", "w1"), "max_unavailable": "9"}, "i0 | w0 | w1"),
    ("those that are put back first are not away", {"nodes": [*workers(4), node("x0", mark=OURS, **AWAY)],
     "names": ("w0", "w1", "w2", "w3"), "max_unavailable": "2"}, "w0 w1 | w2 w3"),
    ("but for those whose cordon stays", {"nodes": [*workers(4), node("x0", mark=replace(OURS, was_cordoned=True),
     **AWAY)], "names": ("w0", "w1", "w2", "w3"), "max_unavailable": "2"}, "w0 | w1 | w2 | w3"),
    ("zones in turn", {"nodes": [node("w0", "b"), node("w1", "a"), node("w2", "b"), node("w3", "a")],
     "max_unavailable": "2"}, "w1 w3 | w0 w2"),
    ("control plane alone in any order", {"nodes": [*masters(1), *workers(2)], "chosen": [*masters(1), *workers(2)],
     "max_unavailable": "5"}, "m0 | w0 w1"),
    ("a node that does not fit does not keep later ones away", {"nodes": [*workers(3), node("x0", "", "x"),
     node("x1", "", "x")], "pools": SILENT_POOLS, "max_unavailable": "2"}, "w0 x0 | w1 x1 | w2"),
    ("nothing chosen", {"nodes": workers(2), "chosen": []}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "wanted"), PLANS, ids=[p[0] for p in PLANS])
def test_batches(name, given, wanted):
    assert plan(**given) == wanted


def pods_of(app, count=1, **facts):
    made = replace(CART, has_local_data=False, labels={"app": app})
    return [replace(made, facts=replace(made.facts, uid=f"{app}{i}", **facts)) for i in range(count)]


def budget(app, allowed, namespace="shop"):
    return BudgetFacts(namespace=namespace, name=app, selector={"matchLabels": {"app": app}}, allowed=allowed)


BUDGETS = [
    ("one that allows both", {"w0": pods_of("a"), "w1": pods_of("a")}, [budget("a", 2)], "w0 w1"),
    ("one that allows one of two", {"w0": pods_of("a"), "w1": pods_of("a")}, [budget("a", 1)], "w0 | w1"),
    ("one that allows none", {"w0": pods_of("a"), "w1": pods_of("a")}, [budget("a", 0)], "w0 | w1"),
    ("one whose pods are all on one node", {"w0": pods_of("a", 2)}, [budget("a", 0)], "w0 w1"),
    ("one for each", {"w0": pods_of("a"), "w1": pods_of("b")}, [budget("a", 0), budget("b", 0)], "w0 w1"),
    ("two pods on a node count twice", {"w0": pods_of("a", 2), "w1": pods_of("a")}, [budget("a", 2)], "w0 | w1"),
    ("three are allowed", {"w0": pods_of("a", 2), "w1": pods_of("a")}, [budget("a", 3)], "w0 w1"),
    ("of another namespace", {"w0": pods_of("a"), "w1": pods_of("a")}, [budget("a", 0, "shop2")], "w0 w1"),
    ("pods that are not Ready cost it nothing", {"w0": pods_of("a"), "w1": pods_of("a", is_ready=False)}, [budget("a", 1)],
     "w0 w1"),
    ("pods that stay cost it nothing", {"w0": pods_of("a"), "w1": pods_of("a", is_static=True)}, [budget("a", 1)],
     "w0 w1"),
    ("without a selector", {"w0": pods_of("a"), "w1": pods_of("a")}, [replace(budget("a", 0), selector=None)], "w0 w1"),
    ("with an empty one", {"w0": pods_of("a"), "w1": pods_of("b")}, [replace(budget("a", 1), selector={})], "w0 | w1"),
    ("the second of two shared", {"w0": [*pods_of("a"), *pods_of("b")], "w1": [*pods_of("a"), *pods_of("b")]},
     [budget("a", 2), budget("b", 1)], "w0 | w1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pods", "budgets", "wanted"), BUDGETS, ids=[b[0] for b in BUDGETS])
def test_nodes_whose_drains_would_wait_for_each_other_are_apart(name, pods, budgets, wanted):
    assert plan(workers(2), pods=pods, budgets=budgets, max_unavailable="2") == wanted


def test_a_third_node_may_be_the_one_too_many():
    pods = {f"w{i}": pods_of("a") for i in range(5)}
    assert plan(workers(5), pods=pods, budgets=[budget("a", 2)], max_unavailable="5") == "w0 w1 | w2 w3 | w4"


def test_the_node_that_the_automation_runs_on_stays_the_last_of_its_kind():
    """Though it would fit beside the first, and the second does not."""
    nodes, pods = workers(3), {f"w{i}": pods_of("a") for i in (0, 1)}
    own = replace(pods_of("runner")[0], facts=replace(pods_of("runner")[0].facts, node="w2"))
    around = Surroundings(nodes=nodes, pods=pods, budgets=[budget("a", 1)], own_pod=own)
    asked = request(max_unavailable="2")
    assert plan_batches(nodes, asked, replace(around, own_pod=None)) == [("w0", "w2"), ("w1",)]
    assert plan_batches(nodes, asked, around) == [("w0",), ("w1", "w2")]


def test_two_hundred_nodes_in_batches_of_ten():
    nodes = workers(200)
    batches = plan(nodes, max_unavailable="5%").split(" | ")
    assert [len(b.split()) for b in batches] == [10] * 20


# -- whether there is room for a batch now


@pytest.mark.parametrize(
    ("name", "batch", "nodes", "wanted"),
    [
        ("room", ["w0", "w1"], workers(4), ""),
        ("one is away", ["w0"], [*workers(3), node("x0", **AWAY)], ""),
        ("one is away, two go", ["w0", "w1"], [*workers(3), node("x0", **AWAY)],
         "unavailable in the pool worker, of which 2 may be: x0"),
        ("not Ready counts as cordoned does", ["w0"], [*workers(2), node("x1", is_ready=False), node("x0", **AWAY)],
         "unavailable in the pool worker, of which 2 may be: x0, x1"),
        ("its own are away already", ["w0", "w1"], [*workers(2, **AWAY), node("w2"), node("w3")], ""),
        ("another pool is no matter", ["w0", "w1"], [*workers(4), node("i0", "", "infra", is_ready=False)], ""),
        ("a batch that is too large by itself", ["w0", "w1", "w2"], workers(4), ""),
        ("a node that is gone", ["gone", "w0"], workers(4), ""),
        ("both pools of the batch count", ["i0", "w0"], [*workers(4), node("i0", "", "infra"), node("i1", "", "infra",
         **AWAY), node("i2", "", "infra", **AWAY)], "unavailable in the pool infra, of which 2 may be: i1, i2"),
    ],
)  # fmt: skip
def test_why_a_batch_may_not_begin(name, batch, nodes, wanted):
    assert find_room(batch, nodes, POOLS, request(max_unavailable="9")) == wanted


@pytest.mark.parametrize(
    ("name", "total", "away", "wanted"),
    [
        ("as many as there may be", "1", [], ""),
        ("one of the same pool", "2", ["w1"], ""),
        ("one too many, in any pool", "1", ["i0"], "unavailable of all nodes, of which 1 may be (max_unavailable): i0"),
        ("a share of all", "50%", ["i0", "i1", "w2"],
         "unavailable of all nodes, of which 3 may be (max_unavailable): i0, i1, w2"),
    ],
)  # fmt: skip
def test_a_batch_may_not_begin_when_too_many_of_all_nodes_are_away(name, total, away, wanted):
    nodes = [*workers(4), node("i0", "", "infra"), node("i1", "", "infra")]
    nodes = [replace(n, is_cordoned=n.name in away) for n in nodes]
    assert find_room(["w0"], nodes, [], request(max_unavailable=total)) == wanted


@pytest.mark.parametrize(
    ("total", "failed", "cordoned", "part", "words"),
    [
        ("2", [], ["w3"], ["w0", "w1"], False),  # it may come back
        ("3", ["w3"], ["w3"], ["w0", "w1"], False),
        ("2", ["w3"], ["w3"], ["w0"], True),
        ("1", ["w3"], ["w3"], [], True),
        ("1", ["w3"], [], ["w0", "w1"], False),  # it was put back
    ],
)
def test_as_many_nodes_begin_as_there_is_room_for_beside_a_failed_one(total, failed, cordoned, part, words):
    nodes = [replace(n, is_cordoned=n.name in cordoned) for n in workers(4)]
    found, why = fit_beside(failed, ["w0", "w1"], nodes, [], request(max_unavailable=total))
    assert (list(found), bool(why)) == (part, words)


def test_every_batch_of_a_plan_has_room_when_more_than_one_node_goes():
    """What plan_batches takes together, find_room lets begin, if nothing changes in between."""
    nodes = [*workers(6), node("w6", is_ready=False), node("x0", **AWAY)]
    around = Surroundings(nodes=nodes, pools=POOLS)
    asked = request(max_unavailable="9")
    batches = plan_batches(choose_nodes(nodes, asked, POOLS, None), asked, around)
    assert max(len(b) for b in batches) > 1
    assert [find_room(b, nodes, POOLS, asked) for b in batches if len(b) > 1] == [""] * sum(len(b) > 1 for b in batches)


# -- at random


def a_cluster(rng):
    """Nodes, pools, budgets and pods of any kind, and a request."""
    limits = [None, 0, 1, 2, 3, "10%", "50%", "100%", "0%", "odd"]
    roles = [("worker",)] * 6 + [("infra", "worker"), ("infra",), ("control-plane", "master"), ("odd",), ("arbiter",)]
    pools = [replace(p, max_unavailable=rng.choice(limits)) for p in POOLS] if rng.random() < 0.7 else []
    nodes = [
        node(
            f"n{i:02}",
            rng.choice(["", "a", "b"]),
            *rng.choice(roles),
            is_ready=rng.random() < 0.9,
            is_cordoned=rng.random() < 0.1,
        )
        for i in range(rng.randint(1, 24))
    ]
    apps = ["a", "b", "c"]
    budgets = [budget(app, rng.randint(0, 4)) for app in apps]
    pods = {n.name: [p for app in apps for p in pods_of(app, rng.choice([0, 0, 0, 1, 2]))] for n in nodes}
    asked = request(
        names=tuple(rng.sample(names(nodes), rng.randint(1, len(nodes)))),
        max_unavailable=rng.choice(["1", "2", "5", "100", "10%", "50%"]),
        max_unavailable_per_pool=rng.choice([None, None, "1", "2", "30%"]),
        has_canary=rng.random() < 0.3,
    )
    return Surroundings(nodes=nodes, pools=pools, budgets=budgets, pods=pods), asked


def find_faults(batches, chosen, asked, around):
    """Yield what is wrong with a plan, counted anew."""
    planned = [name for batch in batches for name in batch]
    if sorted(planned) != sorted(names(chosen)):
        yield f"planned {planned}, chosen {names(chosen)}"
    order = [[n.name for n in chosen if n.name in batch] for batch in batches]
    if order != [list(batch) for batch in batches] or [b[0] for b in order] != sorted(
        (b[0] for b in order), key=names(chosen).index
    ):
        yield f"planned {batches}, chosen in the order {names(chosen)}"
    by_name = {n.name: n for n in around.nodes}
    pool_of = {n.name: find_pool(n, around.pools) for n in around.nodes}
    limits = find_limits(pool_of, asked, around.pools)
    lasting = {n.name for n in around.nodes if n.is_cordoned or not n.is_ready}
    if asked.has_canary and batches and len(batches[0]) > 1:
        yield f"no canary: {batches[0]}"
    for batch in (b for b in batches if len(b) > 1):
        away = lasting | set(batch)
        if any(by_name[name].is_control_plane for name in batch):
            yield f"a control-plane node in company: {batch}"
        if len(away) > count_limit(asked.max_unavailable, len(around.nodes)):
            yield f"too many: {batch}"
        in_pools = Counter(pool_of[name] for name in away)
        yield from (f"too many of {p}: {batch}" for p in {pool_of[n] for n in batch} if in_pools[p] > limits[p])
        for b in around.budgets:
            taken = {name: sum(b.covers(p) and p.facts.is_ready for p in around.pods[name]) for name in batch}
            if sum(t > 0 for t in taken.values()) > 1 and sum(taken.values()) > b.allowed:
                yield f"{b} is shared: {taken}"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["a"], {"field_selector": "metadata.name=a"}),
        (["a", "b"], {"label_selector": "kubernetes.io/hostname in (a.example.test,b)"}),
        (["a", "unlabelled"], {}),
        (["a", "unknown"], {}),
    ],
)
def test_how_nodes_are_asked_for_in_one_request(names, wanted):
    hosts = {"a": "a.example.test", "b": "b"}
    labels = {name: {"kubernetes.io/hostname": host} for name, host in hosts.items()}
    assert select_nodes(names, {**labels, "unlabelled": {}}) == wanted


def test_no_plan_exceeds_a_limit_or_loses_a_node():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    together = 0
    for _round in range(200):
        around, asked = a_cluster(rng)
        chosen = choose_nodes(around.nodes, asked, around.pools, rng.choice([None, around.nodes[0].name]))
        batches = plan_batches(chosen, asked, around)
        assert list(find_faults(batches, chosen, asked, around)) == []
        together += sum(len(b) > 1 for b in batches)
    assert together  # it was about batches
