# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node goes next."""

from __future__ import annotations

import pytest
from lab.operator.installer import InstallerPod, NodeStatus, StaticPod, Step, next_step, settling


def parse(text: str) -> list[NodeStatus]:
    """`0:2 1:1>2` into node statuses."""
    found = []
    for word in text.split():
        name, _unused, rest = word.partition(":")
        current, _unused, target = rest.partition(">")
        found.append(NodeStatus(name, int(current), int(target or 0)))
    return found


def running(text: str) -> dict[str, StaticPod]:
    """`0:2 1:1!` into static pods; ! is not ready."""
    pairs = (word.partition(":") for word in text.split())
    return {name: StaticPod(int(revision.rstrip("!")), not revision.endswith("!")) for name, _unused, revision in pairs}


def step(nodes: str, latest: int, pods: str, installers: dict[str, str] | None = None) -> Step | None:
    found = {name: InstallerPod(phase, ("installer: x",)) for name, phase in (installers or {}).items()}
    return next_step(parse(nodes), latest, running(pods), found, {}, 1.0)


CHOICES = [
    ("all at latest", "0:1 1:1 2:1", 1, "0:1 1:1 2:1", None, ""),
    ("the oldest", "0:2 1:1 2:1", 2, "0:2 1:1 2:1", "1>2", "node 1 with revision 1 is the oldest"),
    (
        "the oldest jumps over a revision",
        "0:3 1:3 2:2",
        4,
        "0:3 1:3 2:2",
        "2>4",
        "node 2 with revision 2 is the oldest",
    ),
    ("a missing pod first", "0:0 1:1 2:1", 2, "0:1 1:1", "2>2", "node 2 static pod not found"),
    ("an unready pod first", "0:1 1:1 2:1", 2, "0:1 1:1 2:1!", "2>2", "node 2 with revision 1 is the oldest not ready"),
    (
        "one that is not what it claims to be",
        "0:2 1:2 2:2",
        3,
        "0:2 1:1 2:2",
        "1>3",
        "node 1 with revision 1 is the oldest not matching its expected revision 2",
    ),
    (
        "an unready node at the latest revision leaves the turn to the next in line",
        "0:2 1:1 2:1",
        2,
        "0:2! 1:1 2:1",
        "1>2",
        "node 1 is the next node in the line",
    ),
    ("no revision yet", "0:0 1:0 2:0", 0, "", None, ""),
]


@pytest.mark.parametrize(
    ("nodes", "latest", "pods", "expected", "reason"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES]
)
def test_next_node(nodes: str, latest: int, pods: str, expected: str | None, reason: str) -> None:
    found = step(nodes, latest, pods)
    assert (f"{found.node.name}>{found.node.target}" if found else None) == expected
    assert not found or (found.kind, found.reason) == ("target", reason)


IN_FLIGHT = [
    ("no installer yet", {}, "0:1", 2, "install"),
    ("installer runs", {"installer-2-0": "Running"}, "0:1", 2, None),
    ("installed, the old pod still there", {"installer-2-0": "Succeeded"}, "0:1", 2, None),
    ("the new pod is not ready", {"installer-2-0": "Succeeded"}, "0:2!", 2, None),
    ("the new pod is ready", {"installer-2-0": "Succeeded"}, "0:2", 2, "done"),
    ("ready before the installer's end is known", {"installer-2-0": "Running"}, "0:2", 2, None),
    ("failed", {"installer-2-0": "Failed"}, "0:1", 2, "failed"),
    ("superseded", {"installer-2-0": "Running"}, "0:1", 3, "redirect"),
    ("superseded when ready", {"installer-2-0": "Succeeded"}, "0:2", 3, "redirect"),
    ("superseded before the installer's creation", {}, "0:1", 3, "redirect"),
]


@pytest.mark.parametrize(
    ("installers", "pod", "latest", "kind"), [c[1:] for c in IN_FLIGHT], ids=[c[0] for c in IN_FLIGHT]
)
def test_node_in_flight(installers: dict[str, str], pod: str, latest: int, kind: str | None) -> None:
    found = step("0:1>2 1:1 2:1", latest, f"{pod} 1:1 2:1", installers)
    assert (found.kind if found else None) == kind
    if found and kind == "redirect":
        assert (found.node.current, found.node.target) == (1, 3)
        assert found.former_pod == ("installer-2-0" if installers.get("installer-2-0") == "Running" else "")
    if found and kind == "done":
        assert (found.node.current, found.node.target) == (2, 0)


def test_failures_are_counted_and_retried_after_a_while() -> None:
    failed = step("0:1>2 1:1", 2, "0:1 1:1", {"installer-2-0": "Failed"})
    assert failed is not None
    node = failed.node
    assert (node.failed_revision, node.failed_count, node.failed_reason) == (2, 1, "InstallerFailed")
    assert node.installer_pod() == "installer-2-retry-1-0"
    node = NodeStatus(**{**vars(node), "failed_time": "2026-11-22T08:00:00Z"})
    others = running("0:1 1:1")
    assert next_step([node], 2, others, {}, {"0": 14.9}, 1.0) is None
    again = next_step([node], 2, others, {}, {"0": 15.1}, 1.0)
    assert again is not None
    assert again.kind == "install"
    again = next_step([node], 2, others, {"installer-2-retry-1-0": InstallerPod("Failed")}, {"0": 20}, 1.0)
    assert again is not None
    assert again.node.failed_count == 2
    superseded = next_step([node], 3, others, {}, {"0": 1.0}, 1.0)
    assert superseded is not None
    assert superseded.node.installer_pod() == "installer-3-0"


def test_settling_counts_the_youngest_ready_pod() -> None:
    pods = {"0": StaticPod(2, True, 100.0), "1": StaticPod(1, True, 10.0), "2": StaticPod(1, False, 129.0)}
    assert settling(pods, 130.0, 30.0)
    assert not settling(pods, 130.1, 30.0)


def test_node_status_survives_both_writers() -> None:
    full = NodeStatus("master-0", 7, 8, 8, 1, "InstallerFailed", "2026-11-22T08:00:00Z", ("installer: x",))
    assert NodeStatus.parse(full.entry()) == full
    assert NodeStatus.parse({"nodeName": "a", "currentRevision": 1}).entry() == {
        "nodeName": "a",
        "currentRevision": 1,
        "targetRevision": 0,
        "lastFailedRevision": 0,
        "lastFailedCount": 0,
        "lastFailedReason": "",
        "lastFallbackCount": 0,
    }
