# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Owner, OwnerFacts, PodFacts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import BudgetFacts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pod_findings import (
    estimate_seconds,
    find_hindrances,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pod_ways import Way
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pods import (
    NamespacePlan,
    NamespaceRank,
    RenewalRequest,
    Tier,
)

WEB = Owner(api_version="apps/v1", kind="ReplicaSet", name="web", uid="web")
KEEPER = Owner(api_version="apps/v1", kind="Deployment", name="web", uid="keeper")
THREE = OwnerFacts(desired=3, labels={"app": "web"})
BUDGET = BudgetFacts(namespace="shop", name="strict", healthy=3, desired=3, expected=3)
FULL = replace(BUDGET, desired=2, healthy=2)


def pod(name, owner=WEB, **facts):
    return PodFacts(namespace="shop", name=name, uid=name, owner=owner, phase="Running", is_ready=True, **facts)


def plan(*targets, name="shop", ready=3, **more):
    rank = NamespaceRank(name=name, tier=Tier.USER)
    return NamespacePlan(rank=rank, targets=targets, ready_before={"web": ready}, **more)


TARGETS = tuple(pod(f"web-{n}") for n in range(3))
SHOP = plan(*TARGETS)
STARTING = plan(replace(TARGETS[0], phase="Pending", is_ready=False))
UNREADY = plan(replace(TARGETS[0], is_ready=False))
ROLLED = replace(SHOP, ways={"web": Way(method="rollout", keeper=KEEPER)})
DELETED = replace(SHOP, otherwise=Way(method="delete"))


@pytest.mark.parametrize(
    ("name", "found", "owner", "budgets", "messages"),
    [
        ("nothing", SHOP, THREE, [], []),
        ("nothing to do", plan(left={"Static": 3}), THREE, [BUDGET], []),
        (
            "being deleted",
            plan(left={"NamespaceTerminating": 3}),
            THREE,
            [],
            ["it is being deleted; its 3 pod(s) are left alone."],
        ),
        (
            "a budget that never allows",
            SHOP,
            THREE,
            [BUDGET],
            [
                (
                    "budget strict never lets a pod of ReplicaSet/web go: 3 of 3 are healthy, 3 must be; have more replicas, or "
                    "change it."
                )
            ],
        ),
        (
            "a budget that does not allow now",
            SHOP,
            THREE,
            [FULL],
            [
                "budget strict lets no pod of ReplicaSet/web go now: 2 of 3 are healthy, 2 must be; it is waited for 10 min."
            ],
        ),
        ("a budget that allows", SHOP, THREE, [replace(FULL, healthy=3, allowed=1)], []),
        (
            "a budget of a pod that does not run yet",
            STARTING,
            THREE,
            [BUDGET],
            [],
        ),
        ("a budget that lets go what is not Ready", UNREADY, THREE, [replace(BUDGET, spares_unready=False)], []),
        (
            "two budgets of a pod that does not run yet",
            STARTING,
            THREE,
            [BUDGET] * 2,
            [],
        ),
        ("another namespace's budget", SHOP, THREE, [replace(BUDGET, namespace="zoo")], []),
        ("a budget of other pods", SHOP, THREE, [replace(BUDGET, selector={"matchLabels": {"app": "db"}})], []),
        ("past budgets", DELETED, THREE, [BUDGET, BUDGET], []),
        ("a rollout", ROLLED, THREE, [BUDGET], []),
        (
            "paused",
            replace(SHOP, ways={"web": Way(method="evict", reason="Paused")}),
            THREE,
            [],
            ["ReplicaSet/web: evicted, not rolled out, because its rollouts are paused."],
        ),
        (
            "two budgets",
            SHOP,
            THREE,
            [BUDGET, FULL],
            [
                "ReplicaSet/web is covered by several budgets (strict; strict), and no server evicts such pods; leave it one."
            ],
        ),
        (
            "single replica",
            SHOP,
            replace(THREE, desired=1),
            [],
            ["ReplicaSet/web: down until the only pod has a Ready successor."],
        ),
        ("single replica, rolled out", ROLLED, replace(THREE, desired=1), [], []),
        (
            "unwell",
            replace(SHOP, ready_before={"web": 1}),
            THREE,
            [],
            ["ReplicaSet/web: only 1 of the 3 pods that it wants are Ready and asked for."],
        ),
        (
            "finalizers",
            plan(pod("web-0", finalizers=("example.com/a", "batch.kubernetes.io/job-tracking"))),
            THREE,
            [],
            ["web-0 is not gone before somebody removes its finalizers: example.com/a."],
        ),
    ],
)
def test_findings(name, found, owner, budgets, messages):
    findings = find_hindrances([found], {"web": owner}, budgets, 600)
    assert [f.message for f in findings] == [f"shop: {m}" for m in messages]
    assert all(f.record()["namespace"] == "shop" for f in findings)


SLOW = plan(*(pod(f"web-{n}", ready_after=seconds) for n, seconds in enumerate((10.0, 20.0, 90.0))))


@pytest.mark.parametrize(
    ("name", "plans", "request_", "by_name", "total"),
    [
        ("one after the other, the median", [SLOW], {}, {"shop": 60}, 60),
        ("all at once", [SLOW], {"keeps_pace": False}, {"shop": 20}, 20),
        ("so many at once", [SLOW], {"keeps_pace": False, "max_pods": 2}, {"shop": 40}, 40),
        ("nothing known", [SHOP], {}, {"shop": 30}, 30),
        ("nothing to do", [plan()], {}, {}, 0),
        ("at least a second", [plan(pod("web-0", ready_after=0.0))], {}, {"shop": 1}, 1),
        ("two namespaces", [SLOW, plan(*TARGETS, name="zoo")], {}, {"shop": 60, "zoo": 30}, 90),
        ("two at once", [SLOW, plan(*TARGETS, name="zoo")], {"max_namespaces": 2}, {"shop": 60, "zoo": 30}, 60),
        (
            "as many in all",
            [SLOW, plan(*TARGETS, name="zoo")],
            {"max_namespaces": 9, "max_pods": 1},
            {"shop": 60, "zoo": 30},
            90,
        ),
        (
            "as many of all owners",
            [plan(*SLOW.targets, *(pod(f"b{n}", None) for n in range(3)))],
            {"keeps_pace": False, "max_pods": 1},
            {"shop": 90},
            90,
        ),
        ("the slowest owner", [plan(*SLOW.targets, pod("bare", None))], {}, {"shop": 60}, 60),
    ],
)
def test_estimate(name, plans, request_, by_name, total):
    assert estimate_seconds(plans, {"web": THREE}, RenewalRequest(**request_)) == (by_name, total)


def test_between_two_pods_min_ready_seconds_pass():
    assert estimate_seconds([SLOW], {"web": replace(THREE, min_ready=900)}, RenewalRequest())[1] == 60 + 2 * 900


def test_an_owner_that_lets_more_go_at_once_takes_less():
    assert estimate_seconds([SLOW], {"web": replace(THREE, allowance=2)}, RenewalRequest())[1] == 40
