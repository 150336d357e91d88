# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole wait against the recording of the real operator, played with its own times. Nothing here sleeps."""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta

import pytest
import recording
from ansible_collections.bound_tokens.openshift.plugins.module_utils._clock import WaitOptions
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import ApiError, WaitFailed, WaitTimedOut
from ansible_collections.bound_tokens.openshift.plugins.module_utils._phases.rollout import (
    look_at_rollout,
    wait_for_rollout,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.patience import Patience
from recording import ALL_DONE, EDIT


def one_later(state):
    """The state with each revision counted up by one, and one before them that held another issuer."""
    found = copy.deepcopy(state.kube_apiserver)
    status = found["status"]
    status["latestAvailableRevision"] = (status["latestAvailableRevision"] or 0) + 1
    for node in status["nodeStatuses"] or ():
        node.update({k: node[k] + 1 for k in ("currentRevision", "targetRevision") if node.get(k)})
    former = {"apiServerArguments": {"service-account-issuer": ["https://former.example.test"]}}
    configs = {number + 1: config for number, config in state.configs.items()}
    return state._replace(kube_apiserver=found, configs={1: former, **configs})


STATES = [one_later(s) for s in recording.replay()]
TRUE_END = ALL_DONE.timestamp()
WANTED = "https://kubernetes.default.svc"


def api_error(status):
    return ApiError(verb="watch", target="it", host="h", status=status, words="no", reason="x")


class Played:
    """The cluster of the recording, and the clock that moves through it."""

    def __init__(self, start, states=tuple(STATES)):
        self.now, self.states = start, states
        self.requests, self.faults = [], []
        self.forbids_watch = False
        self.behind = {}  # node -> until when its static pod says nothing
        self.crashing = False
        self.ready_since = "2026-11-22T07:54:00Z"

    # the clock

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    # the client

    @property
    def state(self):
        return [s for s in self.states if s.moment.timestamp() <= self.now][-1]

    def ask(self, what):
        self.requests.append(what)
        if self.faults and self.faults[0][0] <= self.now and what == "watch":
            raise self.faults.pop(0)[1]

    def require(self, kind, name, namespace=None):
        self.ask(kind)
        return self.state.authentication if kind == "Authentication" else self.state.kube_apiserver

    def get(self, kind, name, namespace=None):
        self.ask(name)
        if kind == "ClusterOperator":
            return {"status": {"conditions": self.operator_conditions}}
        if kind != "ConfigMap":
            return None
        config = self.state.configs.get(int(name.removeprefix("config-")))
        return {"data": {"config.yaml": json.dumps(config)}} if config else None

    def list(self, kind, namespace):
        self.ask(kind)
        for node in self.state.kube_apiserver["status"]["nodeStatuses"]:
            if self.behind.get(node["nodeName"], 0) <= self.now:
                yield self.static_pod(node)

    def static_pod(self, node):
        name, revision = node["nodeName"], node.get("targetRevision") or node.get("currentRevision") or 0
        moved = "2026-11-22T07:59:59Z" if self.now >= TRUE_END else self.ready_since
        is_crashing = self.crashing and node.get("targetRevision")
        ready = {"type": "Ready", "status": str(not is_crashing), "lastTransitionTime": moved}
        ended = {"terminated": {"exitCode": 1, "message": "command failed"}}
        containers = [{"name": "kube-apiserver", "state": {"running": {}}, "lastState": ended}] if is_crashing else []
        return {
            "metadata": {"name": f"kube-apiserver-{name}", "labels": {"revision": str(revision)}},
            "spec": {"nodeName": name},
            "status": {"conditions": [ready], "containerStatuses": containers},
        }

    def watch(self, kind, name, *, known_version, timeout):
        self.ask("watch")
        if self.forbids_watch:
            raise api_error(403)
        until = self.now + timeout
        changes = [s for s in self.states if s.kube_apiserver["metadata"]["resourceVersion"] != known_version]
        coming = [s.moment.timestamp() for s in changes if self.now < s.moment.timestamp() <= until]
        if self.state in changes:
            return self.state.kube_apiserver
        self.now = min([until, *coming])
        return self.state.kube_apiserver if coming else None


def wait(played, *, wanted=WANTED, timeout=1000, interval=5, **more):
    options = WaitOptions(timeout=timeout, interval=interval)
    return wait_for_rollout(played, wanted, probe=None, options=options, clock=played, **more)


def quiet(start=TRUE_END):
    """The recording without what came after its first rollout."""
    return Played(start, [s for s in STATES if s.moment <= ALL_DONE])


STARTS = [s.moment.timestamp() for s in STATES if s.moment < ALL_DONE]


@pytest.mark.parametrize("start", STARTS, ids=range(len(STARTS)))
def test_a_wait_begun_at_any_moment_ends_with_the_rollout_and_not_before(start):
    played = Played(start)
    result = wait(played)
    assert result["complete"]
    assert played.now == pytest.approx(TRUE_END, abs=0.001)


def test_after_the_edit_it_does_not_end_before_the_recording():
    played = Played(EDIT.timestamp())
    wanted = played.state.authentication["spec"]["serviceAccountIssuer"]
    with pytest.raises(WaitTimedOut):
        wait(played, wanted=wanted, timeout=100)


def test_it_asks_at_most_a_tenth_of_what_polling_each_second_does():
    watching, polling = quiet(STARTS[5]), quiet(STARTS[5])
    polling.forbids_watch = True
    wait(watching)
    wait(polling, interval=1)
    assert len(watching.requests) * 10 <= len(polling.requests)


def test_the_lines_tell_the_way_of_each_node():
    lines = []
    wait(Played(STARTS[0]), say=lines.append)
    arrivals = [re.match(r"(\S+): at revision \d+ after .* s; (\d) of 3", line) for line in lines]
    assert [a[2] for a in arrivals if a][-3:] == ["1", "2", "3"]
    assert lines[-1].startswith("All 3 kube-apiservers run revision ")


@pytest.mark.parametrize("status", [0, 401, 410, 429, 503])
def test_a_broken_watch_is_followed_by_looking_anew(status):
    played = quiet(STARTS[0])
    played.faults = [(STARTS[0] + 10 * n, api_error(status)) for n in range(12)]
    assert wait(played)["complete"]
    assert played.faults == []
    assert played.now - TRUE_END < 1.1


def test_without_permission_to_watch_it_polls_and_says_so_once():
    played, warnings = quiet(STARTS[0]), []
    played.forbids_watch = True
    assert wait(played, warn=warnings.append)["complete"]
    assert len(warnings) == 1
    assert warnings[0].startswith("Polling every 5 s instead of watching: ")
    assert played.requests.count("watch") == 1
    assert 0 <= played.now - TRUE_END <= 5


def test_a_static_pod_that_does_not_say_the_revision_yet_is_waited_for():
    played = quiet()
    played.behind["master-1"] = TRUE_END + 7
    assert wait(played)["complete"]
    assert 7 <= played.now - TRUE_END <= 8.1


def test_a_static_pod_that_never_says_it_is_named_at_the_end():
    played = quiet()
    played.behind["master-1"] = TRUE_END + 7000
    with pytest.raises(WaitTimedOut, match="of the static pods that of master-1 is missing"):
        wait(played, timeout=60)


def test_success_must_hold_for_the_stable_time():
    played = quiet()
    result = wait(played, patience=Patience(stable=60))
    assert result["complete"]
    assert played.now - TRUE_END == pytest.approx(60, abs=0.001)


def test_cluster_operators_are_waited_for_where_asked():
    played = quiet()
    played.operator_conditions = [
        {"type": "Available", "status": "True"},
        {"type": "Progressing", "status": "True", "message": "OAuthServerDeploymentProgressing"},
        {"type": "Degraded", "status": "False"},
    ]
    with pytest.raises(WaitTimedOut, match="Of ClusterOperator kube-apiserver, Progressing is True: OAuthServer"):
        wait(played, operators=True, timeout=60)
    assert wait(quiet())["complete"]
    played.operator_conditions[1]["status"] = "False"
    assert wait(played, operators=True)["complete"]


@pytest.mark.parametrize("gone", ["master-1", "master-2"], ids=["in flight", "not begun"])
def test_a_control_plane_node_that_is_replaced_meanwhile_is_waited_for(gone):
    """It leaves the list in the middle of the rollout; a minute later a new one comes, which has no revision yet."""

    def replaced(state):
        found, when = copy.deepcopy(state.kube_apiserver), state.moment.strftime("%H:%M:%S")
        nodes = found["status"]["nodeStatuses"] or []
        if "07:54:01" <= when < "07:54:30":
            nodes[:] = [n for n in nodes if n["nodeName"] != gone]
        elif when >= "07:54:30":
            nodes[:] = [{**n, "nodeName": "master-9"} if n["nodeName"] == gone else n for n in nodes]
        return state._replace(kube_apiserver=found)

    played, lines = quiet(STARTS[0]), []
    played.states = [replaced(s) for s in played.states]
    record = wait(played, say=lines.append)
    assert record["complete"]
    assert 0 <= played.now - TRUE_END <= 1.1
    assert sorted(n["name"] for n in record["nodes"]) == sorted(
        {"master-0", "master-1", "master-2", "master-9"} - {gone}
    )
    assert {n["revision"] for n in record["nodes"]} == {record["revision"]}
    assert f"{gone}: is no control-plane node any more" in lines
    assert any(line.startswith("master-9: at revision 2") for line in lines)


def test_an_edit_by_somebody_else_ends_the_wait():
    played = Played(TRUE_END, [s for s in STATES if s.moment < ALL_DONE or s.moment >= EDIT])
    with pytest.raises(WaitFailed, match="somebody has changed it") as caught:
        wait(played)
    assert caught.value.progress["rollout"]["reason"] == "SpecificationDiffers"


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_api_servers_that_are_away_for_a_while_are_borne(status):
    played = quiet(STARTS[0])
    require, away = played.require, range(40, 150)

    def fail(*arguments, **options):
        if int(played.now - STARTS[0]) in away:
            raise api_error(status)
        return require(*arguments, **options)

    played.require = fail
    assert wait(played)["complete"]
    assert 0 <= played.now - TRUE_END <= 1.1


def test_one_look_is_taken_when_an_api_server_answers_again():
    played = quiet()
    require, back = played.require, TRUE_END + 60

    def fail(*arguments, **options):
        if played.now < back:
            raise api_error(0)
        return require(*arguments, **options)

    played.require = fail
    assert look_at_rollout(played, WANTED, probe=None, clock=played)["complete"]
    assert played.now >= back


def test_an_operator_that_does_nothing_ends_the_wait():
    played = Played(EDIT.timestamp(), [s for s in STATES if s.moment <= ALL_DONE or s.moment == EDIT])
    wanted = played.state.authentication["spec"]["serviceAccountIssuer"]
    with pytest.raises(WaitFailed, match="The operator has done nothing for 300 s") as caught:
        wait(played, wanted=wanted)
    assert caught.value.progress["rollout"]["reason"] == "OperatorNotReacting"
    assert played.now - EDIT.timestamp() == pytest.approx(300, abs=0.001)


def test_a_sign_need_not_stand_for_a_multiple_of_the_quiet_time():
    played = Played(EDIT.timestamp(), [s for s in STATES if s.moment <= ALL_DONE or s.moment == EDIT])
    wanted = played.state.authentication["spec"]["serviceAccountIssuer"]
    with pytest.raises(WaitFailed):
        wait(played, wanted=wanted, patience=Patience(reaction=45))
    assert played.now - EDIT.timestamp() == pytest.approx(45, abs=0.001)


def test_an_edit_that_the_operator_has_not_noticed_is_noticed():
    edited = next(s for s in STATES if s.moment == EDIT)
    back = edited._replace(moment=edited.moment + timedelta(seconds=10), authentication={"spec": {}})
    played = Played(EDIT.timestamp(), [s for s in STATES if s.moment <= ALL_DONE] + [edited, back])
    with pytest.raises(WaitFailed, match="somebody has changed it"):
        wait(played, wanted=edited.authentication["spec"]["serviceAccountIssuer"])
    assert played.now - EDIT.timestamp() <= 31


def test_a_crash_loop_is_seen_through_the_moments_in_which_it_runs():
    going = next(
        s
        for s in STATES
        if any((n.get("targetRevision") or 0) for n in s.kube_apiserver["status"]["nodeStatuses"] or ())
    )
    assert going.moment < ALL_DONE
    states = [s for s in STATES if s.moment < going.moment]
    for number in range(40):  # the condition flaps every ten seconds
        flap = {"type": "StaticPodsDegraded", "status": "True" if number % 2 == 0 else "False", "message": "x"}
        seen = copy.deepcopy(going.kube_apiserver)
        seen["metadata"]["resourceVersion"] = str(1000 + number)
        others = [c for c in seen["status"]["conditions"] if c["type"] != "StaticPodsDegraded"]
        seen["status"]["conditions"] = [*others, flap]
        states.append(going._replace(moment=going.moment + timedelta(seconds=10 * number), kube_apiserver=seen))
    played = Played(going.moment.timestamp(), states)
    played.crashing = True
    with pytest.raises(WaitFailed, match=r"does not start on .* command failed") as caught:
        wait(played)
    assert caught.value.progress["rollout"]["reason"] == "ServerCrashing"
    assert played.now - going.moment.timestamp() == pytest.approx(120, abs=0.001)


def test_the_finish_of_a_rollout_that_was_not_seen_running_is_not_guessed():
    played = quiet()
    played.get = lambda kind, name, namespace=None: None if name == "config-1" else Played.get(played, kind, name)
    played.behind["master-1"] = TRUE_END + 7
    assert wait(played)["finished_at"] is None
    assert wait(quiet())["finished_at"] is not None


def test_the_time_of_a_switch_is_kept_from_when_it_was_seen():
    result = wait(quiet(STARTS[5]))
    moments = sorted(n["switched_not_after"] for n in result["nodes"])
    assert moments == ["2026-11-22T07:54:00Z"] * 2 + [result["finished_at"]]
