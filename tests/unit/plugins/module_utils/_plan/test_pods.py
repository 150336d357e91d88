# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError, InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    Condition,
    NamespaceFacts,
    Outcome,
    Owner,
    OwnerFacts,
    PodFacts,
    namespace_facts,
    owner_facts,
    pod_facts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.pods import (
    NamespacePlan,
    NamespaceRank,
    Owed,
    PodAction,
    Progress,
    RenewalRequest,
    Tier,
    choose_next,
    count_down,
    count_ready,
    describe_unwell,
    find_owed,
    find_uncreated,
    find_whole,
    has_trouble,
    judge_pod,
    judge_renewal,
    note_progress,
    order_namespaces,
    plan_namespace,
    plan_waves,
    raise_baseline,
    raise_to_owed,
    read_request,
)

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
PODS = yaml.safe_load((FIXTURES / "pods.yml").read_text())
OWNERS = yaml.safe_load((FIXTURES / "pod_owners.yml").read_text())
FINISHED = datetime(2026, 11, 22, 8, 2, 31, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


def test_facts_of_a_pod_of_a_deployment():
    assert pod_facts(PODS["deployment"]) == PodFacts(
        namespace="web",
        name="web-7d9f8c6b5-x2x7k",
        uid="0f2c1f0e-5a4e-4c5e-8f5e-0d6f4b1f3f55",
        node="worker-0",
        phase="Running",
        start_time=datetime(2026, 11, 20, 17, 20, 5, tzinfo=timezone.utc),
        changed_at=datetime(2026, 11, 20, 17, 20, 4, tzinfo=timezone.utc),
        has_token=True,
        is_ready=True,
        owner=Owner(
            api_version="apps/v1",
            kind="ReplicaSet",
            name="web-7d9f8c6b5",
            uid="5e9b2c1a-7a62-4a0a-b0d8-8f6a2f1f9c11",
        ),
        ready_after=4.0,
    )


@pytest.mark.parametrize(
    ("pod", "field", "value"),
    [
        ("mirror", "is_static", True),
        ("mirror", "has_token", False),
        ("deployment", "is_static", False),
        ("job", "runs_to_completion", True),
        ("deployment", "runs_to_completion", False),
        ("bare", "owner", None),
        ("bare", "finalizers", ()),
        ("bare", "has_token", True),
        ("pending", "owner", None),
        ("pending", "start_time", None),
        ("pending", "is_ready", False),
        ("pending", "ready_after", None),
        ("pending", "node", ""),
    ],
)
def test_facts_of_other_pods(pod, field, value):
    assert getattr(pod_facts(PODS[pod]), field) == value


def test_a_static_pod_is_known_by_what_nobody_else_can_have_with_a_token():
    metadata = PODS["mirror"]["metadata"]
    by_owner = {**PODS["mirror"], "metadata": {**metadata, "annotations": {}}}
    by_annotation = {**PODS["mirror"], "metadata": {**metadata, "ownerReferences": []}}
    assert not pod_facts(by_owner).is_static
    assert pod_facts(by_annotation).is_static


def with_spec(kind, **spec):
    return {**OWNERS[kind], "spec": {**OWNERS[kind]["spec"], **spec}}


def with_strategy(max_unavailable, replicas=8):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max_unavailable}}
    deployment = {**OWNERS["deployment"], "spec": {"replicas": replicas, "strategy": strategy}}
    return "ReplicaSet", {**OWNERS["replica_set"], "spec": {"replicas": replicas}}, deployment


@pytest.mark.parametrize(
    ("name", "arguments", "desired", "allowance"),
    [
        ("a quarter of eight", ("ReplicaSet", OWNERS["replica_set"], OWNERS["deployment"]), 8, 2),
        ("rounded down", with_strategy("25%", 7), 7, 1),
        ("never none", with_strategy("25%", 3), 3, 1),
        ("surge only", with_strategy(0), 8, 1),
        ("a number", with_strategy(3), 8, 3),
        ("scaled to zero", with_strategy("50%", 0), 0, 1),
        ("recreate", (*with_strategy(0)[:2], with_spec("deployment", strategy={"type": "Recreate"})), 8, 1),
        ("without a deployment", ("ReplicaSet", OWNERS["replica_set"]), 8, 1),
        ("stateful set", ("StatefulSet", OWNERS["stateful_set"]), 2, 1),
        ("daemon set", ("DaemonSet", OWNERS["daemon_set"]), 5, 2),
        ("replication controller", ("ReplicationController", OWNERS["replication_controller"]), 3, 1),
        ("replicas defaulted", ("ReplicaSet", {"spec": {}}), 1, 1),
    ],
)
def test_facts_of_owners(name, arguments, desired, allowance):
    facts = owner_facts(*arguments)
    assert (facts.desired, facts.allowance) == (desired, allowance)


def test_replica_sets_of_one_deployment_know_what_it_allows():
    _kind, replica_set, deployment = with_strategy("25%", 8)
    half = {**replica_set, "spec": {"replicas": 4}}
    assert (
        owner_facts("ReplicaSet", half, deployment).desired,
        owner_facts("ReplicaSet", half, deployment).allowance,
    ) == (4, 2)


@pytest.mark.parametrize(("kind", "count"), [("ReplicaSet", "availableReplicas"), ("DaemonSet", "numberAvailable")])
def test_how_many_pods_are_available_is_known_where_that_is_more_than_ready(kind, count):
    body = {"metadata": {"name": "web", "uid": "web"}, "spec": {"minReadySeconds": 60}, "status": {count: 2}}
    assert owner_facts(kind, body).available == 2
    assert owner_facts(kind, {**body, "status": {}}).available == 0
    assert owner_facts(kind, {**body, "spec": {}}).available is None


def of_deployment(spec=(), status=(), **metadata):
    deployment = with_spec("deployment", **dict(spec))
    deployment = {
        **deployment,
        "metadata": {**deployment["metadata"], **metadata},
        "status": {**deployment["status"], **dict(status)},
    }
    return owner_facts("ReplicaSet", OWNERS["replica_set"], deployment)


def test_a_rollout_restarts_the_deployment_of_a_replica_set():
    keeper = of_deployment().keeper
    assert (str(keeper), keeper.group, keeper.uid) == ("Deployment/web", "apps", "41b7d1d6-8d0f-4f35-9d32-6a1c0e5f2b01")
    assert str(owner_facts("StatefulSet", OWNERS["stateful_set"]).keeper) == "StatefulSet/db"
    assert owner_facts("ReplicaSet", OWNERS["replica_set"]).keeper is None
    assert owner_facts("ReplicationController", OWNERS["replication_controller"]).keeper is None
    assert owner_facts("Deployment", OWNERS["deployment"]).desired == 8


ASKED = {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-22T09:02:31+01:00"}}}}
DELETED = {"type": "OnDelete"}


@pytest.mark.parametrize(
    ("facts", "field", "value"),
    [
        (of_deployment(), "no_rollout", ""),
        (of_deployment({"paused": True}), "no_rollout", "Paused"),
        (owner_facts("DaemonSet", with_spec("daemon_set", updateStrategy=DELETED)), "no_rollout", "OnDelete"),
        (owner_facts("StatefulSet", with_spec("stateful_set", updateStrategy=DELETED)), "no_rollout", "OnDelete"),
        (
            owner_facts("StatefulSet", with_spec("stateful_set", updateStrategy={"rollingUpdate": {"partition": 1}})),
            "no_rollout",
            "Partition",
        ),
        (owner_facts("StatefulSet", OWNERS["stateful_set"]), "no_rollout", ""),
        (of_deployment(), "operator", ""),
        (of_deployment(ownerReferences=[{"kind": "Web", "name": "shop"}]), "operator", "Web/shop"),
        (of_deployment(labels={"app.kubernetes.io/managed-by": "Web-Operator"}), "operator", "Web-Operator"),
        (of_deployment(labels={"app.kubernetes.io/managed-by": "Helm"}), "operator", ""),
        (of_deployment(), "surges", False),
        (of_deployment({"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}), "surges", True),
        (of_deployment({"strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "10%"}}}), "surges", True),
        (of_deployment({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}), "surges", False),
        (of_deployment({"strategy": {"type": "Recreate"}}), "surges", False),
        (owner_facts("StatefulSet", OWNERS["stateful_set"]), "surges", False),
        (owner_facts("DaemonSet", OWNERS["daemon_set"]), "surges", False),
        (of_deployment(), "restarted_at", None),
        (of_deployment(ASKED), "restarted_at", FINISHED),
        (of_deployment({"template": {"metadata": {"annotations": None}}}), "restarted_at", None),
        (
            of_deployment({"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}),
            "restarted_at",
            None,
        ),
        (of_deployment(), "is_rolled_out", True),
        (of_deployment(generation=2), "is_rolled_out", False),
        (of_deployment(status={"updatedReplicas": 7}), "is_rolled_out", False),
        (of_deployment(status={"replicas": 9}), "is_rolled_out", False),
        (of_deployment(status={"availableReplicas": 7}), "is_rolled_out", False),
        (of_deployment(), "trouble", ""),
    ],
)
def test_facts_of_rollouts(facts, field, value):
    assert getattr(facts, field) == value


@pytest.mark.parametrize(
    ("kind", "status", "is_rolled_out"),
    [
        ("stateful_set", {"currentRevision": "db-1", "updateRevision": "db-1"}, True),
        ("stateful_set", {"currentRevision": "db-1", "updateRevision": "db-2"}, False),
        ("stateful_set", {"readyReplicas": 1}, False),
        ("stateful_set", {"observedGeneration": 1}, False),
        ("daemon_set", {"updatedNumberScheduled": 5}, True),
        ("daemon_set", {"updatedNumberScheduled": 4}, False),
        ("daemon_set", {"updatedNumberScheduled": 5, "numberAvailable": 4}, False),
    ],
)
def test_the_end_of_other_rollouts(kind, status, is_rolled_out):
    obj = {**OWNERS[kind], "status": {**OWNERS[kind]["status"], "observedGeneration": 2, **status}}
    obj["metadata"] = {**obj["metadata"], "generation": 2}
    assert owner_facts(obj["kind"], obj).is_rolled_out is is_rolled_out


def test_what_keeps_pods_from_being_created_is_told_in_the_controllers_words():
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}
    replica_set = {**OWNERS["replica_set"], "status": {"conditions": [failure]}}
    assert owner_facts("ReplicaSet", replica_set).trouble == "exceeded quota: small"
    replica_set["status"]["conditions"][0] = {**failure, "status": "False"}
    assert owner_facts("ReplicaSet", replica_set).trouble == ""


OLD = replace(pod_facts(PODS["deployment"]), start_time=FINISHED - SECOND)


@pytest.mark.parametrize(
    ("pod", "action", "reason", "is_reported"),
    [
        (OLD, "renew", "StartedBefore", False),
        (replace(OLD, start_time=FINISHED), "renew", "StartedBefore", False),
        (replace(OLD, start_time=FINISHED + SECOND), "skip", "StartedAfter", False),
        (replace(OLD, start_time=None), "skip", "NotStarted", False),
        (replace(OLD, has_token=False), "skip", "NoToken", False),
        (replace(OLD, phase="Succeeded"), "skip", "Finished", False),
        (replace(OLD, phase="Failed"), "skip", "Finished", False),
        (replace(OLD, phase="Pending", is_ready=False), "renew", "StartedBefore", False),
        (replace(OLD, is_static=True), "skip", "Static", False),
        (replace(OLD, is_terminating=True), "skip", "Terminating", False),
        (replace(OLD, owner=None), "skip", "NoOwner", True),
        (replace(OLD, owner=None, start_time=FINISHED + SECOND), "skip", "StartedAfter", False),
        (pod_facts(PODS["job"]), "skip", "RunsToCompletion", True),
        (replace(pod_facts(PODS["job"]), runs_to_completion=False), "skip", "RunsToCompletion", True),
        (replace(OLD, runs_to_completion=True), "skip", "RunsToCompletion", True),
        (replace(pod_facts(PODS["job"]), phase="Succeeded"), "skip", "Finished", False),
    ],
)
def test_judge_pod(pod, action, reason, is_reported):
    decision = judge_pod(pod, FINISHED, False)
    assert (decision.action.value, decision.reason, decision.is_reported) == (action, reason, is_reported)


@pytest.mark.parametrize(
    ("pod", "started_before", "action", "reason", "is_reported"),
    [
        (OLD, None, "renew", "All", False),
        (replace(OLD, start_time=FINISHED + SECOND), None, "renew", "All", False),
        (replace(OLD, start_time=FINISHED + SECOND), FINISHED, "skip", "StartedAfter", False),
        (replace(OLD, has_token=False), None, "renew", "All", False),
        (replace(OLD, phase="Succeeded"), None, "renew", "All", False),
        (replace(OLD, owner=None), None, "renew", "All", False),
        (pod_facts(PODS["job"]), None, "renew", "All", False),
        (pod_facts(PODS["pending"]), FINISHED, "renew", "All", False),
        (pod_facts(PODS["mirror"]), None, "skip", "Static", True),
        (replace(OLD, is_terminating=True), None, "skip", "Terminating", False),
    ],
)
def test_judge_pod_when_all_are_wanted(pod, started_before, action, reason, is_reported):
    decision = judge_pod(pod, started_before, True)
    assert (decision.action.value, decision.reason, decision.is_reported) == (action, reason, is_reported)
    assert decision.action in PodAction


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize(
    ("pod", "reason", "is_reported"),
    [
        (OLD, "NodeNotReady", True),
        (replace(OLD, start_time=FINISHED + SECOND), "StartedAfter", False),
        (replace(OLD, is_terminating=True), "Terminating", False),
    ],
)
def test_a_pod_stays_on_a_node_that_would_not_end_it(pod, reason, is_reported, everything):
    decision = judge_pod(pod, FINISHED, everything, unready_nodes={OLD.node})
    assert (decision.reason, decision.is_reported) == (reason, is_reported)
    assert judge_pod(OLD, FINISHED, everything, unready_nodes={"another"}).action is PodAction.RENEW


NAMESPACES = [
    "default",
    "kube-system",
    "automation",
    "openshift-apiserver",
    "openshift-cluster-version",
    "openshift-dns",
    "openshift-dns-operator",
    "openshift-ingress",
    "openshift-ingress-operator",
    "openshift-monitoring",
    "openshift-operator-lifecycle-manager",
    "team-b",
    "team-a",
]


def order(include, exclude=(), own=None, **request):
    request = RenewalRequest(include=tuple(include), exclude=tuple(exclude), **request)
    return order_namespaces([NamespaceFacts(name=n) for n in NAMESPACES], request, own)


def test_namespaces_are_ordered_by_tier_then_name():
    ranks = order(["*"], own="automation")
    assert [(r.tier, r.name) for r in ranks] == [
        (Tier.OPERATORS, "openshift-cluster-version"),
        (Tier.OPERATORS, "openshift-dns-operator"),
        (Tier.OPERATORS, "openshift-ingress-operator"),
        (Tier.OPERATORS, "openshift-operator-lifecycle-manager"),
        (Tier.OPERANDS, "kube-system"),
        (Tier.OPERANDS, "openshift-dns"),
        (Tier.INGRESS_AND_MONITORING, "openshift-apiserver"),
        (Tier.INGRESS_AND_MONITORING, "openshift-ingress"),
        (Tier.INGRESS_AND_MONITORING, "openshift-monitoring"),
        (Tier.USER, "default"),
        (Tier.USER, "team-a"),
        (Tier.USER, "team-b"),
        (Tier.OWN, "automation"),
    ]


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        (["team-*"], [], ["team-a", "team-b"]),
        (["team-*"], ["*-b"], ["team-a"]),
        (["team-b", "team-a"], [], ["team-a", "team-b"]),
        (["team-[ab]", "default"], ["default"], ["team-a", "team-b"]),
        (["Team-*"], [], []),
        ([], [], []),
        (["*"], ["*"], []),
        (["team-a"], ["there-is-no-such-namespace"], ["team-a"]),
    ],
)
def test_namespaces_are_selected_by_globs(include, exclude, names):
    assert [r.name for r in order(include, exclude)] == names


@pytest.mark.parametrize(
    ("include", "labels", "sentence"),
    [
        (["team-c", "team-*"], "", "Could not find the namespace team-c; check the names in the option namespaces."),
        (["y", "x"], "", "Could not find the namespaces x, y; check the names in the option namespaces."),
        (
            ["team-c"],
            "team=c",
            (
                "Could not find the namespace team-c with the labels team=c; check the names in the option namespaces and "
                "namespace_selectors."
            ),
        ),
    ],
)
def test_a_named_namespace_must_exist(include, labels, sentence):
    with pytest.raises(CollectionError) as caught:
        order(include, namespace_selector=labels)
    assert caught.value.message == sentence


@pytest.mark.parametrize(("metadata", "is_terminating"), [({}, False), ({"deletionTimestamp": "2026-11-22"}, True)])
def test_a_namespace_that_is_being_deleted_is_left_alone(metadata, is_terminating):
    facts = namespace_facts({"metadata": {"name": "web", **metadata}})
    (rank,) = order_namespaces([facts], RenewalRequest(), None)
    plan = plan_namespace(rank, [OLD, OLD], FINISHED, RenewalRequest())
    assert len(plan.targets) == (0 if is_terminating else 2)
    assert plan.left == ({"NamespaceTerminating": 2} if is_terminating else {})


OPTIONS = {
    "namespaces": ["*"],
    "exclude_namespaces": [],
    "namespace_selectors": [],
    "label_selectors": [],
    "started_before": None,
    "method": None,
    "all": False,
    "recreate_bare_pods": False,
    "record_namespace": "bound-tokens",
    "allow_disruption": False,
    "pace": "owner",
    "max_namespaces": 1,
    "max_pods": None,
    "canary_namespace": None,
    "require_rollout": True,
    "tokens": "any",
    "overrides": [],
    "terminate_grace_period": None,
}


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({}, "started_before", None),
        ({"started_before": ""}, "started_before", None),
        ({"started_before": "2026-11-22T08:02:31Z"}, "started_before", FINISHED),
        ({"started_before": "2026-11-22T09:02:31+01:00"}, "started_before", FINISHED),
        ({"started_before": "2026-11-22 08:02:31"}, "started_before", FINISHED),
        ({}, "method", "evict"),
        ({"method": "delete"}, "method", "delete"),
        ({"all": True, "allow_disruption": True}, "method", "delete"),
        ({"all": True, "allow_disruption": True, "method": "evict"}, "method", "evict"),
        ({"method": "auto"}, "method", "auto"),
        ({"pace": "none"}, "keeps_pace", False),
        ({}, "keeps_pace", True),
        ({"max_pods": 7}, "max_pods", 7),
        ({"canary_namespace": ""}, "canary", None),
        ({"namespaces": ["a", "b"]}, "names", ("a", "b")),
        ({"namespaces": ["a", "b*"]}, "names", None),
        ({"namespace_selectors": ["team in (a,b)", "!x"]}, "namespace_selector", "team in (a,b),!x"),
        ({"label_selectors": ["app=web", "tier"]}, "pod_selector", "app=web,tier"),
    ],
)
def test_options_are_read(options, field, value):
    assert getattr(read_request({**OPTIONS, **options}), field) == value


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"all": True},
            (
                "The option all deletes every pod, also those that nobody creates anew; "
                "if that is meant, set allow_disruption to true as well."
            ),
        ),
        (
            {"started_before": "yesterday"},
            (
                "The option started_before is 'yesterday', which is not a moment in RFC 3339; "
                "give one such as 2026-11-22T08:02:31Z."
            ),
        ),
        (
            {"max_namespaces": 0},
            "The option max_namespaces is 0; give 1 or more.",
        ),
        (
            {"label_selectors": [" "]},
            "The option label_selectors holds an empty text, which would select everything; leave it out.",
        ),
        (
            {"namespace_selectors": ["team=a", ""]},
            "The option namespace_selectors holds an empty text, which would select everything; leave it out.",
        ),
        (
            {"recreate_bare_pods": True},
            (
                "The option recreate_bare_pods takes pods away that nobody but this run creates anew, with what is in their "
                "emptyDir volumes; if that is meant, set allow_disruption to true as well."
            ),
        ),
        (
            {"max_pods": 0},
            "The option max_pods is 0; give 1 or more.",
        ),
        (
            {"terminate_grace_period": -1},
            "The option terminate_grace_period is -1; give 0 or more seconds.",
        ),
        (
            {"require_rollout": False},
            (
                "With require_rollout set to false the cluster is not asked which pods are old; set started_before to "
                "the moment up to which pods must have started to be renewed, such as 2026-11-22T08:02:31Z."
            ),
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, sentence):
    with pytest.raises(InvalidOption) as caught:
        read_request({**OPTIONS, **options})
    assert caught.value.message == sentence


WEB = Owner(api_version="apps/v1", kind="ReplicaSet", name="web-1", uid="web")
DB = Owner(api_version="apps/v1", kind="StatefulSet", name="db", uid="db")
JOB = Owner(api_version="batch/v1", kind="Job", name="backup", uid="job")
THREE = {"web": OwnerFacts(desired=3)}


def pod(uid, owner=WEB, *, name=None, **facts):
    return PodFacts(
        namespace="web", name=name or uid, uid=uid, owner=owner, phase="Running", **{"is_ready": True, **facts}
    )


def pods_of(text, owner=WEB):
    """Letters are pods: upper case is Ready, lower case is not, an exclamation mark after it means terminating."""
    found = []
    for character in text:
        if character == "!":
            found[-1] = replace(found[-1], is_terminating=True)
        else:
            found.append(pod(character.lower(), owner, is_ready=character.isupper()))
    return found


def test_a_plan_counts_and_names_what_is_left():
    young = replace(OLD, uid="young", start_time=FINISHED + SECOND)
    bare = replace(OLD, uid="bare", owner=None)
    rank = NamespaceRank(name="web", tier=Tier.USER)
    plan = plan_namespace(rank, [OLD, young, replace(young, uid="y2"), bare], FINISHED, RenewalRequest())
    assert plan.targets == (OLD,)
    assert plan.reported == ((bare, "NoOwner"),)
    assert plan.left == {"NoOwner": 1, "StartedAfter": 2}
    assert plan.ready_before == {OLD.owner.uid: 3}


@pytest.mark.parametrize(
    ("name", "now", "owners", "ready_before", "chosen"),
    [
        ("one of three", "ABC", THREE, 3, "a"),
        ("as many as allowed", "ABC", {"web": OwnerFacts(desired=3, allowance=2)}, 3, "ab"),
        ("one is on its way out", "A!BC", THREE, 3, ""),
        ("one is on its way out, two may", "A!BC", {"web": OwnerFacts(desired=3, allowance=2)}, 3, "b"),
        ("its replacement is not Ready", "xBC", THREE, 3, ""),
        ("its replacement is Ready", "XBC", THREE, 3, "b"),
        ("a target that is not Ready", "aBC", THREE, 3, "a"),
        ("unwell before", "aBC", THREE, 2, "ab"),
        ("unwell before, all", "abc", THREE, 0, "abc"),
        ("scaled down meanwhile", "AB", {"web": OwnerFacts(desired=2)}, 3, "a"),
        ("scaled up meanwhile", "ABCX", {"web": OwnerFacts(desired=9)}, 3, "a"),
        ("owner gone", "AB", {}, 3, "a"),
        ("kind not known", "ABC", {"web": OwnerFacts()}, 3, "a"),
        ("kind not known, one down", "AB", {"web": OwnerFacts()}, 3, ""),
        ("nothing left", "XYZ", THREE, 3, ""),
    ],
)
def test_choose_next(name, now, owners, ready_before, chosen):
    found = choose_next(pods_of("ABC"), pods_of(now), owners, {"web": ready_before})
    assert [p.uid for p in found] == list(chosen)


def test_the_replica_sets_of_a_deployment_share_what_it_allows():
    keeper = Owner(api_version="apps/v1", kind="Deployment", name="web", uid="keeper")
    other = replace(WEB, uid="web-2")
    both = {uid: OwnerFacts(desired=2, allowance=1, keeper=keeper) for uid in ("web", "web-2")}
    pods, before = [*pods_of("AB"), *pods_of("CD", other)], {"web": 2, "web-2": 2}
    assert [p.uid for p in choose_next(pods, pods, both, before)] == ["a"]
    assert choose_next(pods, pods[:3], both, before) == []
    two = {uid: replace(facts, allowance=2) for uid, facts in both.items()}
    assert [p.uid for p in choose_next(pods, pods, two, before)] == ["a", "b"]
    assert [p.uid for p in choose_next(pods, pods[:3], two, before)] == ["a"]


def test_a_replica_set_that_never_gets_well_takes_nothing_from_the_other_while_all_are_there():
    keeper = Owner(api_version="apps/v1", kind="Deployment", name="web", uid="keeper")
    other, facts = replace(WEB, uid="web-2"), OwnerFacts(whole=4, allowance=1, keeper=keeper)
    owners = {"web": replace(facts, desired=3), "web-2": replace(facts, desired=2)}
    pods = [*pods_of("ABC"), *pods_of("D", other)]
    assert [p.uid for p in choose_next(pods, [*pods, *pods_of("x", other)], owners, {"web": 3, "web-2": 2})] == ["a"]
    assert choose_next(pods, pods[1:], owners, {"web": 3, "web-2": 2}) == []


def test_what_is_waited_for_beside_being_ready_is_told():
    cold = {"web": OwnerFacts(desired=3, min_ready=900, available=2)}
    verdict = judge_renewal(pods_of("ABC"), pods_of("XBC"), cold, {"web": 3})
    assert verdict.message == (
        "2 of 3 pods are still there: b; c. Its minReadySeconds are waited for: 2 of the 3 Ready pods of ReplicaSet/web-1 are so "
        "for 900 s."
    )


def test_a_pod_counts_when_it_was_ready_for_as_long_as_its_owner_asks_for():
    warm = {"web": OwnerFacts(desired=3, available=3)}
    assert [p.uid for p in choose_next(pods_of("ABC"), pods_of("XBC"), warm, {"web": 3})] == ["b"]
    cold = {"web": OwnerFacts(desired=3, available=2)}
    assert choose_next(pods_of("ABC"), pods_of("XBC"), cold, {"web": 3}) == []
    # what the owner says of its pods is late, what they say themselves is not
    assert choose_next(pods_of("ABC"), pods_of("BC"), warm, {"web": 3}) == []


STATEFUL = Owner(api_version="apps/v1", kind="StatefulSet", name="db", uid="web")
CUSTOM = Owner(api_version="example.com/v1", kind="Cluster", name="c", uid="web")
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("name", "pods", "owner", "age", "owed"),
    [
        ("all Ready", "ABC", WEB, 1, {}),
        ("unwell for long", "ABc", WEB, 60, {}),
        ("unwell for long, and come since the switch", "ABc", WEB, 20, {}),
        ("just come", "ABc", WEB, 1, {"web": Owed(ready=2, lasting=(240.0,))}),
        ("of a StatefulSet, come since the switch", "ABc", STATEFUL, 20, {"web": Owed(ready=2, lasting=(math.inf,))}),
        ("of a StatefulSet, unwell before", "ABc", STATEFUL, 60, {}),
        ("of a StatefulSet, told to go since", "ABC!", STATEFUL, 20, {"web": Owed(ready=2, lasting=(math.inf,))}),
        ("told to go, and replaced", "ABC!x", WEB, 1, {"web": Owed(ready=2, lasting=(240.0,))}),
        ("told to go for long", "ABC!", CUSTOM, 60, {}),
        ("just told to go", "ABC!", CUSTOM, 1, {"web": Owed(ready=2, lasting=(240.0,))}),
    ],
)
def test_find_owed(name, pods, owner, age, owed):
    now = FINISHED + 30 * MINUTE
    found = [replace(p, changed_at=now - age * MINUTE) for p in pods_of(pods, owner)]
    assert find_owed(found, now, FINISHED) == owed


def test_what_has_ended_is_not_owed_and_without_a_time_only_stateful_sets_are():
    recent = {"is_ready": False, "changed_at": FINISHED + MINUTE}
    ended = [pod(phase, WEB, **recent) for phase in ("Succeeded", "Failed")]
    ended = [replace(p, phase=p.name) for p in ended]
    assert find_owed(ended, FINISHED + MINUTE, FINISHED) == {}
    assert find_owed([pod("a", WEB, **recent)], None, FINISHED) == {}
    assert set(find_owed([pod("a", STATEFUL, **recent)], None, FINISHED)) == {"web"}
    assert find_owed([pod("a", STATEFUL, **recent)], None, None) == {}


def test_what_is_owed_is_for_a_while():
    owed = {"web": Owed(ready=2, lasting=(10.0, math.inf))}
    assert raise_to_owed({"web": 2, "b": 1}, owed, 9.0) == {"web": 4, "b": 1}
    assert raise_to_owed({"web": 2}, owed, 10.0) == {"web": 3}
    assert raise_to_owed({"web": 5}, owed, 0.0) == {"web": 5}


def test_of_a_run_that_is_gone_on_with_again_and_again_one_pod_is_down():
    ordinal = [pod(f"db-{n}", STATEFUL, changed_at=FINISHED - 60 * MINUTE) for n in range(3)]
    successor = replace(ordinal[2], uid="new", is_ready=False, changed_at=FINISHED + 30 * MINUTE)
    pods, owners = [*ordinal[:2], successor], {"web": OwnerFacts(desired=3)}
    owed = find_owed(pods, FINISHED + 90 * MINUTE, FINISHED)
    baseline = raise_to_owed(count_ready(pods), owed, 1000.0)
    assert choose_next(ordinal[:2], pods, owners, baseline) == []
    pods[2] = replace(successor, is_ready=True)
    assert choose_next(ordinal[:2], pods, owners, baseline) == [ordinal[1]]


@pytest.mark.parametrize(
    ("name", "now", "owners", "whole"),
    [
        ("all Ready", "ABC", THREE, {"web"}),
        ("more than wanted", "ABCX", THREE, {"web"}),
        ("one not", "ABc", THREE, set()),
        ("one leaving", "ABC!", THREE, set()),
        ("scaled to zero", "", {"web": OwnerFacts(desired=0)}, {"web"}),
        ("owner gone", "ABC", {}, set()),
        ("kind not known", "ABC", {"web": OwnerFacts()}, set()),
    ],
)
def test_find_whole(name, now, owners, whole):
    assert find_whole(pods_of(now), owners) == whole


@pytest.mark.parametrize(
    ("name", "now", "owners", "whole", "before", "after"),
    [
        ("Ready since the plan", "ABC", THREE, {"web"}, 0, 3),
        ("Ready in part", "ABc", THREE, (), 1, 2),
        ("never less", "Abc", THREE, (), 3, 3),
        ("replaced with more while a target is there", "AXY", {"web": OwnerFacts()}, (), 2, 3),
        ("when no target is there any more", "XYZ", {"web": OwnerFacts()}, (), 2, 2),
        ("whole, scaled up", "X", {"web": OwnerFacts(desired=5)}, {"web"}, 3, 5),
        ("whole, gone", "", {}, {"web"}, 3, 3),
    ],
)
def test_raise_baseline(name, now, owners, whole, before, after):
    assert raise_baseline({"web": before}, pods_of("ABC"), pods_of(now), owners, whole) == {"web": after}


def test_only_owners_that_are_waited_for_have_their_baseline_raised():
    pods = pods_of("AB", JOB) + pods_of("CD", DB)
    assert raise_baseline({}, pods, pods, {}, ()) == {"db": 2}


def ordinals(text):
    """Pods of the StatefulSet db by their ordinals, each with the sign that it is Ready or not, or terminating."""
    found = [pod(f"db-{word.rstrip('-!')}", DB, is_ready=not word.endswith("-")) for word in text.split()]
    return [replace(p, is_terminating=word.endswith("!")) for p, word in zip(found, text.split(), strict=True)]


@pytest.mark.parametrize(
    ("name", "now", "ready_before", "not_now", "chosen"),
    [
        ("the highest first", "0 1 2 10", 4, (), ["db-10"]),
        ("one after the other", "0 1 2 10!", 4, (), []),
        ("the next", "0 1 2", 3, (), ["db-2"]),
        ("in order, even when the first may not", "0 1 2 10", 4, {"db-10"}, []),
        ("one that is not Ready does not wait", "0- 1 2 10", 3, (), ["db-10", "db-0"]),
        ("unwell before", "0- 1- 2- 10-", 0, (), ["db-10", "db-2", "db-1", "db-0"]),
    ],
)
def test_pods_of_a_stateful_set_go_in_order(name, now, ready_before, not_now, chosen):
    targets, owners = ordinals("0 1 2 10"), {"db": OwnerFacts(desired=len(now.split()))}
    found = choose_next(targets, ordinals(now), owners, {"db": ready_before}, not_now)
    assert [p.uid for p in found] == chosen


def test_without_pace_all_go_but_those_that_may_not():
    targets = pods_of("ABC") + pods_of("DE", DB)
    owners = {"web": OwnerFacts(desired=3), "db": OwnerFacts(desired=2)}
    found = choose_next(targets, targets, owners, count_ready(targets), {"b"}, keeps_pace=False)
    assert sorted(p.uid for p in found) == ["a", "c", "d", "e"]
    assert choose_next(targets, pods_of("A!XY"), owners, count_ready(targets), keeps_pace=False) == []


@pytest.mark.parametrize(
    ("name", "now", "owners", "restarted", "down"),
    [
        ("none", "ABC", THREE, (), 0),
        ("two missing", "A!xC", THREE, (), 2),
        ("scaled down", "A", {"web": OwnerFacts(desired=1)}, (), 0),
        ("owner gone", "A", {}, (), 0),
        ("rolling out", "ABC", {**THREE, "keeper": OwnerFacts(desired=3, allowance=2)}, {"keeper"}, 2),
        ("rolled out", "ABC", {**THREE, "keeper": OwnerFacts(desired=3, is_rolled_out=True)}, {"keeper"}, 0),
        ("counted once", "A!bC", {"web": OwnerFacts(desired=3, allowance=1)}, {"web"}, 1),
    ],
)
def test_count_down(name, now, owners, restarted, down):
    plan = NamespacePlan(rank=NamespaceRank(name="web", tier=Tier.USER), targets=tuple(pods_of("ABC")))
    assert count_down(plan, pods_of(now), owners, {"web": 3}, restarted) == down


def test_a_pod_that_nobody_waits_for_is_down_while_it_ends():
    targets = pods_of("AB", None)
    plan = NamespacePlan(rank=NamespaceRank(name="web", tier=Tier.USER), targets=tuple(targets))
    assert count_down(plan, pods_of("A!B", None) + pods_of("C!", None), {}, {}, ()) == 1


def plan_of(name, targets="A"):
    rank = NamespaceRank(name=name, tier=Tier.OPERANDS if name.startswith("openshift") else Tier.USER)
    return NamespacePlan(rank=rank, targets=tuple(pods_of(targets)))


@pytest.mark.parametrize(
    ("max_namespaces", "canary", "waves"),
    [
        (1, None, [["openshift-a"], ["openshift-b"], ["c"], ["d"], ["e"]]),
        (2, None, [["openshift-a", "openshift-b"], ["c", "d", "e"]]),
        (9, "openshift-a", [["openshift-a"], ["openshift-b"], ["c", "d", "e"]]),
    ],
)
def test_namespaces_of_one_tier_may_overlap(max_namespaces, canary, waves):
    plans = [plan_of(name) for name in ("openshift-a", "openshift-b", "c", "d", "e")]
    found = plan_waves([*plans, plan_of("empty", "")], RenewalRequest(max_namespaces=max_namespaces, canary=canary))
    assert [[p.rank.name for p in wave] for wave in found] == waves


def test_the_canary_is_first_and_must_be_asked_for():
    assert [r.name for r in order(["*"], canary="team-b")][:2] == ["team-b", "openshift-cluster-version"]
    with pytest.raises(CollectionError) as caught:
        order(["team-*"], canary="default")
    assert caught.value.message == (
        "Could not begin with the namespace default: it is not among those that are to be renewed; check the option "
        "canary_namespace."
    )


def test_only_operators_that_are_not_well_any_more_count():
    def conditions(available, degraded):
        words = {"reason": "Sad", "message": "it is sad."}
        return {"Available": Condition(status=available, **words), "Degraded": Condition(status=degraded, **words)}

    before = {"dns": conditions("True", "True"), "etcd": conditions("True", "False"), "ingress": {}}
    assert describe_unwell(before, before) == ""
    now = {**before, "dns": conditions("False", "True"), "etcd": conditions("Unknown", "True"), "new": {}}
    assert describe_unwell(before, now) == (
        "ClusterOperators are not well any more: dns is not available (it is sad); etcd is degraded (it is sad)."
    )


def test_what_must_not_go_now_leaves_its_place_to_others():
    found = choose_next(pods_of("ABC"), pods_of("ABC"), THREE, {"web": 3}, {"a"})
    assert [p.uid for p in found] == ["b"]


def test_each_owner_has_its_own_allowance():
    all_pods = pods_of("AB", WEB) + pods_of("CD", DB)
    owners = {"web": OwnerFacts(desired=2), "db": OwnerFacts(desired=2)}
    assert [p.uid for p in choose_next(all_pods, all_pods, owners, count_ready(all_pods))] == ["a", "c"]


def test_pods_that_nobody_waits_for_go_at_any_time():
    all_pods = pods_of("AB", None) + pods_of("CD", JOB)
    found = choose_next(all_pods, all_pods, {}, count_ready(all_pods))
    assert [p.uid for p in found] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("name", "now", "owners", "ready_before", "outcome", "message"),
    [
        ("all there", "ABC", THREE, 3, Outcome.WAITING, "3 of 3 pods are still there: a; b; c."),
        ("one leaving", "A!XY", THREE, 3, Outcome.WAITING, "1 of 3 pods are still there: a (terminating)."),
        ("not Ready yet", "XYz", THREE, 3, Outcome.WAITING, "ReplicaSet/web-1 has 2 of 3 Ready pods."),
        ("leaving does not count", "XYZ!", THREE, 3, Outcome.WAITING, "ReplicaSet/web-1 has 2 of 3 Ready pods."),
        ("replaced", "XYZ", THREE, 3, Outcome.DONE, "All 3 pods are gone and replaced."),
        ("unwell before", "XYz", THREE, 2, Outcome.DONE, "All 3 pods are gone and replaced."),
        ("scaled down", "X", {"web": OwnerFacts(desired=1)}, 3, Outcome.DONE, "All 3 pods are gone and replaced."),
        ("owner gone", "", {}, 3, Outcome.DONE, "All 3 pods are gone and replaced."),
        ("kind not known", "XY", {"web": OwnerFacts()}, 3, Outcome.WAITING, "ReplicaSet/web-1 has 2 of 3 Ready pods."),
    ],
)
def test_judge_renewal(name, now, owners, ready_before, outcome, message):
    verdict = judge_renewal(pods_of("ABC"), pods_of(now), owners, {"web": ready_before})
    assert (verdict.outcome, verdict.message) == (outcome, message)


@pytest.mark.parametrize(
    ("name", "now", "gone", "ready"),
    [
        ("as before", "AXY", 2, 3),
        ("one not Ready any more", "AXy", 2, 3),
        ("one more Ready", "AXYZ", 2, 4),
        ("one more gone", "Xyz", 3, 1),
        ("one leaving", "A!XY", 2, 3),
    ],
)
def test_note_progress(name, now, gone, ready):
    best = Progress(gone=2, ready={"web": 3})
    found = note_progress(best, pods_of("ABC"), pods_of(now) + pods_of("Q", DB))
    assert found == Progress(gone=gone, ready={"web": ready})


def test_a_namesake_is_not_taken_for_the_old_pod():
    old, new = pod("uid-1", DB, name="db-0"), pod("uid-2", DB, name="db-0", is_ready=False)
    owners = {"db": OwnerFacts(desired=1)}
    assert choose_next([old], [new], owners, {"db": 1}) == []
    assert judge_renewal([old], [new], owners, {"db": 1}).reason == "OwnersNotWhole"
    assert judge_renewal([old], [replace(new, is_ready=True)], owners, {"db": 1}).outcome is Outcome.DONE


def test_ready_pods_of_another_owner_do_not_count():
    other = replace(WEB, uid="web-of-another-revision")
    verdict = judge_renewal(pods_of("ABC"), pods_of("XYZ", other), THREE, {"web": 3})
    assert verdict.message == "ReplicaSet/web-1 has 0 of 3 Ready pods."


SPENT = OwnerFacts(desired=3, trouble="exceeded quota.")


def test_the_message_tells_why_pods_cannot_be_created():
    verdict = judge_renewal(pods_of("ABC"), pods_of("XY"), {"web": SPENT}, {"web": 3})
    assert verdict.message == "ReplicaSet/web-1 has 2 of 3 Ready pods (exceeded quota)."
    verdict = judge_renewal(pods_of("ABC"), pods_of("AX"), {"web": SPENT}, {"web": 3})
    assert verdict.message == (
        "1 of 3 pods are still there: a. No more go while ReplicaSet/web-1 has 2 of 3 Ready pods (exceeded quota)."
    )


@pytest.mark.parametrize(
    ("name", "now", "owners", "ready_before", "uncreated", "trouble"),
    [
        ("whole", "ABC", THREE, 3, False, False),
        ("one not Ready", "ABc", THREE, 3, False, False),
        ("one lacks", "AB", THREE, 3, True, False),
        ("one lacks, and it is known why", "AB", {"web": SPENT}, 3, False, True),
        ("unwell before", "AB", {"web": SPENT}, 2, False, False),
        ("an old failure", "ABC", {"web": SPENT}, 3, False, False),
        ("owner gone", "", {}, 3, False, False),
        ("kind not known", "A", {"web": OwnerFacts()}, 3, False, False),
    ],
)
def test_pods_that_are_not_created(name, now, owners, ready_before, uncreated, trouble):
    assert find_uncreated(pods_of("ABC"), pods_of(now), owners) is uncreated
    assert has_trouble(pods_of("ABC"), pods_of(now), owners, {"web": ready_before}) is trouble


@pytest.mark.parametrize(
    ("keeper", "outcome", "message"),
    [
        ({}, Outcome.DONE, "All 3 pods are gone and replaced."),
        ({"deploy": OwnerFacts(is_rolled_out=True)}, Outcome.DONE, "All 3 pods are gone and replaced."),
        ({"deploy": OwnerFacts()}, Outcome.WAITING, "Deployment/web is still rolling out."),
        ({"deploy": SPENT}, Outcome.WAITING, "Deployment/web is still rolling out (exceeded quota)."),
    ],
)
def test_a_rollout_must_be_complete(keeper, outcome, message):
    deployment = Owner(api_version="apps/v1", kind="Deployment", name="web", uid="deploy")
    verdict = judge_renewal(pods_of("ABC"), [], keeper, {}, keepers=[deployment])
    assert (verdict.outcome, verdict.message) == (outcome, message)


def test_nobody_waits_for_a_job_or_for_a_pod_without_owner():
    targets = pods_of("A", None) + pods_of("B", JOB)
    assert judge_renewal(targets, [], {}, {"job": 1}).outcome is Outcome.DONE


def test_the_message_tells_the_servers_words_and_only_counts_many():
    targets = pods_of("ABCDEFG")
    message = judge_renewal(targets, targets, THREE, {"web": 3}, {"a": "The disruption budget web is spent."}).message
    assert message == ("7 of 7 pods are still there: a (The disruption budget web is spent); b; c; d; e; and 2 more.")


def test_what_holds_in_some_namespaces_is_the_first_entry_that_fits():
    team = {"namespaces": ["team-*"], "method": None, "tokens": "lasting", "all": False}
    every = {"namespaces": ["*"], "method": None, "tokens": None, "all": True}
    request = read_request({**OPTIONS, "allow_disruption": True, "tokens": "old", "overrides": [team, every]})
    asked = {n: request.within(n) for n in ("team-a", "web")}
    assert [(r.method, r.tokens, r.everything) for r in asked.values()] == [
        ("evict", "lasting", False),
        ("delete", "old", True),
    ]
    assert replace(request, overrides=()).within("team-a").tokens == "old"


def test_everything_in_some_namespaces_needs_consent_too():
    every = {"namespaces": ["web"], "method": None, "tokens": None, "all": True}
    with pytest.raises(InvalidOption, match="set allow_disruption to true"):
        read_request({**OPTIONS, "overrides": [every]})


def test_a_pod_whose_tokens_are_no_reason_to_renew_it_stays():
    plan = plan_namespace(
        NamespaceRank(name="web", tier=Tier.USER),
        [OLD, replace(OLD, reason_to_stay="FileRenews")],
        FINISHED,
        RenewalRequest(),
    )
    assert (plan.targets, plan.left) == ((OLD,), {"FileRenews": 1})
