# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Restarting kubelets one after the other: the plan, the restarts, the proof of each, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._errors import ApiError, CollectionError, Refused, WaitFailed, WaitTimedOut
from .._facts import read_denied, require_own_namespace
from .._model import format_time
from .._node_facts import read_kubelet_start, read_machine_pools, read_node, read_node_pods, read_nodes
from .._node_model import NodeFacts
from .._parallel import side_by_side
from .._plan.gates import judge_stability
from .._plan.kubelets import (
    SCRIPT,
    Fate,
    Kubelet,
    KubeletRequest,
    KubeletVerdict,
    choose_fate,
    find_complaint,
    find_unready,
    judge_kubelet,
    refuse_unfit,
)
from .._plan.node_findings import NodeFinding
from .._plan.nodes import choose_nodes, find_pool
from .._plan.permissions import KUBELETS, RESTART_NAMESPACE, describe_denied
from .gates import Gatekeeper
from .node_command import NodeCommands, find_image, find_obstacles, remove_namespace
from .rollout import find_switch

#: Seconds in which systemd must have restarted a kubelet: its own limit is 90 (DefaultTimeoutStartSec).
COMMAND_DEADLINE = 120
#: Seconds in a row for which all must be well: pods are found to be not Ready some seconds after their kubelet is.
STABLE_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class KubeletRun:
    """One task's work on kubelets. ``acquire`` returns when the lease is held; ``options`` hold for each node."""

    cluster: Cluster
    request: KubeletRequest
    keeper: Gatekeeper
    clock: Clock
    acquire: Callable[[], None]
    options: WaitOptions
    say: Callable[[str], None]
    kubelets: list[Kubelet] = field(default_factory=list)
    findings: list[NodeFinding] = field(default_factory=list)
    started_before: datetime | None = None
    has_begun: bool = False
    #: Since when all is well with the kubelet that was restarted last (monotonic).
    well_since: float | None = None

    def work(self, *, check_mode: bool) -> dict[str, Any]:
        """Restart the kubelets and return the module's result; in check mode return the plan.

        Raises Refused before the first restart, else a CollectionError with the result so far.
        """
        self.make_plan()
        is_needed = self._count(Fate.PLANNED) > 0
        if check_mode and is_needed:
            self.findings = find_obstacles(
                {
                    "Permissions": self._require_permissions,
                    "Image": self._find_image,
                    "Quiet": self.keeper.require_quiet,
                },
                self.clock,
            )
        if check_mode or not is_needed:
            return self._result(changed=is_needed)
        retry(self._require_permissions, clock=self.clock)
        image = retry(self._find_image, clock=self.clock)
        self.acquire()
        self.make_plan()  # what was read before the lease was held may be out of date
        commands = NodeCommands(
            cluster=self.cluster,
            clock=self.clock,
            image=image,
            purpose="kubelet",
            deadline=max(1, min(COMMAND_DEADLINE, int(self.options.timeout))),
            interval=self.options.interval,
        )
        planned = [k for k in self.kubelets if k.fate is Fate.PLANNED]
        try:
            if planned:
                self.keeper.require_quiet()
            for number, kubelet in enumerate(planned, start=1):
                self.keeper.wait([kubelet.node], own=())
                self._go_on(kubelet, commands, f"{number} of {len(planned)}")
        except CollectionError as error:
            # A kubelet that was asked to restart may have done so, whether it is back or not.
            error.progress = self._result(changed=self.has_begun)
            raise
        finally:
            remove_namespace(self.cluster)
        return self._result(changed=self.has_begun)

    def make_plan(self) -> None:
        """Find out which kubelets are to be restarted. Raises Refused while a rollout of the kube-apiservers runs."""
        moment = self.request.started_before
        if self.request.requires_rollout:
            moment, _issuer = find_switch(self.cluster, moment, noun="kubelet", verb="restart", clock=self.clock)
        self.started_before = moment
        nodes, pools = retry(lambda: (read_nodes(self.cluster), read_machine_pools(self.cluster)), clock=self.clock)
        chosen = choose_nodes(nodes, self.request.nodes, pools, None)
        refuse_unfit(chosen)
        starts = side_by_side([partial(self._require_start, n.name) for n in chosen])
        self.kubelets = [
            Kubelet(node=n.name, pool=find_pool(n, pools), started_before=start, fate=choose_fate(start, moment))
            for n, start in zip(chosen, starts, strict=True)
        ]

    def _require_start(self, node: str) -> datetime:
        """Return when the kubelet started. Raises CollectionError when it does not tell."""
        start = retry(lambda: read_kubelet_start(self.cluster, node), clock=self.clock)
        if start is None:
            raise CollectionError(
                f"The kubelet of {node} does not tell in its metrics when it started, without which no restart can be proven; "
                "leave the node out."
            )
        return start

    def _find_image(self) -> str:
        return self.request.image or find_image(self.cluster)

    def _require_permissions(self) -> None:
        denied = read_denied(self.cluster, KUBELETS)
        if denied:
            raise Refused(f"No kubelet was restarted: {describe_denied(denied)}")
        require_own_namespace(self.cluster, RESTART_NAMESPACE)

    def _go_on(self, kubelet: Kubelet, commands: NodeCommands, number: str) -> None:
        """Restart a kubelet, unless somebody else has done so while this run waited."""
        start = self._require_start(kubelet.node)
        kubelet = replace(kubelet, started_before=start, fate=choose_fate(start, self.started_before))
        self._note(kubelet)
        if kubelet.fate is Fate.LEFT:
            self.say(
                f"{kubelet.node}: its kubelet was started at {format_time(start)} by somebody else and is left alone"
            )
            return
        self.has_begun = True
        self.say(f"{kubelet.node}: its kubelet is restarted ({number})")
        self._restart(kubelet, commands)

    def _restart(self, kubelet: Kubelet, commands: NodeCommands) -> None:
        """Restart one kubelet and wait until it is back. Raises WaitFailed when it does not come."""
        trouble, ready_before = "", retry(partial(self._find_ready, kubelet.node), clock=self.clock)
        try:
            done = commands.run(kubelet.node, SCRIPT)
            trouble = find_complaint(done.exit_status, done.output)
        except (WaitFailed, WaitTimedOut) as error:
            # What the node shows counts, not whether the command's own answer has come.
            trouble = error.message
        judge = partial(judge_kubelet, before=kubelet.started_before, is_asked=not trouble)
        self.well_since = None
        try:
            verdict = poll(
                partial(self._look, kubelet.node, ready_before),
                lambda seen: self._judge_stability(judge(*seen)),
                waiting_for=f"the kubelet of {kubelet.node} to be back",
                options=self.options,
                clock=self.clock,
            )
        except (WaitFailed, WaitTimedOut) as error:
            words = ". ".join(text.rstrip(".") for text in (error.message, trouble) if text)
            self._note(replace(kubelet, fate=Fate.FAILED, message=words))
            raise WaitFailed(
                f"{words}. No kubelet after it was touched; see to that one (journalctl -u kubelet on its node), and run it "
                "again: it goes on with those that are left."
            ) from None
        self._note(replace(kubelet, fate=Fate.RESTARTED, started_at=verdict.started_at))
        self.say(f"{kubelet.node}: its kubelet is back, started at {format_time(verdict.started_at)}")

    def _find_ready(self, node: str) -> frozenset[str]:
        """Return the UIDs of the pods on a node that are Ready."""
        return frozenset(p.facts.uid for p in read_node_pods(self.cluster, node)[1] if p.facts.is_ready)

    def _look(self, node: str, ready_before: frozenset[str]) -> tuple[NodeFacts | None, datetime | None, Sequence[str]]:
        """Return the node, when the kubelet started that answers now, and the pods that are not Ready any more."""
        found, unready = (
            read_node(self.cluster, node),
            find_unready(read_node_pods(self.cluster, node)[1], ready_before),
        )
        try:
            return found, read_kubelet_start(self.cluster, node), unready
        except ApiError as error:
            if not error.is_transient:
                raise
            return found, None, unready

    def _judge_stability(self, verdict: KubeletVerdict) -> KubeletVerdict:
        verdict, self.well_since = judge_stability(verdict, self.well_since, self.clock.monotonic(), STABLE_SECONDS)
        return verdict

    def _note(self, kubelet: Kubelet) -> None:
        self.kubelets = [kubelet if k.node == kubelet.node else k for k in self.kubelets]

    def _count(self, fate: Fate) -> int:
        return sum(k.fate is fate for k in self.kubelets)

    def _result(self, *, changed: bool) -> dict[str, Any]:
        return {
            "changed": changed,
            "started_before": format_time(self.started_before),
            "kubelets": [k.record() for k in self.kubelets],
            "findings": [f.record() for f in self.findings],
            "summary": {fate.value: self._count(fate) for fate in Fate},
        }
