# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Carrying nodes of one batch from the cordon to the proof, side by side, by looking again and again."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll
from .._effects import ask_for_deletion, create_if_missing
from .._errors import ApiError
from .._facts import require_own_namespace
from .._model import Judgement, Outcome, format_time, parse_time
from .._node_effects import change_mark, cordon, put_back
from .._node_facts import (
    read_node,
    read_node_pods,
    read_nodes_at,
    read_pending_requests,
    select_pods,
)
from .._node_model import NodeFacts, NodeMark, NodePod
from .._parallel import side_by_side
from .._plan.drain import DrainDecision, choose_blocking, choose_targets
from .._plan.gates import GATE_TIMEOUT, Hold
from .._plan.node_record import ENDED, NodeProgress, NodeRecord, Step, judge_step
from .._plan.nodes import NodeRequest, select_nodes
from .._plan.permissions import RESTART_NAMESPACE
from .._plan.restart import (
    BOOT_LABEL,
    build_restart_pod,
    judge_restarted,
)
from .._plan.story import format_seconds
from .drain import Drainer
from .node_command import ADMISSION_PATIENCE, provide_namespace

#: Seconds between two looks at least, when many things change at once; and after which a watch that told nothing ends.
QUIET_BETWEEN_LOOKS = 0.1
LONGEST_WATCH = 10.0


class Way(enum.Enum):
    """How far a task carries its nodes."""

    RESTART = "restart"
    DRAIN = "drain"
    RETURN = "return"


@dataclass(slots=True, kw_only=True)
class Journey:
    """What this process knows of one node on its way. Moments are monotonic."""

    step: Step | None = None
    since: float = 0.0
    message: str = ""
    is_arrived: bool = False
    #: Whether the node itself will show that it goes on, and not a pod on it: then nothing is to be done before it changes.
    awaits_node: bool = False
    #: The resourceVersions of the node as it was last looked at in full, and of the moment at which its pods were read.
    version: str = ""
    pods_version: str = ""


@dataclass(slots=True, kw_only=True)
class BatchRun:
    """Nodes on their way together. What it changes in ``record`` it keeps with ``save`` before it goes on.

    In one look the nodes are visited side by side, in threads: each changes what is its own, and ``record`` under ``mutex``.
    """

    cluster: Cluster
    request: NodeRequest
    clock: Clock
    say: Callable[[str], None]
    record: NodeRecord
    save: Callable[[NodeRecord], None]
    names: Sequence[str]
    image: str
    way: Way = Way.RESTART
    #: Whether pods are left where they are, because there is no other node for them.
    is_alone: bool = False
    #: Whether nodes put back without another boot ID are fine, too.
    requires_restart: bool = True
    #: Returns why no pod may go and no node may restart just now; None when nothing speaks against it.
    find_hold: Callable[[], Hold | None] = lambda: None
    #: Seconds for which it may hold the nodes up without going on itself.
    hold_timeout: float = GATE_TIMEOUT
    #: Whether nodes that the machine-config operator is at work on are left to it.
    minds_updates: bool = True
    drainer: Drainer = field(init=False)
    journeys: dict[str, Journey] = field(init=False)
    is_farther: bool = False
    is_dirty: bool = False
    changed: bool = False
    #: Whether the last look has done something, and whether it has tried and was refused.
    has_acted: bool = False
    is_refused: bool = False
    interval: float = 1.0
    #: When the nodes were held up at the last look (monotonic), for how many seconds since that went on, and how far it has been.
    held_at: float | None = None
    held_seconds: float = 0.0
    held_places: frozenset[tuple[str, int, int]] = frozenset()
    #: The nodes as they were last read: what selects them in a request, and the resourceVersion of that moment.
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    selectors: Mapping[str, str] = field(default_factory=dict)
    nodes_version: str = ""
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.drainer = Drainer(cluster=self.cluster, options=self.request.drain, clock=self.clock, say=self.say)
        self.journeys = {name: Journey() for name in self.names}

    def run(self, options: WaitOptions) -> None:
        """Return when every node has arrived or failed; which of them is in the record. Raises a lasting ApiError."""
        limit = max(self.request.drain.timeout, self.request.restart_timeout, self.hold_timeout) + 600.0
        self.interval = options.interval
        poll(
            self.look,
            self.judge,
            waiting_for=f"the restart of {', '.join(self.names)}",
            options=replace(options, timeout=limit),
            clock=self.clock,
            has_progressed=lambda verdict: self.is_farther,
            wait_for_change=self.wait_for_change,
        )

    def wait_for_change(self, left: float) -> None:
        """Return when a node under way, or its pods, have changed, or after a while.

        Where several nodes have pods to be waited for, only those of the first are watched, so the while is short then, as it
        is when something was refused and is to be tried again. After a deed there is something new to see at once. A watch
        that is not to be had is a pause.
        """
        self.clock.sleep(min(QUIET_BETWEEN_LOOKS, left))
        if self.has_acted:
            return
        pause = min(self.interval, left)
        if self.held_at is not None:  # by what is not watched
            self.clock.sleep(pause)
            return
        active = [name for name in self.names if not self._is_over(name)]
        moving = [name for name in active if not self.journeys[name].awaits_node]
        kind, selectors, version = "Node", self.selectors, self.nodes_version
        if moving:
            selectors, version = {"field_selector": select_pods(moving[0])}, self.journeys[moving[0]].pods_version
            kind = "Pod"
        is_tried_again = self.is_refused or bool(self.drainer.refusals or self.drainer.held)
        is_short = is_tried_again or (moving and len(active) > 1)
        try:
            self.cluster.await_change(
                kind, **selectors, known_version=version, timeout=pause if is_short else min(left, LONGEST_WATCH)
            )
        except ApiError:
            self.clock.sleep(pause)

    def look(self) -> None:
        """Look at every node under way and take it one step farther where it may go."""
        self.is_farther = self.has_acted = self.is_refused = False
        if self.is_dirty:
            self._keep()
        active = [name for name in self.names if not self._is_over(name)]
        nodes = self._read_nodes(active)
        held = self._hold({n: nodes[n] for n in active if n in nodes and not is_away(nodes[n], self.record.nodes[n])})
        free = [name for name in active if name not in held]
        targets = side_by_side([partial(self._visit, name, nodes.get(name)) for name in free])
        if self.drainer.work([pod for found in targets for pod in found]):
            self._act()
        if self.is_dirty:
            self._keep()

    def _hold(self, nodes: Mapping[str, NodeFacts]) -> Collection[str]:
        """Return those of ``nodes``, which have yet to restart, that must be left as they are for now.

        The time of their own steps stands still meanwhile. When what holds them up has not gone on for its own time, they fail.
        """
        hold = self.find_hold() if nodes and self.way is not Way.RETURN else None
        if hold is None:
            self.held_at = None
            return ()
        now = self.clock.monotonic()
        passed = 0.0 if self.held_at is None else now - self.held_at
        # Also over pauses: what ends and begins again without going on would hold them up for ever, too.
        self.held_seconds = self.held_seconds + passed if hold.places <= self.held_places else 0.0
        self.held_at, self.held_places = now, self.held_places | hold.places
        is_overdue = self.held_seconds >= self.hold_timeout
        for name, node in nodes.items():
            journey = self.journeys[name]
            if not journey.message.startswith("paused"):
                self.say(f"{name} is paused: {hold.words}")
            journey.message = f"paused: {hold.words}"
            journey.since += passed
            if is_overdue:
                words = f"paused for {format_seconds(self.hold_timeout)} in which this has not gone on: {hold.words}"
                with _left_to_the_next_look():
                    self._fail(name, node, self._find_reason(name), words)
        self.is_refused = True
        self.is_farther = self.is_farther or not is_overdue
        return nodes.keys()

    def judge(self, facts: None) -> Judgement:
        under_way = [name for name in self.names if not self._is_over(name)]
        if not under_way:
            return Judgement(outcome=Outcome.DONE, message="no node is under way")
        words = "; ".join(f"{name}: {self.journeys[name].message}" for name in under_way)
        return Judgement(outcome=Outcome.WAITING, message=words)

    def _is_over(self, name: str) -> bool:
        return self.record.nodes[name].step in ENDED or self.journeys[name].is_arrived

    def _read_nodes(self, active: Sequence[str]) -> Mapping[str, NodeFacts]:
        self.selectors = select_nodes(active, self.labels)
        self.nodes_version, found = read_nodes_at(self.cluster, **self.selectors)
        nodes = {n.name: n for n in found}
        for name in active:
            # a label by which it was selected may have changed
            node = nodes.get(name) or read_node(self.cluster, name)
            if node:
                nodes[name], self.labels[name] = node, node.labels
        return nodes

    def _visit(self, name: str, node: NodeFacts | None) -> Sequence[NodePod]:
        """Take one node a step farther where it may go; return the pods to send away from it."""
        journey = self.journeys[name]
        targets: Sequence[NodePod] = ()
        with _left_to_the_next_look():
            if node and journey.awaits_node and journey.version == node.version:
                self._is_overdue(name, node)
                return ()
            journey.pods_version, pods = read_node_pods(self.cluster, name)
            left = [] if self.is_alone else choose_targets(pods, self.request.drain)
            blocking = [] if self.is_alone else choose_blocking(pods, self.request.drain)
            targets = self._advance(name, node, pods, left, blocking)
            journey.version = node.version if node else ""
        return targets

    def _advance(
        self,
        name: str,
        node: NodeFacts | None,
        pods: Sequence[NodePod],
        left: Sequence[NodePod],
        blocking: Sequence[tuple[NodePod, DrainDecision]],
    ) -> Sequence[NodePod]:
        """Do what the node's step asks for; return the pods to send away."""
        progress, journey = self.record.nodes[name], self.journeys[name]
        # For nodes that are put back nobody minds what is on them.
        is_empty = self.way is Way.RETURN or not (left or blocking)
        step = judge_step(node, progress, self.record.names, is_empty=is_empty)
        if step is not journey.step:
            self._enter(name, step, node)
        if node is None or step in ENDED or self._is_overdue(name, node):
            return ()
        journey.awaits_node = False
        if self._is_updated(name, node):
            return ()
        mark = node.mark or NodeMark(run_id=self.record.run_id, boot_id=progress.boot_id, was_cordoned=node.is_cordoned)
        if step is Step.PLANNED and self.way is Way.RETURN:
            self._enter(name, Step.DONE, node)
        elif step is Step.PLANNED:
            journey.message = "it is to be cordoned"
            cordon(self.cluster, node, mark)
            self._act()
        elif step in (Step.DRAINING, Step.RESTARTING) and not node.is_cordoned and self.way is not Way.RETURN:
            self.say(f"{name} was uncordoned by somebody else and is cordoned again")
            cordon(self.cluster, node, replace(mark, was_cordoned=False))
            self._act()
        elif step is Step.DRAINING:
            journey.message = self._describe_left(left, blocking)
            return left
        elif step is Step.RESTARTING:
            self._restart(name, node, mark, pods)
        elif self.way is Way.DRAIN:
            journey.is_arrived = True  # it has restarted since it was emptied; putting it back is for another task
        elif step is Step.RETURNING:
            self._prove(name, node, mark, pods)
        return ()

    def _is_updated(self, name: str, node: NodeFacts) -> bool:
        """Return whether a node is left alone, because the machine-config operator is at work on it.

        One that was asked to restart is looked at all the same; only its cordon stays until then.
        """
        journey, words = self.journeys[name], f"the machine-config operator is at work on it: {node.update}"
        if not self._is_busy(node) or is_away(node, self.record.nodes[name]):
            return False
        if journey.message != words:
            self.say(f"{name} is left alone: {words}")
        journey.message = words
        self.is_refused = True
        return True

    def _is_busy(self, node: NodeFacts) -> bool:
        return self.minds_updates and bool(node.update)

    def _describe_left(self, left: Sequence[NodePod], blocking: Sequence[tuple[NodePod, DrainDecision]]) -> str:
        """Return what keeps a node from being empty."""
        words = [f"{len(left)} pod(s) to go: {self.drainer.describe(left)}"] if left else []
        words += [f"{pod} has come meanwhile and may not go ({d.reason}) without {d.option}" for pod, d in blocking[:3]]
        return "; ".join(words)

    def _enter(self, name: str, step: Step, node: NodeFacts | None) -> None:
        """Note that a node is a step farther, and say so."""
        progress = replace(self._close_step(name), step=step)
        if node and node.mark and step is Step.RETURNING:
            restarted_at = node.mark.requested_at or node.mark.emptied_at
            progress = replace(progress, new_boot_id=node.boot_id, restarted_at=restarted_at)
        if step is Step.DONE:
            progress = replace(progress, done_at=format_time(self.cluster.server_time()))
        self._update(name, progress)
        journey, self.is_farther = self.journeys[name], True
        journey.step, journey.since = step, self.clock.monotonic()
        is_at = "has not restarted yet" if self.way is Way.RETURN else "is empty"
        if self.is_alone and self.way is not Way.RETURN:
            kept = "is restarted" if self.way is Way.RESTART else "is cordoned"
            is_at = f"{kept} with its pods on it, for there is no other node"
        words = {
            Step.PLANNED: "is cordoned next",
            Step.DRAINING: "is cordoned and being emptied",
            Step.RESTARTING: is_at,
            Step.RETURNING: f"has restarted, boot ID {node.boot_id if node else ''}",
            Step.DONE: "is done",
            Step.GONE: "does not exist any more",
        }
        self.say(f"{name} {words.get(step, step.value)}")

    def _close_step(self, name: str) -> NodeProgress:
        """Return how far a node is, with what the step that ends now took and sent away."""
        journey, progress = self.journeys[name], self.record.nodes[name]
        seconds = dict(progress.seconds)
        if journey.step is not None:
            took = self.clock.monotonic() - journey.since
            seconds[journey.step.value] = round(seconds.get(journey.step.value, 0.0) + took, 1)
        evicted = progress.evicted + len(self.drainer.sent.pop(name, ()))
        return replace(progress, seconds=seconds, evicted=evicted)

    def _is_overdue(self, name: str, node: NodeFacts) -> bool:
        """Let a node fail that has stood for too long where it is."""
        journey = self.journeys[name]
        limits = {
            Step.PLANNED: self.request.drain.timeout,
            Step.DRAINING: self.request.drain.timeout,
            Step.RESTARTING: self.request.restart_timeout,
            Step.RETURNING: self.request.restart_timeout,
        }
        limit = limits.get(journey.step or Step.PLANNED)
        if limit is None or self.clock.monotonic() - journey.since < limit:
            return False
        words = f"after {format_seconds(limit)}: {journey.message}"
        if journey.step in (Step.RESTARTING, Step.RETURNING) and not node.is_ready:
            requests = self._find_requests(name)
            if requests:
                words += f"; certificate requests that nobody has approved: {', '.join(requests[:5])}"
        self._fail(name, node, self._find_reason(name), words)
        return True

    def _find_reason(self, name: str) -> str:
        """Return why a node fails that has come no farther than it is."""
        reasons = {Step.RESTARTING: "NotRestarted", Step.RETURNING: "NotWell"}
        return reasons.get(self.journeys[name].step or Step.PLANNED, "NotDrained")

    def _find_requests(self, name: str) -> list[str]:
        """Return the undecided certificate requests of a node; none where they may not be read."""
        try:
            return read_pending_requests(self.cluster, name)
        except ApiError as error:
            if error.is_transient:
                raise
            return []

    def _fail(self, name: str, node: NodeFacts, reason: str, message: str) -> None:
        """Give a node up: put it back or leave it cordoned, as the request says."""
        mark, policy, asked_at = node.mark, self.request.on_failure, None
        pod = find_restart_pod(read_node_pods(self.cluster, name)[1])
        if mark is not None:
            asked_at = mark.requested_at
            if asked_at is None and pod and pod.created_at and pod.facts.phase != "Failed" and not node.is_ready:
                asked_at = format_time(pod.created_at)  # it went down before the pod was seen to end
        self._remove_restart_pod(pod)
        has_begun = mark is not None and (asked_at or mark.emptied_at or node.boot_id != mark.boot_id)
        stays = self._is_busy(node) or has_begun or self.way is Way.RETURN
        is_put_back = mark is not None and (policy == "put_back" or (policy == "auto" and not stays))
        if mark is not None and is_put_back:
            put_back(self.cluster, node, mark)
            self._act()
        elif mark is not None:
            # One that has let the request pass is asked again by the next run.
            is_ignored = reason == "NotRestarted" and node.is_ready and self.way is Way.RESTART
            change_mark(self.cluster, node, replace(mark, requested_at=None if is_ignored else asked_at))
        fate = "put back" if is_put_back else "left cordoned" if mark else "left as it is"
        progress = replace(self._close_step(name), step=Step.FAILED, reason=reason, message=message)
        self._update(name, replace(progress, restarted_at=asked_at))
        self.journeys[name].step = Step.FAILED
        self.is_farther = True
        self.say(f"{name} FAILED and is {fate}: {message}")

    def _restart(self, name: str, node: NodeFacts, mark: NodeMark, pods: Sequence[NodePod]) -> None:
        """Have an empty node restarted, and see to it that the pod that did it is gone."""
        journey = self.journeys[name]
        pod = find_restart_pod(pods)
        health = "it is Ready" if node.is_ready else "it is not Ready"
        if self.way is Way.DRAIN:
            self._arrive_empty(name, node, mark)
        elif self.way is Way.RETURN:
            self._return_unchanged(name, node, mark, pods)
        elif mark.requested_at:
            journey.message = (
                f"asked to restart at {mark.requested_at}, {health}, and its boot ID is still {node.boot_id}"
            )
            journey.awaits_node = True
            self._remove_restart_pod(pod)
        elif pod is None:
            journey.message = journey.message or "its restart pod is to be created"
            self._create_restart_pod(name, node, mark)
        elif pod.labels.get(BOOT_LABEL) != mark.boot_id:
            self._remove_restart_pod(pod)  # left over from an earlier restart
        elif pod.facts.phase == "Succeeded":
            moment = format_time(pod.finished_at or pod.facts.start_time)
            change_mark(self.cluster, node, replace(mark, requested_at=moment))
            self._remove_restart_pod(pod)
            self._act()
            self.say(f"{name} restarts within {self.request.delay} s")
        elif pod.facts.phase == "Failed":
            self._fail(name, node, "RestartPodFailed", f"its restart pod failed: {pod.words or 'no word why'}")
        else:
            journey.message = f"its restart pod is {pod.facts.phase}{f': {pod.words}' if pod.words else ''}, {health}"

    def _create_restart_pod(self, name: str, node: NodeFacts, mark: NodeMark) -> None:
        journey = self.journeys[name]
        pod = build_restart_pod(node, boot_id=mark.boot_id, image=self.image, delay=self.request.delay)
        require_own_namespace(self.cluster, RESTART_NAMESPACE)
        try:
            create_if_missing(self.cluster, "Pod", pod, RESTART_NAMESPACE)
            self._act()
        except ApiError as error:
            if error.is_missing_api or error.status not in (403, 404):
                raise
            # An earlier run may have come no farther than the namespace, so the binding is seen to each time.
            provide_namespace(self.cluster)
            if error.status == 404:
                self._act()
            elif self.clock.monotonic() - journey.since > ADMISSION_PATIENCE:
                self._fail(name, node, "RestartPodRefused", f"its restart pod is not let in: {error.words}")
            else:
                # The namespace's service account and permissions take a moment, as does the end of one from before.
                journey.message = f"its restart pod is not let in yet: {error.words}"
                self.is_refused = True

    def _remove_restart_pod(self, pod: NodePod | None) -> None:
        if pod is not None and not pod.facts.is_terminating:
            metadata = {"name": pod.facts.name, "namespace": pod.facts.namespace, "uid": pod.facts.uid}
            ask_for_deletion(self.cluster, {"metadata": metadata}, grace_period=0)

    def _arrive_empty(self, name: str, node: NodeFacts, mark: NodeMark) -> None:
        """The node is cordoned, and empty unless there is no other one, for its restart by other means."""
        if mark.emptied_at is None:
            change_mark(self.cluster, node, replace(mark, emptied_at=format_time(self.cluster.server_time())))
        self.journeys[name].is_arrived = True

    def _return_unchanged(self, name: str, node: NodeFacts, mark: NodeMark, pods: Sequence[NodePod]) -> None:
        """A node that is to be put back has not restarted."""
        if self.requires_restart:
            self.journeys[name].message = f"it has not restarted: the boot ID is still {node.boot_id}"
            self.journeys[name].awaits_node = True
        else:
            self._prove(name, node, mark, pods)

    def _prove(self, name: str, node: NodeFacts, mark: NodeMark, pods: Sequence[NodePod]) -> None:
        """Put a node back as soon as it has proven that it is well."""
        progress = self.record.nodes[name]
        has_restarted, pod = node.boot_id != progress.boot_id, find_restart_pod(pods)
        # A node that went down at once has not left it in the mark; the pod that asked it is still there then.
        asked_at = parse_time(mark.requested_at) or (pod.created_at if pod else None) or parse_time(mark.emptied_at)
        verdict = judge_restarted(
            node,
            pods,
            boot_id=progress.boot_id if has_restarted else "",
            requested_at=asked_at if has_restarted else None,
            unwell_before=progress.unwell,
        )
        self.journeys[name].message = verdict.message
        self.journeys[name].awaits_node = verdict.reason != "PodsNotReady"
        if verdict.outcome is Outcome.DONE and self._is_busy(node):
            self.journeys[name].message = f"it is well, and the machine-config operator is at work on it: {node.update}"
        elif verdict.outcome is Outcome.DONE:
            put_back(self.cluster, node, mark)
            self._act()
            if has_restarted and progress.restarted_at is None:
                self._update(name, replace(progress, restarted_at=format_time(asked_at)))
            self._enter(name, Step.DONE, node)

    def _act(self) -> None:
        """Note that the cluster was changed."""
        self.changed = self.has_acted = True

    def _update(self, name: str, progress: NodeProgress) -> None:
        with self.mutex:
            self.record = replace(self.record, nodes={**self.record.nodes, name: progress})
        self.is_dirty = True

    def _keep(self) -> None:
        self.save(self.record)
        self.is_dirty = False


@contextmanager
def _left_to_the_next_look() -> Iterator[None]:
    """Swallow that a node has changed since it was read (409), or that it or its restart pod is gone (404)."""
    try:
        yield
    except ApiError as error:
        if error.status not in (404, 409) or error.is_missing_api:
            raise


def find_restart_pod(pods: Iterable[NodePod]) -> NodePod | None:
    """Return the pod among a node's ``pods`` that restarts it, None when there is none."""
    return next((p for p in pods if p.is_restart_pod and p.facts.namespace == RESTART_NAMESPACE), None)


def is_away(node: NodeFacts, progress: NodeProgress) -> bool:
    """Return whether a node has been asked to restart, or has restarted."""
    return node.boot_id != progress.boot_id or (node.mark is not None and node.mark.requested_at is not None)
