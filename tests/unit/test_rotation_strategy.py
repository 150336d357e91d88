# SPDX-License-Identifier: GPL-3.0-or-later
"""Which strategy a rotation takes: the user's, the one of the run's record, or the default."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[2] / "roles/rotation"
PODS, WAIT = {"name": "pods", "namespaces": []}, {"name": "wait", "namespaces": []}
MIXTURE = [{"namespaces": ["team-*"], "strategy": "workloads"}]
MIXED = {"name": "wait", "namespaces": MIXTURE}

CASES = [
    ("nothing said", {}, None, PODS, ""),
    ("given", {"rotation_strategy": "wait"}, None, WAIT, ""),
    ("recorded", {}, MIXED, MIXED, "Strategy: wait and others by namespace, as the run r1 has it"),
    ("an earlier version wrote the record", {}, {}, PODS, ""),
    (
        "an empty mixture is none",
        {"rotation_namespace_strategies": []},
        WAIT,
        WAIT,
        "Strategy: wait, as the run r1 has it",
    ),
    ("both the same", {"rotation_strategy": "wait"}, WAIT, WAIT, ""),
    (
        "another",
        {"rotation_strategy": "pods"},
        WAIT,
        PODS,
        "Strategy: pods; the run r1 went on otherwise until now, with wait",
    ),
    (
        "no mixture any more",
        {"rotation_strategy": "wait"},
        MIXED,
        WAIT,
        "Strategy: wait; the run r1 went on otherwise until now, with wait and others by namespace",
    ),
    (
        "only a mixture",
        {"rotation_namespace_strategies": MIXTURE},
        WAIT,
        {"name": "pods", "namespaces": MIXTURE},
        "Strategy: pods and others by namespace; the run r1 went on otherwise until now, with wait",
    ),
]


def choose(given, run, **more):
    loader = DataLoader()
    own = loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True)
    known = {"rotation_issuer": "https://new", "__rotation_shown": {"run": run}, **given, **more}
    templar = Templar(loader=loader, variables={**own, **known})
    return [templar.template(own[name]) for name in ("__rotation_choice", "__rotation_strategy_note")]


@pytest.mark.parametrize(("name", "given", "recorded", "choice", "note"), CASES, ids=[c[0] for c in CASES])
def test_which_strategy_counts(name, given, recorded, choice, note):
    run = None if recorded is None else {"run_id": "r1", "issuer": "https://new", "strategy": recorded}
    assert choose(given, run) == [choice, note]


def test_the_record_of_a_run_to_another_issuer_does_not_count():
    assert choose({}, {"run_id": "r1", "issuer": "https://old", "strategy": WAIT}) == [PODS, ""]


@pytest.mark.parametrize(
    ("reason", "choice"), [("SameRun", WAIT), ("TakenOver", WAIT), ("Finished", PODS), ("NothingDone", PODS)]
)
def test_only_a_run_that_goes_on_has_the_recorded_strategy(reason, choice):
    run = {"run_id": "r1", "issuer": "https://new", "strategy": WAIT}
    assert choose({}, run, __rotation_run={"reason": reason})[0] == choice


def find_blocking(strategy, **results):
    """What plan.yml takes as a reason to leave the issuer as it is."""
    loader = DataLoader()
    tasks = loader.load_from_file(str(ROLE / "tasks/plan.yml"), trusted_as_template=True)
    text = next(t["vars"]["__rotation_blocking"] for t in tasks if "__rotation_blocking" in t.get("vars", {}))
    return Templar(loader=loader, variables={"__rotation_strategy": strategy, **results}).template(text)


FINDINGS = {
    "findings": [
        {"check": check, "message": check, "blocking": is_blocking}
        for check, is_blocking in (("Gates", True), ("Quiet", True), ("LocalData", True), ("Budget", False))
    ]
}


@pytest.mark.parametrize(
    ("strategy", "results", "blocking"),
    [
        # what keeps nodes from being begun now may be over when their turn comes
        ("nodes", {"node_restart_result": FINDINGS}, ["Gates", "LocalData"]),
        ("kubelets", {"kubelet_restart_result": FINDINGS}, ["Gates", "Quiet", "LocalData"]),
        ("kubelets", {}, []),
    ],
)
def test_what_would_be_refused_after_the_change_is_refused_before_it(strategy, results, blocking):
    assert find_blocking(strategy, **results) == blocking
