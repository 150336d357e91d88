# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation refuses, waits for, and holds its result against."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[2] / "roles/rotation"
WATCH, AUDIT = "Wait for programs that have not read", "See who still holds a token of the former issuer"
REFUSE = "Refuse to have issuers distrusted whose tokens somebody still holds"
MIXTURE = [{"namespaces": ["a"], "strategy": "wait"}]

STRICT = {"check": "BudgetNeverAllows", "message": "web: never.", "blocking": True}
SINGLE = {"check": "SingleReplica", "message": "web: down.", "blocking": False}

HOLD = "Hold the audit against what the run was to finish"
LEFT, OLD, GOING = (
    {"namespace": "a", "name": n, "uid": n, "reason": r} for n, r in (("l", "x"), ("o", "x"), ("g", "Terminating"))
)


def load(file):
    return DataLoader().load_from_file(str(ROLE / file), trusted_as_template=True)


def find_task(file, name):
    return next((number, t) for number, t in enumerate(load(f"tasks/{file}")) if t["name"].startswith(name))


def holds(conditions, **known):
    """Tell whether all conditions of a task hold; ``known`` are variables beside the role's own."""
    templar = Templar(
        loader=DataLoader(), variables={**load("vars/main.yml"), "rotation_issuer": "https://new", **known}
    )
    return all(templar.evaluate_conditional(c) for c in conditions)


@pytest.mark.parametrize(
    ("pods", "is_changed", "option", "is_asked", "goes"),
    [
        ({"findings": [STRICT]}, True, "refuse", True, False),
        ({"findings": [SINGLE]}, True, "refuse", True, True),
        ({"findings": [STRICT]}, True, "warn", False, True),
        # after the change, renewing the rest is what helps
        ({"findings": [STRICT]}, False, "refuse", False, True),
        (None, True, "refuse", True, True),
    ],
)
def test_the_issuer_is_not_changed_where_the_renewal_would_stand_still(pods, is_changed, option, is_asked, goes):
    task = find_task("plan.yml", "Refuse what the renewal would stand still at")[1]
    known = {**task["vars"], "rotation_blocked_pods": option, "ansible_check_mode": False}
    known |= {"__rotation_issuer_plan": {"changed": is_changed}, **({"__rotation_pods": pods} if pods else {})}
    assert holds(task["when"], **known) is is_asked
    assert not is_asked or holds([task["ansible.builtin.assert"]["that"]], **known) is goes


@pytest.mark.parametrize(
    ("chosen", "verify", "cached", "waits"),
    [
        ({"rotation_strategy": "wait"}, ["use"], 2, True),
        ({"rotation_strategy": "kubelets"}, ["spec", "files", "use"], 1, True),
        ({"rotation_namespace_strategies": MIXTURE}, ["use"], 1, True),
        ({"rotation_strategy": "wait"}, ["files"], 1, False),
        # as when it is run again after all tokens from before have expired
        ({"rotation_strategy": "wait"}, ["use"], 0, False),
        ({"rotation_strategy": "pods"}, ["use"], None, False),
        ({}, ["use"], None, False),
    ],
)
def test_programs_that_are_trusted_to_read_again_are_watched_before_the_audit(chosen, verify, cached, waits):
    place, watch = find_task("prove.yml", WATCH)
    assert place < find_task("prove.yml", AUDIT)[0]
    files = {"skipped": True} if cached is None else {"token_holders": {"may_be_cached": cached}}
    assert holds(watch["when"], rotation_audit_verify=verify, __rotation_files=files, **chosen) is waits


@pytest.mark.parametrize(
    ("planned", "estimated", "chosen", "needed"),
    [
        ([10], 40, {}, 100),
        ([10], 400, {}, 400),
        ([100] * 100, 900, {"pod_restart_max_namespaces": 20}, 5000),
        ([10] * 1000, 900, {"pod_restart_max_namespaces": 1000}, 900),
        # more than are there do not help, nor does the room of others in the largest
        ([10] * 10, 0, {"pod_restart_max_namespaces": 1000}, 100),
        ([3000, 1, 1], 0, {"pod_restart_max_namespaces": 20}, 30_000),
        ([100] * 100, 900, {"pod_restart_max_namespaces": 50, "pod_restart_max_pods": 1}, 100_000),
        ([], None, {}, 0),
        ([10], 40, {"rotation_strategy": "nodes", "node_restart_result": {"estimate_seconds": 7}}, 7),
    ],
)
def test_what_overlaps_is_done_in_less_time(planned, estimated, chosen, needed):
    task = find_task("window.yml", "Compare it with the estimate")[1]
    pods = {"namespaces": [{"planned": n} for n in planned], "summary": {"estimated_seconds": estimated}}
    known = {
        **load("vars/main.yml"),
        **load("defaults/main.yml"),
        **task["vars"],
        "rotation_strategy": "pods",
        **chosen,
    }
    templar = Templar(loader=DataLoader(), variables={**known, "__rotation_pods": pods, "__rotation_is_before": False})
    assert int(templar.template(task["ansible.builtin.set_fact"]["__rotation_window"]["needed"])) == needed


@pytest.mark.parametrize(
    ("strategy", "may_go", "cached", "goes"),
    [
        ("wait", True, 0, True),
        # nobody has watched for long enough
        ("wait", True, 3, False),
        ("wait", False, 0, False),
        ("pods", True, 0, True),
        # as with pods whose files have been rewritten since, or that the plan leaves alone
        ("pods", True, 3, False),
        ("pods", False, 0, False),
    ],
)
def test_no_issuer_is_revoked_while_a_program_may_keep_its_token_unwatched(strategy, may_go, cached, goes):
    audit = {"token_holders": {"may_go": may_go, "may_be_cached": cached}}
    refusal = find_task("prove.yml", REFUSE)[1]["ansible.builtin.assert"]["that"]
    assert holds(refusal, rotation_strategy=strategy, __rotation_audit=audit) is goes


@pytest.mark.parametrize(
    ("pods", "gaps", "may_go", "why"),
    [
        ([], [], True, ""),
        ([LEFT, GOING], [], False, ""),
        ([LEFT, OLD], [], False, "1 pods still hold a token of the former issuer or may do so, such as a/o"),
        # no node could be read, or the logs do not reach back
        ([LEFT], ["a log is short"], False, "the audit could not look at all that it was to look at"),
        ([], ["a log is short"], False, "the audit could not look at all that it was to look at"),
        # no former issuer is trusted any more
        ([], ["a log is short"], True, ""),
        # tokens that are no pod's, or on the user's list, are no matter of the run
        ([], [], False, ""),
    ],
)
@pytest.mark.parametrize("trusting", [[], ["wait"]])
def test_a_run_is_not_complete_while_the_audit_is_not(pods, gaps, may_go, why, trusting):
    audit = {"pods": pods, "gaps": gaps, "may_go": may_go, "explanation": "Not yet."}
    result = {"audit": audit, "pods": [{"uid": "l", "outcome": "left"}]}
    task = find_task("report.yml", HOLD)[1]
    known = {**task["vars"], "rotation_result": result, "__rotation_trusting": trusting}
    given = task["ansible.builtin.assert"]
    assert holds(given["that"], **known) is (not why)
    if why:
        templar = Templar(loader=DataLoader(), variables={"rotation_issuer": "https://new", **known})
        is_held = trusting and why.startswith("1 pods")  # what could not be looked at is no matter of the strategy
        way = " with rotation_strategy: pods, which renews what programs keep" if is_held else ""
        told = f"The rotation to https://new is not complete, because {why}; run it again{way}. Not yet."
        assert templar.template(given["fail_msg"]) == told
