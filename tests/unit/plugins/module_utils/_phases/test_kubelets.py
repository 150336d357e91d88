# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts of kubelets on a small cluster in memory, whose commands do what each test says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils import _gate_facts
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import (
    ApiError,
    CollectionError,
    Refused,
    WaitFailed,
    WaitTimedOut,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import Outcome, RolloutVerdict
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases import kubelets, rollout
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.gates import Gatekeeper
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.kubelets import KubeletRun
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.node_command import CommandResult
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.gates import (
    GATE_NAMES,
    OF_OTHERS,
    GateRequest,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.kubelets import KubeletRequest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.nodes import NodeRequest
from clocks import FakeClock

START = datetime(2026, 11, 22, 8, 0, 0, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
BOTH = CommandResult(exit_status=0, output="aaa bbb\n")
DONE = {
    "complete": True,
    "issuer": "https://new",
    "finished_at": "2026-11-22T08:00:00Z",
    "explanation": "All 1 run it.",
}


def at(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Cluster:
    """Nodes whose kubelets started an hour before START. ``commands`` says what a command does to its node."""

    host = "https://api.example.com:6443"

    def __init__(self, *names):
        self.clock = FakeClock()
        self.kubelets = {name: START - timedelta(hours=1) for name in names}
        self.ready = dict.fromkeys(names, True)
        self.asked, self.deeds, self.denied, self.lines = [], [], set(), []
        self.commands, self.rollout, self.unready = {}, DONE, set()
        self.updated, self.is_rolling, self.daemon = set(), False, None

    def now(self):
        return START + timedelta(minutes=5, seconds=self.clock.now)

    def node(self, name):
        role = "master" if name.startswith("m") else "worker"
        ready = {"type": "Ready", "status": str(self.ready[name]), "lastHeartbeatTime": at(self.now())}
        labels = {f"node-role.kubernetes.io/{role}": ""}
        update = {"machineconfiguration.openshift.io/state": "Working"} if name in self.updated else {}
        return {"metadata": {"name": name, "labels": labels, "annotations": update}, "status": {"conditions": [ready]}}

    def judge_rollout(self):
        outcome = Outcome.WAITING if self.is_rolling else Outcome.DONE
        return RolloutVerdict(outcome=outcome, reason="NodesBehind", message="1 of 3 run it")

    def list_at(self, kind, *, read=lambda o: o, label_selector="", field_selector=""):
        if kind == "Node":
            return "1", [read(self.node(name)) for name in self.kubelets]
        node = field_selector.removeprefix("spec.nodeName=")
        ready = {"type": "Ready", "status": str(node not in self.unready)}
        metadata = {"namespace": "shop", "name": f"web-{node}", "uid": f"uid-{node}"}
        return "1", [read({"metadata": metadata, "spec": {"nodeName": node}, "status": {"conditions": [ready]}})]

    def list(self, kind, namespace=None):
        assert kind == "MachineConfigPool"
        return []

    def get(self, kind, name, namespace=None):
        return {"Node": lambda: self.node(name), "DaemonSet": lambda: self.daemon}.get(kind, lambda: None)()

    def create(self, kind, body, namespace=None):
        assert kind == "SelfSubjectAccessReview"
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": asked.get("subresource") not in self.denied}}

    def read_node_metric(self, node, name):
        assert name == "process_start_time_seconds"
        if self.kubelets[node] is None:
            raise ApiError(verb="read", target="the metrics", host="h", status=503, words="connection refused")
        return self.kubelets[node].timestamp()

    # what takes the place of commands on nodes

    def run_command(self, node):
        self.deeds.append(node)
        act = self.commands.get(node, self.restart)
        return act(node)

    def restart(self, node):
        self.clock.sleep(5)
        self.kubelets[node] = self.now()
        return BOTH


@pytest.fixture
def run(monkeypatch):
    def begin(cluster, *, check_mode=False, timeout=60.0, image="i", **more):
        class Commands:
            def __init__(self, **options):
                assert options["image"] == "i"

            def run(self, node, script):
                return cluster.run_command(node)

        def look(*_arguments, **_more):
            if isinstance(cluster.rollout, Exception):
                raise cluster.rollout
            return cluster.rollout

        monkeypatch.setattr(kubelets, "NodeCommands", Commands)
        monkeypatch.setattr(kubelets, "remove_namespace", lambda cluster: cluster.deeds.append("namespace removed"))
        monkeypatch.setattr(rollout, "look_at_rollout", look)
        monkeypatch.setattr(_gate_facts, "read_rollout_verdict", lambda cluster: cluster.judge_rollout())
        gates = GateRequest(timeout=100, stable_seconds=0, skip=frozenset({*GATE_NAMES} - {*OF_OTHERS}))
        request = KubeletRequest(nodes=NodeRequest(), image=image, gates=gates, **more)
        keeper = Gatekeeper(
            cluster=cluster,
            request=gates,
            node_request=request.nodes,
            clock=cluster.clock,
            say=cluster.lines.append,
            warn=cluster.lines.append,
            refusal="No kubelet was restarted",
        )
        return KubeletRun(
            cluster=cluster,
            request=request,
            keeper=keeper,
            clock=cluster.clock,
            acquire=lambda: cluster.deeds.append("lease"),
            options=WaitOptions(timeout=timeout, interval=1.0),
            say=cluster.lines.append,
        ).work(check_mode=check_mode)

    return begin


def outcomes(result):
    return {k["node"]: k["outcome"] for k in result["kubelets"]}


def test_one_after_the_other_the_control_plane_last(run):
    cluster = Cluster("m0", "w1", "w0")
    result = run(cluster)
    assert cluster.deeds == ["lease", "w0", "w1", "m0", "namespace removed"]
    assert (result["changed"], outcomes(result)) == (True, dict.fromkeys(["w0", "w1", "m0"], "restarted"))
    assert result["kubelets"][0]["started_before"] == "2026-11-22T07:00:00Z"
    assert result["kubelets"][0]["started_at"] == "2026-11-22T08:05:05Z"
    assert result["summary"] == {"planned": 0, "left": 0, "restarted": 3, "failed": 0}
    assert cluster.lines[0] == "w0: its kubelet is restarted (1 of 3)"
    assert cluster.lines[-1].startswith("m0: its kubelet is back, started at 2026-11-22T08:05")


def test_check_mode_shows_the_plan_and_a_second_run_does_nothing(run):
    cluster = Cluster("w0", "w1")
    cluster.kubelets["w1"] = START + SECOND
    plan = run(cluster, check_mode=True)
    assert (plan["changed"], outcomes(plan), cluster.deeds) == (True, {"w0": "planned", "w1": "left"}, [])
    run(cluster)
    assert cluster.deeds == ["lease", "w0", "namespace removed"]
    again = run(cluster)
    assert (again["changed"], again["summary"]["left"], cluster.deeds[3:]) == (False, 2, [])
    assert run(cluster, check_mode=True)["changed"] is False


def test_without_a_rollout_to_go_by_all_are_restarted_unless_a_moment_is_given(run):
    cluster = Cluster("w0")
    cluster.kubelets["w0"] = START + SECOND
    cluster.rollout = AssertionError("not asked for")
    assert run(cluster, requires_rollout=False)["changed"]
    assert not run(cluster, requires_rollout=False, started_before=START)["changed"]


def test_the_moment_that_is_given_counts_and_the_rollout_must_have_ended_all_the_same(run):
    cluster = Cluster("w0")
    cluster.kubelets["w0"] = START + SECOND
    assert run(cluster, started_before=START + 2 * SECOND)["started_before"] == "2026-11-22T08:00:02Z"
    cluster.rollout = {**DONE, "complete": False, "explanation": "1 of 3 run it."}
    with pytest.raises(
        Refused, match=r"No kubelet was restarted, because the rollout .* not finished: 1 of 3 run it; wait"
    ):
        run(cluster, started_before=START)
    assert cluster.deeds == ["lease", "w0", "namespace removed"]


def test_where_nobody_tells_when_the_switch_was_it_is_asked_for(run):
    cluster = Cluster("w0")
    cluster.rollout = {**DONE, "finished_at": None}
    with pytest.raises(
        CollectionError, match=r"which kubelets to restart: .*set started_before .* restart all that run now"
    ):
        run(cluster)


def test_a_kubelet_that_does_not_come_back_ends_the_run(run):
    cluster = Cluster("w0", "w1", "w2")

    def break_it(node):
        cluster.kubelets[node] = None
        return BOTH

    cluster.commands["w1"] = break_it
    with pytest.raises(WaitFailed) as caught:
        run(cluster)
    assert caught.value.message == (
        "Waiting for the kubelet of w1 to be back did not end within 60 s; last seen: it does not answer. No kubelet after it "
        "was touched; see to that one (journalctl -u kubelet on its node), and run it again: it goes on with those that are left."
    )
    assert outcomes(caught.value.progress) == {"w0": "restarted", "w1": "failed", "w2": "planned"}
    assert caught.value.progress["changed"]
    assert cluster.deeds == ["lease", "w0", "w1", "namespace removed"]


def test_a_command_that_fails_is_told_at_once_with_its_words(run):
    cluster = Cluster("w0")
    cluster.commands["w0"] = lambda node: CommandResult(exit_status=1, output="Unit kubelet.service not found.\n")
    with pytest.raises(
        WaitFailed, match=r"ended: it is still the one .*exit status 1: Unit kubelet.service not found. No"
    ):
        run(cluster)
    assert cluster.clock.now == 0


def test_what_the_node_shows_counts_and_not_the_commands_own_answer(run):
    cluster = Cluster("w0")

    def restart_and_lose_the_answer(node):
        cluster.restart(node)
        raise WaitFailed("the pod was ended from outside")

    cluster.commands["w0"] = restart_and_lose_the_answer
    assert outcomes(run(cluster)) == {"w0": "restarted"}


def test_a_kubelet_that_is_slow_is_waited_for(run):
    cluster = Cluster("w0")

    def slow(node):
        cluster.kubelets[node] = None
        cluster.ready[node] = False

        def come_back():
            if cluster.clock.now > 20:
                cluster.kubelets[node] = cluster.kubelets[node] or cluster.now()
            cluster.ready[node] = cluster.clock.now > 30

        cluster.clock.on_sleep.append(come_back)
        return BOTH

    cluster.commands["w0"] = slow
    assert outcomes(run(cluster)) == {"w0": "restarted"}
    assert 40 < cluster.clock.now < 50


def test_the_next_kubelet_waits_until_the_pods_have_been_ready_for_a_while(run):
    cluster = Cluster("w0", "w1")
    begun = {}

    def lose_readiness_a_little_later(node):
        begun[node] = cluster.clock.now

        def probe():
            past = cluster.clock.now - begun[node]
            cluster.unready = {*cluster.unready, node} if 4 <= past < 20 else cluster.unready - {node}

        cluster.kubelets[node] = cluster.now()
        cluster.clock.on_sleep.append(probe)
        return BOTH

    cluster.commands = dict.fromkeys(["w0", "w1"], lose_readiness_a_little_later)
    assert outcomes(run(cluster)) == dict.fromkeys(["w0", "w1"], "restarted")
    assert begun["w1"] >= 30


def test_well_being_that_is_too_short_is_told(run):
    with pytest.raises(
        WaitFailed, match=r"last seen: it was started at 2026-11-22T08:05:05Z and is well, for 5 of 10 s"
    ):
        run(Cluster("w0"), timeout=5.0)


def test_pods_that_do_not_get_ready_again_end_the_run(run):
    cluster = Cluster("w0", "w1")

    def lose_readiness(node):
        cluster.unready.add(node)
        return cluster.restart(node)

    cluster.commands["w0"] = lose_readiness
    with pytest.raises(WaitFailed, match=r"not Ready again yet are shop/web-w0. No kubelet after it was touched"):
        run(cluster)


def test_a_pod_that_was_not_ready_before_is_not_waited_for(run):
    cluster = Cluster("w0")
    cluster.unready.add("w0")
    assert outcomes(run(cluster)) == {"w0": "restarted"}


def test_a_refusal_of_the_cluster_is_told_as_it_is_with_the_result_so_far(run):
    cluster = Cluster("w0", "w1")

    def refuse(node):
        raise ApiError(verb="create", target="pods", host="h", status=422, words="invalid")

    cluster.commands["w1"] = refuse
    with pytest.raises(ApiError, match="invalid") as caught:
        run(cluster)
    assert outcomes(caught.value.progress) == {"w0": "restarted", "w1": "planned"}
    assert cluster.deeds[-1] == "namespace removed"


def test_who_may_not_read_metrics_is_told_before_anything_is_done(run):
    cluster = Cluster("w0")
    cluster.denied = {"proxy", "log"}
    with pytest.raises(
        Refused, match=r"No kubelet was restarted: you are not allowed to get pods/log .*get nodes/proxy"
    ):
        run(cluster)
    assert cluster.deeds == []


def test_check_mode_tells_what_would_be_refused(run):
    cluster = Cluster("w0")
    assert run(cluster, check_mode=True)["findings"] == []
    cluster.denied = {"log"}
    findings = run(cluster, check_mode=True, image=None)["findings"]
    assert [(f["check"], f["blocking"]) for f in findings] == [("Permissions", True), ("Image", True)]
    assert findings[0]["message"].startswith("No kubelet was restarted: you are not allowed to get pods/log")
    assert "no machine-config daemon" in findings[1]["message"]
    cluster.denied.clear()
    cluster.updated.add("w0")
    (finding,) = run(cluster, check_mode=True)["findings"]
    assert finding["check"] == "Quiet"
    assert finding["message"].startswith("No kubelet was restarted: the machine-config operator is at work on node w0")
    cluster.kubelets["w0"] = START + SECOND
    assert run(cluster, check_mode=True, image=None)["findings"] == []  # nothing is to be done
    assert cluster.deeds == []


def begin_something(cluster, begin, end):
    """The first kubelet restarts as it should; meanwhile others ``begin`` something, which they ``end`` half a minute later."""

    def act(node):
        begin()
        begun = cluster.clock.now
        cluster.clock.on_sleep.append(lambda: end() if cluster.clock.now > begun + 30 else None)
        return cluster.restart(node)

    cluster.commands["w0"] = act


@pytest.mark.parametrize("what", ["rollout", "update"])
def test_what_others_begin_in_the_middle_is_waited_for_before_the_next_kubelet(run, what):
    cluster = Cluster("w0", "w1")
    if what == "rollout":
        begin_something(
            cluster, lambda: setattr(cluster, "is_rolling", True), lambda: setattr(cluster, "is_rolling", False)
        )
        words = "waiting before w1: a rollout of the kube-apiservers is running: 1 of 3 run it"
    else:
        begin_something(cluster, lambda: cluster.updated.add("w1"), cluster.updated.clear)
        words = "waiting before w1: the machine-config operator is at work on node w1: "
    moments = {}
    cluster.commands["w1"] = lambda node: moments.update(w1=cluster.clock.now) or cluster.restart(node)
    assert outcomes(run(cluster)) == dict.fromkeys(["w0", "w1"], "restarted")
    assert moments["w1"] > 30
    assert any(line.startswith(words) for line in cluster.lines), cluster.lines


def test_a_kubelet_that_somebody_else_has_restarted_while_the_run_waited_is_left_alone(run):
    cluster = Cluster("w0", "w1", "w2")

    def end():
        if cluster.updated:
            cluster.kubelets["w1"] = cluster.now()
        cluster.updated.clear()

    begin_something(cluster, lambda: cluster.updated.add("w1"), end)
    assert outcomes(run(cluster)) == {"w0": "restarted", "w1": "left", "w2": "restarted"}
    assert [d for d in cluster.deeds if d.startswith("w")] == ["w0", "w2"]
    assert any(line.startswith("w1: its kubelet was started at") for line in cluster.lines), cluster.lines


def test_the_proof_goes_by_the_kubelet_that_runs_when_its_turn_comes(run):
    """Where all are restarted, one that came back by itself meanwhile is no proof."""
    cluster = Cluster("w0", "w1")
    cluster.rollout = {**DONE, "finished_at": None}

    def end():
        if cluster.updated:
            cluster.kubelets["w1"] = cluster.now()
        cluster.updated.clear()

    begin_something(cluster, lambda: cluster.updated.add("w1"), end)
    cluster.commands["w1"] = lambda node: CommandResult(exit_status=1, output="Failed to restart")
    with pytest.raises(WaitFailed, match=r"w1.*it is still the one that was started at.*Failed to restart"):
        run(cluster, requires_rollout=False)


def test_what_others_do_not_end_in_time_ends_the_run_before_the_next_kubelet(run):
    cluster = Cluster("w0", "w1")
    begin_something(cluster, lambda: cluster.updated.add("w1"), lambda: None)
    with pytest.raises(WaitTimedOut, match=r"the gates before w1 .*100 s.*at work on node w1") as caught:
        run(cluster)
    assert outcomes(caught.value.progress) == {"w0": "restarted", "w1": "planned"}
    assert cluster.deeds == ["lease", "w0", "namespace removed"]


def test_what_others_do_at_the_start_is_refused(run):
    cluster = Cluster("w0")
    cluster.updated.add("w0")
    with pytest.raises(
        Refused, match=r"^No kubelet was restarted: .* at work on node w0.*with pools in skip_gates\)\.$"
    ) as caught:
        run(cluster)
    assert (caught.value.progress["changed"], outcomes(caught.value.progress)) == (False, {"w0": "planned"})
    assert cluster.deeds == ["lease", "namespace removed"]


def test_a_node_that_is_not_ready_is_refused(run):
    cluster = Cluster("w0", "w1")
    cluster.ready["w1"] = False
    with pytest.raises(Refused, match="because w1 is or are not Ready"):
        run(cluster)
    assert cluster.deeds == []


def test_what_was_done_while_the_lease_was_waited_for_is_not_done_again(run):
    cluster = Cluster("w0", "w1")

    cluster.deeds = Deeds(lambda: cluster.kubelets.update(w0=START + 60 * SECOND))
    assert outcomes(run(cluster)) == {"w0": "left", "w1": "restarted"}
    assert list(cluster.deeds) == ["lease", "w1", "namespace removed"]


class Deeds(list):
    """Somebody else works until the lease is had."""

    def __init__(self, meanwhile):
        super().__init__()
        self.meanwhile = meanwhile

    def append(self, deed):
        if deed == "lease":
            self.meanwhile()
        super().append(deed)
