# SPDX-License-Identifier: GPL-3.0-or-later
"""judge_rollout against the recording of the real operator, and against what else the operator was seen to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import recording
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    Condition,
    Outcome,
    ServerPod,
    SwitchTime,
    format_time,
    parse_time,
    rollout_facts,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.patience import (
    History,
    Patience,
    judge_patience,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.rollout import (
    bound_by_finish,
    bound_switch_times,
    find_finish,
    find_ready_by,
    find_switch_revision,
    judge_rollout,
)
from recording import ALL_DONE, EDIT

DEFAULT = "https://kubernetes.default.svc"


def replay():
    """Yield (time, facts) for each state that the recording shows."""
    for state in recording.replay():
        last = state.kube_apiserver
        yield state.moment, rollout_facts(state.authentication, last, state.config, last)


def test_the_recording_is_judged_right_at_every_moment():
    seen = {True: 0, False: 0}
    for moment, facts in replay():
        verdict = judge_rollout(facts, facts.issuer.wanted)
        is_done = ALL_DONE <= moment < EDIT
        assert (verdict.outcome is Outcome.DONE) == is_done, (format_time(moment), verdict)
        seen[is_done] += 1
    assert seen[True] >= 1
    assert seen[False] >= 30


def test_the_recording_is_judged_right_from_every_moment_on():
    """A wait may begin at any of them, and it looks again when nothing changes as well. Nothing healthy ends it."""
    states = list(replay())
    for start in range(len(states)):
        history, outcomes = History(), set()
        for (moment, facts), following in zip(states[start:], [*states[start + 1 :], None], strict=True):
            until = following[0] if following else moment
            for late in range(0, max(1, int((until - moment).total_seconds())), 30):
                now = moment.timestamp() + late
                wanted = facts.issuer.wanted
                plain = judge_rollout(facts, wanted)
                verdict, history, _again = judge_patience(facts, wanted, plain, history, now, Patience())
                is_done = ALL_DONE <= moment < EDIT
                assert verdict.outcome is (Outcome.DONE if is_done else Outcome.WAITING), (start, moment, verdict)
                outcomes.add(verdict.outcome)
        assert outcomes


def test_the_documented_condition_is_wrong_in_the_same_recording():
    """The test above can only mean something if the recording does fool a simpler wait."""
    fooled = [
        (moment - EDIT).total_seconds()
        for moment, facts in replay()
        if moment > EDIT and facts.condition("NodeInstallerProgressing").reason == "AllNodesAtLatestRevision"
    ]
    assert max(fooled) > 20


def test_the_reasons_appear_in_the_order_of_the_evidence():
    reasons = []
    for moment, facts in replay():
        reason = judge_rollout(facts, facts.issuer.wanted).reason
        if moment >= EDIT and reasons[-1:] != [reason]:
            reasons.append(reason)
    assert reasons == ["OperatorHasNotReacted", "NotObserved", "NoRevisionYet", "NodesBehind"]


@pytest.mark.parametrize(
    "step", ["operator", "observation", "revision", "nodes", "conditions", "servers", "cluster operators"]
)
def test_no_step_of_the_evidence_may_be_left_out(step):
    """Each state below is finished but for one thing, as it was seen or as the operator's code allows it."""
    assert judge_rollout(facts_of(), "https://b.example").outcome is Outcome.DONE
    broken = {
        "operator": {"trusted": ["https://a.example"]},
        "observation": {"observed": ["https://a.example"], "config": ["https://a.example"]},
        "revision": {"config": ["https://a.example"]},
        "nodes": {"nodes": [(12, 0), (12, 0), (11, 12)]},
        "conditions": {"progressing": "True"},
        "servers": {"servers": [("master-0", 12), ("master-1", 12), ("master-2", 11)]},
        "cluster operators": {"operators": {"authentication": {"Progressing": Condition(status="True")}}},
    }[step]
    assert judge_rollout(facts_of(**broken), "https://b.example").outcome is Outcome.WAITING


def facts_of(
    *,
    spec="https://b.example",
    trusted=("https://b.example", "https://a.example"),
    observed=("https://b.example", "https://a.example"),
    config=("https://b.example", "https://a.example"),
    nodes=((12, 0), (12, 0), (12, 0)),
    revisions=(12, 12),
    progressing="False",
    extra=(),
    servers=None,
    operators=None,
):
    conditions = [
        {"type": "NodeInstallerProgressing", "status": progressing, "lastTransitionTime": "2026-11-22T08:00:00Z"},
        {"type": "StaticPodsAvailable", "status": "True"},
        {"type": "NodeInstallerDegraded", "status": "False"},
        *extra,
    ]

    def kube_apiserver(revision):
        issuers = None
        if trusted is not None:
            issuers = [
                {"name": trusted[0]},
                *({"name": t, "expirationTime": "2026-11-23T08:00:00Z"} for t in trusted[1:]),
            ]
        return {
            "spec": {"observedConfig": {"apiServerArguments": {"service-account-issuer": list(observed)}}},
            "status": {
                "serviceAccountIssuers": issuers,
                "latestAvailableRevision": revision,
                "conditions": conditions,
                "nodeStatuses": [
                    {"nodeName": f"master-{i}", "currentRevision": c, "targetRevision": t}
                    for i, (c, t) in enumerate(nodes)
                ],
            },
        }

    facts = rollout_facts(
        {"spec": {"serviceAccountIssuer": spec}},
        kube_apiserver(revisions[0]),
        None if config is None else {"apiServerArguments": {"service-account-issuer": list(config)}},
        kube_apiserver(revisions[1]),
    )
    return replace(facts, servers=None if servers is None else servers_of(servers), operators=operators)


def servers_of(rows):
    """Static pods of (node, revision) or (node, revision, is_ready)."""
    return tuple(ServerPod(name=f"kube-apiserver-{n}", node=n, revision=r, is_ready=not more) for n, r, *more in rows)


FURTHER = [
    ("quiet", {}, "Complete"),
    ("releases that report no trusted issuers", {"trusted": None}, "Complete"),
    ("somebody changed it meanwhile", {"spec": "https://c.example"}, "SpecificationDiffers"),
    (
        "away and back within seconds: same issuer first, other list",
        {"config": ("https://b.example",)},
        "NoRevisionYet",
    ),
    (
        "away and back before anything was observed",
        {"trusted": ("https://b.example", "https://c.example", "https://a.example")},
        "NotObserved",
    ),
    ("the revision's configuration is gone", {"config": None}, "NoRevisionYet"),
    ("a revision appears between the reads", {"revisions": (11, 12)}, "RevisionChanging"),
    ("no node is reported", {"nodes": ()}, "NodesBehind"),
    ("a node was replaced", {"nodes": ((12, 0), (12, 0), (0, 0))}, "NodesBehind"),
    ("an older revision is still going to a node", {"nodes": ((12, 0), (12, 13), (12, 0))}, "NodesBehind"),
    (
        "an unparsable issuer: all conditions at rest for ever, but the observation",
        {
            "observed": ("https://a.example",),
            "config": ("https://a.example",),
            "extra": (
                {
                    "type": "ConfigObservationDegraded",
                    "status": "True",
                    "reason": "Error",
                    "message": "service-account issuer contained a ':' but was not a valid URL: parse \"http://x y\": "
                    'invalid character " " in host name',
                },
            ),
        },
        "ConfigObservationDegraded",
    ),
]


THREE = [("master-0", 12), ("master-1", 12), ("master-2", 12)]
WELL = {
    kind: Condition(status=status)
    for kind, status in (("Available", "True"), ("Progressing", "False"), ("Degraded", "False"))
}
FURTHER += [
    ("each static pod says the revision", {"servers": THREE}, "Complete"),
    ("a static pod is missing", {"servers": THREE[:2]}, "ServersDiffer"),
    ("a static pod is not ready", {"servers": [*THREE[:2], ("master-2", 12, "not")]}, "ServersDiffer"),
    ("a node was replaced by another", {"servers": [*THREE[:2], ("master-9", 12)]}, "ServersDiffer"),
    ("the ClusterOperators are well", {"operators": {"kube-apiserver": WELL, "authentication": WELL}}, "Complete"),
    ("one is degraded", {"operators": {"x": {**WELL, "Degraded": Condition(status="True")}}}, "ClusterOperatorsDiffer"),
    (
        "one is unavailable",
        {"operators": {"x": {**WELL, "Available": Condition(status="False")}}},
        "ClusterOperatorsDiffer",
    ),
    ("one says nothing", {"operators": {"x": {}}}, "ClusterOperatorsDiffer"),
]


@pytest.mark.parametrize(("name", "have", "reason"), FURTHER, ids=[row[0] for row in FURTHER])
def test_further_states(name, have, reason):
    assert judge_rollout(facts_of(**have), "https://b.example").reason == reason


def test_an_empty_issuer_is_the_default():
    facts = facts_of(spec="", trusted=[DEFAULT], observed=[DEFAULT], config=[DEFAULT])
    assert judge_rollout(facts, DEFAULT).outcome is Outcome.DONE


SWITCHES = [
    ("the latest revision brought it", {11: ("a",), 12: ("b", "a")}, 12),
    ("a later revision followed", {10: ("a",), 11: ("b", "a"), 12: ("b",)}, 11),
    ("the revision before is gone", {12: ("b",)}, None),
    ("never", {11: ("a",), 12: ("a",)}, None),
]


@pytest.mark.parametrize(("name", "configs", "revision"), SWITCHES, ids=[row[0] for row in SWITCHES])
def test_the_revision_of_the_switch_is_known_or_unknown(name, configs, revision):
    assert find_switch_revision(12, "b", configs.get) == revision


def test_the_finish_is_the_operators_own_time_or_unknown():
    facts = facts_of()
    assert format_time(find_finish(facts, 12, was_seen_running=False)) == "2026-11-22T08:00:00Z"
    assert find_finish(facts, 11, was_seen_running=False) is None
    assert find_finish(facts, None, was_seen_running=False) is None
    assert format_time(find_finish(facts, None, was_seen_running=True)) == "2026-11-22T08:00:00Z"


def test_switch_times_are_bounds_from_the_cluster():
    pods = [
        installer("installer-12-master-0", "2026-11-22T07:56:10Z"),
        installer("installer-12-master-1", "2026-11-22T07:57:00Z", exit_code=1),
        installer("installer-12-retry-1-master-1", "2026-11-22T07:58:00Z"),
        installer("installer-11-master-2", "2026-11-22T06:00:00Z"),
        static_pod("master-0", "12", "2026-11-22T07:56:48Z"),
        static_pod("master-2", "11", "2026-11-22T06:00:40Z"),
    ]
    times = bound_switch_times(pods, ["master-0", "master-1", "master-2"], 12)
    assert times["master-0"] == SwitchTime(
        not_before=parse_time("2026-11-22T07:56:10Z"), not_after=parse_time("2026-11-22T07:56:48Z")
    )
    assert times["master-1"] == SwitchTime(not_before=parse_time("2026-11-22T07:58:00Z"))
    assert times["master-2"] == SwitchTime()


def test_no_server_has_switched_after_the_last_one_had():
    early, late = parse_time("2026-11-22T07:56:48Z"), parse_time("2026-11-22T07:58:30Z")
    times = {"a": SwitchTime(not_after=early), "b": SwitchTime(not_before=early, not_after=late), "c": SwitchTime()}
    finish = parse_time("2026-11-22T07:58:00Z")
    assert bound_by_finish(times, finish) == {**times, "b": SwitchTime(not_before=early, not_after=finish)}
    assert bound_by_finish(times, None) == times


def installer(name, finished_at, exit_code=0):
    terminated = {"exitCode": exit_code, "finishedAt": finished_at}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [{"state": {"terminated": terminated}}]}}


def static_pod(node, revision, ready_since):
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": ready_since}
    return {
        "metadata": {"name": f"kube-apiserver-{node}", "labels": {"revision": revision}},
        "spec": {"nodeName": node},
        "status": {"conditions": [ready]},
    }


def server(node, status="True", moment="2026-11-22T08:00:00Z"):
    condition = {"type": "Ready", "status": status, "lastTransitionTime": moment}
    return {
        "metadata": {"name": f"kube-apiserver-{node}"},
        "spec": {"nodeName": node},
        "status": {"conditions": [condition]},
    }


def test_when_all_servers_of_now_were_ready():
    later = server("m1", moment="2026-11-22T08:05:00Z")
    guard = {"metadata": {"name": "kube-apiserver-guard-m0"}, "spec": {"nodeName": "m0"}}
    assert format_time(find_ready_by([server("m0"), later, guard])) == "2026-11-22T08:05:00Z"
    assert find_ready_by([server("m0"), server("m1", "False")]) is None
    assert find_ready_by([guard]) is None
