# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's sequence equals the recording's.

The machine, with a clock that jumps and played kubelets, against what was recorded of the real operator.
"""

from __future__ import annotations

import functools
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from played import Played

RECORDING = Path(__file__).resolve().parents[2] / "recordings" / "operator-recording.jsonl"
EDITED = "https://issuer-z.example.test"

State = dict[str, Any]


def state(
    issuers: list[dict[str, Any]] | None,
    observed: dict[str, Any],
    latest: int | None,
    nodes: list[dict[str, Any]] | None,
    conditions: dict[str, Any],
    progressing: list[str | None] | None,
) -> State:
    """What people can tell apart: an empty reason and an absent one, zero and absent, are the same."""

    def said(kind: str) -> tuple[str, ...] | None:
        found = conditions.get(kind)
        return found and tuple(found.get(key) or "" for key in ("status", "reason", "message"))

    return {
        "issuers": [(entry["name"], bool(entry.get("expirationTime"))) for entry in issuers or []],
        "observed": tuple(
            tuple(observed.get(name) or ())
            for name in ("service-account-issuer", "api-audiences", "service-account-jwks-uri")
        ),
        "latest": latest or 0,
        "nodes": [(n["nodeName"], n.get("currentRevision") or 0, n.get("targetRevision") or 0) for n in nodes or []],
        "NodeInstallerProgressing": said("NodeInstallerProgressing"),
        "NodeInstallerDegraded": said("NodeInstallerDegraded"),
        "StaticPodsAvailable": said("StaticPodsAvailable"),
        "ClusterOperator": progressing and tuple(word or "" for word in progressing),
    }


def distinct(states: list[tuple[float, State]]) -> list[tuple[float, State]]:
    """Without repetitions, each with the moment it began."""
    result: list[tuple[float, State]] = []
    for moment, current in states:
        if not result or result[-1][1] != current:
            result.append((moment, current))
    return result


def recorded() -> list[tuple[float, State]]:
    """The recording as moments and states."""
    found: list[tuple[float, State]] = []
    operator: dict[str, Any] = {}
    progressing = None
    for line in RECORDING.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry.get("kind") == "ClusterOperator":
            progressing = entry["Progressing"]
        elif "kind" not in entry:
            operator = entry
        else:
            continue
        observed = {
            "service-account-issuer": operator["observedIssuers"],
            "api-audiences": operator["observedAudiences"],
            "service-account-jwks-uri": operator["observedJwks"],
        }
        issuers, latest = operator["serviceAccountIssuers"], operator["latestAvailableRevision"]
        now = state(issuers, observed, latest, operator["nodeStatuses"], operator, progressing)
        found.append((datetime.fromisoformat(entry["t"]).timestamp(), now))
    return distinct(found)


@functools.cache
def played(seed: int) -> list[tuple[float, State]]:
    """What the machine shows from nothing to revision 1 on all nodes, and until the first node is sent to revision 2."""
    cluster = Played(seed=seed)
    assert cluster.run(600, cluster.done) < 600
    cluster.run(0.4)  # the ClusterOperator's last word
    cluster.issuer = EDITED
    assert cluster.run(120, lambda: ">2" in cluster.revisions()) < 120
    cluster.run(0.4)
    found = []
    for moment, operator in cluster.states:
        status = operator.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        observed = operator["spec"].get("observedConfig", {}).get("apiServerArguments", {})
        said = (operator["clusterOperator"] or {}).get("status", {}).get("conditions", [])
        progressing = next(([c["status"], c["reason"], c["message"]] for c in said if c["type"] == "Progressing"), None)
        now = state(
            status.get("serviceAccountIssuers"),
            observed,
            status.get("latestAvailableRevision"),
            status.get("nodeStatuses"),
            conditions,
            progressing,
        )
        found.append((moment, now))
    return distinct(found)


def without(part: str, states: list[tuple[float, State]]) -> list[State]:
    return [now for _unused, now in distinct([(m, {k: v for k, v in s.items() if k != part}) for m, s in states])]


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_operator_states_equal_the_recording(seed: int) -> None:
    """Every state of kubeapiservers/cluster, in order: none is missing and none is invented."""
    real, ours = without("ClusterOperator", recorded()), without("ClusterOperator", played(seed))
    assert len(real) > 10
    # the recording's first entry is the object before the operator's first word
    assert ours == [now for now in real if now["NodeInstallerProgressing"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_cluster_operator_equals_the_recording(seed: int) -> None:
    """What the ClusterOperator says of progress, in order."""

    def words(states: list[tuple[float, State]]) -> list[Any]:
        said = distinct([(m, s["ClusterOperator"]) for m, s in states if s["ClusterOperator"]])
        return [word for _unused, word in said]

    assert words(played(seed)) == words(recorded())


def test_recording_events_occur_in_the_same_order() -> None:
    """The events of issuer, revision and installer from the edit on, word by word but for the times."""
    kinds = {"ServiceAccountIssuer", "ObserveServiceAccountIssuer", "StartingNewRevision", "RevisionTriggered"}
    kinds |= {"NodeTargetRevisionChanged", "NodeCurrentRevisionChanged"}

    def bare(component: str, reason: str, message: str) -> tuple[str, str, str]:
        return component, reason, message.partition(" is trusted until ")[0]

    entries = [json.loads(line) for line in RECORDING.read_text(encoding="utf-8").splitlines()]
    real = [bare(e["from"], e["reason"], e["message"]) for e in entries if e.get("reason") in kinds]
    cluster = Played(seed=3)
    cluster.run(600, cluster.done)
    cluster.issuer = EDITED
    cluster.run(120, lambda: ">2" in cluster.revisions())
    ours = [
        bare(f"kube-apiserver-operator-{event.component}", event.reason, event.message)
        for _unused, event in cluster.events
        if event.reason in kinds
    ]
    assert ours == real


@pytest.mark.parametrize("seed", SEEDS)
def test_delays_after_the_edit_are_as_recorded(seed: int) -> None:
    """22 to 32 s to the new revision and 29 to 47 s of the stale False, as in the real operator's eight recorded edits."""
    states = played(seed)
    edit = next(m for m, s in states if s["issuers"] and s["issuers"][0][0] == EDITED)
    revision = next(m for m, s in states if s["latest"] == 2)
    true = next(m for m, s in states if s["latest"] == 2 and s["NodeInstallerProgressing"][0] == "True")
    stale = [s for m, s in states if edit <= m < true]
    assert 22 <= revision - edit <= 32.5
    assert 29 <= true - edit <= 47
    assert {s["NodeInstallerProgressing"] for s in stale} == {
        ("False", "AllNodesAtLatestRevision", "3 nodes are at revision 1")
    }
