# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is refused in a loop, by audit events that kube-apiservers 1.34 wrote on the lab under OpenShift's Default profile."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import MAX_TEXT, Address, addresses_of
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan import rejections
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.audit_log import LogRange
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.rejections import (
    OTHERS,
    RejectionTally,
    ServerLog,
    Window,
    is_loop,
    judge_rejections,
    rejection_request,
)

#: Two of each client: a plain one before the rollout, the controller manager just after it, a pod and a node's agent with a
#: token of the former issuer, a pod's own 401 behind the API server's proxy; then one with strange headers; and others.
RECORDED = (Path(__file__).parents[3] / "fixtures/audit/events.jsonl").read_bytes()
AGENT, NODE_AGENT, LOOPER = ("10.244.4.8", "agent/1.4"), ("10.250.0.14", "node-agent/2.0"), ("10.250.0.1", "looper/1.0")
SINCE = datetime(2026, 11, 22, 13, 34, 54, tzinfo=timezone.utc)
CHANGED = datetime(2026, 11, 22, 13, 33, 52, tzinfo=timezone.utc)


def tally_of(block, since=SINCE, changed_at=None):
    tally = RejectionTally(server="master-0", window=Window(since=since, changed_at=changed_at))
    tally.take(block)
    return tally


def recorded_line(text):
    return next(line for line in RECORDED.splitlines() if text.encode() in line)


def refusals(*seconds, agent="agent/1.4", since=SINCE, **more):
    """Events like the recorded one of a client, so many seconds after a moment."""
    found = b""
    for second in seconds:
        event = json.loads(recorded_line(f'"{agent}"'))
        moment = (since + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found += json.dumps({**event, "stageTimestamp": moment, **more}, separators=(",", ":")).encode() + b"\n"
    return found


def test_the_recorded_refusals_are_counted_by_client():
    counts = {client: found.count for client, found in tally_of(RECORDED).clients.items()}
    manager = "kube-controller-manager/v1.34.4 (linux/amd64) kubernetes/$Format/system:serviceaccount:kube-system:"
    assert counts == {
        AGENT: 2,
        NODE_AGENT: 2,
        ("10.250.0.1", f"{manager}resourcequota-controller"): 1,
        ("10.250.0.1", f"{manager}generic-garbage-collector"): 1,
        ("10.250.0.1", 'we"ird {{ 7 * 7 }}  '): 1,  # the last character was one that turns the direction of text
    }


def test_what_was_refused_is_shown_without_its_query():
    found = tally_of(RECORDED).clients[AGENT]
    last = [line for line in RECORDED.splitlines() if b'"agent/1.4"' in line][-1]
    assert found.example == {
        "verb": "get",
        "path": "/api/v1/namespaces/shop/configmaps/settings",
        "server": "master-0",
        "audit_id": json.loads(last)["auditID"],
    }
    assert b"access_token=SECRET" in recorded_line("agent/1.4")
    assert (found.first < found.last, found.minutes) == (True, 0b1000)


def test_who_was_let_in_was_not_refused():
    """A 401 behind a proxied request is that of a pod, not of the API server."""
    assert b'"code":401' in recorded_line("/proxy/x")
    assert not any(agent.startswith("curl") for _ip, agent in tally_of(RECORDED).clients)


def test_an_address_in_a_header_is_not_believed():
    assert b'"sourceIPs":["192.0.2.4","10.250.0.1"]' in recorded_line("ird")
    assert not any(ip == "192.0.2.4" for ip, _agent in tally_of(RECORDED).clients)


@pytest.mark.parametrize(
    ("name", "second", "counted", "before"),
    [
        ("an hour before the change", -62 - 3599, 0, True),
        ("longer before", -62 - 3601, 0, None),
        ("just before the change", -63, 0, True),
        ("while the API servers switched", -30, 0, None),
        ("at the end of the rollout", 0, 1, False),
    ],
)
def test_what_counts(name, second, counted, before):
    clients = tally_of(refusals(second), changed_at=CHANGED).clients
    assert {c: (r.count, r.refused_before) for c, r in clients.items()} == (
        {} if before is None else {AGENT: (counted, before)}
    )


def test_invented_names_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(rejections, "MAX_CLIENTS", 3)
    block = b"".join(refusals(n, userAgent=f"a{n}" * 1000) for n in range(10))
    clients = tally_of(block).clients
    assert len(clients) == 4
    assert clients[OTHERS].count == 7
    assert all(len(agent) <= MAX_TEXT + 3 for _ip, agent in clients)


def test_damaged_lines_are_passed_over():
    whole = refusals(5)
    damaged = [whole[:-100] + b"\n", whole.replace(b"T13:", b"T99:"), whole.replace(b'"stageTimestamp"', b'"x"')]
    odd = refusals(6, user=None, sourceIPs=None, userAgent=None, requestURI=None)
    assert tally_of(b"".join(damaged) + odd).clients[("", "")].count == 1


REQUEST = {"since": None, "issuer": None, "max_bytes": 1, "loop_minutes": 10, "loop_pause": 90}


def loop(minutes, until, **more):
    return is_loop(sorted(minutes), until, rejection_request({**REQUEST, **more}))


@pytest.mark.parametrize(
    ("name", "minutes", "until", "expected"),
    [
        ("every minute to the end", range(60), 60, True),
        ("ten minutes are enough", range(50, 60), 60, True),
        ("nine are not", range(51, 60), 60, False),
        ("it ended a quarter of an hour ago", range(45), 60, False),
        ("it was silent for ten minutes", range(50), 59, True),
        ("a crash loop", range(0, 1440, 5), 1440, True),
        ("a crash loop that ended half an hour ago", range(0, 1410, 5), 1440, False),
        ("a controller's queue", range(0, 1440, 17), 1445, True),
        ("a job every hour", range(10, 1440, 60), 1440, True),
        ("a job every hour that has failed nine times", range(10, 540, 60), 540, False),
        ("a job every hour that has not failed for two", range(10, 1300, 60), 1440, False),
        ("a job every two hours", range(10, 2880, 120), 2880, False),
        ("a loop that began late", [0, 1, *range(1400, 1440)], 1440, True),
        ("the rollout's own, and one just now", [*range(12), 1439], 1440, False),
        ("somebody with an expired login, twice", [600, 601, 604, 1430, 1431], 1440, False),
        ("never", [], 1440, False),
    ],
)
def test_what_a_loop_is(name, minutes, until, expected):
    assert loop(minutes, until) is expected


def test_a_loop_may_be_defined_otherwise():
    assert loop([58, 59], 60, loop_minutes=2)
    assert loop(range(0, 2880, 120), 2880, loop_pause=180)
    assert not loop(range(0, 1440, 17), 1440, loop_pause=15)


def moments(**more):
    return LogRange(**{"begins": SINCE, "ends": SINCE + timedelta(hours=3), "bytes_read": 5, "is_cut": False, **more})


def log_of(name="master-0", clients=None, **more):
    return ServerLog(name=name, found=moments(**more), clients=clients or {})


def judge(*logs, hours=3, addresses=None, profile="Default"):
    return judge_rejections(
        logs,
        addresses or {},
        since=SINCE,
        until=SINCE + timedelta(hours=hours),
        profile=profile,
        request=rejection_request(REQUEST),
    )


#: Every half minute of the three hours, or of a part of them.
HOURS = range(0, 10800, 30)
ADDRESSES = {
    "10.244.4.8": Address(node="worker-1", namespace="shop", pod="web-1", started=SINCE),
    "10.250.0.14": Address(node="worker-1"),
}
NO_LOOP = "Nothing is refused with 401 in a loop since 2026-11-22T13:34:54Z, by the audit logs of master-0."


def test_nothing():
    verdict = judge(log_of(clients=tally_of(RECORDED).clients), addresses=ADDRESSES)
    assert (verdict.in_loop, verdict.problems, verdict.message) == (False, [], NO_LOOP)
    assert [c["count"] for c in verdict.clients] == [2, 2, 1, 1, 1]
    assert not any(c["in_loop"] for c in verdict.clients)


def test_a_pod_a_node_and_a_stranger_are_named():
    agents = ("agent/1.4", "node-agent/2.0", "looper/1.0")
    clients = tally_of(b"".join(refusals(*HOURS, agent=a) for a in agents)).clients
    verdict = judge(log_of(clients=clients), addresses=ADDRESSES)
    assert verdict.in_loop is True
    assert verdict.message == (
        "Refused with 401 in a loop since 2026-11-22T13:34:54Z: "
        "pod shop/web-1 (10.244.4.8, agent/1.4) 360 times until 2026-11-22T16:34:24Z, last for get "
        "/api/v1/namespaces/shop/configmaps/settings, "
        "looper/1.0 from 10.250.0.1 360 times until 2026-11-22T16:34:24Z, last for get /version, "
        "node-agent/2.0 from the network of node worker-1 (10.250.0.14) 360 times until 2026-11-22T16:34:24Z, last for get "
        "/api/v1/namespaces/shop/configmaps/settings."
    )
    pod = next(c for c in verdict.clients if c["pod"])
    assert pod == {
        "source_ip": "10.244.4.8",
        "user_agent": "agent/1.4",
        "pod": {"namespace": "shop", "name": "web-1"},
        "node": "worker-1",
        "count": 360,
        "first": "2026-11-22T13:34:54Z",
        "last": "2026-11-22T16:34:24Z",
        "in_loop": True,
        "refused_before": False,
        "example": pod["example"],
    }


def test_a_client_of_several_servers_is_one():
    """Each server sees a third of the loop, too little for a loop of its own."""
    parts = [tally_of(refusals(*range(10000 + 60 * n, 10800, 180))).clients for n in range(3)]
    assert all(judge(log_of(clients=part)).in_loop is False for part in parts)
    verdict = judge(*(log_of(f"master-{n}", part) for n, part in enumerate(parts)))
    assert verdict.in_loop is True
    assert (verdict.clients[0]["count"], verdict.clients[0]["first"]) == (14, "2026-11-22T16:21:34Z")


def test_a_pod_that_has_the_address_now_is_not_blamed_for_the_one_before():
    late = {"10.244.4.8": Address(node="worker-1", namespace="shop", pod="new", started=SINCE + timedelta(hours=3))}
    verdict = judge(log_of(clients=tally_of(refusals(*HOURS)).clients), addresses=late)
    assert (verdict.clients[0]["pod"], verdict.clients[0]["node"]) == (None, None)
    assert "agent/1.4 from 10.244.4.8 360 times" in verdict.message


def test_who_failed_before_the_change_is_named_and_no_failure():
    block = refusals(-3000) + refusals(*HOURS)
    verdict = judge(log_of(clients=tally_of(block, changed_at=CHANGED).clients))
    assert verdict.in_loop is False
    assert verdict.message == (
        "Refused with 401 in a loop as before the change: agent/1.4 from 10.244.4.8 360 times until 2026-11-22T16:34:24Z, "
        "last for get /api/v1/namespaces/shop/configmaps/settings. Nothing else is refused with 401 in a loop since "
        "2026-11-22T13:34:54Z, by the audit logs of master-0."
    )
    both = judge(log_of(clients=tally_of(block + refusals(*HOURS, agent="looper/1.0"), changed_at=CHANGED).clients))
    assert both.in_loop is True


UNKNOWN = "Whether anything is refused with 401 in a loop since 2026-11-22T13:34:54Z is unknown, because "


@pytest.mark.parametrize(
    ("log", "more", "problem"),
    [
        (
            log_of(begins=SINCE + timedelta(hours=1)),
            {},
            "the audit log of master-0 reaches back to 2026-11-22T14:34:54Z only",
        ),
        (
            log_of(begins=SINCE + timedelta(hours=1), is_cut=True),
            {},
            "max_bytes allows to read the audit log of master-0 from 2026-11-22T14:34:54Z on only",
        ),
        (log_of(begins=None, ends=None), {}, "the audit log of master-0 holds no event since 2026-11-22T13:34:54Z"),
        (
            log_of(ends=SINCE + timedelta(hours=2)),
            {},
            "the last event in the audit log of master-0 is of 2026-11-22T15:34:54Z",
        ),
        (ServerLog(name="master-0", problem="it may not be read"), {}, "it may not be read"),
        (
            log_of(),
            {"profile": "None"},
            "the audit profile of apiservers.config.openshift.io/cluster is None, which logs no refused request",
        ),
        (
            log_of(ends=SINCE + timedelta(minutes=9)),
            {"hours": 0.15},
            "a loop shows after 10 minutes, and it is 2026-11-22T13:43:54Z now",
        ),
    ],
)
def test_what_is_not_known_is_not_nothing(log, more, problem):
    verdict = judge(log, **more)
    assert (verdict.in_loop, verdict.problems) == (None, [problem])
    assert verdict.message == f"{UNKNOWN}{problem}."
    two = judge(log, log_of("master-1"), **more)
    assert two.in_loop is None


def test_a_loop_is_one_whatever_else_is_unknown():
    seen = log_of(clients=tally_of(refusals(*HOURS)).clients)
    verdict = judge(seen, ServerLog(name="master-1", problem="it may not be read"))
    assert verdict.in_loop is True
    assert verdict.message.endswith(
        "Whether anything else is refused with 401 in a loop since 2026-11-22T13:34:54Z is "
        "unknown, because it may not be read."
    )


def test_no_more_than_some_are_named():
    clients = tally_of(b"".join(refusals(*HOURS, userAgent=f"a{n}") for n in range(8))).clients
    assert "a4 from" in (message := judge(log_of(clients=clients)).message)
    assert "a5 from" not in message
    assert message.endswith(", and 3 more.")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("since", "yesterday", "is 'yesterday', which is not a moment in RFC 3339"),
        ("max_bytes", 0, "is 0; give at least 1"),
        ("loop_minutes", 1, "is 1; give at least 2"),
        ("loop_pause", 0, "is 0; give at least 1"),
    ],
)
def test_options_that_cannot_be_meant(option, value, words):
    with pytest.raises(InvalidOption, match=f"^The option {option} {words}"):
        rejection_request({**REQUEST, option: value})


def pod(name, ips, **more):
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": name},
        "spec": {"nodeName": "worker-1", **more.pop("spec", {})},
        "status": {"phase": "Running", "startTime": "2026-11-22T13:34:54Z", "podIPs": [{"ip": i} for i in ips], **more},
    }


def test_who_has_an_address():
    pods = [
        pod("web", ["10.0.0.1", "fd00::1"]),
        pod("done", ["10.0.0.2"], phase="Succeeded"),
        pod("host", ["192.0.2.1"], spec={"hostNetwork": True}),
        pod("new", []),
    ]
    nodes = [{"metadata": {"name": "worker-1"}, "status": {"addresses": [{"address": "192.0.2.1"}]}}]
    web = Address(node="worker-1", namespace="shop", pod="web", started=SINCE)
    assert addresses_of(pods, nodes) == {"10.0.0.1": web, "fd00::1": web, "192.0.2.1": Address(node="worker-1")}
    assert addresses_of(pods, []) == {"10.0.0.1": web, "fd00::1": web}
