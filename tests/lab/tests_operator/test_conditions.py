# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's words."""

from __future__ import annotations

import pytest
from lab.operator import conditions
from lab.operator.installer import NodeStatus

TEXTS = [
    ([12, 12, 12], 12, "False", "AllNodesAtLatestRevision", "3 nodes are at revision 12"),
    ([12, 12, 12], 13, "True", "", "3 nodes are at revision 12; 0 nodes have achieved new revision 13"),
    ([12, 13, 12], 13, "True", "", "2 nodes are at revision 12; 1 node is at revision 13"),
    ([13, 13, 12], 13, "True", "", "1 node is at revision 12; 2 nodes are at revision 13"),
    (
        [11, 12, 13],
        14,
        "True",
        "",
        (
            "1 node is at revision 11; 1 node is at revision 12; 1 node is at revision 13; "
            "0 nodes have achieved new revision 14"
        ),
    ),
    ([0, 12, 12, 12], 12, "True", "", "1 node is at revision 0; 3 nodes are at revision 12"),
    ([12], 12, "False", "AllNodesAtLatestRevision", "1 node is at revision 12"),
    ([12], 13, "True", "", "1 node is at revision 12; 0 nodes have achieved new revision 13"),
    ([], 0, "False", "AllNodesAtLatestRevision", ""),
]


def nodes(*current: int) -> list[NodeStatus]:
    return [NodeStatus(f"master-{i}", revision) for i, revision in enumerate(current)]


@pytest.mark.parametrize(("current", "latest", "status", "reason", "message"), TEXTS)
def test_node_installer_progressing(current: list[int], latest: int, status: str, reason: str, message: str) -> None:
    said = conditions.installer_conditions(nodes(*current), latest)
    expected = {"type": "NodeInstallerProgressing", "status": status, "reason": reason, "message": message}
    assert conditions.find(said, "NodeInstallerProgressing") == expected
    available = conditions.find(said, "StaticPodsAvailable")
    assert available is not None
    active = sum(revision > 0 for revision in current)
    assert available["message"] == f"{active} nodes are active; {message}"
    assert (available["status"], available["reason"]) == (("True", "") if active else ("False", "ZeroNodesActive"))


def test_a_failure_counts_only_for_the_target() -> None:
    failed = NodeStatus("master-1", 7, 8, failed_revision=8, failed_count=1, failed_errors=("installer: x",))
    said = conditions.installer_conditions([*nodes(8), failed], 8)
    assert conditions.find(said, "NodeInstallerDegraded") == {
        "type": "NodeInstallerDegraded",
        "status": "True",
        "reason": "InstallerPodFailed",
        "message": "1 nodes are failing on revision 8:\ninstaller: x",
    }
    stale = NodeStatus("master-1", 8, failed_revision=8, failed_count=1, failed_errors=("installer: x",))
    said = conditions.installer_conditions([*nodes(8), stale], 8)
    assert conditions.find(said, "NodeInstallerDegraded") == {"type": "NodeInstallerDegraded", "status": "False"}


def pod(name: str, state: dict[str, object]) -> dict[str, object]:
    return {"metadata": {"name": name}, "status": {"containerStatuses": [{"name": "kube-apiserver", "state": state}]}}


def test_static_pods_degraded() -> None:
    waiting = pod("kube-apiserver-master-0", {"waiting": {"reason": "ContainerCreating"}})
    ended = pod("kube-apiserver-master-1", {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}})
    init = pod("kube-apiserver-master-2", {"waiting": {"reason": "PodInitializing"}})
    assert conditions.static_pods_condition([waiting, ended, init])["message"] == (
        'pod/kube-apiserver-master-0 container "kube-apiserver" is waiting: ContainerCreating: \n'
        'pod/kube-apiserver-master-1 container "kube-apiserver" is terminated: Error: boom'
    )
    silent = {
        "metadata": {"name": "kube-apiserver-master-0"},
        "spec": {"containers": [{"name": "kube-apiserver"}]},
        "status": {"phase": "Pending"},
    }
    assert conditions.static_pods_condition([silent]) == conditions.static_pods_condition([waiting])
    assert conditions.static_pods_condition([init]) == {"type": "StaticPodsDegraded", "status": "False"}


def test_cluster_operator_bears_a_bad_condition_for_a_while() -> None:
    said = [
        conditions.nodes_condition([]),
        conditions.observation_condition("no URL"),
        conditions.condition("NodeInstallerProgressing", True, "", "3 nodes are at revision 1"),
    ]
    inertia = {"": 120.0}
    young = conditions.cluster_operator_conditions(said, {"ConfigObservationDegraded": 119.0}, inertia)
    old = conditions.cluster_operator_conditions(said, {"ConfigObservationDegraded": 121.0}, inertia)
    assert conditions.find(young, "Degraded") == {
        "type": "Degraded",
        "status": "False",
        "reason": "AsExpected",
        "message": "NodeControllerDegraded: All master nodes are ready\nConfigObservationDegraded: no URL",
    }
    assert conditions.find(old, "Degraded") == {
        "type": "Degraded",
        "status": "True",
        "reason": "ConfigObservation_Error",
        "message": "ConfigObservationDegraded: no URL",
    }
    assert conditions.find(old, "Progressing") == {
        "type": "Progressing",
        "status": "True",
        "reason": "NodeInstaller",
        "message": "NodeInstallerProgressing: 3 nodes are at revision 1",
    }


def test_transition_time_moves_with_the_status_only() -> None:
    before = conditions.merged([], [conditions.condition("X", True, "", "a")], "T1")
    words = conditions.merged(before, [conditions.condition("X", True, "", "b")], "T2")
    status = conditions.merged(words, [conditions.condition("X", False)], "T3")
    assert [words[0]["lastTransitionTime"], status[0]["lastTransitionTime"]] == ["T1", "T3"]
    assert "message" not in status[0]


def test_event_of_a_changed_status() -> None:
    before = [
        conditions.condition("Progressing", False, "AsExpected", "a"),
        conditions.condition("Available", True, "", "b"),
    ]
    after = [
        conditions.condition("Progressing", True, "NodeInstaller", "c"),
        conditions.condition("Available", True, "", "d"),
    ]
    assert conditions.status_changed(before, after) == (
        'Status for clusteroperator/kube-apiserver changed: Progressing changed from False to True ("c"),'
        'Available message changed from "b" to "d"'
    )
