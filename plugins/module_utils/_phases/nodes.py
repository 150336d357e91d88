# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Restarting nodes batch by batch: the plan, the record, the gates between the batches, the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._errors import ApiError, CollectionError, Refused, WaitFailed
from .._facts import find_own_pod, read_denied, require_own_namespace
from .._model import Judgement, Outcome, format_time
from .._node_facts import read_budgets, read_machine_pools, read_nodes, read_pods_by_node
from .._node_model import NodeFacts, NodeMark
from .._plan.node_findings import NodeFinding, estimate_seconds, find_blockers
from .._plan.node_record import (
    ENDED,
    NodeProgress,
    NodeRecord,
    Step,
    find_outdated,
    find_pause,
    judge_nodes,
)
from .._plan.nodes import NodeRequest, Surroundings, choose_nodes, find_pool, fit_beside, plan_batches
from .._plan.permissions import DELETE_PODS, DRAIN, RESTART, RESTART_NAMESPACE, describe_denied
from .._plan.restart import find_unwell
from .._plan.story import format_seconds
from .._run import RecordStore
from .gates import Gatekeeper
from .node_batch import BatchRun, Way
from .node_command import find_image, find_obstacles, remove_namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice:
    """How a task wants to go on with, or begin, a run; ``run_id`` None means the recorded one, or ``new_id``."""

    run_id: str | None
    new_id: str
    take_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What is going to be done: the record to begin with, the batches, and what speaks against it."""

    record: NodeRecord
    batches: Sequence[tuple[str, ...]]
    findings: Sequence[NodeFinding]
    pools: Mapping[str, str]
    is_alone: bool = False
    is_continued: bool = False
    #: Whether only the traces of a finished run are left to be removed.
    is_left_over: bool = False
    #: Nodes for which nothing is waited for: an earlier run has asked them to restart, or emptied them.
    away: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class NodeRun:
    """One task's work on nodes. ``acquire`` returns when the lease is held for the run of this name."""

    cluster: Cluster
    request: NodeRequest
    keeper: Gatekeeper
    choice: RunChoice
    store: RecordStore
    clock: Clock
    acquire: Callable[[str], None]
    options: WaitOptions
    say: Callable[[str], None]
    seconds_per_node: int = 600
    canary_pause: int = 0
    way: Way = Way.RESTART
    requires_restart: bool = True
    changed: bool = False
    finished: list[float] = field(default_factory=list)
    _last_record: NodeRecord | None = field(default=None, init=False)

    def work(self, *, check_mode: bool) -> dict[str, Any]:
        """Restart the nodes and return the module's result; in check mode return the plan.

        Raises Refused before the first cordon, else a CollectionError with the result so far.
        """
        plan = retry(self.make_plan, clock=self.clock)
        if check_mode:
            plan = replace(plan, findings=[*self._find_obstacles(plan), *plan.findings])
            return {**self._result(plan), "changed": self._has_work(plan)}
        if not plan.batches and not plan.is_continued:
            return self._result(plan)
        retry(lambda: self._require_permissions(plan), clock=self.clock)
        self.acquire(plan.record.run_id)
        # What was read before the lease was held may be out of date.
        plan = retry(self.make_plan, clock=self.clock)
        try:
            self._refuse_blocked(plan)
            image = self._find_image(plan)
            if plan.batches:
                plan = self._begin(plan)
            plan = self._carry_out(plan, image)
            if plan.is_continued and retry(lambda: self._find_outdated(plan.record), clock=self.clock):
                # They were on their way already, for something else, and could only be put back first.
                plan = self._carry_out(retry(self.make_plan, clock=self.clock), image)
        except CollectionError as error:
            record = self._last_record or plan.record
            error.progress = self._result(replace(plan, record=record))
            if self.way is Way.RESTART and not any(p.step is Step.RESTARTING for p in record.nodes.values()):
                remove_namespace(self.cluster)
            raise
        return self._result(plan)

    def _has_work(self, plan: NodePlan) -> bool:
        """Return whether the plan would change anything: to a node that is empty for others to restart, nothing is done."""
        if self.way is Way.DRAIN:
            return not plan.away.issuperset(chain.from_iterable(plan.batches))
        return bool(plan.batches) or plan.is_left_over

    def _find_obstacles(self, plan: NodePlan) -> list[NodeFinding]:
        """Return what the run would be refused for, besides the findings of the plan."""
        self.keeper.run_ids = plan.record.names
        checks: dict[str, Callable[[], object]] = {
            "Permissions": partial(self._require_permissions, plan),
            "Image": partial(self._find_image, plan),
        }
        if self.way is not Way.RETURN:
            checks |= {"Gates": self.keeper.require_gates, "Quiet": self.keeper.require_quiet}
        return find_obstacles(checks, self.clock) if plan.batches else []

    def _begin(self, plan: NodePlan) -> NodePlan:
        """Return the plan whose record is kept, with what was unwell and what was satisfied when the run began."""
        record = plan.record
        self.keeper.run_ids = record.names
        if self.way is not Way.RETURN:
            self.keeper.require_gates()
            self.keeper.require_quiet()
        if plan.is_continued:
            self.say(f"goes on with the run {record.run_id}, begun at {record.begun_at}")
            self.keeper.unwell &= frozenset(record.unwell_operators)
            self.keeper.satisfied |= frozenset(record.satisfied_budgets)
        else:
            unwell, satisfied = tuple(sorted(self.keeper.unwell)), tuple(sorted(self.keeper.satisfied))
            record = replace(record, unwell_operators=unwell, satisfied_budgets=satisfied)
        self._save(record)
        return replace(plan, record=record)

    def make_plan(self) -> NodePlan:
        """Return what is to be done now. Raises Refused when the record is of another run that is not finished."""
        begun_at = self.cluster.server_time()
        around = self._read_surroundings()
        chosen = choose_nodes(around.nodes, self.request, around.pools, around.own_node)
        if self.way is Way.RETURN:
            chosen = [n for n in chosen if n.mark]
        self._refuse_unfit(chosen)
        record, is_continued = self._choose_record(begun_at)
        record = self._adopt(record, chosen, around, format_time(begun_at))
        around = replace(around, nodes=[_without_foreign_mark(n, record) for n in around.nodes])
        pending = [n for n in chosen if record.nodes[n.name].step not in ENDED]
        away = tuple(n.name for n in pending if n.mark and self._is_away(n, n.mark))
        middle = [n for n in pending if n.mark and n.name not in away]
        workers = tuple(n.name for n in middle if not n.is_control_plane)
        begun = [*([workers] if workers else []), *((n.name,) for n in middle if n.is_control_plane)]
        waiting = [n for n in pending if n.mark is None]
        has_begun = bool(away or middle) or any(p.step is Step.DONE for p in record.nodes.values())
        planned = self._plan_batches(waiting, around, has_begun=has_begun)
        findings: Sequence[NodeFinding] = ()
        if self.way is not Way.RETURN:
            findings = find_blockers(
                [*middle, *waiting], around, self.request, batches=[*begun, *planned], now=begun_at
            )
        return NodePlan(
            record=record,
            away=frozenset(away),
            batches=[*([away] if away else []), *begun, *planned],
            findings=findings,
            pools={n.name: find_pool(n, around.pools) for n in around.nodes},
            is_alone=len(around.nodes) == 1,
            is_continued=is_continued,
            is_left_over=is_continued and record.is_done and not record.is_named,
        )

    def _read_surroundings(self) -> Surroundings:
        pods = read_pods_by_node(self.cluster)
        own = find_own_pod(self.cluster, [p.facts for on_node in pods.values() for p in on_node])
        return Surroundings(
            nodes=read_nodes(self.cluster),
            pools=read_machine_pools(self.cluster),
            budgets=read_budgets(self.cluster),
            pods=pods,
            own_pod=next((p for on_node in pods.values() for p in on_node if p.facts == own), None),
        )

    def _choose_record(self, begun_at: datetime | None) -> tuple[NodeRecord, bool]:
        """Return the record to begin with, and whether it is of a run that goes on. Raises Refused when that is another one."""
        found = self.store.read_nodes()
        verdict = judge_nodes(found, run_id=self.choice.run_id, take_over=self.choice.take_over)
        if verdict.action == "refuse":
            raise Refused(verdict.message)
        is_named = self.choice.run_id is not None
        if found is None or verdict.action != "continue":
            run_id = self.choice.run_id or self.choice.new_id
            return NodeRecord(run_id=run_id, is_named=is_named, begun_at=format_time(begun_at)), False
        run_id = self.choice.run_id or found.run_id
        former = {*found.former_ids, found.run_id} - {run_id}
        is_named = found.is_named or is_named
        record = replace(found, run_id=run_id, is_named=is_named, former_ids=tuple(sorted(former)))
        outdated = self._find_outdated(record)
        return replace(record, nodes={n: p for n, p in record.nodes.items() if n not in outdated}), True

    def _find_outdated(self, record: NodeRecord) -> frozenset[str]:
        """Return the nodes that are to be restarted once more, see find_outdated."""
        return find_outdated(record, self.store.read()) if self.way is Way.RESTART else frozenset()

    def _is_away(self, node: NodeFacts, mark: NodeMark) -> bool:
        """Return whether nothing is waited for before a node goes on: it is on its way back, or as empty as it was wanted."""
        is_empty = self.way is Way.DRAIN and mark.emptied_at is not None
        return self.way is Way.RETURN or is_empty or mark.requested_at is not None or node.boot_id != mark.boot_id

    def _plan_batches(
        self, waiting: Sequence[NodeFacts], around: Surroundings, *, has_begun: bool
    ) -> list[tuple[str, ...]]:
        """Return the batches; nodes that are only drained are wanted empty together."""
        if self.way is Way.DRAIN:
            masters = [n.name for n in waiting if n.is_control_plane]
            if len(masters) > 1:
                raise Refused(
                    f"No node was touched, because {', '.join(masters)} are all of the control plane; empty, restart and put "
                    "back one of them before the next."
                )
            return [tuple(n.name for n in waiting)] if waiting else []
        has_canary = self.request.has_canary and not has_begun
        return plan_batches(waiting, replace(self.request, has_canary=has_canary), around)

    def _adopt(
        self, record: NodeRecord, chosen: Sequence[NodeFacts], around: Surroundings, now: str | None
    ) -> NodeRecord:
        """Return the record with all that is chosen.

        Raises Refused for a node of ``chosen`` that another run is in the middle of, and for one that this run would leave
        behind. What others have cordoned elsewhere counts as unavailable and stops nothing.
        """
        names, selected = record.names, {n.name for n in chosen}
        foreign = sorted({n.mark.run_id for n in chosen if n.mark} - names)
        if foreign and self.choice.take_over:
            record = replace(record, former_ids=tuple(sorted({*record.former_ids, *foreign})))
        for node in around.nodes:
            is_ours = node.mark is not None and node.mark.run_id in record.names
            is_left_behind = is_ours and node.name not in selected and self.way is Way.RESTART
            if node.mark and (is_left_behind or (node.name in selected and not is_ours)):
                raise Refused(
                    f"No node was touched, because {node.name} is in the middle of the run {node.mark.run_id} and is cordoned by "
                    "it; select that node, too, to finish it, or put it back with bound_tokens.openshift.node_drain (state: "
                    f"available, run_id: {node.mark.run_id}, require_restart: false)."
                    + ("" if is_ours else " Set take_over to true to go on with it in this run.")
                )
        nodes = {}
        for node in chosen:
            known = record.nodes.get(node.name)
            unwell = tuple(find_unwell(around.pods.get(node.name, ())))
            boot_id = node.mark.boot_id if node.mark else node.boot_id
            is_kept = bool(self.request.only) and node.name not in (self.request.only or ())
            if known is None or (self.way is Way.DRAIN and node.mark is None):
                known = NodeProgress(boot_id=boot_id, unwell=() if node.mark else unwell)
            elif node.mark is None and node.boot_id != known.boot_id:
                known = replace(known, step=Step.DONE, new_boot_id=node.boot_id, done_at=known.done_at or now)
            elif not is_kept if known.step is Step.FAILED else known.step in ENDED and node.mark:
                known = replace(known, step=Step.PLANNED, reason="", message="")
            nodes[node.name] = known
        # A new selection replaces what was only planned; emptying or putting back single nodes leaves the plan as it is.
        others = {
            n: p
            for n, p in record.nodes.items()
            if n not in nodes and (p.step is Step.DONE or self.way is not Way.RESTART)
        }
        return replace(record, nodes={**others, **nodes})

    def _refuse_unfit(self, chosen: Sequence[NodeFacts]) -> None:
        """Return when every node can be restarted, and proven to have. Raises Refused with those that can't."""
        silent = [n.name for n in chosen if not n.boot_id]
        if silent:
            raise Refused(
                f"No node was touched, because {', '.join(silent)} report(s) no boot ID, without which no restart can be proven; "
                "leave them out, or see to their kubelets."
            )
        others = [n.name for n in chosen if n.labels.get("kubernetes.io/os", "linux") != "linux"]
        if others and self.way is Way.RESTART:
            raise Refused(
                f"No node was touched, because {', '.join(others)} do(es) not run Linux and can't be restarted this way; select "
                "with label_selectors: kubernetes.io/os=linux, and restart the others by other means (node_drain)."
            )

    def _require_permissions(self, plan: NodePlan) -> None:
        wanted = list(DRAIN)
        if self.request.drain.disable_eviction or self.request.drain.delete_after is not None:
            wanted.append(DELETE_PODS)
        if self._restarts():
            wanted += RESTART
        denied = read_denied(self.cluster, wanted)
        if denied:
            raise Refused(f"No node was touched: {describe_denied(denied)}")
        if self._restarts():
            require_own_namespace(self.cluster, RESTART_NAMESPACE)

    def _refuse_blocked(self, plan: NodePlan) -> None:
        blocking = [f.message for f in plan.findings if f.is_blocking]
        if blocking:
            more = f" And {len(blocking) - 5} more, see findings." if len(blocking) > 5 else ""
            raise Refused(f"No node was touched, because: {' '.join(blocking[:5])}{more}")

    def _restarts(self) -> bool:
        """Return whether this task restarts hosts by itself: not when it only keeps the plan for tasks in between."""
        return self.way is Way.RESTART and self.request.only != ()

    def _find_image(self, plan: NodePlan) -> str:
        """Return the image of restart pods; an empty text when none is needed."""
        if not self._restarts() or self.request.image:
            return self.request.image or ""
        return find_image(self.cluster)

    def _carry_out(self, plan: NodePlan, image: str) -> NodePlan:
        """Do batch after batch; return the plan with the record as it is at the end."""
        record, only = plan.record, self.request.only
        for number, planned in enumerate(plan.batches):
            batch: Sequence[str] = [name for name in planned if only is None or name in only]
            while batch:
                part = self._choose_part(batch, record, is_away=plan.away.issuperset(batch))
                self._tell(plan, record, number, part)
                record = self._carry_batch(plan, record, part, image)
                batch = batch[len(part) :]
                is_last = not batch and number == len(plan.batches) - 1
                self._stop_when_failed(record, is_last=is_last)
                if not is_last:
                    self._pause(record)
        self._clean_up(record)
        return replace(plan, record=record)

    def _carry_batch(self, plan: NodePlan, record: NodeRecord, batch: Sequence[str], image: str) -> NodeRecord:
        """Wait until ``batch`` may begin, and carry its nodes as far as the task does; return the record after that."""
        marked = [name for name in batch if record.nodes[name].step is not Step.PLANNED]
        begun, is_away = self.clock.monotonic(), plan.away.issuperset(batch)
        if not is_away:
            if not marked:
                self._pause(record)  # which another run may have begun
            self.keeper.wait(batch, marked)
        run = BatchRun(
            cluster=self.cluster,
            request=self.request,
            clock=self.clock,
            say=self.say,
            record=record,
            save=self._save,
            names=batch,
            image=image,
            way=self.way,
            is_alone=plan.is_alone,
            requires_restart=self.requires_restart,
            find_hold=self.keeper.find_hold,
            hold_timeout=self.keeper.request.timeout,
            minds_updates=self.keeper.request.wants("pools"),
        )
        try:
            run.run(self.options)
        finally:
            self._last_record = run.record
            self.changed = self.changed or run.changed
        if not is_away:
            self.finished.append(self.clock.monotonic() - begun)
        return run.record

    def _choose_part(self, batch: Sequence[str], record: NodeRecord, *, is_away: bool) -> Sequence[str]:
        """Return as many nodes of ``batch`` as there is room for beside those that have failed and are unavailable.

        Raises WaitFailed where there is none: no waiting would mend that.
        """
        failed = [name for name, p in record.nodes.items() if p.step is Step.FAILED]
        if not failed or is_away or not self.keeper.request.wants("room"):
            return batch
        nodes, pools = retry(lambda: (read_nodes(self.cluster), read_machine_pools(self.cluster)), clock=self.clock)
        if all(n.mark for n in nodes if n.name in batch):
            return batch  # begun before, and leaving it as it is helps nobody
        part, words = fit_beside(failed, batch, nodes, pools, self.request)
        if part and (not words or self.way is Way.RESTART):  # what is emptied together stays away together
            return part
        raise WaitFailed(
            f"{_describe_failed(record)} There is no room beside that for {', '.join(batch)}, whatever max_failures says: "
            f"{words}. Mend them and run it again: it goes on where it stopped. Or let more be away (max_unavailable, "
            "max_unavailable_per_pool, and the pool's own maxUnavailable), or have those that fail put back (on_failure)."
        )

    def _tell(self, plan: NodePlan, record: NodeRecord, number: int, batch: Sequence[str]) -> None:
        done = sum(p.step in ENDED for p in record.nodes.values())
        left = estimate_seconds(plan.batches[number:], self.seconds_per_node, self.finished)
        names = ", ".join(batch)
        self.say(f"{done} of {len(record.nodes)} node(s) done, about {format_seconds(left)} to go; next: {names}")

    def _stop_when_failed(self, record: NodeRecord, *, is_last: bool) -> None:
        """Raise WaitFailed when more nodes have failed than may, the canary has, or nothing is left to do after one has.

        A task that only empties nodes, or puts them back, is not the last one.
        """
        steps = [p.step for p in record.nodes.values()]
        failed = steps.count(Step.FAILED)
        is_canary = self.request.has_canary and Step.DONE not in steps
        is_end = is_last and self.way is Way.RESTART
        if failed and (failed > self.request.max_failures or is_canary or is_end):
            words = "Mend them and run it again: it goes on where it stopped."
            raise WaitFailed(f"{_describe_failed(record)} {words}")

    def _pause(self, record: NodeRecord) -> None:
        """Return when the pause after the first node is over, whichever run has restarted that."""
        if not self.canary_pause:
            return
        seconds = find_pause(record, self.canary_pause, retry(self.cluster.server_time, clock=self.clock))
        if not seconds:
            return
        until = self.clock.monotonic() + seconds
        self.say(f"pausing for {format_seconds(seconds)} after the first node")

        def judge(now: float) -> Judgement:
            return Judgement(outcome=Outcome.DONE if now >= until else Outcome.WAITING, message="the pause is not over")

        poll(
            self.clock.monotonic,
            judge,
            waiting_for="the end of the pause",
            options=WaitOptions(timeout=seconds + 60.0, interval=max(0.1, min(5.0, seconds))),
            clock=self.clock,
        )

    def _save(self, record: NodeRecord | None) -> None:
        """Keep the record, or remove it; what a lost answer hid is found again."""

        def attempt() -> None:
            try:
                self.store.write_nodes(record)
            except ApiError as error:
                if error.status != 409:
                    raise
                self.store.read_nodes()
                self.store.write_nodes(record)

        retry(attempt, clock=self.clock, waiting_for="the record of the run to be written")
        self._last_record = record or self._last_record

    def _clean_up(self, record: NodeRecord) -> None:
        """Remove what a finished run has made: the namespace of restart pods, and the record if nobody has named the run."""
        if record.is_done:
            if self.way is Way.RESTART:
                remove_namespace(self.cluster)
            if not record.is_named:
                self._save(None)

    def _result(self, plan: NodePlan) -> dict[str, Any]:
        batch_of = {name: number for number, batch in enumerate(plan.batches) for name in batch}
        nodes = [
            node_result(name, p, pool=plan.pools.get(name), batch=batch_of.get(name))
            for name, p in plan.record.nodes.items()
        ]
        return {
            "changed": self.changed,
            "run_id": plan.record.run_id,
            "batches": [list(b) for b in plan.batches],
            "nodes": nodes,
            "findings": [f.record() for f in plan.findings],
            "estimate_seconds": estimate_seconds(plan.batches, self.seconds_per_node, []),
            "summary": {
                "planned": len(batch_of),
                "done": sum(p.step is Step.DONE for p in plan.record.nodes.values()),
                "failed": sum(p.step is Step.FAILED for p in plan.record.nodes.values()),
            },
        }


def _without_foreign_mark(node: NodeFacts, record: NodeRecord) -> NodeFacts:
    """Return a node as the run sees it: the cordon of another run is a cordon like any other, and nobody knows when it ends."""
    return replace(node, mark=None) if node.mark and node.mark.run_id not in record.names else node


def _describe_failed(record: NodeRecord) -> str:
    """Return which nodes have failed and why, and how many were not begun."""
    failed = [f"{name}: {p.message}" for name, p in record.nodes.items() if p.step is Step.FAILED]
    left = sum(p.step not in ENDED for p in record.nodes.values())
    rest = f" {left} node(s) were not begun." if left else ""
    return f"{len(failed)} node(s) failed: {'; '.join(failed)}.{rest}"


def node_result(name: str, progress: NodeProgress, *, pool: str | None, batch: int | None) -> dict[str, Any]:
    """Return a node in the shape that node_restart documents as ``nodes``."""
    return {
        "name": name,
        "pool": pool,
        "batch": batch,
        "outcome": progress.step.value,
        "reason": progress.reason or None,
        "message": progress.message or None,
        "boot_id_before": progress.boot_id,
        "boot_id": progress.new_boot_id or None,
        "restarted_at": progress.restarted_at,
        "evicted": progress.evicted,
        "seconds": dict(progress.seconds),
    }
