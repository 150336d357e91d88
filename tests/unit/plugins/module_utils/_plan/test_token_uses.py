# SPDX-License-Identifier: GPL-3.0-or-later
"""Which old tokens are in use, by the logs of two API servers that switched at 07:50 and at 08:00."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import SwitchTime
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan import token_uses
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.audit_log import LogRange
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.holders import (
    HolderVerdict,
    JudgedPod,
    Verdict,
)
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.token_uses import (
    IssuedIds,
    UseLog,
    UseReader,
    apply_uses,
    judge_use,
    judge_uses,
)


def at(hour, minute=0, second=0):
    return datetime(2026, 11, 22, hour, minute, second, tzinfo=timezone.utc)


FIRST, LAST, NOW = at(7, 49), at(8), at(12)
SWITCHES = {
    "m0": SwitchTime(not_before=FIRST, not_after=at(7, 51)),
    "m1": SwitchTime(not_before=at(7, 58), not_after=LAST),
}


def event(moment, **more):
    received = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    found = {
        "kind": "Event",
        "stage": "ResponseComplete",
        "verb": "get",
        "user": {"username": "system:node:worker-0"},
        "sourceIPs": ["10.0.0.9"],
        "userAgent": "agent/1",
        "requestReceivedTimestamp": received,
        "stageTimestamp": received,
        **more,
    }
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def issue(moment, token_id):
    return event(moment, annotations={"authentication.kubernetes.io/issued-credential-id": f"JTI={token_id}"})


def use(moment, token_id, *, pod="web", username="system:serviceaccount:shop:web", **more):
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={token_id}"]}
    if pod:
        extra |= {
            "authentication.kubernetes.io/pod-name": [pod],
            "authentication.kubernetes.io/pod-uid": [f"uid-{pod}"],
        }
    return event(moment, user={"username": username, "extra": extra}, **more)


def judge(m0=b"", m1=b"", *, first=FIRST, begins=FIRST, since=LAST, gap="", blocks=None):
    issued, logs = IssuedIds(), []
    for name, text in (("m0", m0), ("m1", m1)):
        reader = UseReader(switched=SWITCHES[name], since=since, issued=issued)
        for block in (blocks or (lambda t: [t]))(text):
            reader.take(block)
        found = LogRange(begins=begins, ends=NOW, bytes_read=len(text), is_cut=False)
        logs.append(UseLog(name=name, found=found, reader=reader))
    return judge_uses(logs, issued, first=first, last=LAST, until=NOW, audit_gap=gap)


def told(verdict):
    return [(u.token_id, is_old) for u, is_old in verdict.uses]


#: Somebody got a token since, so that the logs are known to name them.
ISSUED = issue(at(8, 30), "other")


def test_a_token_that_nobody_has_issued_since_the_first_switch_is_old():
    verdict = judge(ISSUED + use(at(9), "old") + use(at(9, 30), "old") + use(at(9, 10), "new"), issue(at(9, 5), "new"))
    assert told(verdict) == [("old", True)]
    (found, _is_old) = verdict.uses[0]
    assert (found.namespace, found.service_account, found.pod, found.pod_uid) == ("shop", "web", "web", "uid-web")
    assert (found.last, found.source_ip, found.user_agent) == (at(9, 30), "10.0.0.9", "agent/1")
    assert verdict.problems == []
    assert found.record(True)["last"] == "2026-11-22T09:30:00Z"


@pytest.mark.parametrize(
    ("server", "moment", "is_old"),
    [
        # the same moment is before, within and after the switch of one server or of the other
        ("m0", at(7, 48), True),
        ("m0", at(7, 50), None),
        ("m0", at(7, 55), "new"),
        ("m1", at(7, 55), True),
        ("m1", at(7, 59), None),
        ("m1", at(8, 0, 1), "new"),
    ],
)
def test_who_issued_a_token_when(server, moment, is_old):
    logs = {"m0": ISSUED, "m1": use(at(9), "x")}
    logs[server] = issue(moment, "x") + logs[server]
    assert told(judge(**logs)) == ([] if is_old == "new" else [("x", is_old)])


def sending(line, obj):
    """Return the event with the object that was sent, where a kube-apiserver writes it: before the times."""
    text = b'"requestObject":' + json.dumps(obj, separators=(",", ":")).encode() + b","
    return line.replace(b'"requestReceivedTimestamp"', text + b'"requestReceivedTimestamp"', 1)


def test_a_token_in_an_object_that_was_sent_is_not_that_of_the_sender():
    # as a proxy does that asks whether somebody may do something
    asked = {"spec": {"extra": {"authentication.kubernetes.io/credential-id": ["JTI=old"]}}}
    review = sending(use(at(10), "new", pod="proxy"), asked)
    fresh = ISSUED + issue(at(8, 40), "new")
    assert told(judge(fresh + review)) == []
    verdict = judge(fresh + use(at(9), "old") + review)
    assert [(u.token_id, u.pod, u.last) for u, _is_old in verdict.uses] == [("old", "web", at(9))]


def test_who_writes_times_and_ids_into_objects_hides_nothing():
    annotations = {
        "requestReceivedTimestamp": "2026-11-22T08:30:00.000000Z",
        "authentication.kubernetes.io/issued-credential-id": "JTI=old",
    }
    for moment in ("2026-11-22T08:30:00.000000Z", "at any time that I like"):
        written = {"metadata": {"annotations": {"requestReceivedTimestamp": moment}}}
        lines = [sending(use(at(9, minute), "old"), written) for minute in (0, 40)]
        (found,) = judge(ISSUED + b"".join(lines), blocks=lambda text: text.splitlines(keepends=True)).uses
        assert (found[0].last, found[1]) == (at(9, 40), True)
    # before the times of the event there is what looks like another one's end
    written = {"metadata": {"annotations": annotations}}
    assert told(judge(ISSUED + sending(use(at(9), "old"), written))) == [("old", True)]


def test_only_uses_after_the_last_switch_count():
    assert told(judge(ISSUED + use(at(7, 59), "old") + use(LAST, "old"))) == []
    assert told(judge(ISSUED + use(at(9), "old"), since=at(10))) == []
    # a watch that began before and ended later was let in before
    assert told(judge(ISSUED + use(at(7, 59), "old", stageTimestamp="2026-11-22T09:00:00Z"))) == []


def test_the_last_use_counts_wherever_it_stands():
    text = ISSUED + use(at(9), "old") + use(at(9, 30), "old") + use(at(9, 30, 1), "new")
    verdict = judge(text, use(at(9, 10), "old"), blocks=lambda t: t.splitlines(keepends=True))
    assert [(u.token_id, u.last) for u, _is_old in verdict.uses] == [("old", at(9, 30)), ("new", at(9, 30, 1))]


def test_who_is_no_service_account_is_left_out():
    assert told(judge(ISSUED + use(at(9), "x", username="alice"))) == []


def test_a_use_that_is_read_before_its_issue_is_none_of_an_old_token():
    assert told(judge(ISSUED + use(at(9), "x"), issue(at(8, 59), "x"))) == []


def test_a_client_outside_of_pods_that_has_moved_on():
    """The controller manager keeps tokens that are bound to no pod, and takes new ones by itself."""
    old = use(at(8, 5), "old", pod=None)
    assert told(judge(ISSUED + old)) == [("old", True)]
    fresh = issue(at(8, 50), "new") + use(at(8, 51), "new", pod=None)
    assert told(judge(ISSUED + old + fresh)) == []
    # issued by the other server, whose log is read later
    assert told(judge(ISSUED + old + use(at(8, 51), "new", pod=None), issue(at(8, 50), "new"))) == []
    # another client of the same account, and one that has gone on with the old one
    other = issue(at(8, 50), "new") + use(at(8, 51), "new", pod=None, userAgent="curl")
    assert told(judge(ISSUED + old + other)) == [("old", True)]
    assert told(judge(ISSUED + old + fresh + use(at(9), "old", pod=None))) == [("old", True)]
    # that of a pod is not set right by another one's
    assert told(judge(ISSUED + use(at(8, 5), "old") + fresh)) == [("old", True)]


def test_the_new_token_of_one_client_does_not_hide_the_old_one_of_another():
    """Behind one address two clients can't be told apart."""
    fresh = b"".join(use(at(*moment), "new", pod=None) for moment in ((8, 51), (9, 10), (9, 30)))
    issued = ISSUED + issue(at(8, 50), "new")

    def lines(text):
        return text.splitlines(keepends=True)

    def old(*moment):
        return use(at(*moment), "old", pod=None)

    for logs in (
        [issued + old(9) + fresh],
        [issued + fresh, old(9)],
        [ISSUED + fresh + old(9), issue(at(8, 50), "new")],
    ):
        for blocks in (None, lines):
            assert told(judge(*logs, blocks=blocks)) == [("old", True)]
    # the one client that there is uses its old token for a while, and no longer
    assert told(judge(issued + old(8, 53) + fresh)) == []
    assert told(judge(issued + old(8, 53, 1) + fresh)) == [("old", True)]
    # so short a time ago it may go on with it
    late = issue(at(11, 50), "new") + use(at(11, 58), "new", pod=None)
    assert told(judge(ISSUED + old(11, 50) + late)) == [("old", True)]
    # what was used before the time that counts is no beginning
    assert told(judge(issued + old(9, 20) + fresh, since=at(9, 20))) == []
    assert told(judge(issued + old(9, 21) + fresh, since=at(9, 20))) == []


def test_what_a_controller_has_replaced_by_later_tokens_is_given_up():
    """One account may have several tokens there, each for an hour."""

    def find(namespace, last):
        account = {"pod": None, "username": f"system:serviceaccount:{namespace}:c"}
        new = issue(at(8, 50), "new") + use(at(8, 51), "new", **account)
        later = issue(last, "later") + use(last, "later", **account)
        return told(judge(ISSUED + new + use(at(9, 5), "old", **account) + later))

    assert find("kube-system", at(10, 5)) == []
    assert find("kube-system", at(10, 4)) == [("old", True)]
    assert find("shop", at(10, 5)) == [("old", True)]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"begins": at(9)}, "the audit log of m0 reaches back to 2026-11-22T09:00:00Z only"),
        ({"gap": "nothing is logged"}, "nothing is logged"),
        ({"first": None, "begins": LAST}, "it is not known when the first API server switched"),
    ],
)
def test_what_the_logs_leave_open_is_unknown(more, problem):
    verdict = judge(ISSUED + use(at(9), "old"), **more)
    assert told(verdict) == [("old", None)]
    assert verdict.problems[0].startswith(problem)


def test_logs_without_any_issue_tell_nothing():
    verdict = judge(use(at(9), "old"))
    assert (told(verdict), verdict.problems) == (
        [("old", None)],
        ["the audit logs name no token that was issued since"],
    )


def test_a_log_that_could_not_be_read():
    verdict = judge_uses(
        [UseLog(name="m0", problem="could not read it")], IssuedIds(), first=FIRST, last=LAST, until=NOW
    )
    assert (verdict.uses, verdict.problems) == ([], ["could not read it"])


def test_the_memory_has_a_limit(monkeypatch):
    monkeypatch.setattr(token_uses, "MAX_USED", 2)
    many = b"".join(use(at(9), f"old-{n}") for n in range(3))
    assert judge(ISSUED + many).problems == ["the audit log of m0 names more tokens than can be kept"]
    # what turns out to be new makes room
    two = use(at(9), "a") + use(at(9), "b")
    verdict = judge(
        ISSUED + two + issue(at(8, 40), "a") + issue(at(8, 40), "b") + use(at(10), "c"),
        blocks=lambda text: text.splitlines(keepends=True),
    )
    assert (told(verdict), verdict.problems) == ([("c", True)], [])
    monkeypatch.setattr(token_uses, "MAX_ISSUED", 1)
    assert judge(ISSUED + issue(at(9), "x")).problems == ["the audit log of m0 names more tokens than can be kept"]


def test_lines_that_are_none():
    broken = b'{"annotations":{"authentication.kubernetes.io/issued-credential-id":"JTI=x"}}\n'
    broken += b'"authentication.kubernetes.io/credential-id":["JTI=y"\n'
    assert told(judge(ISSUED + broken)) == []
    # deeper than it can be read
    deep = sending(use(at(9), "old"), {}).replace(
        b'"requestObject":{}', b'"requestObject":' + b"[" * 9999 + b"]" * 9999
    )
    assert told(judge(ISSUED + deep)) == []


def verdict_of(verdict, reason="FileRenewed", **more):
    return HolderVerdict(verdict=verdict, reason=reason, **more)


RENEWED = verdict_of(Verdict.RENEWED, until=at(8, 50))


CONTRADICTED = (Verdict.UNKNOWN, "UseContradictsSpec", None)


@pytest.mark.parametrize(
    ("found", "last", "wanted"),
    [
        # while the file was not rewritten, and shortly after, its program used it
        (RENEWED, at(8, 40), (Verdict.RENEWED, "FileRenewed", at(8, 50))),
        (RENEWED, at(8, 52), (Verdict.RENEWED, "FileRenewed", at(8, 50))),
        (RENEWED, at(9), (Verdict.OLD_UNTIL_RESTARTED, "OldTokenInUse", None)),
        (replace(RENEWED, expires=at(9, 30)), at(9), (Verdict.OLD_UNTIL, "OldTokenInUse", at(9, 30))),
        # what it kept has expired since
        (replace(RENEWED, expires=at(9, 5)), at(9), (Verdict.RENEWED, "FileRenewed", at(8, 50))),
        (replace(RENEWED, expires=at(9)), at(9, 0, 10), (Verdict.RENEWED, "FileRenewed", at(8, 50))),
        (replace(RENEWED, expires=at(9)), at(9, 0, 11), CONTRADICTED),
        (
            verdict_of(Verdict.FILE_RENEWS, until=at(8, 50)),
            at(8, 10),
            (Verdict.FILE_RENEWS, "OldTokenInUse", at(8, 50)),
        ),
        (verdict_of(Verdict.UNKNOWN, "InitCopy"), at(9), (Verdict.OLD_UNTIL_RESTARTED, "OldTokenInUse", None)),
        (verdict_of(Verdict.UNKNOWN, "CsiDriver", until=at(13)), at(9), (Verdict.OLD_UNTIL, "OldTokenInUse", at(13))),
        (verdict_of(Verdict.RENEWED, "StartedAfter"), at(9), CONTRADICTED),
        (verdict_of(Verdict.NO_TOKEN, "NoToken"), at(9), CONTRADICTED),
        (verdict_of(Verdict.NO_TOKEN, "Static"), at(9), CONTRADICTED),
        (verdict_of(Verdict.NO_TOKEN, "NotStarted"), at(9), CONTRADICTED),
        (verdict_of(Verdict.NO_TOKEN, "NoFile", source="files"), at(9), CONTRADICTED),
        (verdict_of(Verdict.LEGACY, "LegacySecret"), at(9), CONTRADICTED),
        # before its tokens had expired, or it had ended, it may have used them
        (
            verdict_of(Verdict.NO_TOKEN, "Expired", until=at(9), expires=at(9)),
            at(8, 30),
            (Verdict.NO_TOKEN, "Expired", at(9)),
        ),
        (verdict_of(Verdict.NO_TOKEN, "Expired", until=at(8, 30), expires=at(8, 30)), at(9), CONTRADICTED),
        (verdict_of(Verdict.NO_TOKEN, "Finished", until=at(9)), at(8, 30), (Verdict.NO_TOKEN, "Finished", at(9))),
        (verdict_of(Verdict.NO_TOKEN, "Finished", until=at(8, 30)), at(9), CONTRADICTED),
        # when it ended is not told, as where its node was lost
        (verdict_of(Verdict.NO_TOKEN, "Finished"), at(9), (Verdict.NO_TOKEN, "Finished", None)),
        # its tokens are refused
        (verdict_of(Verdict.NO_TOKEN, "Gone"), at(9), (Verdict.NO_TOKEN, "Gone", None)),
    ],
)
def test_what_a_use_tells_beside_the_specification(found, last, wanted):
    judged = judge_use(found, last, now=at(9, 10))
    assert (judged.verdict, judged.reason, judged.until) == wanted
    assert judged.source == (found.source if judged == found else "use")
    assert not judged.may_be_cached


@pytest.mark.parametrize(
    ("last", "now", "expires", "wanted"),
    [
        # it may be about to read the file again
        (at(8, 50, 30), at(8, 51), None, (Verdict.FILE_RENEWS, "OldTokenInUse", at(8, 52))),
        (at(8, 51), at(8, 52), at(9, 50), (Verdict.FILE_RENEWS, "OldTokenInUse", at(8, 52))),
        (at(8, 50, 30), at(8, 51), at(8, 51, 30), (Verdict.FILE_RENEWS, "OldTokenInUse", at(8, 51, 30))),
        # it was not seen again
        (at(8, 50, 30), at(8, 52, 1), None, (Verdict.RENEWED, "FileRenewed", at(8, 50))),
        (at(8, 50), at(8, 51), None, (Verdict.RENEWED, "FileRenewed", at(8, 50))),
        (at(8, 50, 30), at(8, 51), at(8, 50, 40), (Verdict.RENEWED, "FileRenewed", at(8, 50))),
    ],
)
def test_who_used_an_old_token_just_after_the_file_was_rewritten(last, now, expires, wanted):
    judged = judge_use(replace(RENEWED, expires=expires), last, now)
    assert (judged.verdict, judged.reason, judged.until) == wanted


def test_uses_are_told_of_the_pod_that_the_token_is_bound_to():
    verdict = judge(
        ISSUED + use(at(9), "a") + use(at(8, 10), "b") + use(at(9), "c", pod="gone") + use(at(9), "d", pod=None)
    )
    pods = [
        JudgedPod(namespace="shop", name=name, uid=f"uid-{name}", service_account="web", found=RENEWED)
        for name in ("web", "db")
    ]
    assert [p.found.verdict for p in apply_uses(pods, verdict.uses, NOW)] == [
        Verdict.OLD_UNTIL_RESTARTED,
        Verdict.RENEWED,
    ]
    doubtful = [(u, None) for u, _is_old in verdict.uses]
    assert list(apply_uses(pods, doubtful, NOW)) == pods


def test_the_order_is_of_what_is_known_first():
    verdict = judge(ISSUED + issue(at(7, 50), "x") + use(at(9), "x") + use(at(9) + timedelta(hours=1), "old"))
    assert told(verdict) == [("old", True), ("x", None)]
