# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded scenarios beyond one edit, on the played cluster."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from lab.operator import manifests
from lab.operator.issuers import DEFAULT_ISSUER
from lab.operator.pace import Pace
from played import TEMPLATE, URL, Played

A, B, C = "https://a.test", "https://b.test", "https://c.test"


@pytest.fixture
def cluster() -> Played:
    played = Played(running=1, seed=5)
    played.run(60, played.done)
    played.run(15)
    return played


def flags(played: Played, revision: int, name: str = "service-account-issuer") -> list[str]:
    pod = json.loads(played.config_maps[f"kube-apiserver-pod-{revision}"]["data"]["pod.yaml"])
    command = pod["spec"]["containers"][0]["command"]
    return [flag.partition("=")[2] for flag in command if flag.startswith(f"--{name}=")]


def test_adoption_rolls_nothing(cluster: Played) -> None:
    assert cluster.revisions() == "0:1 1:1 2:1"
    assert cluster.issuers() == [DEFAULT_ISSUER]
    assert not [name for name in cluster.pods if name.startswith("installer")]
    assert cluster.config_maps["revision-status-1"]["metadata"]["annotations"] == {manifests.READY: "true"}
    assert flags(cluster, 1) == [DEFAULT_ISSUER]
    assert flags(cluster, 1, "service-account-jwks-uri") == [f"{URL}/openid/v1/jwks"]
    assert cluster.condition("NodeInstallerProgressing")["message"] == "3 nodes are at revision 1"
    before = len(cluster.states), len(cluster.events)
    cluster.run(100)
    assert (len(cluster.states), len(cluster.events)) == before


def test_one_change(cluster: Played) -> None:
    cluster.issuer = A
    took = cluster.run(400, cluster.done)
    assert 150 < took < 300
    assert cluster.revisions() == "0:2 1:2 2:2"
    assert flags(cluster, 2) == flags(cluster, 2, "api-audiences") == [A, DEFAULT_ISSUER]
    pod = json.loads(cluster.config_maps["kube-apiserver-pod-2"]["data"]["pod.yaml"])
    assert pod["metadata"]["labels"]["revision"] == "2"
    assert "--v=1" in pod["spec"]["containers"][0]["command"]


def test_an_edit_on_top_of_a_rollout(cluster: Played) -> None:
    """As recorded: the condition stays True throughout, and nodes may skip a revision."""
    cluster.issuer = A
    cluster.run(400, lambda: cluster.revisions() == "0:2 1:1 2:1")
    edited = cluster.now
    cluster.issuer = B
    cluster.run(600, cluster.done)
    assert cluster.issuers() == [B, A, DEFAULT_ISSUER]
    assert cluster.revisions() == "0:3 1:3 2:3"
    messages = []
    for operator in [operator for moment, operator in cluster.states if moment > edited]:
        found = next(c for c in operator["status"]["conditions"] if c["type"] == "NodeInstallerProgressing")
        if found["message"] not in messages:
            messages.append(found["message"])
            assert (found["status"] == "False") == (found["message"] == "3 nodes are at revision 3")
    assert any("; 0 nodes have achieved new revision 3" in message for message in messages)
    visited = [event.message for _unused, event in cluster.events if event.reason == "NodeTargetRevisionChanged"]
    assert len(visited) >= 4


def test_there_and_back_within_seconds(cluster: Played) -> None:
    """The value in between gets no revision of its own, but is trusted, and everything rolls."""
    cluster.issuer = A
    cluster.run(400, cluster.done)
    cluster.issuer = B
    cluster.run(2)
    cluster.issuer = A
    cluster.run(400, cluster.done)
    assert cluster.run(60, lambda: not cluster.done()) >= 60
    assert cluster.issuers() == [A, B, DEFAULT_ISSUER]
    assert cluster.revisions() == "0:3 1:3 2:3"
    assert flags(cluster, 3) == [A, B, DEFAULT_ISSUER]


def test_reset(cluster: Played) -> None:
    cluster.issuer = A
    cluster.run(400, cluster.done)
    cluster.issuer = ""
    cluster.run(400, cluster.done)
    assert cluster.issuers() == [DEFAULT_ISSUER, A]
    assert flags(cluster, 3, "service-account-jwks-uri") == [f"{URL}/openid/v1/jwks"]


def test_an_unparsable_issuer_hangs_without_a_word_of_progress(cluster: Played) -> None:
    cluster.issuer = "http://x y"
    cluster.run(300)
    assert cluster.issuers() == ["http://x y", DEFAULT_ISSUER]
    assert cluster.revisions() == "0:1 1:1 2:1"
    assert cluster.condition("NodeInstallerProgressing")["status"] == "False"
    found = cluster.condition("ConfigObservationDegraded")
    assert (found["status"], found["reason"]) == ("True", "Error")
    assert cluster.cluster_operator is not None
    degraded = next(c for c in cluster.cluster_operator["status"]["conditions"] if c["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ConfigObservation_Error")


def test_a_bad_former_issuer_poisons_the_next_change_until_it_is_taken_out(cluster: Played) -> None:
    cluster.crashing = lambda manifest: "http://x y" in manifest
    cluster.issuer = "http://x y"
    cluster.run(30)
    cluster.issuer = A
    cluster.run(300)
    assert cluster.revisions() == "0:1>2 1:1 2:1"
    assert cluster.condition("StaticPodsDegraded")["status"] == "True"
    assert cluster.condition("NodeInstallerDegraded")["status"] == "False"
    status = cluster.operator["status"]
    status["serviceAccountIssuers"] = [e for e in status["serviceAccountIssuers"] if e["name"] != "http://x y"]
    cluster.run(400, cluster.done)
    assert cluster.revisions() == "0:3 1:3 2:3"


def test_the_eleventh_issuer_changes_nothing(cluster: Played) -> None:
    for number in range(9):
        cluster.issuer = f"https://n{number}.test"
        cluster.run(1)
    before = cluster.issuers()
    assert len(before) == 10
    cluster.issuer = A
    cluster.run(5)
    assert cluster.issuers() == before
    assert any("unable to configure more than 10" in text for text in cluster.said)


def test_a_failed_installer_is_retried(cluster: Played) -> None:
    cluster.failing = {"installer-2-master-1"}
    cluster.issuer = A
    cluster.run(500, lambda: cluster.condition("NodeInstallerDegraded").get("status") == "True")
    text = "1 nodes are failing on revision 2:\ninstaller: no space left on device"
    assert cluster.condition("NodeInstallerDegraded")["message"] == text
    cluster.run(500, cluster.done)
    assert "installer-2-retry-1-master-1" in cluster.pods
    node = cluster.status["nodeStatuses"][1]
    assert (node["currentRevision"], node["lastFailedRevision"], node["lastFailedCount"]) == (2, 2, 1)
    assert cluster.condition("NodeInstallerDegraded")["status"] == "False"


def test_expired_issuers_are_pruned_and_that_rolls_again() -> None:
    played = Played(running=1, seed=5, trust=timedelta(minutes=10))
    played.run(60, played.done)
    played.issuer = A
    played.run(400, played.done)
    assert played.run(900, lambda: played.issuers() == [A]) < 900
    played.run(400, played.done)
    assert played.revisions() == "0:3 1:3 2:3"
    assert flags(played, 3) == [A]


def test_releases_that_forget_former_issuers() -> None:
    played = Played(running=1, seed=5, forget_former=True)
    played.run(60)
    played.issuer = A
    played.run(400, lambda: played.revisions() == "0:2 1:2 2:2")
    assert "serviceAccountIssuers" not in played.status
    assert flags(played, 2) == [A]


@pytest.mark.parametrize("after", [1, 10, 28, 33, 40, 60, 90, 120])
def test_a_new_process_picks_up_where_the_former_stopped(cluster: Played, after: float) -> None:
    cluster.issuer = A
    cluster.run(after)
    cluster.restart(seed=99)
    cluster.run(500, cluster.done)
    assert cluster.revisions() == "0:2 1:2 2:2"


def test_reaction_delay_is_not_scaled() -> None:
    played = Played(running=1, seed=5, pace=Pace(0.1, (10.0, 20.0)))
    played.run(60, played.done)
    played.issuer = A
    took = played.run(100, lambda: played.issuers()[0] == A)
    assert 10 <= took <= 21
    assert played.run(100, lambda: ">2" in played.revisions()) > 30


def test_old_revisions_are_pruned(cluster: Played) -> None:
    for number in range(8):
        cluster.issuer = f"https://n{number % 3}.test"
        cluster.run(400, cluster.done, tick=0.5)
    marks = sorted(name for name in cluster.config_maps if name.startswith("revision-status-"))
    assert marks == [f"revision-status-{n}" for n in (4, 5, 6, 7, 8, 9)]


def test_template_text_is_kept_but_for_the_decided_flags() -> None:
    config = manifests.config_text({"apiServerArguments": {"service-account-issuer": [A, "http://x y"]}}, {})
    pod = json.loads(manifests.static_pod(TEMPLATE, 7, config))
    assert pod["spec"]["containers"][0]["command"] == [
        "/usr/bin/kube-apiserver",
        "--advertise-address=NODE_IP",
        "--v=1",
        f"--service-account-issuer={A}",
        "--service-account-issuer=http://x y",
    ]


def test_unsupported_overrides_win() -> None:
    observed = {"apiServerArguments": {"service-account-issuer": [A], "api-audiences": [A]}}
    text = manifests.config_text(observed, {"apiServerArguments": {"service-account-issuer": [B]}})
    assert json.loads(text)["apiServerArguments"] == {"service-account-issuer": [B], "api-audiences": [A]}


def test_inertia_never_falls_below_the_restart_of_a_server() -> None:
    assert Pace(1.0).inertia() == {"": 120.0, "StaticPodsDegraded": 600.0}
    assert Pace(0.1).inertia() == {"": 40.0, "StaticPodsDegraded": 60.0}
