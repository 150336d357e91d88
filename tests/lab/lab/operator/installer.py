# SPDX-License-Identifier: GPL-3.0-or-later
"""Which node gets a revision next, and what becomes of the one in flight: the real installer's rules, without any I/O.

The rules are those of library-go's static pod installer controller: strictly one node at a time; a node in flight first; then
nodes whose static pod is missing, not ready or not what it claims to be; then the oldest revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .pace import INSTALLER_BACKOFF, INSTALLER_BACKOFF_MAX


@dataclass(frozen=True)
class NodeStatus:
    """One entry of status.nodeStatuses; zero and absent mean the same."""

    name: str
    current: int = 0
    target: int = 0
    failed_revision: int = 0
    failed_count: int = 0
    failed_reason: str = ""
    failed_time: str = ""
    failed_errors: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> NodeStatus:
        """From the API's form, whichever of the operator's writers wrote it."""
        return cls(
            name=entry["nodeName"],
            current=entry.get("currentRevision") or 0,
            target=entry.get("targetRevision") or 0,
            failed_revision=entry.get("lastFailedRevision") or 0,
            failed_count=entry.get("lastFailedCount") or 0,
            failed_reason=entry.get("lastFailedReason") or "",
            failed_time=entry.get("lastFailedTime") or "",
            failed_errors=tuple(entry.get("lastFailedRevisionErrors") or ()),
        )

    def entry(self) -> dict[str, Any]:
        """The form in which the installer controller writes it: zeros spelt out."""
        entry: dict[str, Any] = {
            "nodeName": self.name,
            "currentRevision": self.current,
            "targetRevision": self.target,
            "lastFailedRevision": self.failed_revision,
            "lastFailedCount": self.failed_count,
            "lastFailedReason": self.failed_reason,
            "lastFallbackCount": 0,
        }
        if self.failed_time:
            entry["lastFailedTime"] = self.failed_time
        if self.failed_errors:
            entry["lastFailedRevisionErrors"] = list(self.failed_errors)
        return entry

    def installer_pod(self) -> str:
        """The name of the pod that installs the target revision, counting failures of that very revision."""
        retry = f"-retry-{self.failed_count}" if self.failed_count and self.failed_revision == self.target else ""
        return f"installer-{self.target}{retry}-{self.name}"


@dataclass(frozen=True)
class StaticPod:
    """The mirror pod of a node: ``ready_since`` is meaningful while ready."""

    revision: int
    ready: bool
    ready_since: float = 0.0


@dataclass(frozen=True)
class InstallerPod:
    """A pod that installs, or did."""

    phase: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """The one thing to do next. ``node`` is the node's status after it."""

    kind: str  # target, install, done, redirect, failed
    node: NodeStatus
    reason: str = ""
    former_pod: str = ""  # to be deleted first


def settling(pods: Mapping[str, StaticPod], now: float, min_ready: float) -> bool:
    """Whether the youngest ready API server has not been ready for long enough. The controller then does and writes nothing."""
    return any(pod.ready and now - pod.ready_since <= min_ready for pod in pods.values())


def next_step(
    nodes: Sequence[NodeStatus],
    latest: int,
    pods: Mapping[str, StaticPod],
    installers: Mapping[str, InstallerPod],
    failed_for: Mapping[str, float],
    scale: float,
) -> Step | None:
    """The next step, or None when nothing is to be done now. ``failed_for``: seconds since each node's last failure."""
    if not nodes:
        return None
    first, reason = _start_with(nodes, pods)
    for offset in range(len(nodes)):
        node = nodes[(first + offset) % len(nodes)]
        if node.target > node.current:
            return _in_flight(node, latest, pods.get(node.name), installers, failed_for, scale)
        if offset == 0:
            revision = latest if node.current != latest else 0
        else:
            before = nodes[(first + offset - 1) % len(nodes)]
            reason = f"node {node.name} is the next node in the line"
            ahead = not before.target and before.current > node.current and node.failed_revision != before.current
            revision = before.current if ahead else 0
        if revision:
            return Step("target", replace(node, target=revision), reason)
    return None


def _start_with(nodes: Sequence[NodeStatus], pods: Mapping[str, StaticPod]) -> tuple[int, str]:
    for i, node in enumerate(nodes):
        if node.target:
            return i, f"node {node.name} is progressing towards {node.target}"
    newest = max(node.current for node in nodes)
    for i, node in enumerate(nodes):
        if node.failed_revision > newest:
            return i, f"node {node.name} is progressing with failed revisions"
    for i, node in enumerate(nodes):
        if node.name not in pods:
            return i, f"node {node.name} static pod not found"
    running = [(pods[node.name].revision, i) for i, node in enumerate(nodes)]
    unready = [(revision, i) for revision, i in running if not pods[nodes[i].name].ready]
    if unready:
        revision, i = min(unready)
        return i, f"node {nodes[i].name} with revision {revision} is the oldest not ready"
    unlike = [(revision, i) for revision, i in running if revision != nodes[i].current]
    if unlike:
        revision, i = min(unlike)
        reason = f"is the oldest not matching its expected revision {nodes[i].current}"
        return i, f"node {nodes[i].name} with revision {revision} {reason}"
    revision, i = min((node.current, i) for i, node in enumerate(nodes))
    return i, f"node {nodes[i].name} with revision {revision} is the oldest"


def _in_flight(
    node: NodeStatus,
    latest: int,
    pod: StaticPod | None,
    installers: Mapping[str, InstallerPod],
    failed_for: Mapping[str, float],
    scale: float,
) -> Step | None:
    name = node.installer_pod()
    installer = installers.get(name)
    if latest > node.target:  # do not wait for a revision that is no longer wanted
        unfinished = installer is not None and installer.phase not in ("Succeeded", "Failed")
        return Step("redirect", replace(node, target=latest), "new revision pending", name if unfinished else "")
    if installer is None:
        backoff = min(INSTALLER_BACKOFF * 1.5**node.failed_count, INSTALLER_BACKOFF_MAX) * scale
        failed_before = node.failed_revision == node.target and node.failed_time
        return None if failed_before and failed_for.get(node.name, backoff) < backoff else Step("install", node)
    if installer.phase == "Failed":
        again = node.failed_revision == node.target
        return Step(
            "failed",
            replace(
                node,
                failed_revision=node.target,
                failed_count=(node.failed_count if again else 0) + 1,
                failed_reason="InstallerFailed",
                failed_errors=installer.errors,
            ),
            "installer pod failed: " + "\n".join(installer.errors),
        )
    if installer.phase == "Succeeded" and pod and pod.revision == node.target and pod.ready:
        return Step("done", replace(node, current=node.target, target=0), "static pod is ready")
    return None  # no time limit: a crash-looping API server holds the rollout for ever, as with the real one
