# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds an old token, by the specification: pods that started at 06:00 in a cluster that switched from 07:50 to 08:00."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._holder_model import (
    HolderContext,
    HolderPod,
    TokenDriver,
    TokenSource,
    holder_pod,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import (
    IssuerFacts,
    Outcome,
    PodFacts,
    SwitchTime,
    TrustedIssuer,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.holders import (
    REASONS,
    HolderVerdict,
    OutsideToken,
    Surroundings,
    SwitchWindow,
    Verdict,
    choose_doubtful_nodes,
    conclude,
    count_accounts,
    find_deadline,
    find_reason_to_stay,
    find_window,
    judge_files,
    judge_holder,
    keep_verdict,
    outside_record,
    read_outside_tokens,
)

PODS = yaml.safe_load((Path(__file__).parents[3] / "fixtures/holders.yml").read_text())
CONTEXT = HolderContext(
    drivers={
        "secrets-store.csi.k8s.io": TokenDriver(tokens=(("vault", 3600),)),
        "again.example.com": TokenDriver(tokens=(("a", 600), ("b", 7200)), is_republished=True),
    },
    claims={("web", "data-0"): "again.example.com"},
    legacy={("web", "builder-token")},
)
NEW, OLD = "https://new.example.com", "https://old.example.com"


def at(hour, minute=0, second=0, day=22):
    return datetime(2026, 11, day, hour, minute, second, tzinfo=timezone.utc)


FIRST, LAST = at(7, 50), at(8)
WINDOW = SwitchWindow(issuer=NEW, former=(TrustedIssuer(name=OLD, expires=at(7, 45, day=23)),), first=FIRST, last=LAST)
READY = MappingProxyType({"worker-0": at(1)})


def judge(name, now, window=WINDOW, ready_since=READY, change=lambda pod: None, **more):
    pod = yaml.safe_load(yaml.safe_dump(PODS[name]))
    change(pod)
    around = Surroundings(window=window, now=now, ready_since=ready_since, **more)
    return judge_holder(holder_pod(pod, CONTEXT), around)


def told(found):
    assert found.reason in REASONS
    assert found.source == "spec"
    return found.verdict, found.reason, found.until


def starting(moment, container=None):
    def change(pod):
        pod["status"]["startTime"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        for kind in ("initContainerStatuses", "containerStatuses"):
            for status in pod["status"].get(kind, ()):
                state = status["state"].get("running") or status["state"]["terminated"]
                state["startedAt"] = (container or moment + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")

    return change


#: 80 % of the lifetime and two minutes after the last switch.
AUTOMATIC_BY = LAST + timedelta(seconds=0.8 * 3607, minutes=2)


@pytest.mark.parametrize(
    ("name", "now", "verdict", "reason", "until"),
    [
        ("automatic", at(8, 30), Verdict.FILE_RENEWS, "FileRenews", AUTOMATIC_BY),
        ("automatic", at(9), Verdict.RENEWED, "FileRenewed", AUTOMATIC_BY),
        # of several tokens the last one counts: 24 hours, for the one of 30
        ("several", at(9), Verdict.FILE_RENEWS, "FileRenews", at(8, 2, day=23)),
        ("several", at(8, 2, day=23), Verdict.RENEWED, "FileRenewed", at(8, 2, day=23)),
        # a year for the API servers' audience, though the kubelet is told an hour
        ("sub_path", at(12), Verdict.OLD_UNTIL_RESTARTED, "SubPath", None),
        ("sub_path_folder", at(7, 59), Verdict.OLD_UNTIL, "SubPath", at(8, 1)),
        ("sub_path_folder", at(8, 1), Verdict.NO_TOKEN, "Expired", at(8, 1)),
        ("sub_path_expression", at(7), Verdict.UNKNOWN, "SubPathExpr", at(7, 1)),
        ("sub_path_expression", at(8, 30), Verdict.NO_TOKEN, "Expired", at(7, 1)),
        ("init_copy", at(12), Verdict.UNKNOWN, "InitCopy", None),
        ("init_needless", at(9), Verdict.RENEWED, "FileRenewed", AUTOMATIC_BY),
        # a pod does not tell when its driver was given the token last
        ("driver_once", at(8, 30), Verdict.UNKNOWN, "CsiDriver", at(9)),
        ("driver_once", at(9), Verdict.NO_TOKEN, "Expired", at(9)),
        ("driver_of_claim", at(8, 10), Verdict.FILE_RENEWS, "FileRenews", at(9, 38)),
        ("secret", at(9), Verdict.LEGACY, "LegacySecret", None),
        ("nothing", at(9), Verdict.NO_TOKEN, "NoToken", None),
    ],
)
def test_the_verdict_about_a_pod_from_before(name, now, verdict, reason, until):
    assert told(judge(name, now)) == (verdict, reason, until)


def test_a_file_that_was_rewritten_may_have_been_read_before_only():
    assert judge("automatic", at(9)).may_be_cached is True
    assert judge("automatic", at(9), change=starting(at(6), container=at(8, 55))).may_be_cached is False
    # no container mounts it
    assert (
        judge("automatic", at(9), change=lambda p: p["spec"]["containers"][0].pop("volumeMounts")).may_be_cached
        is False
    )
    # what was read before has expired
    assert judge("several", at(8, 2, day=23)).may_be_cached is True
    found = judge("several", LAST + timedelta(hours=30))
    assert (found.verdict, found.may_be_cached) == (Verdict.RENEWED, False)
    # which a kubelet that is away does not change
    found = judge("several", LAST + timedelta(hours=30), ready_since={"worker-0": None})
    assert told(found)[:2] == (Verdict.NO_TOKEN, "Expired")


@pytest.mark.parametrize(
    ("start", "verdict", "reason"),
    [
        (at(8, 0, 1), Verdict.RENEWED, "StartedAfter"),
        (at(8), Verdict.UNKNOWN, "SubPathUnsure"),
        (at(7, 50), Verdict.UNKNOWN, "SubPathUnsure"),
        (at(7, 49, 30), Verdict.UNKNOWN, "SubPathUnsure"),  # its container at 07:50
        (at(7, 49, 20), Verdict.OLD_UNTIL_RESTARTED, "SubPath"),
    ],
)
def test_between_the_first_and_the_last_switch_nothing_is_called_old(start, verdict, reason):
    assert told(judge("sub_path", at(12), change=starting(start)))[:2] == (verdict, reason)


def test_of_several_ways_the_one_that_does_not_end_counts():
    def change(pod):
        pod["spec"]["containers"].append({"name": "third", "volumeMounts": [{"name": "tokens", "mountPath": "/all"}]})

    assert told(judge("sub_path", at(8, 30), change=change)) == (Verdict.OLD_UNTIL_RESTARTED, "SubPath", None)
    # and what ends earlier than another, though it is the worse of them
    assert told(judge("sub_path_folder", at(7, 59), change=change)) == (Verdict.OLD_UNTIL, "SubPath", at(9, 38))


def test_without_the_first_switch_nothing_is_called_old():
    assert judge("sub_path", at(12), window=replace(WINDOW, first=None)).reason == "SubPathUnsure"


def test_a_container_that_was_restarted_later_mounts_the_file_of_then():
    change = starting(at(6), container=at(9))
    assert told(judge("sub_path", at(12), change=change)) == (Verdict.RENEWED, "TakenLater", AUTOMATIC_BY)
    assert judge("sub_path", at(12), change=starting(at(6), container=at(8, 30))).reason == "SubPathUnsure"


@pytest.mark.parametrize("name", ["automatic", "sub_path", "init_copy", "driver_once"])
def test_without_the_last_switch_nothing_is_known(name):
    found = judge(name, at(12), window=replace(WINDOW, last=None))
    assert told(found) == (Verdict.UNKNOWN, "SwitchUnknown", None)
    assert judge("nothing", at(12), window=replace(WINDOW, last=None)).verdict is Verdict.NO_TOKEN


def test_a_token_for_others_lives_as_long_as_it_says():
    def change(pod):
        pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"] = "vault"

    assert told(judge("sub_path", at(7, 0), change=change)) == (Verdict.OLD_UNTIL, "SubPath", at(7, 1, 7))
    assert told(judge("sub_path", at(9), change=change))[:2] == (Verdict.NO_TOKEN, "Expired")

    def name_former(pod):
        pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"] = OLD

    assert judge("sub_path", at(9), change=name_former).verdict is Verdict.OLD_UNTIL_RESTARTED


def test_a_node_that_is_not_ready_rewrites_nothing_for_sure():
    assert told(judge("automatic", at(9), ready_since={"worker-0": None})) == (Verdict.UNKNOWN, "NodeNotReady", None)
    assert judge("automatic", at(9), ready_since={}).reason == "NodeNotReady"
    assert judge("automatic", at(9), ready_since=None).verdict is Verdict.RENEWED
    # back since ten to twelve
    found = judge("automatic", at(11, 51), ready_since={"worker-0": at(11, 50)})
    assert told(found) == (Verdict.FILE_RENEWS, "FileRenews", at(11, 52))


def test_a_node_that_was_restarted_has_new_tokens():
    assert judge("sub_path", at(12), restarted={"worker-0": at(8, 1)}).reason == "NodeRestarted"
    assert judge("sub_path", at(12), restarted={"worker-0": at(8)}).reason == "SubPath"
    assert judge("sub_path", at(12), restarted={"worker-1": at(8, 1)}).reason == "SubPath"


def test_a_pod_that_goes_holds_its_token_until_it_is_gone():
    def go(pod):
        pod["metadata"]["deletionTimestamp"] = "2026-11-22T12:10:00Z"

    assert told(judge("sub_path", at(12), change=go)) == (Verdict.OLD_UNTIL, "Terminating", at(12, 11))
    assert told(judge("init_copy", at(12), change=go)) == (Verdict.UNKNOWN, "Terminating", at(12, 11))
    assert told(judge("sub_path", at(12, 11), change=go)) == (Verdict.NO_TOKEN, "Gone", None)
    assert told(judge("automatic", at(12), change=go))[0] is Verdict.RENEWED


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"phase": "Succeeded", "startTime": "2026-11-22T06:00:00Z"}, "Finished"),
        ({"phase": "Failed", "startTime": "2026-11-22T06:00:00Z"}, "Finished"),
        ({"phase": "Pending"}, "NotStarted"),
    ],
)
def test_pods_that_do_not_run(status, reason):
    assert told(judge("automatic", at(9), change=lambda p: p.update(status=status)))[:2] == (Verdict.NO_TOKEN, reason)


def test_a_pod_that_has_ended_tells_when():
    ends = ("2026-11-22T08:10:00Z", "2026-11-22T08:20:00Z")
    states = [{"name": end, "state": {"terminated": {"finishedAt": end}}} for end in ends]
    found = judge("automatic", at(9), change=lambda p: p["status"].update(phase="Succeeded", containerStatuses=states))
    assert told(found) == (Verdict.NO_TOKEN, "Finished", at(8, 20))


def test_a_static_pod_has_no_token():
    def change(pod):
        pod["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}

    assert judge("automatic", at(9), change=change).reason == "Static"


ISSUER = IssuerFacts(
    spec_issuer=NEW,
    trusted=(TrustedIssuer(name=NEW), TrustedIssuer(name=OLD, expires=at(7, 45, day=23))),
)


def rollout(**more):
    nodes = [
        {"name": "m0", "switched_not_before": "2026-11-22T07:50:00Z", "switched_not_after": "2026-11-22T07:52:00Z"},
        {"name": "m1", "switched_not_before": "2026-11-22T07:57:00Z", "switched_not_after": "2026-11-22T08:00:00Z"},
    ]
    return {"complete": True, "issuer": NEW, "finished_at": "2026-11-22T08:00:00Z", "nodes": nodes, **more}


def recorded(**more):
    return {**rollout(), "former_issuer": OLD, **more}


def window_of(shown=None, record=None, issuer=ISSUER, since=None, former=()):
    return find_window(rollout() if shown is None else shown, record, issuer, since=since, former=former)


def test_the_window_of_a_rollout_that_the_cluster_still_shows():
    found = window_of()
    assert (found.first, found.last, found.issuer, found.former) == (FIRST, LAST, NEW, ISSUER.former)
    assert found.servers["m1"] == SwitchTime(not_before=at(7, 57), not_after=LAST)


def test_where_one_server_is_not_known_it_is_the_edit():
    nodes = [rollout()["nodes"][0], {"name": "m1", "switched_not_before": None, "switched_not_after": None}]
    found = window_of(rollout(nodes=nodes))
    assert (found.first, found.last) == (at(7, 45), LAST)
    nobody = IssuerFacts(spec_issuer=NEW, trusted=None)
    assert window_of(rollout(nodes=nodes), issuer=nobody).first is None


def test_what_the_cluster_has_forgotten_is_in_the_record_of_the_run():
    pruned = IssuerFacts(spec_issuer=NEW, trusted=(TrustedIssuer(name=NEW),))
    nodes = [{**n, "switched_not_before": None, "switched_not_after": None} for n in rollout()["nodes"]]
    forgotten = rollout(finished_at=None, nodes=nodes)
    found = window_of(forgotten, recorded(), pruned)
    assert (found.first, found.last, [f.name for f in found.former]) == (FIRST, LAST, [OLD])
    assert window_of(forgotten, None, pruned).last is None
    assert window_of(forgotten, recorded(issuer="https://other.example.com"), pruned).last is None


def test_a_record_from_before_the_last_edit_is_of_another_rollout():
    record = recorded(finished_at="2026-11-20T08:00:00Z", nodes=[])
    assert window_of(rollout(), record).last == LAST
    assert window_of(rollout(finished_at=None), record).last is None


def test_where_nothing_tells_the_end_it_was_before_the_servers_of_now_were_ready():
    found = find_window(rollout(finished_at=None), None, ISSUER, since=None, former=(), ready_by=at(9))
    assert (found.first, found.last) == (FIRST, at(9))
    assert find_window(rollout(), None, ISSUER, since=None, former=(), ready_by=at(9)).last == LAST
    running = rollout(complete=False, finished_at=None)
    assert find_window(running, None, ISSUER, since=None, former=(), ready_by=at(9)).last is None


def test_while_a_rollout_runs_its_end_is_not_known():
    assert window_of(rollout(complete=False)).last is None


def test_what_the_task_says_counts_more():
    found = window_of({}, None, IssuerFacts(spec_issuer=NEW, trusted=None), since=LAST, former=[OLD, NEW])
    assert (found.first, found.last, [f.name for f in found.former]) == (None, LAST, [OLD])
    assert window_of(since=at(9)).last == at(9)
    assert window_of(since=at(7)).first is None


def test_the_users_own_list():
    tokens = read_outside_tokens([{"name": "ci", "expires": "2026-11-22T10:00:00Z"}, {"name": "lab", "expires": None}])
    assert tokens == (OutsideToken(name="ci", expires=at(10)), OutsideToken(name="lab"))
    records = [outside_record(t, WINDOW, at(11)) for t in tokens]
    assert [(r["dies"], r["is_dead"]) for r in records] == [
        ("2026-11-22T10:00:00Z", True),
        ("2026-11-23T07:45:00Z", False),
    ]
    with pytest.raises(InvalidOption, match="Of the outside token ci, expires is 'soon', which is not a moment"):
        read_outside_tokens([{"name": "ci", "expires": "soon"}])


def judged(namespace, account, found):
    pod = PodFacts(namespace=namespace, name="x", uid="x")
    return keep_verdict(HolderPod(pod=pod, service_account=account), found)


FINE = HolderVerdict(verdict=Verdict.RENEWED, reason="StartedAfter")
SOON = HolderVerdict(verdict=Verdict.FILE_RENEWS, reason="FileRenews", until=at(9))
LATER = HolderVerdict(verdict=Verdict.OLD_UNTIL, reason="SubPath", until=at(10))
NEVER = HolderVerdict(verdict=Verdict.OLD_UNTIL_RESTARTED, reason="SubPath")
OPEN = HolderVerdict(verdict=Verdict.UNKNOWN, reason="InitCopy")


def test_accounts_are_summed_up_with_those_that_matter_first():
    pods = [judged("a", "x", FINE), judged("b", "y", SOON), judged("b", "y", LATER), judged("b", "x", NEVER)]
    assert count_accounts(pods) == [
        {
            "namespace": "b",
            "service_account": "x",
            "pods": 1,
            "blocking": 1,
            "until": None,
            "verdicts": {"old_until_restarted": 1},
        },
        {
            "namespace": "b",
            "service_account": "y",
            "pods": 2,
            "blocking": 2,
            "until": "2026-11-22T10:00:00Z",
            "verdicts": {"old_until": 1, "file_renews": 1},
        },
        {
            "namespace": "a",
            "service_account": "x",
            "pods": 1,
            "blocking": 0,
            "until": None,
            "verdicts": {"renewed": 1},
        },
    ]


@pytest.mark.parametrize(
    ("verdicts", "may_go", "sentence"),
    [
        ([FINE], True, f"The old issuer {OLD} may go now."),
        ([], True, f"The old issuer {OLD} may go now."),
        ([FINE, SOON, LATER], False, "Not yet: 2 pods, the last one by 2026-11-22T10:00:00Z."),
        ([SOON], False, "Not yet: 1 pod, the last one by 2026-11-22T09:00:00Z."),
        ([NEVER, NEVER], False, "Not yet: 2 pods, 2 of them not before a restart."),
        (
            [NEVER, OPEN, SOON],
            False,
            (
                f"Not yet: 3 pods, 1 of them not before a restart, of 1 of them it is unknown ({REASONS['InitCopy']}), "
                "the others by 2026-11-22T09:00:00Z."
            ),
        ),
    ],
)
def test_the_one_sentence(verdicts, may_go, sentence):
    assert conclude(verdicts, WINDOW) == (may_go, sentence)


def test_the_sentence_about_what_is_outside():
    living = {"name": "ci", "is_dead": False}
    assert conclude([], WINDOW, outside=[{"name": "ci", "is_dead": True}])[0] is True
    assert conclude([FINE], WINDOW, outside=[living], strangers=2, problems=["the log of m0 is short", "more"]) == (
        False,
        (
            "Not yet: 2 old token(s) in use outside of running pods; 1 token(s) on your own list; what was asked for can't be "
            "told, because the log of m0 is short; more."
        ),
    )
    assert conclude([], replace(WINDOW, former=()))[1] == "The old issuer may go now."


def test_the_sentence_about_what_programs_may_keep():
    assert conclude([FINE], WINDOW, cached=3) == (
        True,
        (
            f"The old issuer {OLD} may go now as far as files tell; 3 pod(s) may keep an old token in memory, which verify: use "
            "tells."
        ),
    )
    assert conclude([SOON], WINDOW, cached=3)[1] == "Not yet: 1 pod, the last one by 2026-11-22T09:00:00Z."


def test_when_no_former_issuer_is_trusted_it_is_over_for_its_holders():
    over = replace(WINDOW, is_over=True)
    assert conclude([FINE], over) == (True, "No former issuer is trusted any more; no pod holds its tokens.")
    assert conclude([NEVER], over) == (
        True,
        "No former issuer is trusted any more; 1 pod(s) may still hold its tokens, which are refused.",
    )
    assert window_of(issuer=IssuerFacts(spec_issuer=NEW, trusted=(TrustedIssuer(name=NEW),))).is_over is True
    assert window_of(issuer=IssuerFacts(spec_issuer=NEW, trusted=None)).is_over is False


def test_before_the_operator_has_seen_the_edit_it_is_not_over():
    unseen = IssuerFacts(spec_issuer=NEW, trusted=(TrustedIssuer(name=OLD),))
    assert window_of(rollout(complete=False), issuer=unseen).is_over is False


def test_without_the_last_switch_no_issuer_may_go():
    assert conclude([], replace(WINDOW, last=None)) == (
        False,
        "Not yet: it is not known when the last API server switched.",
    )


def test_what_is_shown_of_a_pod():
    holder = holder_pod(PODS["sub_path"], CONTEXT)
    around = Surroundings(window=WINDOW, now=at(12), ready_since=READY)
    assert keep_verdict(holder, judge_holder(holder, around)).record() == {
        "namespace": "web",
        "name": "web-1",
        "uid": "1",
        "service_account": "default",
        "owner": None,
        "node": "worker-0",
        "started_at": "2026-11-22T06:00:00Z",
        "verdict": "old_until_restarted",
        "reason": "SubPath",
        "explanation": REASONS["SubPath"],
        "source": "spec",
        "until": None,
        "may_be_cached": False,
    }


def test_a_token_source_stands_for_an_hour_by_default():
    assert TokenSource().seconds == 3600


@pytest.mark.parametrize(
    ("name", "now", "tokens", "reason"),
    [
        ("automatic", at(8, 30), "any", ""),
        ("automatic", at(8, 30), "old", ""),
        # rewritten, and perhaps read before that only
        ("automatic", at(9), "any", ""),
        ("automatic", at(9), "old", ""),
        ("init_needless", at(9), "lasting", "FileRenewed"),
        ("automatic", at(8, 30), "lasting", "FileRenews"),
        ("automatic", at(9), "lasting", "FileRenewed"),
        # rewritten 24 hours after the switch, when the former issuer is not trusted any more
        ("several", at(9), "lasting", ""),
        ("sub_path", at(12), "lasting", ""),
        ("init_copy", at(12), "lasting", ""),
        ("sub_path_folder", at(8, 1), "any", ""),
        ("sub_path_folder", at(8, 1), "old", "Expired"),
        ("sub_path_folder", at(8, 1), "lasting", "Expired"),
    ],
)
def test_which_pods_need_not_be_renewed_for_their_tokens(name, now, tokens, reason):
    assert find_reason_to_stay(judge(name, now), tokens, WINDOW.trusted_until) == reason


def test_a_file_that_was_read_after_it_was_rewritten_is_no_reason_to_renew():
    found = judge("automatic", at(12), change=starting(at(6), container=at(11)))
    assert find_reason_to_stay(found, "old", WINDOW.trusted_until) == "FileRenewed"


def test_until_when_former_issuers_are_accepted():
    now, ends = at(9), at(7, 45, day=23)
    shown = IssuerFacts(spec_issuer=NEW, trusted=(TrustedIssuer(name=NEW), TrustedIssuer(name=OLD, expires=ends)))
    untold, alone = IssuerFacts(spec_issuer=OLD, trusted=None), IssuerFacts(spec_issuer=OLD, trusted=())
    assert find_deadline(shown, now, is_planned=False) == ends
    # a day from the change on, unless the release drops the former one with it
    assert find_deadline(alone, now, is_planned=True) == at(9, day=23)
    assert find_deadline(untold, now, is_planned=True) == now
    assert find_deadline(alone, now, is_planned=False) == now


def test_files_of_nodes_that_are_not_ready_are_waited_for_a_while_when_nothing_else_is_left():
    silent = judge("automatic", at(8, 30), ready_since={"worker-0": None})
    both = judge_files([judge("automatic", at(8, 30)), silent], 9999)
    assert both.message == (
        "2 pod(s) with files that are to be rewritten, the last one by 2026-11-22T08:50:05Z, "
        "1 of them on nodes that are not Ready"
    )
    assert [judge_files([silent], s).outcome for s in (0, 599, 600)] == [Outcome.WAITING, Outcome.WAITING, Outcome.DONE]
    assert judge_files([silent], 0).message == (
        "all files are rewritten, but for those of 1 pod(s) on nodes that are not Ready"
    )
    assert judge_files([judge("automatic", at(9)), judge("sub_path", at(9))], 0).outcome is Outcome.DONE


def test_while_it_is_not_known_since_when_files_are_new_none_is_taken_for_new():
    unknown = judge("automatic", at(9), window=replace(WINDOW, last=None))
    assert judge_files([unknown], 0).outcome is Outcome.WAITING
    assert judge_files([unknown], 0).message == "1 pod(s), and it is not known when the last API server switched"


KUBELET_STARTS = [
    ("before the switch, nothing is new", "automatic", at(8, 30), at(7, 59), Verdict.FILE_RENEWS, AUTOMATIC_BY),
    ("in that second neither", "automatic", at(8, 30), LAST, Verdict.FILE_RENEWS, AUTOMATIC_BY),
    ("after it, all files are rewritten soon", "automatic", at(8, 11), at(8, 10), Verdict.FILE_RENEWS, at(8, 12)),
    ("and then they are", "automatic", at(8, 12), at(8, 10), Verdict.RENEWED, at(8, 12)),
    ("also those of tokens that live for long", "several", at(8, 12), at(8, 10), Verdict.RENEWED, at(8, 12)),
    (
        "what would be rewritten sooner is not later for it",
        "automatic",
        at(10),
        at(9, 30),
        Verdict.RENEWED,
        AUTOMATIC_BY,
    ),
    ("what keeps a token keeps it", "sub_path", at(9), at(8, 10), Verdict.OLD_UNTIL_RESTARTED, None),
    ("and who knows what was copied", "init_copy", at(9), at(8, 10), Verdict.UNKNOWN, None),
]


@pytest.mark.parametrize(
    ("why", "name", "now", "kubelet", "verdict", "until"), KUBELET_STARTS, ids=[c[0] for c in KUBELET_STARTS]
)
def test_a_kubelet_that_starts_requests_all_tokens_anew(why, name, now, kubelet, verdict, until):
    found = judge(name, now, kubelets={"worker-0": kubelet, "other": at(8, 1)})
    assert (found.verdict, found.until) == (verdict, until)


def test_what_was_taken_after_a_kubelet_had_rewritten_the_files_is_new():
    found = judge("sub_path", at(9), kubelets={"worker-0": at(8, 10)}, change=starting(at(6), at(8, 12, 1)))
    assert told(found)[:2] == (Verdict.RENEWED, "TakenLater")


def test_a_node_that_was_not_ready_since_is_given_time():
    found = judge("automatic", at(8, 13), kubelets={"worker-0": at(8, 10)}, ready_since={"worker-0": at(8, 12)})
    assert told(found) == (Verdict.FILE_RENEWS, "FileRenews", at(8, 14))


def test_which_kubelets_are_asked_when_they_started():
    around = Surroundings(window=WINDOW, now=at(8, 30), ready_since={"a": at(1), "b": None, "c": at(1), "d": at(1)})
    plain = holder_pod(PODS["automatic"], CONTEXT)

    def on(node, verdict):
        return replace(keep_verdict(plain, HolderVerdict(verdict=verdict, reason="NoToken")), node=node)

    pods = [
        on("a", Verdict.FILE_RENEWS),
        on("b", Verdict.FILE_RENEWS),
        on("c", Verdict.RENEWED),
        on("d", Verdict.UNKNOWN),
    ]
    assert choose_doubtful_nodes([*pods, on("", Verdict.UNKNOWN), pods[0]], around) == ["a", "d"]
    assert choose_doubtful_nodes(pods, replace(around, ready_since=None)) == ["a", "b", "d"]
    assert choose_doubtful_nodes(pods, replace(around, window=replace(WINDOW, last=None))) == []
