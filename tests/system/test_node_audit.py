# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of the audit logs finds each thing that must not be, on small made-up logs."""

from __future__ import annotations

import pytest
from node_audit import Deed, Plan, find_violations, find_writes, read_deeds

OURS, THEIRS = "bound_tokens.openshift", "kubectl/v1.34.4 (linux/amd64) kubernetes/abc"
PLAN = Plan(
    pools={"worker-0": "worker", "worker-1": "worker", "master-0": "master", "master-1": "master"},
    control_plane=frozenset({"master-0", "master-1"}),
)


def event(verb, resource, name, *, at=1, body=None, agent=OURS, code=200, namespace=None, query=""):
    resource, _slash, subresource = resource.partition("/")
    return {
        "verb": verb,
        "userAgent": agent,
        "requestURI": f"/api/v1/{resource}/{name}{query}",
        "objectRef": {"resource": resource, "subresource": subresource, "name": name, "namespace": namespace},
        "requestObject": body,
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": f"2026-11-22T08:00:{at:02d}.000000Z",
    }


def test_events_are_read():
    mark = {"metadata": {"annotations": {"bound-tokens.openshift/restart": "{}"}}, "spec": {"unschedulable": True}}
    back = {"metadata": {"annotations": {"bound-tokens.openshift/restart": None}}, "spec": {"unschedulable": None}}
    log = [
        event("patch", "nodes", "worker-0", at=1, body=mark),
        event("patch", "nodes", "worker-0", at=1, body=mark, code=409),
        event("create", "pods/eviction", "web-1", at=2, namespace="shop", code=429),
        event("create", "pods/eviction", "web-1", at=2, namespace="shop", query="?dryRun=All"),
        event("create", "pods/eviction", "web-1", at=2, namespace="shop", agent=THEIRS),
        event("delete", "pods", "web-1", at=3, namespace="shop"),
        event("create", "pods", "restart-worker-0", at=4, namespace="bound-tokens-node-restart", code=201),
        event("delete", "pods", "restart-worker-0", at=5, namespace="bound-tokens-node-restart"),
        event("patch", "nodes/status", "worker-0", at=6, agent="kubelet", body={"status": {"conditions": []}}),
        event(
            "patch", "nodes/status", "worker-0", at=7, agent="kubelet", body={"status": {"nodeInfo": {"bootID": "b"}}}
        ),
        event("patch", "nodes", "worker-0", at=8, body=back),
        event("patch", "nodes", "worker-1", at=9, body={"spec": {"unschedulable": True}}, agent=THEIRS),
        event("get", "nodes", "worker-1"),
    ]
    found = [(d.moment[18], d.what, d.target, d.is_ours, d.code, d.boot_id) for d in read_deeds(reversed(log))]
    assert found == [
        ("1", "cordon", "worker-0", True, 200, ""),
        ("1", "mark", "worker-0", True, 200, ""),
        ("2", "evict", "shop/web-1", True, 429, ""),
        ("3", "delete", "shop/web-1", True, 200, ""),
        ("4", "restart", "worker-0", True, 201, ""),
        ("7", "boot", "worker-0", False, 200, "b"),
        ("8", "uncordon", "worker-0", True, 200, ""),
        ("8", "unmark", "worker-0", True, 200, ""),
        ("9", "cordon", "worker-1", False, 200, ""),
    ]


def test_what_is_written_is_found_and_questions_and_dry_runs_are_not():
    log = [
        event("create", "selfsubjectaccessreviews", ""),
        event("create", "pods", "trial", query="?dryRun=All"),
        event("list", "nodes", ""),
        event("patch", "nodes", "worker-0", agent=THEIRS),
        event("patch", "configmaps", "bound-tokens-run"),
        event("create", "namespaces", "x", code=403),
    ]
    assert find_writes(log) == ["patch /api/v1/configmaps/bound-tokens-run", "create /api/v1/namespaces/x"]


#: How a node goes its way; {0} stands for it.
WAY = "cordon {0}; mark {0}; evict shop/a; restart {0}; boot {0} b1; uncordon {0}; unmark {0}"


def deeds(text):
    """Made-up deeds, one a second: what, target, and for a boot its ID, for another a status or THEIRS."""
    found = []
    for number, words in enumerate(text.split("; ")):
        what, target, *more = words.split()
        code = next((int(m) for m in more if m.isdecimal()), 200)
        is_ours = what != "boot" and "THEIRS" not in more
        boot_id = more[0] if what == "boot" else ""
        found.append(Deed(f"08:00:{number:02d}", what, target, is_ours, code, boot_id))
    return found


RIGHT = {
    "one after the other": (WAY.format("worker-0") + "; " + WAY.format("worker-1"), {}),
    "a worker beside a control-plane node": ("cordon master-0; " + WAY.format("worker-0") + "; uncordon master-0", {}),
    "two of a pool that allows it": (
        "cordon worker-0; cordon worker-1; uncordon worker-0; uncordon worker-1",
        {"limits": {"worker": 2}},
    ),
    "a cordon that was there before stays": (
        "cordon worker-0; mark worker-0; restart worker-0; boot worker-0 b1; unmark worker-0",
        {"cordoned": {"worker-0"}},
    ),
    "somebody else uncordons what he cordoned": ("cordon worker-0 THEIRS; uncordon worker-0 THEIRS", {}),
    "somebody else's node comes on top": ("cordon worker-0; cordon worker-1 THEIRS; uncordon worker-0", {}),
    "a refused eviction that is tried again": (
        "cordon worker-0; evict shop/a 429; evict shop/a; uncordon worker-0",
        {},
    ),
    "a deletion that was asked for": ("evict shop/a 429; delete shop/a", {"may_delete": True}),
    "a boot that is reported twice": (
        "cordon worker-0; boot worker-0 b1; boot worker-0 b1; uncordon worker-0",
        {},
    ),
    "after the proof": (WAY.format("worker-0"), {"proven_at": "08:00:00"}),
}
WRONG = {
    "a cordon that is not undone": ("cordon worker-0", {}, "worker-0 is still cordoned by the run"),
    "a mark that stays": (
        "cordon worker-0; mark worker-0; uncordon worker-0",
        {},
        "worker-0 still bears the run's mark",
    ),
    "a cordon that was there before goes": (
        "cordon worker-0; uncordon worker-0",
        {"cordoned": {"worker-0"}},
        "uncordon of worker-0 at 08:00:01: it was somebody else's cordon",
    ),
    "somebody else's new cordon goes": (
        "cordon worker-0 THEIRS; uncordon worker-0",
        {},
        "uncordon of worker-0 at 08:00:01: it was somebody else's cordon",
    ),
    "more of a pool than planned": (
        "cordon worker-0; cordon worker-1; uncordon worker-0; uncordon worker-1",
        {},
        "after the cordon of worker-1 at 08:00:01 2 nodes of worker are away: worker-0, worker-1",
    ),
    "one beside somebody else's": (
        "cordon worker-1; uncordon worker-1",
        {"cordoned": {"worker-0"}},
        "after the cordon of worker-1 at 08:00:00 2 nodes of worker are away: worker-0, worker-1",
    ),
    "two control-plane nodes, whatever their pool allows": (
        "cordon master-0; cordon master-1; uncordon master-0; uncordon master-1",
        {"limits": {"master": 3}},
        "after the cordon of master-1 at 08:00:01 several control-plane nodes are away: master-0, master-1",
    ),
    "a deletion past a budget": (
        "cordon worker-0; evict shop/a 429; delete shop/a; uncordon worker-0",
        {},
        "delete of shop/a at 08:00:02: a budget had refused its eviction",
    ),
    "a node that restarts twice": (
        "cordon worker-0; boot worker-0 b1; boot worker-0 b2; uncordon worker-0",
        {},
        "worker-0 has restarted 2 times",
    ),
    "a restart pod on a node that is not cordoned": (
        "restart worker-0; cordon worker-0; uncordon worker-0",
        {},
        "restart of worker-0 at 08:00:00: it was not cordoned",
    ),
    "a node that restarts when it is back": (
        "cordon worker-0; restart worker-0; uncordon worker-0; boot worker-0 b1",
        {},
        "boot of worker-0 at 08:00:03: it was not cordoned",
    ),
    "a cordon before the proof": (
        "cordon worker-0; uncordon worker-0",
        {"proven_at": "08:00:01"},
        "cordon of worker-0 at 08:00:00: before the rollout was proven at 08:00:01",
    ),
    "an eviction before the proof": (
        "evict shop/a; cordon worker-0; uncordon worker-0",
        {"proven_at": "08:00:01"},
        "evict of shop/a at 08:00:00: before the rollout was proven at 08:00:01",
    ),
}


def plan_with(more):
    return Plan(**{**vars(PLAN), **more, "cordoned": frozenset(more.get("cordoned", ()))})


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_found_where_all_is_right(name):
    text, more = RIGHT[name]
    assert find_violations(deeds(text), plan_with(more)) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_must_not_be_is_found(name):
    text, more, sentence = WRONG[name]
    assert find_violations(deeds(text), plan_with(more)) == [sentence]
