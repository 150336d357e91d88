# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.bound_tokens.openshift.plugins.module_utils._errors import CollectionError, InvalidOption
from ansible_collections.bound_tokens.openshift.plugins.module_utils._model import parse_time
from ansible_collections.bound_tokens.openshift.plugins.module_utils._plan.run_record import (
    NamespaceRecord,
    RunRecord,
    SwitchRecord,
    absorb_issuer,
    absorb_rollout,
    advance,
    dump_record,
    judge_record,
    merge_namespaces,
    overlay_rollout,
    parse_record,
    require_run,
    touch,
    validate_run_id,
)

A, B, C = (f"https://{letter}.example.com" for letter in "abc")
NOW = parse_time("2026-11-22T10:00:00Z")
RECORD = RunRecord(
    run_id="r1",
    issuer=B,
    former_issuer=A,
    phase="renewal",
    started_at="2026-11-22T07:55:00Z",
    updated_at="2026-11-22T08:00:00Z",
    holder="me@here",
    finished_at="2026-11-22T07:59:00Z",
    nodes={"master-0": SwitchRecord(not_before="2026-11-22T07:56:10Z", not_after="2026-11-22T07:56:48Z")},
    namespaces={"web": NamespaceRecord(tier="user namespaces", planned=5, renewed=2, seconds=3.5)},
)
EARLY = RunRecord(run_id="r1", issuer=B, former_issuer=A, phase="issuer")
DONE = replace(RECORD, phase="done")

CASES = [
    ("no record", None, {}, "begin NoRecord"),
    ("interrupted", RECORD, {}, "continue SameRun"),
    ("interrupted before the edit", RECORD, {"current": A}, "continue SameRun"),
    ("interrupted, by name", RECORD, {"run_id": "r1"}, "continue SameRun"),
    ("interrupted, another name", RECORD, {"run_id": "r2"}, "refuse OtherRun"),
    ("interrupted, another name, taken over", RECORD, {"run_id": "r2", "take_over": True}, "continue TakenOver"),
    ("to another issuer", RECORD, {"wanted": C}, "refuse OtherRun"),
    ("to another issuer under the same name", RECORD, {"wanted": C, "run_id": "r1"}, "refuse OtherRun"),
    ("to another issuer, taken over", RECORD, {"wanted": C, "take_over": True}, "begin TakenOver"),
    ("to another issuer, after one that did nothing", EARLY, {"wanted": C, "current": A}, "begin NothingDone"),
    ("to another issuer, after one that did its edit", EARLY, {"wanted": C, "current": B}, "refuse OtherRun"),
    ("to another issuer, after somebody else's edit", EARLY, {"wanted": C, "current": C}, "refuse OtherRun"),
    ("after a renewal and a change back by hand", RECORD, {"wanted": C, "current": A}, "refuse OtherRun"),
    ("finished", DONE, {}, "continue SameRun"),
    ("finished, the next one", DONE, {"wanted": C}, "begin Finished"),
    ("finished, and changed back by hand", DONE, {"current": A}, "begin Finished"),
    ("finished, another name", DONE, {"run_id": "r2"}, "begin Finished"),
]


def judge(record, *, wanted=B, current=B, run_id=None, take_over=False):
    return judge_record(record, wanted=wanted, current=current, run_id=run_id, take_over=take_over, now=NOW)


@pytest.mark.parametrize(("name", "record", "asked", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_what_a_run_does_about_the_record(name, record, asked, wanted):
    verdict = judge(record, **asked)
    assert f"{verdict.action} {verdict.reason}" == wanted


def test_a_refusal_names_the_other_run_and_the_ways_out():
    assert judge(RECORD, wanted=C).message == (
        f"No run was begun: the run r1 to the issuer {B} by me@here is not finished (phase renewal, last heard of 2 hours "
        f"ago); run the playbook with the issuer {B} to finish it, or set take_over to true to put this run in its place."
    )
    assert "give run_id r1, or none, to continue it" in judge(RECORD, run_id="r2").message


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-5, "0 seconds"), (90, "90 seconds"), (120, "2 minutes"), (7200, "2 hours"), (200000, "2 days")],
)
def test_an_age_is_told_in_one_unit(seconds, age):
    moment = parse_time("2026-11-22T08:00:00Z")
    assert f"last heard of {age} ago" in RECORD.describe(
        moment.fromtimestamp(moment.timestamp() + seconds, moment.tzinfo)
    )


def test_a_record_is_read_as_it_was_written():
    assert parse_record({"data": dump_record(RECORD)}, "it") == RECORD
    assert parse_record(None, "it") is None
    assert parse_record({}, "it") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2, "new": 1}, "newer version"),
        ({"unknown": 1}, "damaged"),
        ({"phase": "dreaming"}, "damaged"),
        ({"nodes": None}, "damaged"),
        ({"strategy": "pods"}, "damaged"),
        ({"strategy": {"how": "by hand"}}, "damaged"),
        ({"strategy": {"name": "nodes"}}, "damaged"),
        ({"strategy": {"name": "all", "namespaces": []}}, "damaged"),
        ({"strategy": {"name": "pods", "namespaces": [{"namespaces": ["x"], "strategy": "nodes"}]}}, "damaged"),
        ({"namespaces": {"web": {"x": 1}}}, "damaged"),
    ],
)
def test_a_record_that_is_not_understood_is_not_guessed_at(change, words):
    text = json.dumps({**json.loads(dump_record(RECORD)["record.json"]), **change})
    with pytest.raises(CollectionError, match=words):
        parse_record({"data": {"record.json": text}}, "it")
    with pytest.raises(CollectionError, match="damaged"):
        parse_record({"data": {"record.json": text[:-1]}}, "it")


def test_a_phase_never_goes_back():
    assert advance(RECORD, "issuer") == RECORD
    assert advance(RECORD, "verification").phase == "verification"


def test_an_issuer_that_had_to_be_set_again_makes_the_switch_times_void():
    assert absorb_issuer(RECORD, {"previous": B}, changed=False) == RECORD
    again = absorb_issuer(RECORD, {"previous": C}, changed=True)
    assert (again.phase, again.nodes, again.finished_at, again.former_issuer) == ("rollout", {}, None, A)
    first = absorb_issuer(RunRecord(run_id="r", issuer=B), {"previous": A}, changed=True)
    assert (first.phase, first.former_issuer) == ("rollout", A)


def rollout(*, not_before, not_after, finished_at, complete=True, issuer=B):
    names = ("master-0", "master-1")
    nodes = [
        {"name": n, "revision": 4, "switched_not_before": not_before, "switched_not_after": not_after} for n in names
    ]
    return {"complete": complete, "issuer": issuer, "finished_at": finished_at, "nodes": nodes}


def test_what_the_first_run_saw_stays_and_is_shown_to_the_second():
    seen = rollout(not_before=None, not_after="2026-11-22T09:00:00Z", finished_at=None)
    record = absorb_rollout(RECORD, seen)
    assert record.nodes["master-0"] == RECORD.nodes["master-0"]
    assert record.nodes["master-1"] == SwitchRecord(not_after="2026-11-22T09:00:00Z")
    shown = overlay_rollout(record, seen)
    assert shown["finished_at"] == RECORD.finished_at
    assert [n["switched_not_before"] for n in shown["nodes"]] == ["2026-11-22T07:56:10Z", None]
    assert shown["nodes"][0]["revision"] == 4


@pytest.mark.parametrize("other", [{"complete": False}, {"issuer": A}])
def test_a_rollout_that_is_not_over_or_not_this_runs_is_not_kept(other):
    seen = rollout(not_before=None, not_after="x", finished_at="x", **other)
    assert absorb_rollout(RECORD, seen) == RECORD
    assert overlay_rollout(RECORD, seen) == seen


def namespace(name="web", planned=0, renewed=0, seconds=None):
    return {
        "name": name,
        "tier": "user namespaces",
        "planned": planned,
        "renewed": renewed,
        "left": {},
        "seconds": seconds,
    }


NAMESPACES = [
    ("the first run begins", {}, [namespace(planned=5)], (5, 0, 0.0)),
    ("the first run ends", {}, [namespace(planned=5, renewed=5, seconds=9.0)], (5, 5, 9.0)),
    ("killed before it could note what it did", (5, 0, 0.0), [namespace(planned=2)], (5, 3, 0.0)),
    ("killed after it noted more than what is gone by now", (5, 4, 3.0), [namespace(planned=2)], (6, 4, 3.0)),
    ("the second run ends", (5, 0, 3.0), [namespace(planned=2, renewed=2, seconds=1.0)], (5, 5, 4.0)),
    ("all were done by the first run", (5, 4, 3.0), [namespace()], (5, 5, 3.0)),
]


@pytest.mark.parametrize(("name", "earlier", "now", "wanted"), NAMESPACES, ids=[c[0] for c in NAMESPACES])
def test_the_progress_of_all_runs_is_one(name, earlier, now, wanted):
    keys = ("planned", "renewed", "seconds")
    before = (
        {"web": NamespaceRecord(tier="user namespaces", **dict(zip(keys, earlier, strict=True)))} if earlier else {}
    )
    merged = merge_namespaces(before, now)["web"]
    assert (merged.planned, merged.renewed, merged.seconds) == wanted


def test_a_namespace_with_nothing_to_do_is_not_in_the_record():
    assert merge_namespaces({}, [namespace()]) == {}


def test_only_namespaces_that_were_looked_at_are_told_anew():
    earlier = {"web": NamespaceRecord(tier="user namespaces", planned=5, renewed=4)}
    assert set(merge_namespaces(earlier, [namespace("other", 1)])) == {"other"}


def test_a_part_of_another_run_does_not_go_on():
    assert require_run(RECORD, "r1") == RECORD
    for record in (None, replace(RECORD, run_id="r2")):
        with pytest.raises(
            CollectionError, match=r"The run r1 can't go on, since the(re is no record|\ record is of the run r2)"
        ):
            require_run(record, "r1")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a" * 64, "a\n"])
def test_a_run_needs_a_name(name):
    with pytest.raises(InvalidOption):
        validate_run_id(name)


def test_a_run_is_named_and_dated():
    assert validate_run_id("20261122-075532-3fa2b1") == "20261122-075532-3fa2b1"
    fresh = touch(RunRecord(run_id="r", issuer=B), NOW, "me@here")
    assert (fresh.started_at, fresh.updated_at, fresh.holder) == ("2026-11-22T10:00:00Z",) * 2 + ("me@here",)
    assert touch(RECORD, NOW, "x").started_at == RECORD.started_at
