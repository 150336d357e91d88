# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What a drain does with each pod of a node. Pure.

The rules are those of kubectl drain (k8s.io/kubectl/pkg/drain/filters.go), the options' names kubernetes.core's.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._model import PodFacts
from .._node_model import NodePod
from .permissions import RESTART_NAMESPACE

#: Seconds in which a node must be empty.
DRAIN_TIMEOUT = 1800


class DrainAction(enum.Enum):
    """What a drain does with a pod."""

    EVICT = "evict"
    IGNORE = "ignore"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainOptions:
    """How a node is emptied. Times are in seconds; ``delete_after`` None means that a refused eviction is only tried again."""

    force: bool = False
    ignore_daemonsets: bool = True
    delete_emptydir_data: bool = False
    disable_eviction: bool = False
    delete_after: int | None = None
    grace_period: int | None = None
    timeout: int = DRAIN_TIMEOUT

    @property
    def method(self) -> str:
        return "delete" if self.disable_eviction else "evict"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainDecision:
    """What is done with one pod and why; ``option`` is the one that lets a blocking pod go."""

    action: DrainAction
    reason: str
    option: str = ""


def read_drain_options(given: Mapping[str, Any] | None, *, allow_disruption: bool) -> DrainOptions:
    """Return the options ``delete_options``. Raises InvalidOption where they can't be meant, or need consent."""
    names = {"terminate_grace_period": "grace_period", "wait_timeout": "timeout"}
    options = DrainOptions(**{names.get(n, n): value for n, value in (given or {}).items() if value is not None})
    times = {"terminate_grace_period": options.grace_period, "delete_after": options.delete_after}
    for name, seconds in times.items():
        if seconds is not None and seconds < 0:
            raise InvalidOption(f"The option delete_options.{name} is {seconds}; give 0 or more seconds.")
    if options.timeout < 1:
        raise InvalidOption(f"The option delete_options.wait_timeout is {options.timeout}; give 1 or more seconds.")
    asked = {"force": options.force, "disable_eviction": options.disable_eviction, "delete_after": options.delete_after}
    risky = [f"delete_options.{name}" for name, value in asked.items() if value is not None and value is not False]
    if risky and not allow_disruption:
        raise InvalidOption(
            f"The option {risky[0]} takes pods away that nobody creates anew, or that a disruption budget protects; "
            "if that is meant, set allow_disruption to true as well."
        )
    return options


def judge_drain_pod(pod: NodePod, options: DrainOptions) -> DrainDecision:
    """Return what a drain does with ``pod``, which is on the node."""
    facts = pod.facts
    is_at_work = facts.namespace == RESTART_NAMESPACE  # anybody may give a pod our labels
    if pod.is_restart_pod and is_at_work:
        return DrainDecision(action=DrainAction.IGNORE, reason="RestartPod")
    if pod.is_command_pod and is_at_work:
        return DrainDecision(action=DrainAction.IGNORE, reason="CommandPod")
    if facts.is_static:
        return DrainDecision(action=DrainAction.IGNORE, reason="Static")
    is_finished = facts.phase in ("Succeeded", "Failed")
    if is_daemon(facts) and not is_finished:
        if options.ignore_daemonsets:
            return DrainDecision(action=DrainAction.IGNORE, reason="DaemonSet")
        return DrainDecision(action=DrainAction.BLOCK, reason="DaemonSet", option="delete_options.ignore_daemonsets")
    if is_finished:
        return DrainDecision(action=DrainAction.EVICT, reason="Finished")
    if facts.is_terminating:
        return DrainDecision(action=DrainAction.EVICT, reason="Terminating")
    if is_guard(pod):
        return DrainDecision(action=DrainAction.EVICT, reason="Guard")
    if facts.owner is None and not options.force:
        return DrainDecision(action=DrainAction.BLOCK, reason="NoOwner", option="delete_options.force")
    if pod.has_local_data and not options.delete_emptydir_data:
        return DrainDecision(action=DrainAction.BLOCK, reason="LocalData", option="delete_options.delete_emptydir_data")
    return DrainDecision(action=DrainAction.EVICT, reason="Running")


def is_guard(pod: NodePod) -> bool:
    """Return whether a static pod operator keeps the pod for its disruption budget, and creates it anew when its node is
    back, though nothing in the pod says so (library-go, guard_controller.go)."""
    is_platform = pod.facts.namespace.startswith("openshift-") and pod.facts.owner is None
    return is_platform and pod.labels.get("app") == "guard"


def is_daemon(pod: PodFacts) -> bool:
    """Return whether a DaemonSet keeps the pod on its node, whatever the node's cordon."""
    return pod.owner is not None and (pod.owner.group, pod.owner.kind) == ("apps", "DaemonSet")


def choose_targets(pods: Iterable[NodePod], options: DrainOptions) -> list[NodePod]:
    """Return the pods that must be gone before the node is empty."""
    return [p for p in pods if judge_drain_pod(p, options).action is DrainAction.EVICT]


def choose_blocking(pods: Iterable[NodePod], options: DrainOptions) -> list[tuple[NodePod, DrainDecision]]:
    """Return the pods that forbid the drain, with the decision of each."""
    judged = [(p, judge_drain_pod(p, options)) for p in pods]
    return [(p, d) for p, d in judged if d.action is DrainAction.BLOCK]


def needs_pace(pod: PodFacts) -> bool:
    """Return whether the pod's owner minds how many of its pods are down at once."""
    return pod.is_ready and not pod.is_terminating and pod.owner is not None


def describe_left(left: Sequence[NodePod], blocked: Mapping[str, str], awaited: Collection[str]) -> str:
    """Return which pods a drain waits for and why. ``blocked`` holds the server's words and ``awaited`` the pods held back
    until their owner has its Ready pods again, both by UID."""
    shown = []
    for pod in left[:3]:
        if pod.facts.is_terminating:
            held = f", held by its finalizers {', '.join(pod.facts.finalizers)}" if pod.facts.finalizers else ""
            shown.append(f"{pod} is terminating{held}")
        elif pod.facts.uid in blocked:
            shown.append(f"{pod} may not go yet: {blocked[pod.facts.uid]}")
        elif pod.facts.uid in awaited:
            shown.append(f"{pod} waits until {pod.facts.owner} has its Ready pods again")
        else:
            shown.append(f"{pod} is still there")
    rest = f"; and {len(left) - 3} more" if len(left) > 3 else ""
    return "; ".join(shown) + rest
