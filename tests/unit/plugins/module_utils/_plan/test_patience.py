# SPDX-License-Identifier: GPL-3.0-or-later
"""When a wait ends early: each stuck state that the operator was seen in, and each healthy one that looks like it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    Condition,
    IssuerFacts,
    NodeRevision,
    Outcome,
    RolloutFacts,
    ServerPod,
    TrustedIssuer,
    parse_time,
    server_pods,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.patience import (
    History,
    Patience,
    judge_patience,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.rollout import judge_rollout

A, B = "https://a.example", "https://b.example"
EXPIRES = parse_time("2026-11-23T08:00:00Z")
UNPARSABLE = "service-account issuer contained a ':' but was not a valid URL: parse \"http://x y\": invalid character"
REST = {
    "NodeInstallerProgressing": Condition(status="False"),
    "StaticPodsAvailable": Condition(status="True"),
    "NodeInstallerDegraded": Condition(status="False"),
}
CRASH = 'pod/kube-apiserver-master-0 container "kube-apiserver" is waiting: CrashLoopBackOff: back-off 40s'


def trusted(*names):
    former = (TrustedIssuer(name=n, expires=EXPIRES) for n in names[1:])
    return (TrustedIssuer(name=names[0]), *former)


def facts(
    *,
    names=(B, A),
    observed=(B, A),
    config=(B, A),
    revision=12,
    nodes=((12, 0), (12, 0), (12, 0)),
    failed=(),
    conditions=None,
    servers=None,
    state="Managed",
):
    """A finished rollout to B, but for what is given. ``failed``: (node, revision, count)."""
    found = [NodeRevision(name=f"master-{i}", current=c, target=t) for i, (c, t) in enumerate(nodes)]
    for number, failed_revision, count in failed:
        errors = ("installer: no such image\n",)
        found[number] = replace(
            found[number], failed_revision=failed_revision, failed_count=count, failed_errors=errors
        )
    return RolloutFacts(
        issuer=IssuerFacts(spec_issuer=B, trusted=trusted(*names)),
        observed_issuers=observed,
        revision_at_start=revision,
        revision=revision,
        revision_issuers=config,
        nodes=tuple(found),
        conditions={**REST, **(conditions or {})},
        management_state=state,
        servers=servers,
    )


def degraded(name, message):
    return {name: Condition(status="True", reason="Error", message=message)}


def server(revision, *, crashing=False, node="master-0"):
    return ServerPod(
        name=f"kube-apiserver-{node}",
        node=node,
        revision=revision,
        is_ready=not crashing,
        is_crashing=crashing,
        words="exit code 1" if crashing else "",
    )


def run(looks, **patience):
    """Judge a script of (seconds, facts); return the first verdict that is not WAITING with its time, or the last one."""
    history = History()
    for now, seen in looks:
        verdict, history, again = judge_patience(seen, B, judge_rollout(seen, B), history, now, Patience(**patience))
        if verdict.outcome is not Outcome.WAITING:
            return verdict, now, again
    return verdict, now, again


SILENT = facts(names=(A,), observed=(A,), config=(A,))
BAD_URL = facts(names=(B, A), observed=(A,), config=(A,), conditions=degraded("ConfigObservationDegraded", UNPARSABLE))
GOING = ((11, 12), (11, 0), (11, 0))
ONCE = facts(nodes=GOING, failed=((0, 12, 1),), conditions=degraded("NodeInstallerDegraded", "1 nodes are failing"))
THRICE = facts(nodes=GOING, failed=((0, 12, 3),), conditions=degraded("NodeInstallerDegraded", "1 nodes are failing"))
STALE = facts(nodes=GOING, failed=((0, 11, 7),))
CRASHING = facts(nodes=GOING, servers=(server(12, crashing=True),), conditions=degraded("StaticPodsDegraded", CRASH))
FORMER_CRASHING = facts(nodes=GOING, servers=(server(11, crashing=True),))
ELEVENTH = facts(names=(A, *(f"https://n{i}.example" for i in range(9))), observed=(A,), config=(A,))
RESTING = facts(nodes=((11, 0), (11, 0), (11, 0)))


def every(step, until, seen):
    return [(float(t), seen) for t in range(0, until + 1, step)]


ENDS = [
    ("a bad URL", every(10, 400, BAD_URL), 120, "ConfigObservationDegraded", UNPARSABLE),
    ("the installer fails again and again", [(0.0, ONCE), (30.0, THRICE)], 30, "InstallerFailing", "no such image."),
    (
        "the installer goes on failing in a wait that began later",
        [(0.0, THRICE), (30.0, THRICE), (60.0, facts(nodes=GOING, failed=((0, 12, 4),)))],
        60,
        "InstallerFailing",
        "failed 4 times",
    ),
    ("a crash loop", every(10, 400, CRASHING), 120, "ServerCrashing", CRASH),
    (
        "the operator is away",
        every(10, 400, SILENT),
        300,
        "OperatorNotReacting",
        "namespace openshift-kube-apiserver-operator",
    ),
    (
        "an eleventh issuer",
        every(10, 400, ELEVENTH),
        300,
        "OperatorNotReacting",
        "10 issuers already and silently ignores",
    ),
    (
        "ten issuers are no reason when the wanted one is among them",
        every(10, 400, facts(names=(A, B, *(f"https://n{i}.example" for i in range(8))), observed=(A,), config=(A,))),
        300,
        "OperatorNotReacting",
        "its log in namespace",
    ),
    (
        "an unmanaged operator",
        every(10, 400, replace(SILENT, management_state="Unmanaged")),
        300,
        "OperatorNotReacting",
        "set it to Managed",
    ),
    ("it stops before the first node", every(10, 400, RESTING), 300, "OperatorNotReacting", "0 of 3 nodes"),
    (
        "no revision is made",
        every(10, 400, facts(config=(A,))),
        300,
        "OperatorNotReacting",
        "does not hold the new configuration",
    ),
    (
        "a container that runs for a moment between two crashes",
        [(t, CRASHING if t % 20 else replace(CRASHING, conditions=REST)) for t in range(0, 401, 10)],
        120,
        "ServerCrashing",
        "exit code 1",
    ),
]


@pytest.mark.parametrize(("name", "looks", "when", "reason", "words"), ENDS, ids=[row[0] for row in ENDS])
def test_a_rollout_that_can_not_succeed_ends_early_with_the_reason(name, looks, when, reason, words):
    verdict, now, again = run(looks)
    assert (verdict.outcome, verdict.reason, now) == (Outcome.FAILED, reason, when)
    assert words in verdict.message
    assert again is None


LIVES = [
    ("an installer that failed once", every(10, 2000, ONCE)),
    ("failures from before the wait, which may have been mended", every(10, 2000, THRICE)),
    ("marks of failures of a former revision", every(10, 2000, STALE)),
    (
        "marks of failures after success elsewhere",
        every(10, 2000, facts(nodes=((12, 0), (11, 12), (11, 0)), failed=((0, 12, 9),))),
    ),
    ("a crash loop of the former revision", every(10, 2000, FORMER_CRASHING)),
    ("a static pod is created", [(0.0, CRASHING), *((float(t), facts(nodes=GOING)) for t in range(15, 400, 15))]),
    ("flaps of the observation", [(float(t), BAD_URL if t % 60 else SILENT) for t in range(0, 290, 10)]),
    (
        "each hop takes its time",
        [*((float(t), SILENT) for t in range(0, 290, 10)), *((290.0 + t, RESTING) for t in range(0, 290, 10))],
    ),
    (
        "another failing revision is being replaced",
        [(0.0, ONCE), (10.0, facts(nodes=GOING, failed=((0, 12, 9),), config=(A,)))],
    ),
    (
        "a revision that fails is being replaced by the next one",
        [(0.0, ONCE), (10.0, facts(revision=13, nodes=GOING, failed=((0, 12, 9),)))],
    ),
    ("no API server answered meanwhile", [(0.0, SILENT), (10.0, SILENT), (900.0, SILENT), (910.0, SILENT)]),
    ("a node of a slow machine", every(10, 2000, facts(nodes=GOING))),
]


@pytest.mark.parametrize(("name", "looks"), LIVES, ids=[row[0] for row in LIVES])
def test_what_healthy_rollouts_show_does_not_end_the_wait(name, looks):
    verdict, now, _again = run(looks)
    assert verdict.outcome is Outcome.WAITING, (verdict, now)


def test_it_is_told_when_to_judge_again():
    verdict, _now, again = run([(0.0, BAD_URL), (50.0, BAD_URL)])
    assert (verdict.outcome, again) == (Outcome.WAITING, 70)
    assert run([(0.0, facts(nodes=GOING))])[2] is None


def test_success_must_hold_for_as_long_as_asked():
    quiet = facts()
    assert run([(0.0, quiet)])[0].outcome is Outcome.DONE
    verdict, _now, again = run([(0.0, quiet), (20.0, quiet)], stable=30)
    assert (verdict.outcome, verdict.reason, again) == (Outcome.WAITING, "NotStableYet", 10)
    verdict, now, _again = run(every(10, 100, quiet), stable=30)
    assert (verdict.outcome, verdict.reason, now) == (Outcome.DONE, "Complete", 30)


@pytest.mark.parametrize(
    "change",
    [
        {"revision": 13, "nodes": ((13, 0), (13, 0), (13, 0))},
        {"conditions": {"NodeInstallerProgressing": Condition(status="False", last_transition=EXPIRES)}},
        {"conditions": degraded("NodeControllerDegraded", "master-1 is not ready")},
    ],
)
def test_any_change_starts_the_stable_time_anew(change):
    looks = [(0.0, facts()), (20.0, facts(**change)), (40.0, facts(**change)), (50.0, facts(**change))]
    verdict, now, _again = run(looks, stable=30)
    assert (verdict.outcome, now) == (Outcome.DONE, 50)


def test_a_change_of_a_cluster_operator_starts_it_anew_as_well():
    well = {"Available": Condition(status="True"), "Progressing": Condition(status="False")}
    well["Degraded"] = Condition(status="False")
    before = replace(facts(), operators={"authentication": well})
    after = replace(facts(), operators={"authentication": {**well, "Available": Condition(status="True", message="x")}})
    verdict, now, _again = run([(0.0, before), (20.0, after), (40.0, after), (50.0, after)], stable=30)
    assert (verdict.outcome, now) == (Outcome.DONE, 50)


def mirror(*, revision="12", ready="False", container):
    return {
        "metadata": {"name": "kube-apiserver-master-0", "labels": {"revision": revision}},
        "spec": {"nodeName": "master-0"},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "kube-apiserver", **container}],
        },
    }


ENDED = {"terminated": {"exitCode": 1, "message": "command failed"}}
MIRRORS = [
    (
        "waiting after a crash",
        "False",
        {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}},
        "back-off",
    ),
    ("running between two crashes", "False", {"state": {"running": {}}, "lastState": ENDED}, "command failed"),
    ("just ended", "False", {"state": ENDED}, "command failed"),
    ("being created", "False", {"state": {"waiting": {"reason": "ContainerCreating"}}}, ""),
    ("well after one crash", "True", {"state": {"running": {}}, "lastState": ENDED, "ready": True}, ""),
]


@pytest.mark.parametrize(("name", "ready", "container", "words"), MIRRORS, ids=[row[0] for row in MIRRORS])
def test_a_mirror_pod_tells_of_crashes(name, ready, container, words):
    found = server_pods(
        [
            mirror(ready=ready, container=container),
            {"metadata": {"name": "kube-apiserver-guard-master-0"}, "spec": {"nodeName": "master-0"}},
        ]
    )
    assert [(s.node, s.revision, s.is_ready, s.is_crashing) for s in found] == [
        ("master-0", 12, ready == "True", bool(words))
    ]
    assert words in found[0].words
