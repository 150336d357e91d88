# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of the audit logs finds each thing that must not be done to pods, on small made-up logs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pod_audit import Deed, Plan, Target, find_violations, plan_of, read_deeds, read_first_ready
from test_node_audit import OURS, THEIRS, event

WEB, DB, LONELY = "shop/Deployment/web", "shop/StatefulSet/db", "shop/Pod/lonely"
EVICT, ROLLOUT = frozenset({"evict"}), frozenset({"rollout"})
PLAN = Plan(
    targets={
        "shop/web-1-a": Target(EVICT, WEB),
        "shop/web-1-b": Target(EVICT, WEB),
        "shop/db-0": Target(EVICT, DB),
        "shop/db-1": Target(EVICT, DB),
        "shop/lonely": Target(EVICT, LONELY),
        "shop/api-1-a": Target(ROLLOUT, "shop/Deployment/api"),
        "shop/api-1-b": Target(ROLLOUT, "shop/Deployment/api"),
    },
    ready=(("08:00:01", WEB), ("08:00:03", WEB), ("08:00:03", DB), ("08:00:05", DB), ("08:00:09", LONELY)),
    proven_at="08:00:00",
)
RIGHT = "evict web-1-a; evict web-1-b; evict db-1; evict db-0; evict lonely; create lonely; rollout Deployment/api"


def deeds(text):
    """Made-up deeds, one a second: what, target, and where it was refused a status."""
    found = []
    for number, words in enumerate(text.split("; ")):
        what, target, *code = words.split()
        found.append(Deed(f"08:00:{number:02d}.5", what, f"shop/{target}", int(code[0]) if code else 201))
    return found


def test_events_are_read():
    log = [
        event("create", "pods/eviction", "web-1", at=2, namespace="shop", code=429),
        event("create", "pods/eviction", "web-1", at=3, namespace="shop", code=201),
        event("create", "pods/eviction", "web-1", at=3, namespace="shop", query="?dryRun=All"),
        event("create", "pods/eviction", "web-1", at=3, namespace="shop", agent=THEIRS),
        event("create", "pods/eviction", "web-1", at=3, namespace="other"),
        event("delete", "pods", "web-2", at=4, namespace="shop"),
        event("create", "pods", "web-2", at=5, namespace="shop", agent=OURS),
        event("patch", "statefulsets", "db", at=6, namespace="shop"),
        event("patch", "statefulsets/scale", "db", at=6, namespace="shop"),
        event("list", "pods", "", at=7, namespace="shop"),
    ]
    assert [(d.moment[17:19], d.what, d.target, d.code) for d in read_deeds(reversed(log), ["shop"])] == [
        ("02", "evict", "shop/web-1", 429),
        ("03", "evict", "shop/web-1", 201),
        ("04", "delete", "shop/web-2", 200),
        ("05", "create", "shop/web-2", 200),
        ("06", "rollout", "shop/StatefulSet/db", 200),
    ]


def test_of_simulated_pods_it_is_read_when_a_successor_was_ready_first():
    def told(name, at, **more):
        return event("patch", "pods/status", name, at=at, namespace="shop", **{"agent": "kwok/v0.7.0", **more})

    log = [
        told("db-1", 0),
        event("create", "pods/eviction", "db-1", at=1, namespace="shop", code=201),
        told("db-1", 2, agent=THEIRS),
        told("db-1", 2, code=409),
        told("db-1", 5),
        told("db-1", 3),
        told("db-0", 4),
        event("patch", "pods", "db-1", at=2, namespace="shop", agent="kwok/v0.7.0"),
    ]
    first = read_first_ready(log, read_deeds(log, ["shop"]))
    assert first == {"shop/db-1": "2026-11-22T08:00:03.000000Z"}
    owner = {"kind": "StatefulSet", "name": "db", "controller": True}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T08:00:05Z"}
    pods = [
        {
            "metadata": {"namespace": "shop", "name": name, "uid": name, "ownerReferences": [owner]},
            "status": {"conditions": [ready]},
        }
        for name in ("db-0", "db-1")
    ]
    assert plan_of([], pods, first_ready=first).ready == [("2026-11-22T08:00:05Z", DB), (first["shop/db-1"], DB)]


def test_a_plan_is_made_of_what_the_module_tells_and_the_pods_that_are_there_afterwards():
    def record(name, owner, method, outcome="renewed"):
        return {"namespace": "shop", "name": name, "uid": name, "owner": owner, "method": method, "outcome": outcome}

    def pod(name, uid, owner=None):
        references = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else None
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T08:00:00Z"}
        metadata = {"namespace": "shop", "name": name, "uid": uid, "ownerReferences": references}
        return {"metadata": metadata, "status": {"conditions": [ready]}}

    records = [record("web-1-a", "ReplicaSet/web-1", "rollout"), record("lonely", None, "evict")]
    records.append(record("job", "Job/job", None, "left"))
    after = [pod("web-1-b", "new", ("ReplicaSet", "web-1")), pod("lonely", "new-2"), pod("job", "job", ("Job", "job"))]
    plan = plan_of(records, after, may_evict=True)
    assert plan.targets == {
        "shop/web-1-a": Target(frozenset({"rollout", "evict"}), WEB),
        "shop/lonely": Target(EVICT, LONELY),
    }
    assert plan.ready == [("2026-11-22T08:00:00Z", WEB), ("2026-11-22T08:00:00Z", LONELY)]


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (RIGHT, {}),
        (RIGHT.replace("evict db-0", "evict db-0 429; evict db-0 503; evict db-0"), {}),
        (
            "evict web-1-a; evict web-1-b; " + RIGHT.partition("; evict web-1-b; ")[2],
            {"limits": {WEB: 2}, "ready": PLAN.ready[1:]},
        ),
        (
            RIGHT + "; evict api-1-a",
            {"targets": {n: replace(t, ways=t.ways | EVICT) for n, t in PLAN.targets.items()}},
        ),
        (
            "evict web-1-b; evict web-1-a; " + RIGHT.partition("; evict web-1-b; ")[2],
            {
                "targets": {**PLAN.targets, "shop/web-1-b": replace(PLAN.targets["shop/web-1-b"], is_ready=False)},
                "ready": PLAN.ready[2:],
            },
        ),
    ],
    ids=["as planned", "refused and tried again", "two at once", "evicted in the end", "one was not Ready"],
)
def test_nothing_is_found_where_all_is_right(text, more):
    assert find_violations(deeds(text), replace(PLAN, **more)) == []


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        (
            RIGHT,
            {"proven_at": "08:00:01"},
            "evict of shop/web-1-a at 08:00:00.5: before the rollout was proven at 08:00:01",
        ),
        (RIGHT + "; evict spared", {}, "evict of shop/spared at 08:00:07.5: the plan leaves it alone"),
        (RIGHT.replace("evict db-0", "delete db-0"), {}, "delete of shop/db-0 at 08:00:03.5: it was to go by evict"),
        (RIGHT + "; evict api-1-a", {}, "evict of shop/api-1-a at 08:00:07.5: it was to go by rollout"),
        (
            RIGHT + "; rollout Deployment/web",
            {},
            "rollout of shop/Deployment/web at 08:00:07.5: the plan does not roll it out",
        ),
        (RIGHT + "; rollout Deployment/api", {}, "shop/Deployment/api was rolled out 2 times"),
        (RIGHT.replace("evict db-1; ", ""), {}, "shop/db-1 was not renewed"),
        (RIGHT.replace("; rollout Deployment/api", ""), {}, "shop/api-1-a was not renewed"),
        (RIGHT.replace("evict db-0", "evict db-0 429"), {}, "shop/db-0 was not renewed"),
        (RIGHT.replace("evict web-1-b", "evict web-1-b; evict web-1-b"), {}, "shop/web-1-b was removed 2 times"),
        (RIGHT.replace("; create lonely", ""), {}, "shop/lonely was removed 1 times and created 0 times"),
        (RIGHT + "; create lonely", {}, "shop/lonely was removed 1 times and created 2 times"),
        (
            RIGHT.replace("evict lonely; create lonely", "create lonely; evict lonely"),
            {},
            "shop/lonely was created before it was removed",
        ),
        (RIGHT + "; create db-0", {}, "create of shop/db-0 at 08:00:07.5: its owner creates it"),
        (
            RIGHT,
            {"ready": PLAN.ready[1:]},
            "evict of shop/web-1-b at 08:00:01.5: 2 of shop/Deployment/web are down, more than 1",
        ),
        (
            RIGHT,
            {"most_down": 1, "ready": [*PLAN.ready[:2], *PLAN.ready[3:]], "limits": {DB: 2}},
            "evict of shop/db-0 at 08:00:03.5: 2 are down in all, more than 1",
        ),
        (
            RIGHT.replace("evict db-1; evict db-0", "evict db-0; evict db-1"),
            {},
            "evict of shop/db-1 at 08:00:03.5: shop/StatefulSet/db goes from the last to the first",
        ),
    ],
)
def test_what_must_not_be_is_found(text, more, sentence):
    assert sentence in find_violations(deeds(text), replace(PLAN, **more))


@pytest.mark.parametrize(("most", "is_wrong"), [(0, False), (1, True), (2, False)])
def test_a_namespace_that_is_begun_too_early_is_found(most, is_wrong):
    targets = {f"{n}/web-{p}": Target(EVICT, f"{n}/Deployment/web") for n in "ab" for p in "xy"}
    done = [
        Deed(f"08:00:{second:02d}.5", "evict", f"{name}")
        for second, name in enumerate(("a/web-x", "a/web-y", "b/web-x", "b/web-y"))
    ]
    ready = [(f"08:00:{second:02d}", f"{n}/Deployment/web") for second, n in ((1, "a"), (3, "a"), (3, "b"), (4, "b"))]
    words = f"b was begun at 08:00:02.5: a were not done, and {most} may be under way"
    assert find_violations(done, Plan(targets, ready=ready, most_namespaces=most)) == [words] * is_wrong
