# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Waiting for the kube-apiservers to roll out, with proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .._client import Cluster
from .._clock import Clock, WaitOptions, poll
from .._errors import WaitFailed, WaitTimedOut
from .._facts import OPERAND_NAMESPACE, read_revision_issuers, read_rollout, read_token_issuers
from .._model import Outcome, Probe, RolloutFacts, RolloutVerdict, SwitchTime, format_time
from .._plan.rollout import bound_switch_times, find_finish, find_switch_revision, judge_rollout

#: Behind a load balancer each new connection may reach another API server.
PROBE_COUNT = 3


@dataclass(slots=True, kw_only=True)
class RolloutWatch:
    """Looks at the rollout towards one issuer and remembers what no later look can tell."""

    cluster: Cluster
    wanted: str
    probe: Probe | None
    was_seen_running: bool = False
    verdict: RolloutVerdict | None = None
    facts: RolloutFacts | None = None
    finished_at: datetime | None = None
    switch_times: Mapping[str, SwitchTime] = field(default_factory=dict)

    def look(self) -> RolloutFacts:
        """Return the facts of this moment; when they show the end, with the tokens and times that go with it."""
        facts = read_rollout(self.cluster)
        if judge_rollout(facts, self.wanted).outcome is Outcome.DONE:
            if self.probe:
                issuers = read_token_issuers(self.cluster, self.probe, count=PROBE_COUNT)
                facts = replace(facts, token_issuers=issuers)
            switch_revision = find_switch_revision(
                facts.revision, self.wanted, lambda revision: read_revision_issuers(self.cluster, revision)
            )
            pods = list(self.cluster.list("Pod", OPERAND_NAMESPACE))
            self.switch_times = bound_switch_times(pods, (n.name for n in facts.nodes), switch_revision)
            self.finished_at = find_finish(facts, switch_revision, was_seen_running=self.was_seen_running)
        return facts

    def judge(self, facts: RolloutFacts) -> RolloutVerdict:
        """Return the verdict on ``facts`` and keep both for the record."""
        self.facts, self.verdict = facts, judge_rollout(facts, self.wanted)
        if self.verdict.outcome is not Outcome.DONE:
            self.was_seen_running = True
            self.finished_at, self.switch_times = None, {}
        return self.verdict

    def record(self) -> dict[str, Any]:
        """Return the last look in the shape that kube_apiserver_rollout documents as ``rollout``."""
        facts, verdict = self.facts, self.verdict
        if facts is None or verdict is None:
            return {"complete": False, "issuer": self.wanted, "reason": "NothingSeen", "nodes": []}
        progressing = facts.condition("NodeInstallerProgressing")
        return {
            "complete": verdict.outcome is Outcome.DONE,
            "reason": verdict.reason,
            "explanation": verdict.message,
            "issuer": self.wanted,
            "revision": facts.revision,
            "message": f"{progressing.reason}\n{progressing.message}".strip(),
            "finished_at": format_time(self.finished_at),
            "nodes": [
                {
                    "name": n.name,
                    "revision": n.current,
                    "target_revision": n.target or None,
                    "switched_not_before": format_time(self.switch_times.get(n.name, SwitchTime()).not_before),
                    "switched_not_after": format_time(self.switch_times.get(n.name, SwitchTime()).not_after),
                }
                for n in facts.nodes
            ],
        }


def look_at_rollout(cluster: Cluster, issuer: str | None, *, probe: Probe | None) -> dict[str, Any]:
    """Return the record of the rollout towards ``issuer`` (default: the one asked for) as it is now."""
    watch = RolloutWatch(cluster=cluster, wanted=issuer or read_rollout(cluster).issuer.wanted, probe=probe)
    watch.judge(watch.look())
    return watch.record()


def wait_for_rollout(
    cluster: Cluster, issuer: str | None, *, probe: Probe | None, options: WaitOptions, clock: Clock
) -> dict[str, Any]:
    """Return the record of the finished rollout. Raises WaitFailed or WaitTimedOut with the record so far."""
    watch = RolloutWatch(cluster=cluster, wanted=issuer or "", probe=probe)

    def look() -> RolloutFacts:
        watch.wanted = watch.wanted or read_rollout(cluster).issuer.wanted
        return watch.look()

    try:
        poll(look, watch.judge, waiting_for="the rollout of the kube-apiservers", options=options, clock=clock)
    except (WaitFailed, WaitTimedOut) as error:
        error.progress = {"rollout": watch.record()}
        raise
    return watch.record()
