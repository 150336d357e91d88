# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import (
    NodeMark,
    budget_facts,
    node_facts,
    node_pod,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import DrainOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.node_findings import (
    CHECKS,
    estimate_seconds,
    find_blockers,
    parse_quantity,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.nodes import NodeRequest, Surroundings

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc)
GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def node(name, *, taints=(), cordoned=False, labels=None, **allocatable):
    """A node as the API shows it, with the role that its name begins with."""
    return node_facts(
        {
            "metadata": {
                "name": name,
                "labels": {f"node-role.kubernetes.io/{name.partition('-')[0]}": "", **(labels or {})},
            },
            "spec": {"unschedulable": cordoned, "taints": list(taints)},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "250", **allocatable},
            },
        }
    )


def pod(name, *, kind="ReplicaSet", phase="Running", ready=True, owner=None, requests=None, metadata=None, **spec):
    """A pod as the API shows it; kind None for one without an owner."""
    owner = owner or name.rpartition("-")[0]
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": f"uid-{owner}", "controller": True}
    return node_pod(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": name,
                "labels": {"app": owner},
                "ownerReferences": [reference] if kind else [],
                **(metadata or {}),
            },
            "spec": {"containers": [{"name": "c", "resources": {"requests": requests or {}}}], **spec},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]},
        }
    )


def budget(name, *, allowed=0, healthy=3, desired=2, expected=3, policy=None, app="cart"):
    return budget_facts(
        {
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": app}}, "unhealthyPodEvictionPolicy": policy},
            "status": {
                "disruptionsAllowed": allowed,
                "currentHealthy": healthy,
                "desiredHealthy": desired,
                "expectedPods": expected,
            },
        }
    )


NODES = [node(n) for n in ("worker-0", "worker-1", "worker-2", "master-0", "master-1", "master-2")]
#: The other Ready pod of each owner that the tests know, so that nothing is the only one.
SECOND = {
    "worker-2": [pod("cart-9", owner="cart"), pod("web-9"), pod("db-9"), pod("other-8", owner="other"), pod("other-9")]
}


def find(
    pods,
    *,
    chosen=("worker-0",),
    nodes=NODES,
    budgets=(),
    batches=None,
    now=NOW,
    own=None,
    allow_disruption=False,
    **drain,
):
    around = Surroundings(nodes=nodes, budgets=budgets, pods={**SECOND, **pods}, own_pod=own)
    return find_blockers(
        [n for n in nodes if n.name in chosen],
        around,
        NodeRequest(drain=DrainOptions(**drain), allow_disruption=allow_disruption),
        batches=batches or [(name,) for name in chosen],
        now=now,
    )


JOB = {"finalizers": ["batch.kubernetes.io/job-tracking"]}
EMPTY_DIR = {"volumes": [{"name": "v", "emptyDir": {}}]}
CART = [pod("cart-1"), pod("cart-2")]


def going(since="2026-11-22T07:49:59Z", **more):
    return {"deletionTimestamp": since, **more}


#: Name, pods on worker-0, budgets, options of the drain, and the findings: check, option, whether it blocks, words.
CASES = [
    ("nothing", [pod("web-1")], [], {}, []),
    (
        "a finished pod, one of a DaemonSet",
        [pod("x", kind=None, phase="Failed"), pod("ds-1", kind="DaemonSet")],
        [],
        {},
        [],
    ),
    (
        "a pod without an owner",
        [pod("debug", kind=None)],
        [],
        {},
        [
            (
                "NoOwner",
                "delete_options.force",
                True,
                (
                    "worker-0: shop/debug has no controller, so that nobody creates it anew; set delete_options.force to true "
                    "(and allow_disruption) to let it go."
                ),
            )
        ],
    ),
    ("a pod without an owner that may go", [pod("debug", kind=None)], [], {"force": True}, []),
    (
        "local data",
        [pod(f"web-{n}", **EMPTY_DIR) for n in range(5)],
        [],
        {},
        [
            (
                "LocalData",
                "delete_options.delete_emptydir_data",
                True,
                (
                    "worker-0: shop/web-0, shop/web-1, shop/web-2 and 2 more have an emptyDir; set "
                    "delete_options.delete_emptydir_data to true to let them go."
                ),
            )
        ],
    ),
    ("local data that may go", [pod("web-1", **EMPTY_DIR)], [], {"delete_emptydir_data": True}, []),
    (
        "pods of DaemonSets where none may be",
        [pod("ds-1", kind="DaemonSet")],
        [],
        {"ignore_daemonsets": False},
        [
            (
                "DaemonSet",
                "delete_options.ignore_daemonsets",
                True,
                "worker-0: shop/ds-1 belongs to a DaemonSet; set delete_options.ignore_daemonsets to true to leave it there.",
            )
        ],
    ),
    ("a budget that allows one", CART, [budget("cart", allowed=1)], {}, []),
    ("a budget of other pods", CART, [budget("web", app="web")], {}, []),
    (
        "a budget that never allows one",
        CART,
        [budget("cart", desired=3)],
        {},
        [
            (
                "Budget",
                "delete_options.disable_eviction",
                True,
                (
                    "worker-0: budget shop/cart (of ReplicaSet/cart) never lets a pod go: 3 of 3 must be healthy, 3 are; have "
                    "more replicas, or change it, or set delete_options.disable_eviction or delete_options.delete_after (and "
                    "allow_disruption)."
                ),
            )
        ],
    ),
    (
        "a budget that wants more than there are",
        CART,
        [budget("cart", desired=5)],
        {},
        [("Budget", ..., True, "5 of 3 must")],
    ),
    ("a budget that one deletes past", CART, [budget("cart", desired=3)], {"disable_eviction": True}, []),
    (
        "a budget that one deletes past after a while",
        CART,
        [budget("cart", desired=3)],
        {"delete_after": 90},
        [("Budget", ..., False, "or change it; it is deleted all the same after 1 min 30 s.")],
    ),
    (
        "a budget that allows none now",
        CART,
        [budget("cart", healthy=2)],
        {},
        [
            (
                "Budget",
                "delete_options.wait_timeout",
                False,
                (
                    "worker-0: budget shop/cart (of ReplicaSet/cart) lets no pod go now: 2 of 3 are healthy, 2 must be; a drain "
                    "waits for it for 30 min."
                ),
            )
        ],
    ),
    (
        "a budget that allows none now and is waited for only so long",
        CART,
        [budget("cart", healthy=2)],
        {"delete_after": 60},
        [("Budget", "delete_options.delete_after", False, "a drain waits for it for 1 min.")],
    ),
    (
        "a budget nobody has looked at yet",
        CART,
        [budget("cart", healthy=0, desired=0, expected=0)],
        {},
        [("Budget", ..., False, "now")],
    ),
    (
        "a budget of a pod that is not Ready",
        [pod("cart-1", ready=False)],
        [budget("cart", desired=3, healthy=2)],
        {},
        [("Budget", ..., True, "never lets a pod go")],
    ),
    (
        "a budget that lets go what is not Ready",
        [pod("cart-1", ready=False)],
        [budget("cart", desired=3, healthy=2, policy="AlwaysAllow")],
        {},
        [],
    ),
    (
        "a budget that lets go what is not Ready, and a pod that is",
        CART,
        [budget("cart", desired=3, healthy=2, policy="AlwaysAllow")],
        {},
        [("Budget", ..., True, "never lets a pod go")],
    ),
    (
        "a budget of pods that need not ask it",
        [
            pod("cart-1", phase="Pending", ready=False),
            pod("cart-2", phase="Failed"),
            pod("cart-3", metadata=going("2026-11-22T07:59:00Z")),
        ],
        [budget("cart", desired=3)],
        {},
        [],
    ),
    (
        "several budgets of one pod",
        [pod("cart-1")],
        [budget("a", allowed=1), budget("b", allowed=1)],
        {},
        [
            (
                "Budgets",
                "delete_options.disable_eviction",
                True,
                (
                    "worker-0: shop/cart-1 is covered by several budgets (a, b), and no server evicts such a pod; leave it one, "
                    "or set delete_options.disable_eviction or delete_options.delete_after (and allow_disruption)."
                ),
            )
        ],
    ),
    (
        "several budgets of one pod that is deleted after a while",
        [pod("cart-1")],
        [budget("a", allowed=1), budget("b", allowed=1)],
        {"delete_after": 0},
        [("Budgets", ..., False, "leave it one; it is deleted all the same after 0 s.")],
    ),
    (
        "the only Ready pod of its owner",
        [pod("solo-1"), pod("solo-2", ready=False), pod("one-1", kind="StatefulSet"), pod("web-1")],
        [],
        {},
        [
            (
                "SingleReplica",
                "",
                False,
                (
                    "worker-0: shop/solo-1, shop/one-1 are the only Ready ones of their owners: down until a successor is Ready; "
                    "have more replicas."
                ),
            )
        ],
    ),
    ("the only pod of a Job", [pod("job-1", kind="Job", metadata=JOB, restartPolicy="Never")], [], {}, []),
    ("a bare pod has no owner to have others", [pod("debug", kind=None)], [], {"force": True}, []),
    (
        "a finalizer",
        [pod("web-1", metadata={"finalizers": ["example.com/a", "batch.kubernetes.io/job-tracking", "example.com/b"]})],
        [],
        {},
        [
            (
                "Finalizers",
                "",
                False,
                "worker-0: shop/web-1 is not gone before somebody removes its finalizers: example.com/a, example.com/b.",
            )
        ],
    ),
    ("a finalizer of a pod that stays", [pod("ds-1", kind="DaemonSet", metadata={"finalizers": ["x/y"]})], [], {}, []),
    (
        "terminating for long",
        [pod("web-1", metadata=going())],
        [],
        {},
        [
            (
                "Terminating",
                "",
                False,
                "worker-0: shop/web-1 should have been gone at 2026-11-22T07:49:59Z and is still there.",
            )
        ],
    ),
    ("terminating for a while", [pod("web-1", metadata=going("2026-11-22T07:50:00Z"))], [], {}, []),
]


def told(findings):
    return [(f.check, f.option, f.is_blocking, f.message) for f in findings]


@pytest.mark.parametrize(("name", "pods", "budgets", "drain", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_what_holds_a_drain_up_is_found(name, pods, budgets, drain, wanted):
    found = find({"worker-0": pods}, budgets=budgets, **drain)
    assert len(found) == len(wanted)
    for finding, (check, option, is_blocking, words) in zip(found, wanted, strict=True):
        assert (finding.node, finding.check, finding.is_blocking) == ("worker-0", check, is_blocking)
        assert option in (finding.option, ...)
        assert words in finding.message
        assert finding.message.endswith(".")


def test_a_budget_is_told_once_for_all_nodes():
    pods = {"worker-0": [pod("cart-1")], "worker-1": [pod("cart-2"), pod("cart-3", owner="cart")]}
    (finding,) = find(pods, chosen=("worker-0", "worker-1"), budgets=[budget("cart", desired=3)])
    assert finding.node == "worker-0"
    assert finding.message.startswith("worker-0, worker-1: budget shop/cart (of ReplicaSet/cart) never")


def test_only_chosen_nodes_are_looked_at():
    everything = [pod("debug", kind=None), pod("solo-1", metadata={"finalizers": ["x/y"]}), *CART]
    assert find({"worker-1": everything}, budgets=[budget("cart", desired=3)]) == []


def test_without_a_time_nothing_is_long():
    assert find({"worker-0": [pod("web-1", metadata=going())]}, now=None) == []


def test_a_finding_is_recorded():
    (finding,) = find({"worker-0": [pod("debug", kind=None)]})
    assert finding.record() == {
        "node": "worker-0",
        "check": "NoOwner",
        "message": finding.message,
        "option": "delete_options.force",
        "blocking": True,
    }
    assert replace(finding, option="").record()["option"] is None


BIG, SMALL = {"cpu": "3", "memory": "1Gi"}, {"cpu": "500m", "memory": "128Mi"}
TOLERATION = {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}


def place(pods, others, elsewhere=None, *, batches=None):
    """The finding about capacity when ``pods`` leave worker-0 and ``others`` are the other nodes; None for none."""
    given = {"worker-0": pods, **(elsewhere or {})}
    nodes = [node("worker-0"), *others]
    around = Surroundings(nodes=nodes, pods=given)
    batches = batches or [("worker-0",)]
    chosen = [n for n in nodes if any(n.name in b for b in batches)]
    found = find_blockers(chosen, around, NodeRequest(drain=DrainOptions(force=True)), batches=batches, now=NOW)
    return next((f for f in found if f.check == "Capacity"), None)


def web(number, requests=None, **more):
    return pod(f"web-{number}", requests=requests or BIG, **more)


CAPACITY = [
    ("it fits", [web(1)], [node("a")], {}, 0),
    ("exactly", [web(1), web(2, {"cpu": "1000m", "memory": "7168Mi"})], [node("a")], {}, 0),
    ("a little too much", [web(1), web(2, {"cpu": "1001m"})], [node("a")], {}, 1),
    ("memory, too", [web(1), web(2, {"memory": "7169Mi"})], [node("a")], {}, 1),
    ("the sum would do, but no node has it", [web(1), web(2), web(3)], [node("a", cpu="5"), node("b", cpu="5")], {}, 1),
    ("the largest choose first", [web(1), web(2, {"cpu": "4"})], [node("a"), node("b", cpu="3")], {}, 0),
    ("what runs there counts", [web(1)], [node("a")], {"a": [web(5, {"cpu": "1500m"})]}, 1),
    ("what has ended there does not", [web(1)], [node("a")], {"a": [web(5, BIG, phase="Succeeded")]}, 0),
    ("the number of pods counts", [web(1, SMALL), web(2, SMALL)], [node("a", pods="1")], {}, 1),
    ("a cordoned node", [web(1)], [node("a", cordoned=True)], {}, 1),
    (
        "a resource that only one has",
        [web(1, {"gpu/x": "1"}), web(2, {"gpu/x": "1"})],
        [node("a"), node("b", **{"gpu/x": "1"})],
        {},
        1,
    ),
    ("none of a resource that nobody has", [web(1, {"gpu/x": "0"})], [node("a")], {}, 0),
    ("a taint", [web(1)], [node("a", taints=[GPU])], {}, 1),
    ("a taint of another kind", [web(1)], [node("a", taints=[{**GPU, "effect": "NoExecute"}])], {}, 1),
    ("a taint that prefers", [web(1)], [node("a", taints=[{**GPU, "effect": "PreferNoSchedule"}])], {}, 0),
    ("a taint that is tolerated", [web(1, tolerations=[TOLERATION])], [node("a", taints=[GPU])], {}, 0),
    (
        "any value is tolerated",
        [web(1, tolerations=[{"key": "gpu", "operator": "Exists"}])],
        [node("a", taints=[GPU])],
        {},
        0,
    ),
    ("anything is tolerated", [web(1, tolerations=[{"operator": "Exists"}])], [node("a", taints=[GPU])], {}, 0),
    (
        "another value is tolerated",
        [web(1, tolerations=[{**TOLERATION, "value": "no"}])],
        [node("a", taints=[GPU])],
        {},
        1,
    ),
    ("another key is tolerated", [web(1, tolerations=[{**TOLERATION, "key": "x"}])], [node("a", taints=[GPU])], {}, 1),
    (
        "another effect is tolerated",
        [web(1, tolerations=[{**TOLERATION, "effect": "NoExecute"}])],
        [node("a", taints=[GPU])],
        {},
        1,
    ),
    (
        "one of two taints is tolerated",
        [web(1, tolerations=[TOLERATION])],
        [node("a", taints=[GPU, {**GPU, "key": "x"}])],
        {},
        1,
    ),
    ("a label that no other has", [web(1, nodeSelector={"disk": "ssd"})], [node("a")], {}, 1),
    ("a label that another has", [web(1, nodeSelector={"disk": "ssd"})], [node("a", labels={"disk": "ssd"})], {}, 0),
    (
        "nobody creates it anew",
        [pod("debug", kind=None, requests={"cpu": "9"}), web(9, {"cpu": "9"}, kind="DaemonSet")],
        [node("a")],
        {},
        0,
    ),
    ("it is going anyway", [web(1, {"cpu": "9"}, phase="Failed")], [node("a")], {}, 0),
]


@pytest.mark.parametrize(("name", "pods", "others", "elsewhere", "homeless"), CAPACITY, ids=[c[0] for c in CAPACITY])
def test_pods_are_found_for_which_there_is_no_room_elsewhere(name, pods, others, elsewhere, homeless):
    finding = place(pods, others, elsewhere)
    assert bool(finding) == bool(homeless)
    if finding:
        assert (finding.node, finding.option, finding.is_blocking) == ("worker-0", "", False)
        assert (
            f"worker-0: approximately {homeless} of {len(pods)} pods will be Pending until it is back"
            in finding.message
        )


def test_nodes_of_one_batch_are_no_place_for_each_other_and_come_back_for_the_next():
    others, pods = [node("worker-1"), node("worker-2")], {"worker-1": [web(2, SMALL)], "worker-2": [web(3)]}
    assert place([web(1)], others, pods, batches=[("worker-0",), ("worker-1",)]) is None
    finding = place([web(1)], others, pods, batches=[("worker-0", "worker-1"), ("worker-2",)])
    assert finding.option == "max_unavailable"
    assert finding.message.startswith("worker-0, worker-1: approximately 1 of 2 pods")


def test_the_control_plane_is_reminded_of_its_backup_once():
    found = find({}, chosen=("worker-0", "master-0", "master-1"))
    assert told(found) == [("EtcdBackup", "", False, "master-0: back up etcd before the control plane is restarted.")]


def test_a_single_control_plane_node_is_announced():
    nodes = [node("worker-0"), node("master-0")]
    found = find({"master-0": [pod("web-1")]}, chosen=("master-0",), nodes=nodes)
    assert [f.check for f in found] == ["EtcdBackup", "SingleControlPlane"]
    assert find({}, chosen=("worker-0",), nodes=nodes) == []


def test_on_a_single_node_nothing_is_drained():
    pods = [pod("debug", kind=None), pod("solo-1", metadata=going(finalizers=["x/y"])), *CART]
    found = find(
        {"master-0": pods}, chosen=("master-0",), nodes=[node("master-0")], budgets=[budget("cart", desired=3)]
    )
    assert [f.check for f in found] == ["SingleNode", "EtcdBackup", "SingleControlPlane"]
    assert not any(f.is_blocking for f in found)


def test_every_check_has_found_something():
    found = find(
        {
            "worker-0": [
                pod("debug", kind=None),
                pod("solo-1", requests={"cpu": "99"}, metadata=going(finalizers=["x/y"])),
                *CART,
            ]
        },
        chosen=("worker-0", "master-0"),
        budgets=[budget("cart", desired=3), budget("more", allowed=1)],
    )
    checks = {f.check for f in found}
    alone = find({}, chosen=("master-0",), nodes=[node("master-0")])
    own = find({}, own=pod("runner-1", nodeName="worker-0"))
    assert len(checks | {f.check for f in (*alone, *own)}) > len(CHECKS)


@pytest.mark.parametrize("pods", [{}, {"worker-0": [pod("runner-1", kind="DaemonSet", nodeName="worker-0")]}])
def test_the_pod_that_the_run_lives_in(pods):
    """Whether a drain takes it or not."""
    own = pod("runner-1", nodeName="worker-0")
    found = find(pods, own=own)
    assert [(f.check, f.node, f.option, f.is_blocking) for f in found] == [
        ("OwnPod", "worker-0", "allow_disruption", True)
    ]
    assert find(pods, own=own, chosen=("worker-1",)) == []
    found = find(pods, own=own, allow_disruption=True)
    assert [(f.check, f.is_blocking) for f in found] == [("OwnPod", False)]
    assert found[0].message == (
        "worker-0: this run is in shop/runner-1, which is on it, and ends with that pod; run it again "
        "then: another run goes on where it stopped."
    )


QUANTITIES = [
    ("0", "0"),
    ("2", "2"),
    ("250m", "0.25"),
    ("1500u", "0.0015"),
    ("1n", "1e-9"),
    ("1k", "1000"),
    ("1.5M", "1500000"),
    ("1G", "1e9"),
    ("1T", "1e12"),
    ("1P", "1e15"),
    ("1E", "1e18"),
    ("1Ki", "1024"),
    ("1.5Mi", "1572864"),
    ("1Gi", "1073741824"),
    ("1Ti", "1099511627776"),
    ("1Pi", "1125899906842624"),
    ("1Ei", "1152921504606846976"),
    ("1e3", "1000"),
    ("1E3", "1000"),
    ("12e-1", "1.2"),
    (".5", "0.5"),
    ("5.", "5"),
    ("-1", "-1"),
    ("+1", "1"),
]


@pytest.mark.parametrize(("text", "wanted"), QUANTITIES, ids=[q[0] for q in QUANTITIES])
def test_a_quantity_is_read(text, wanted):
    assert parse_quantity(text) == Decimal(wanted)


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1gi", "1K", "1mi", "1e", "e3", "1,5", "1Gi2", "NaN", "Infinity", "0x10", "1\n"]
)
def test_what_is_no_quantity_is_told(text):
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("batches", "finished", "wanted"),
    [
        ([], [], 0),
        ([("a",), ("b",)], [], 1200),
        ([("a", "b"), ("c",)], [], 1200),
        ([("a",), ("b",), ("c",)], [100.0], 300),
        ([("a",), ("b",)], [100.0, 201.0], 301),
        ([], [100.0], 0),
    ],
)
def test_the_time_is_estimated_by_what_was_measured(batches, finished, wanted):
    assert estimate_seconds(batches, 600, finished) == wanted


def test_a_node_that_is_away_already_is_told_before_the_others_wait_for_it():
    nodes = [node("worker-0", cordoned=True), *NODES[1:]]
    found = [f for f in find({}, chosen=("worker-0", "worker-1", "worker-2"), nodes=nodes) if f.check == "Room"]
    assert [(f.node, f.option, f.is_blocking) for f in found] == [("worker-1", "max_unavailable", False)]
    assert "unavailable of all nodes, of which 1 may be (max_unavailable): worker-0; see to those" in found[0].message


def test_a_node_in_the_middle_of_its_restart_comes_back_and_is_no_finding():
    marked = replace(node("worker-0", cordoned=True), mark=NodeMark(run_id="r", boot_id="b"))
    assert [f for f in find({}, chosen=("worker-1",), nodes=[marked, *NODES[1:]]) if f.check == "Room"] == []
