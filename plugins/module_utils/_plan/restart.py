# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""The pod that restarts a node, and the proof that the node has restarted and is well. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from .._model import Judgement, Outcome
from .._node_model import RESTART_LABELS, NodeFacts, NodePod
from .drain import is_daemon
from .node_pod import build_node_pod

#: Of the restart pod: the boot ID for which it was made.
BOOT_LABEL = "bound-tokens.openshift/boot-id"

#: Restarts the host a little later, so that the pod is seen succeeded first, and only while the host has not restarted
#: since it was asked to: a pod that is run again after the boot does nothing. It runs in the host's own root, with the boot
#: ID and the delay as arguments, because people who may not restart nodes may be able to change where they come from.
#: Without AccuracySec a timer may be a minute late (systemd.timer).
SCRIPT = """\
found=$(cat /proc/sys/kernel/random/boot_id)
if [ "$found" != "$1" ]; then echo "the boot ID is $found already"; exit 0; fi
exec systemd-run --collect --unit="bound-tokens-restart-${1%%-*}" --on-active="$2" --timer-property=AccuracySec=100ms \\
  systemctl reboot
"""


def build_restart_pod(node: NodeFacts, *, boot_id: str, image: str, delay: int) -> dict[str, Any]:
    """Return the pod that has ``node`` restart ``delay`` seconds later if its boot ID is still ``boot_id``."""
    return build_node_pod(
        node.name,
        name=restart_pod_name(node.name),
        labels={**RESTART_LABELS, BOOT_LABEL: boot_id},
        image=image,
        script=SCRIPT,
        arguments=(boot_id, str(delay)),
    )


def restart_pod_name(node: str) -> str:
    return f"restart-{node}"


def judge_restarted(
    node: NodeFacts,
    pods: Iterable[NodePod],
    *,
    boot_id: str,
    requested_at: datetime | None = None,
    unwell_before: Collection[str] = (),
) -> Judgement:
    """Return DONE when ``node`` has another boot ID than ``boot_id``, reports that it is well, and runs what belongs to it.

    ``requested_at`` is when the restart was asked for (cluster time), None when that is not known. What the API still shows
    of before then is not taken for the state after it. ``unwell_before`` are the static and DaemonSet pods, as
    describe_keeper names them, that were not Ready before either.
    """
    if node.boot_id in ("", boot_id):
        return _waiting("SameBoot", f"the boot ID is still {boot_id}" if node.boot_id else "it reports no boot ID")
    if not node.is_ready:
        return _waiting("NotReady", "it has restarted and is not Ready yet")
    if requested_at and (node.heartbeat is None or node.heartbeat < requested_at):
        return _waiting("StaleHeartbeat", "it has not reported since the restart was asked for")
    if node.is_unreachable:
        return _waiting("Unreachable", "it is Ready and still tainted as unreachable")
    unwell = sorted(set(find_unwell(pods, requested_at)) - set(unwell_before))
    if unwell:
        more = f" and {len(unwell) - 3} more" if len(unwell) > 3 else ""
        return _waiting("PodsNotReady", f"not Ready on it yet: {', '.join(unwell[:3])}{more}")
    return Judgement(outcome=Outcome.DONE, reason="Restarted", message=f"the boot ID is {node.boot_id}")


def find_unwell(pods: Iterable[NodePod], since: datetime | None = None) -> list[str]:
    """Return the static and DaemonSet pods among a node's ``pods`` that are not Ready, as describe_keeper names them.

    One whose containers run since before ``since`` is shown as it was then. A static pod may have ended for good; one that has
    ended of a DaemonSet is about to be replaced.
    """
    return [
        describe_keeper(p)
        for p in pods
        if (p.facts.is_static or is_daemon(p.facts))
        and (not p.facts.is_ready or (since and p.started_at and p.started_at < since))
        and not p.facts.is_terminating
        and (is_daemon(p.facts) or p.facts.phase not in ("Succeeded", "Failed"))
    ]


def describe_keeper(pod: NodePod) -> str:
    """Return what keeps a pod on its node, under a name that outlives the pod."""
    facts = pod.facts
    return f"{facts.namespace}/{facts.owner if facts.owner and not facts.is_static else facts.name}"


def _waiting(reason: str, message: str) -> Judgement:
    return Judgement(outcome=Outcome.WAITING, reason=reason, message=message)
