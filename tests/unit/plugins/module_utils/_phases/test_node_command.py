# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on nodes, with a cluster in memory whose kubelets work whenever somebody sleeps."""

from __future__ import annotations

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    InvalidOption,
    Refused,
    WaitFailed,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.node_command import (
    CommandResult,
    NodeCommands,
    find_image,
    remove_namespace,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.node_pod import build_namespace
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.permissions import RESTART_NAMESPACE
from clocks import FakeClock


def api_error(status, words="no"):
    return ApiError(verb="do", target="it", host="h", status=status, words=words, reason="NotFound")


class Cluster:
    """Pods end at the ``pace``-th sleep with ``exit_status``; ``errors`` are raised, one for each request of that name."""

    def __init__(self, *, exit_status=0, pace=2):
        self.clock, self.exit_status, self.pace = FakeClock(), exit_status, pace
        self.clock.on_sleep.append(self.work)
        self.namespace, self.is_bound = None, False
        self.pods, self.made, self.deleted, self.errors = {}, [], [], {}
        self.sleeps = 0

    def work(self):
        self.sleeps += 1
        for pod in self.pods.values():
            if self.sleeps >= self.pace:
                state = {"terminated": {"exitCode": self.exit_status}}
                phase = "Failed" if self.exit_status else "Succeeded"
                pod["status"] = {"phase": phase, "containerStatuses": [{"state": state}]}

    def fail(self, deed):
        errors = self.errors.get(deed)
        if errors:
            raise errors.pop(0)

    def create(self, kind, body, namespace=None):
        if kind == "Namespace":
            self.fail("create Namespace")
            self.namespace = {"metadata": {**body["metadata"], "uid": "n"}}
        elif kind == "RoleBinding":
            self.is_bound = True
        elif self.namespace is None:
            raise api_error(404, "namespace not found")
        elif not self.is_bound:
            raise api_error(403, "unable to validate against any security context constraint")
        else:
            self.made.append(body)
            metadata = {**body["metadata"], "namespace": namespace, "uid": f"u{len(self.made)}"}
            self.pods[metadata["name"]] = {**body, "metadata": metadata, "status": {"phase": "Pending"}}
            self.fail("create Pod")

    def get(self, kind, name, namespace=None):
        self.fail(f"get {kind}")
        return self.namespace if kind == "Namespace" else self.pods.get(name)

    def list_at(self, kind, namespace, *, read):
        return "1", [read(p) for p in self.pods.values()]

    def read_log(self, name, namespace):
        self.fail("log")
        return f"what {name.rpartition('-')[2]} said"

    def delete(self, kind, name, namespace=None, *, uid, grace_period=None):
        self.fail(f"delete {kind}")
        self.deleted.append((kind, uid, grace_period))
        if kind == "Pod":
            assert self.pods.pop(name)["metadata"]["uid"] == uid
        else:
            self.namespace = None

    def run(self):
        commands = NodeCommands(cluster=self, clock=self.clock, image="i", purpose="test", deadline=60)
        return commands.run("w", "echo $1", ("x",))


def test_a_command_in_a_cluster_that_has_never_run_one():
    cluster = Cluster()
    assert cluster.run() == CommandResult(exit_status=0, output="what w said")
    assert cluster.made[0]["spec"]["containers"][0]["command"][-3:] == ["echo $1", "sh", "x"]
    assert (cluster.pods, cluster.deleted) == ({}, [("Pod", "u1", 0)])
    remove_namespace(cluster)
    assert cluster.namespace is None


def test_a_command_that_fails_is_a_result():
    cluster = Cluster(exit_status=3)
    assert cluster.run() == CommandResult(exit_status=3, output="what w said")
    assert cluster.pods == {}


def test_no_two_pods_have_the_same_name():
    cluster = Cluster()
    cluster.run()
    cluster.run()
    assert len({p["metadata"]["name"] for p in cluster.made}) == 2


@pytest.mark.parametrize("deed", ["create Pod", "get Pod", "log"])
def test_a_lost_answer_is_asked_for_again_and_the_pod_is_gone_afterwards(deed):
    cluster = Cluster()
    cluster.errors[deed] = [api_error(0, "connection reset"), api_error(503)]
    if deed == "create Pod":  # the second try meets what the first has made
        cluster.errors[deed] = [api_error(0, "connection reset"), api_error(409, "already exists")]
    assert cluster.run().output == "what w said"
    assert cluster.pods == {}


@pytest.mark.parametrize("is_quicker", [False, True])
def test_in_a_namespace_that_a_user_may_have_made_nobody_gets_the_privileged_scc(is_quicker):
    cluster = Cluster()
    theirs = {"metadata": {"name": RESTART_NAMESPACE, "labels": {}, "uid": "x"}}
    if is_quicker:  # it is made between our look and our own try
        cluster.errors["create Namespace"] = [api_error(409, "already exists")]
        looks = iter([None, theirs])
        get = cluster.get
        cluster.get = lambda kind, *name: next(looks) if kind == "Namespace" else get(kind, *name)
    else:
        cluster.namespace = theirs
    with pytest.raises(Refused, match=f"the namespace {RESTART_NAMESPACE} does not carry the label"):
        cluster.run()
    assert (cluster.is_bound, cluster.made) == (False, [])


def test_a_namespace_on_its_way_out_is_waited_for():
    cluster = Cluster()
    cluster.errors["create Namespace"] = [api_error(409, "object is being deleted"), api_error(403, "terminated")]
    assert cluster.run().output == "what w said"


@pytest.mark.parametrize(
    ("deed", "error", "sentence"),
    [
        ("log", api_error(403, "you cannot get pods/log"), "you cannot"),
        ("get Pod", api_error(403, "you cannot get pods"), "you cannot"),
        ("create Pod", api_error(422, "invalid"), "invalid"),
    ],
)
def test_what_stays_refused_is_told_and_no_pod_is_left(deed, error, sentence):
    cluster = Cluster()
    cluster.errors[deed] = [error]
    with pytest.raises(CollectionError, match=sentence):
        cluster.run()
    assert cluster.pods == {}


def test_a_pod_that_is_never_let_in():
    cluster = Cluster()
    cluster.errors["create Pod"] = [api_error(403, "unable to validate")] * 200
    with pytest.raises(
        WaitTimedOut, match="to be let in did not end within 60 s; last seen: it is not let in yet: unable"
    ):
        cluster.run()


def test_a_command_without_end_leaves_no_pod():
    cluster = Cluster(pace=1000)
    with pytest.raises(WaitTimedOut, match=r"a command on the node w .* last seen: the pod is Pending"):
        cluster.run()
    assert cluster.pods == {}


def test_a_pod_that_somebody_deletes():
    cluster = Cluster(pace=1000)
    cluster.clock.on_sleep.append(lambda: cluster.sleeps > 3 and cluster.pods.clear())
    with pytest.raises(WaitFailed, match="somebody else has deleted the pod; run it again"):
        cluster.run()


def test_the_first_error_is_the_one_that_is_told():
    cluster = Cluster()
    cluster.errors = {"log": [api_error(403, "no log")], "delete Pod": [api_error(403, "no deletion")]}
    with pytest.raises(ApiError, match="no log"):
        cluster.run()


def test_a_namespace_in_use_or_of_somebody_else_stays():
    cluster = Cluster()
    cluster.namespace = {"metadata": {"name": RESTART_NAMESPACE, "uid": "n", "labels": {}}}
    remove_namespace(cluster)
    assert cluster.namespace
    cluster.create("Namespace", build_namespace())
    cluster.pods["x"] = {"metadata": {"name": "x", "namespace": RESTART_NAMESPACE, "uid": "x"}, "spec": {}}
    cluster.pods["x"]["status"] = {"phase": "Running"}
    remove_namespace(cluster)
    assert cluster.namespace
    cluster.pods["x"]["status"] = {"phase": "Failed"}  # left over from a run that was killed
    remove_namespace(cluster)
    assert cluster.namespace is None


def test_that_the_namespace_cannot_be_removed_is_no_failure():
    cluster = Cluster()
    cluster.create("Namespace", build_namespace())
    cluster.errors["delete Namespace"] = [api_error(403)]
    remove_namespace(cluster)
    assert cluster.namespace


def test_without_a_machine_config_daemon_an_image_is_asked_for():
    with pytest.raises(InvalidOption, match="set image"):
        find_image(Cluster())
