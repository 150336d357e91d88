# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    NamespaceFacts,
    Owner,
    OwnerFacts,
    PodFacts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import BudgetFacts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pod_ways import choose_way, needs_restart
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pods import (
    RenewalRequest,
    choose_ways,
    order_namespaces,
    plan_namespace,
)

KEEPER = Owner(api_version="apps/v1", kind="Deployment", name="web", uid="keeper")
ONE = OwnerFacts(desired=1, keeper=KEEPER, surges=True, labels={"app": "web"})
THREE = replace(ONE, desired=3)
STRICT = BudgetFacts(namespace="web", name="strict", desired=3, expected=3, healthy=3)
EASY = replace(STRICT, desired=2, allowed=1)
MOMENT = datetime(2026, 11, 22, 9, 0, tzinfo=timezone.utc)
BEFORE = MOMENT - timedelta(hours=1)
ROLLING = replace(THREE, restarted_at=MOMENT)
UNWELL = ("evict", "NotWhole")


@pytest.mark.parametrize(
    ("name", "method", "owner", "more", "wanted"),
    [
        ("evict", "evict", ONE, {}, ("evict", "")),
        ("delete", "delete", ONE, {"is_platform": True}, ("delete", "")),
        ("rollout", "rollout", THREE, {}, ("rollout", "")),
        ("rollout of a platform namespace", "rollout", THREE, {"is_platform": True}, ("evict", "Platform")),
        ("auto in a platform namespace", "auto", ONE, {"is_platform": True}, ("evict", "Platform")),
        ("operator", "rollout", replace(ONE, operator="Web/shop"), {}, ("evict", "Operator")),
        ("paused", "rollout", replace(ONE, no_rollout="Paused"), {}, ("evict", "Paused")),
        ("on delete", "auto", replace(ONE, no_rollout="OnDelete"), {}, ("evict", "OnDelete")),
        ("no rollouts at all", "rollout", replace(ONE, keeper=None), {}, ("evict", "NoRollout")),
        ("kind not known", "rollout", OwnerFacts(), {}, ("evict", "NoRollout")),
        ("unwell", "rollout", THREE, {"ready": 2}, ("evict", "NotWhole")),
        ("its rollout is under way", "rollout", ROLLING, {"ready": 2}, ("rollout", "RolloutRunning")),
        ("its rollout is under way, auto", "auto", ROLLING, {"ready": 2}, ("rollout", "RolloutRunning")),
        (
            "its rollout is under way, and all are asked for",
            "rollout",
            ROLLING,
            {"ready": 2, "started_before": None},
            UNWELL,
        ),
        ("its rollout is over", "rollout", replace(ROLLING, is_rolled_out=True), {"ready": 2}, UNWELL),
        ("a rollout of before", "rollout", replace(ROLLING, restarted_at=BEFORE), {"ready": 2}, UNWELL),
        ("single replica", "auto", ONE, {}, ("rollout", "SingleReplica")),
        ("single replica without surge", "auto", replace(ONE, surges=False), {}, ("evict", "")),
        ("single replica and a budget", "auto", ONE, {"budgets": [STRICT]}, ("rollout", "Budget")),
        ("several replicas", "auto", THREE, {}, ("evict", "")),
        ("a budget that allows", "auto", THREE, {"budgets": [EASY]}, ("evict", "")),
        ("a budget that never does", "auto", THREE, {"budgets": [STRICT]}, ("rollout", "Budget")),
        ("two budgets", "auto", THREE, {"budgets": [EASY, EASY]}, ("rollout", "Budget")),
        ("a budget and no surge", "auto", replace(THREE, surges=False), {"budgets": [STRICT]}, ("evict", "")),
        ("a budget without pods", "auto", THREE, {"budgets": [BudgetFacts(namespace="web", name="x")]}, ("evict", "")),
    ],
)
def test_choose_way(name, method, owner, more, wanted):
    given = {"ready": owner.desired or 0, "is_platform": False, "budgets": [], "started_before": BEFORE, **more}
    way = choose_way(method, owner, **given)
    assert (way.method, way.reason) == wanted
    assert way.keeper == (KEEPER if way.method == "rollout" else None)


@pytest.mark.parametrize(
    ("name", "asked", "started_before", "is_rolled_out", "wanted"),
    [
        ("never asked for", None, BEFORE, True, True),
        ("by this run", MOMENT, BEFORE, False, False),
        ("by this run, over", MOMENT, BEFORE, True, False),
        ("by an earlier run, under way", BEFORE + timedelta(minutes=1), BEFORE, False, False),
        ("later, over, and old pods left", BEFORE + timedelta(minutes=1), BEFORE, True, True),
        ("by a clock that is fast", MOMENT + timedelta(hours=1), BEFORE, False, False),
        ("by a clock that is fast, over, and old pods left", MOMENT + timedelta(hours=1), BEFORE, True, True),
        ("before the moment", BEFORE, BEFORE, False, True),
        ("all are wanted", BEFORE, None, False, True),
        ("all are wanted, by this run", MOMENT, None, False, False),
        ("a moment that is still to come", MOMENT, MOMENT + timedelta(hours=1), False, False),
    ],
)
def test_needs_restart(name, asked, started_before, is_rolled_out, wanted):
    owner = replace(ONE, restarted_at=asked, is_rolled_out=is_rolled_out)
    assert needs_restart(owner, MOMENT, started_before) is wanted


def test_each_owner_has_its_way_and_only_its_own_budgets_count():
    def pod(uid, owner):
        owner = owner and Owner(api_version="apps/v1", kind="ReplicaSet", name=owner, uid=owner)
        return PodFacts(namespace="web", name=uid, uid=uid, owner=owner, phase="Running", is_ready=True)

    request = RenewalRequest(method="auto", everything=True)
    (rank,) = order_namespaces([NamespaceFacts(name="web")], request, None)
    pods = [pod("a", "one"), pod("b", "three"), pod("c", "gone"), pod("d", None)]
    pods += [replace(pods[1], uid=uid, name=uid) for uid in ("e", "f")]
    elsewhere = replace(STRICT, namespace="other")
    unlike = replace(STRICT, selector={"matchLabels": {"app": "db"}})
    plan = plan_namespace(rank, pods, None, RenewalRequest(everything=True, method="auto"))
    plan = choose_ways(plan, request, {"one": ONE, "three": THREE}, [elsewhere, unlike], None)
    assert {p.name: plan.way_of(p).method for p in pods} == {
        "a": "rollout",
        "b": "evict",
        "c": "evict",
        "d": "evict",
        "e": "evict",
        "f": "evict",
    }
    assert plan.count_methods() == {"evict": 5, "rollout": 1}
    assert plan.deeds == {("evict", ""), ("rollout", "Deployment")}
    assert plan.keepers == {"keeper": KEEPER}
    plan = choose_ways(plan, request, {"one": ONE, "three": THREE}, [STRICT], None)
    assert plan.way_of(pods[1]).reason == "Budget"
