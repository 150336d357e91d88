# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Which kubelets are restarted, how, and the proof that one has come back. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .._errors import Refused
from .._model import Judgement, Outcome, format_time, read_moment
from .._node_model import NodeFacts, NodePod
from .gates import GATE_NAMES, OF_OTHERS, GateRequest
from .nodes import NodeRequest, read_selection

#: Restarts the kubelet and prints which invocation of its unit ran before and runs now (systemd.exec, $INVOCATION_ID). A
#: container goes on while its kubelet restarts.
SCRIPT = """\
before=$(systemctl show -p InvocationID --value kubelet.service)
systemctl restart kubelet.service
echo "$before" "$(systemctl show -p InvocationID --value kubelet.service)"
systemctl is-active --quiet kubelet.service
"""
#: The moment at which a process started is told by the clock of its host, and differs a little from look to look where that
#: clock is adjusted. No kubelet is asked to restart so soon after its start.
DOUBT = timedelta(seconds=2)


class Fate(enum.Enum):
    """How far a kubelet is."""

    PLANNED = "planned"
    #: It started after the moment that counts.
    LEFT = "left"
    RESTARTED = "restarted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletRequest:
    """Which kubelets a task asks for. ``started_before`` and ``requires_rollout`` are as in the module's options."""

    nodes: NodeRequest
    started_before: datetime | None = None
    requires_rollout: bool = True
    image: str | None = None
    #: What others must not be busy with before each kubelet.
    gates: GateRequest = field(default_factory=GateRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubelet:
    """The kubelet of a node: when it was started before the run looked at it, and by the run (the node's clock)."""

    node: str
    pool: str
    started_before: datetime
    fate: Fate = Fate.PLANNED
    started_at: datetime | None = None
    message: str = ""

    def record(self) -> dict[str, Any]:
        """Return the kubelet in the shape that kubelet_restart documents."""
        return {
            "node": self.node,
            "pool": self.pool,
            "outcome": self.fate.value,
            "started_before": format_time(self.started_before),
            "started_at": format_time(self.started_at or self.started_before),
            "message": self.message or None,
        }


def read_kubelet_request(params: Mapping[str, Any]) -> KubeletRequest:
    """Return what the options of kubelet_restart ask for. Raises InvalidOption where they can't be meant."""
    return KubeletRequest(
        nodes=read_selection(params),
        started_before=read_moment(params["started_before"], "The option started_before"),
        requires_rollout=params["require_rollout"],
        image=params["image"],
        gates=GateRequest(
            timeout=params["gate_timeout"],
            # a kubelet that is back has been well for a while already
            stable_seconds=0,
            skip=frozenset(
                {*GATE_NAMES} - {*OF_OTHERS}
                | {*params["skip_gates"]}
                | (set() if params["require_rollout"] else {"rollout"})
            ),
        ),
    )


def refuse_unfit(nodes: Iterable[NodeFacts]) -> None:
    """Return when the kubelet of each of ``nodes`` can be restarted. Raises Refused with those that can't."""
    silent = [n.name for n in nodes if not n.is_ready]
    if silent:
        raise Refused(
            f"No kubelet was restarted, because {', '.join(silent)} is or are not Ready, and only a kubelet that works can be "
            "asked to restart; leave them out, or see to their kubelets: one that is started anew needs no restart."
        )
    marked = [f"{n.name} (run {n.mark.run_id})" for n in nodes if n.mark]
    if marked:
        raise Refused(
            f"No kubelet was restarted, because {', '.join(marked)} is or are in the middle of a restart; finish that run "
            "(bound_tokens.openshift.node_restart), or put the nodes back (bound_tokens.openshift.node_drain, state: available)."
        )
    others = [n.name for n in nodes if n.labels.get("kubernetes.io/os", "linux") != "linux"]
    if others:
        raise Refused(
            f"No kubelet was restarted, because {', '.join(others)} do(es) not run Linux and can't be restarted this way; select "
            "with label_selectors: kubernetes.io/os=linux, and restart the others by other means."
        )


def choose_fate(started_at: datetime, started_before: datetime | None) -> Fate:
    """Return whether a kubelet is to be restarted: when it did not start after ``started_before`` (None: always)."""
    return Fate.LEFT if started_before is not None and started_at > started_before else Fate.PLANNED


def find_complaint(exit_status: int, output: str) -> str:
    """Return what is wrong with what SCRIPT did; empty when the unit was restarted and is active."""
    words = output.split()
    if exit_status != 0:
        return f"systemctl ended with exit status {exit_status}: {' '.join(words)[-300:] or 'no word why'}"
    if len(words) != 2 or words[0] == words[1]:
        return f"systemd does not tell of another invocation of kubelet.service: {' '.join(words)[-300:] or 'nothing'}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletVerdict(Judgement):
    """Whether a kubelet is back, and when the one that answers started."""

    started_at: datetime | None = None


def find_unready(pods: Iterable[NodePod], ready_before: Collection[str]) -> list[str]:
    """Return those of a node's ``pods`` that are not Ready any more, of the ones with these UIDs; they may have ended or go."""
    left = (p for p in pods if p.facts.uid in ready_before and not p.facts.is_terminating)
    return sorted(str(p) for p in left if not p.facts.is_ready and p.facts.phase not in ("Succeeded", "Failed"))


def judge_kubelet(
    node: NodeFacts | None,
    started_at: datetime | None,
    unready: Sequence[str],
    *,
    before: datetime,
    is_asked: bool = True,
) -> KubeletVerdict:
    """Return DONE when another kubelet than the one of ``before`` serves the node, has reported that it is Ready, and no pod is
    ``unready`` (see find_unready): one with a readiness probe is, until its new kubelet has probed it.

    ``started_at`` is when the one that answers started, None when none does; all moments are of the node's clock.
    ``is_asked`` is False when nothing will restart it that has not done so yet.
    """
    outcome, reason, message = Outcome.WAITING, "", ""
    if node is None:
        outcome, reason, message = Outcome.FAILED, "Gone", "the node does not exist any more"
    elif started_at is None:
        reason, message = "Silent", "it does not answer"
    elif started_at <= before + DOUBT:
        outcome = Outcome.WAITING if is_asked else Outcome.FAILED
        reason, message = "SameKubelet", f"it is still the one that was started at {format_time(before)}"
    elif not node.is_ready:
        reason, message = "NotReady", "it has restarted, and its node is not Ready yet"
    elif node.heartbeat is None or node.heartbeat < started_at.replace(microsecond=0):
        reason, message = "StaleHeartbeat", "it has restarted and not reported since"
    elif node.is_unreachable:
        reason, message = "Unreachable", "it has restarted, and its node is still tainted as unreachable"
    elif unready:
        more = f" and {len(unready) - 3} more" if len(unready) > 3 else ""
        reason, message = (
            "PodsNotReady",
            f"it has restarted, and not Ready again yet are {', '.join(unready[:3])}{more}",
        )
    else:
        outcome, reason, message = Outcome.DONE, "Restarted", f"it was started at {format_time(started_at)} and is well"
    return KubeletVerdict(outcome=outcome, reason=reason, message=message, started_at=started_at)
