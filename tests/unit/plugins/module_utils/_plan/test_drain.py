# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._node_model import node_pod
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.drain import (
    DrainAction,
    DrainOptions,
    choose_blocking,
    choose_targets,
    describe_left,
    is_daemon,
    judge_drain_pod,
    needs_pace,
    read_drain_options,
)

FIXTURES = next(p for p in Path(__file__).parents if p.name == "unit") / "fixtures"
RAW = {
    **yaml.safe_load((FIXTURES / "pods.yml").read_text()),
    **yaml.safe_load((FIXTURES / "node_pods.yml").read_text()),
}
PODS = {name: node_pod(pod) for name, pod in RAW.items()}
CART, BARE, DAEMON, MIRROR, RESTART = (PODS[n] for n in ("cart", "bare", "daemon", "mirror", "restart"))
PLAIN = replace(CART, has_local_data=False)
FORCE, EMPTYDIR, DAEMONS = ("delete_options." + o for o in ("force", "delete_emptydir_data", "ignore_daemonsets"))
ALL = DrainOptions(force=True, delete_emptydir_data=True)


def made(pod, **facts):
    return replace(pod, facts=replace(pod.facts, **facts))


def of(api_version, kind):
    """The pod cart, with a controller of another kind."""
    owner = {"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "controller": True}
    pod = deepcopy(RAW["cart"])
    pod["metadata"]["ownerReferences"] = [owner]
    pod["spec"]["volumes"] = []
    return node_pod(pod)


def guard(namespace):
    return replace(made(BARE, namespace=namespace), labels={"app": "guard"}, has_local_data=False)


def mirror_by(sign):
    """The mirror pod, known by one of its two signs only."""
    pod = deepcopy(RAW["mirror"])
    pod["metadata"].pop("annotations" if sign == "owner" else "ownerReferences")
    return node_pod(pod)


CASES = [
    ("a pod that has an owner", PLAIN, {}, "evict Running"),
    ("a job's pod under way", PODS["job"], {}, "evict Running"),
    ("one that has not begun", made(PLAIN, phase="Pending", is_ready=False), {}, "evict Running"),
    ("one whose node is lost", made(PLAIN, phase="Unknown", is_ready=False), {}, "evict Running"),
    ("an owner of a kind that nobody knows", of("apps.kruise.io/v1alpha1", "CloneSet"), {}, "evict Running"),
    ("a DaemonSet of somebody else's kind", of("apps.kruise.io/v1alpha1", "DaemonSet"), {}, "evict Running"),
    ("an owner that is no controller", PODS["pending"], {}, f"block NoOwner {FORCE}"),
    ("local data", CART, {}, f"block LocalData {EMPTYDIR}"),
    ("local data, given up", CART, {"delete_emptydir_data": True}, "evict Running"),
    ("local data is not what force is about", CART, {"force": True}, f"block LocalData {EMPTYDIR}"),
    ("local data of a finished pod", made(CART, phase="Succeeded"), {}, "evict Finished"),
    ("local data of a pod that goes anyway", made(CART, is_terminating=True), {}, "evict Terminating"),
    ("a bare pod", BARE, {}, f"block NoOwner {FORCE}"),
    ("etcd's guard", guard("openshift-etcd"), {}, "evict Guard"),
    ("a user's guard", guard("shop"), {}, f"block NoOwner {FORCE}"),
    ("a bare pod, forced", BARE, {"force": True}, "evict Running"),
    ("a bare pod is not what local data is about", BARE, {"delete_emptydir_data": True}, f"block NoOwner {FORCE}"),
    ("a bare pod with local data, half asked", replace(BARE, has_local_data=True), {"force": True},
     f"block LocalData {EMPTYDIR}"),
    ("a bare pod with local data", replace(BARE, has_local_data=True), {"force": True, "delete_emptydir_data": True},
     "evict Running"),
    ("a bare pod that has ended", made(BARE, phase="Failed"), {}, "evict Finished"),
    ("a bare pod that goes anyway", made(BARE, is_terminating=True), {}, "evict Terminating"),
    ("a DaemonSet's pod", DAEMON, {}, "ignore DaemonSet"),
    ("a DaemonSet's pod, unready", made(DAEMON, phase="Pending", is_ready=False), {}, "ignore DaemonSet"),
    ("a DaemonSet's pod that is replaced", made(DAEMON, is_terminating=True), {}, "ignore DaemonSet"),
    ("a DaemonSet's pod, with everything allowed", DAEMON, {"force": True, "delete_emptydir_data": True},
     "ignore DaemonSet"),
    ("a DaemonSet's pod that has ended", made(DAEMON, phase="Succeeded"), {}, "evict Finished"),
    ("a DaemonSet's pod that was evicted", made(DAEMON, phase="Failed"), {"ignore_daemonsets": False},
     "evict Finished"),
    ("a DaemonSet's pod that nobody ignores", DAEMON, {"ignore_daemonsets": False}, f"block DaemonSet {DAEMONS}"),
    ("and force does not help", DAEMON, {"ignore_daemonsets": False, "force": True}, f"block DaemonSet {DAEMONS}"),
    ("a static pod", MIRROR, {}, "ignore Static"),
    ("one that only says so by its owner", mirror_by("owner"), {}, "evict Running"),
    ("a static pod by its annotation", mirror_by("annotation"), {}, "ignore Static"),
    ("a static pod that has ended", made(MIRROR, phase="Failed"), {"force": True}, "ignore Static"),
    ("a static pod that is being deleted", made(MIRROR, is_terminating=True), {}, "ignore Static"),
    ("a static pod with an emptyDir", replace(MIRROR, has_local_data=True), {}, "ignore Static"),
    ("the pod that restarts the node", RESTART, {"force": True}, "ignore RestartPod"),
    ("the same under way", made(RESTART, phase="Running"), {}, "ignore RestartPod"),
    ("a user's pod with its labels", made(RESTART, namespace="shop", phase="Running"), {}, f"block NoOwner {FORCE}"),
    ("a user's pod with a command pod's labels", replace(PLAIN, is_command_pod=True), {}, "evict Running"),
    ("another pod in its namespace", made(BARE, namespace="bound-tokens-node-restart"), {}, f"block NoOwner {FORCE}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pod", "options", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_what_a_drain_does_with_a_pod(name, pod, options, wanted):
    decision = judge_drain_pod(pod, DrainOptions(**options))
    assert f"{decision.action.value} {decision.reason} {decision.option}".strip() == wanted


def judge_as_kubectl(pod, options):
    """What kubectl drain does, in its own order: DaemonSet, mirror, local storage, no controller (pkg/drain/filters.go of
    k8s.io/kubectl v0.34.4). The DaemonSet is there: kubectl looks."""
    is_finished = pod.facts.phase in ("Succeeded", "Failed")
    if is_daemon(pod.facts) and not is_finished:
        return "ignore" if options.ignore_daemonsets else "block"
    if pod.facts.is_static:
        return "ignore"
    if not is_finished and pod.has_local_data and not options.delete_emptydir_data:
        return "block"
    if not is_finished and pod.facts.owner is None and not options.force:
        return "block"
    return "evict"


def test_every_decision_is_kubectls_except_for_pods_that_go_anyway():
    count = 0
    for pod, local, phase, terminating, *switches in itertools.product(
        (CART, BARE, DAEMON, MIRROR, mirror_by("annotation"), PODS["job"]),
        (False, True),
        ("Pending", "Running", "Succeeded", "Failed", "Unknown"),
        *[(False, True)] * 4,
    ):
        case = made(replace(pod, has_local_data=local), phase=phase, is_terminating=terminating)
        options = DrainOptions(
            **dict(zip(("force", "ignore_daemonsets", "delete_emptydir_data"), switches, strict=True))
        )
        kubectl = judge_as_kubectl(case, options)
        if terminating and kubectl == "block" and not is_daemon(case.facts):
            kubectl = "evict"  # kubectl refuses the whole drain because of a pod that is being deleted
        assert judge_drain_pod(case, options).action.value == kubectl, (case, options)
        count += 1
    assert count == 960


def test_targets_and_blocking_pods_of_a_node():
    pods = [PLAIN, CART, DAEMON, MIRROR, RESTART, BARE, made(BARE, name="done", phase="Succeeded")]
    assert [str(p) for p in choose_targets(pods, DrainOptions())] == ["shop/cart-7d9f8c6b5-x2x7k", "web/done"]
    blocking = choose_blocking(pods, DrainOptions())
    assert [(p, d.option) for p, d in blocking] == [(CART, EMPTYDIR), (BARE, FORCE)]
    assert all(d.action is DrainAction.BLOCK for _pod, d in blocking)
    assert choose_blocking(pods, ALL) == []
    assert choose_targets(pods, ALL) == [PLAIN, CART, BARE, made(BARE, name="done", phase="Succeeded")]


@pytest.mark.parametrize(
    ("pod", "wanted"),
    [
        (CART.facts, True),
        (replace(CART.facts, is_ready=False), False),
        (replace(CART.facts, is_terminating=True), False),
        (replace(CART.facts, owner=None), False),
    ],
)
def test_whose_pace_the_owner_minds(pod, wanted):
    assert needs_pace(pod) is wanted


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (None, DrainOptions()),
        ({}, DrainOptions()),
        (dict.fromkeys(("force", "ignore_daemonsets", "delete_after", "terminate_grace_period", "wait_timeout")),
         DrainOptions()),
        ({"delete_emptydir_data": True}, DrainOptions(delete_emptydir_data=True)),
        ({"ignore_daemonsets": False}, DrainOptions(ignore_daemonsets=False)),
        ({"terminate_grace_period": 0}, DrainOptions(grace_period=0)),
        ({"wait_timeout": 1}, DrainOptions(timeout=1)),
        ({"force": False, "disable_eviction": False}, DrainOptions()),
    ],
)  # fmt: skip
def test_options_that_need_no_consent(given, options):
    assert read_drain_options(given, allow_disruption=False) == options


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"force": True}, DrainOptions(force=True)),
        ({"disable_eviction": True}, DrainOptions(disable_eviction=True)),
        ({"delete_after": 0}, DrainOptions(delete_after=0)),
        ({"delete_after": 300}, DrainOptions(delete_after=300)),
    ],
)
def test_options_that_need_consent(given, options):
    (name,) = given
    with pytest.raises(InvalidOption, match=rf"delete_options\.{name} .* set allow_disruption to true as well"):
        read_drain_options(given, allow_disruption=False)
    assert read_drain_options(given, allow_disruption=True) == options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"terminate_grace_period": -1}, "delete_options.terminate_grace_period is -1; give 0 or more seconds"),
        ({"delete_after": -5}, "delete_options.delete_after is -5; give 0 or more seconds"),
        ({"wait_timeout": 0}, "delete_options.wait_timeout is 0; give 1 or more seconds"),
        ({"wait_timeout": -1}, "delete_options.wait_timeout is -1; give 1 or more seconds"),
    ],
)
def test_options_that_cannot_be_meant(given, words):
    with pytest.raises(InvalidOption, match=words):
        read_drain_options(given, allow_disruption=True)


@pytest.mark.parametrize(("options", "method"), [({}, "evict"), ({"disable_eviction": True}, "delete")])
def test_how_pods_are_sent_away(options, method):
    assert DrainOptions(**options).method == method


def test_what_a_drain_waits_for():
    going = made(PODS["ending"], uid="a")
    held, paced, other = (made(PLAIN, name=f"cart-{uid}", uid=uid) for uid in "bcd")
    said = describe_left([going, held, paced], {"a": "unheard", "b": "the budget cart needs 2"}, {"c"})
    assert said == (
        "shop/batch-0 is terminating, held by its finalizers example.com/archive, example.com/bill; "
        "shop/cart-b may not go yet: the budget cart needs 2; "
        "shop/cart-c waits until ReplicaSet/cart-7d9f8c6b5 has its Ready pods again"
    )
    assert describe_left([other], {}, ()) == "shop/cart-d is still there"
    assert describe_left([going, held, paced, other], {}, ()).endswith("; shop/cart-c is still there; and 1 more")
    assert (
        describe_left([replace(going, facts=replace(going.facts, finalizers=()))], {}, ())
        == "shop/batch-0 is terminating"
    )
