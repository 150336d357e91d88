# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Waiting for the kube-apiservers to roll out, with proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._errors import ApiError, CollectionError, Refused, WaitFailed, WaitTimedOut
from .._facts import (
    read_cluster_operators,
    read_operand_pods,
    read_revision_config,
    read_rollout,
    read_rollout_objects,
    read_token_issuers,
)
from .._model import (
    Outcome,
    Probe,
    RolloutFacts,
    RolloutVerdict,
    SwitchTime,
    format_time,
    issuers_in_config,
    latest_revision_of,
    parse_time,
    rollout_facts,
    server_pods,
)
from .._plan.patience import History, Patience, judge_patience
from .._plan.rollout import (
    bound_by_finish,
    bound_switch_times,
    find_finish,
    find_places,
    find_switch_revision,
    judge_rollout,
)
from .._plan.story import RolloutStory, tell_rollout

#: Behind a load balancer each new connection may reach another API server.
PROBE_COUNT = 3
OPERATORS = ("kube-apiserver", "authentication")

#: Seconds after which a watch that told nothing is begun anew: so long a dead connection may go unnoticed.
QUIET = 30.0
#: Seconds between two looks at what the watched object does not show.
PROOF_INTERVAL = 1.0
#: Evidence that the watched object does not show. All that it does show is there by then.
_UNWATCHED = frozenset({"ServersDiffer", "ClusterOperatorsDiffer", "TokensDiffer"})
#: What may be waited for in vain because somebody has edited the issuer, which the watched object does not show either.
_MAYBE_EDITED = frozenset({"OperatorHasNotReacted", "NotObserved", "ConfigObservationDegraded"})


@dataclass(slots=True, kw_only=True)
class RolloutWatch:
    """Looks at the rollout towards one issuer and remembers what no later look can tell.

    A look takes what the watch has brought where it shows that there is more to wait for. The end is only ever found by
    reading everything anew.
    """

    cluster: Cluster
    wanted: str
    probe: Probe | None
    clock: Clock
    #: Whether the ClusterOperators must be at rest as well.
    operators: bool = False
    patience: Patience = field(default_factory=Patience)
    say: Callable[[str], None] = lambda line: None
    warn: Callable[[str], None] = lambda text: None
    interval: float = 5.0

    can_watch: bool = True
    was_seen_running: bool = False
    verdict: RolloutVerdict | None = None
    facts: RolloutFacts | None = None
    finished_at: datetime | None = None
    switch_revision: int | None = None
    switch_times: Mapping[str, SwitchTime] = field(default_factory=dict)
    #: What is known of the cluster; None when it must be read anew.
    authentication: dict[str, Any] = field(default_factory=dict)
    kube_apiserver: dict[str, Any] | None = None
    #: By revision. A revision's configuration does not change once the revision has been published.
    configs: dict[int, dict[str, Any]] = field(default_factory=dict)
    history: History = field(default_factory=History)
    story: RolloutStory = field(default_factory=RolloutStory)
    #: Seconds after which to judge again though nothing has changed.
    again: float | None = None

    def look(self) -> RolloutFacts:
        """Return the facts of this moment; when they show the end, with the tokens and times that go with it."""
        facts = self._glance()
        if facts is None:
            self.authentication, first, config, last = read_rollout_objects(self.cluster)
            self.wanted = self.wanted or rollout_facts(self.authentication, first, config, last).issuer.wanted
            facts = rollout_facts(self.authentication, first, config, last)
            self.kube_apiserver = last
            if config is not None and facts.revision_at_start == facts.revision:
                self.configs[facts.revision] = config
            if judge_rollout(facts, self.wanted).outcome is Outcome.DONE:
                return self._prove(facts)
        return self._look_at_servers(facts)

    def judge(self, facts: RolloutFacts) -> RolloutVerdict:
        """Return the verdict on ``facts`` and keep both for the record."""
        now = self.clock.monotonic()
        plain = judge_rollout(facts, self.wanted)
        if plain.outcome is not Outcome.DONE:
            self.was_seen_running = self.was_seen_running or plain.reason not in _UNWATCHED
            self.finished_at = None
        self.facts = facts
        self.verdict, self.history, self.again = judge_patience(
            facts, self.wanted, plain, self.history, now, self.patience
        )
        self.story, lines = tell_rollout(self.story, facts, self.verdict, now)
        for line in lines:
            self.say(line)
        return self.verdict

    def wait_for_change(self, seconds: float) -> None:
        """Return when another look may show something new, at the latest after ``seconds``."""
        reason = self.verdict.reason if self.verdict else ""
        seconds = min(seconds, QUIET, QUIET if self.again is None else self.again)
        if self.operators and reason == "NotStableYet":
            seconds = min(seconds, self.interval)  # the ClusterOperators are not watched
        known = self.kube_apiserver
        if known is None or not self.can_watch or reason in _UNWATCHED:
            self.kube_apiserver = None
            is_nearly_done = reason in ("ServersDiffer", "TokensDiffer")
            self.clock.sleep(min(seconds, self.interval, PROOF_INTERVAL if is_nearly_done else self.interval))
            return
        try:
            version = known["metadata"].get("resourceVersion", "")
            changed = self.cluster.watch("KubeAPIServer", "cluster", known_version=version, timeout=seconds)
        except ApiError as error:
            self.kube_apiserver = None
            if error.status in (403, 405):
                self.can_watch = False
                self.warn(f"Polling every {self.interval:g} s instead of watching: {error.message}")
                self.clock.sleep(min(seconds, self.interval))
            else:
                self.clock.sleep(min(seconds, PROOF_INTERVAL))
        else:
            self.kube_apiserver = changed or known

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

    def _glance(self) -> RolloutFacts | None:
        """Return the facts that the watch has brought; None when only reading everything can tell."""
        known = self.kube_apiserver
        if known is None:
            return None
        facts = rollout_facts(self.authentication, known, self._config(latest_revision_of(known)), known)
        verdict = judge_rollout(facts, self.wanted)
        if verdict.outcome is not Outcome.WAITING or verdict.reason in _MAYBE_EDITED:
            return None
        return facts

    def _prove(self, facts: RolloutFacts) -> RolloutFacts:
        """Return ``facts``, which show the end, with what the API servers themselves show of it."""
        pods = read_operand_pods(self.cluster)
        operators = read_cluster_operators(self.cluster, OPERATORS) if self.operators else None
        facts = replace(facts, servers=server_pods(pods), operators=operators)
        if self.probe and judge_rollout(facts, self.wanted).outcome is Outcome.DONE:
            facts = replace(facts, token_issuers=read_token_issuers(self.cluster, self.probe, count=PROBE_COUNT))
        self._bound_switch_times(facts, pods)
        self.finished_at = find_finish(facts, self.switch_revision, was_seen_running=self.was_seen_running)
        self.switch_times = bound_by_finish(self.switch_times, self.finished_at)
        return facts

    def _look_at_servers(self, facts: RolloutFacts) -> RolloutFacts:
        """Return ``facts`` with the static pods where they may tell of trouble; keep the times when a node has arrived."""
        if judge_rollout(facts, self.wanted).reason != "NodesBehind":
            return facts
        before = {n.name: n.current for n in self.facts.nodes} if self.facts else {}
        has_arrived = any(n.current == facts.revision != before.get(n.name) for n in facts.nodes)
        is_in_trouble = facts.condition("StaticPodsDegraded").status == "True" or self.history.holds("ServerCrashing")
        if not has_arrived and not is_in_trouble:
            return facts
        pods = read_operand_pods(self.cluster)
        if has_arrived:
            self._bound_switch_times(facts, pods)
        return replace(facts, servers=server_pods(pods))

    def _bound_switch_times(self, facts: RolloutFacts, pods: list[dict[str, Any]]) -> None:
        """Keep the bounds that ``pods`` tell, which a later rollout would wash away."""
        revision = find_switch_revision(facts.revision, self.wanted, self._issuers)
        known = self.switch_times if revision == self.switch_revision else {}
        found = bound_switch_times(pods, (n.name for n in facts.nodes), revision)
        self.switch_revision = revision
        self.switch_times = {
            name: SwitchTime(
                not_before=known.get(name, times).not_before or times.not_before,
                not_after=known.get(name, times).not_after or times.not_after,
            )
            for name, times in found.items()
        }

    def _config(self, revision: int) -> dict[str, Any] | None:
        if revision not in self.configs:
            config = read_revision_config(self.cluster, revision)
            if config is None:
                return None
            self.configs[revision] = config
        return self.configs[revision]

    def _issuers(self, revision: int) -> tuple[str, ...] | None:
        config = self._config(revision)
        return None if config is None else issuers_in_config(config)


def look_at_rollout(
    cluster: Cluster, issuer: str | None, *, probe: Probe | None, clock: Clock, operators: bool = False
) -> dict[str, Any]:
    """Return the record of the rollout towards ``issuer`` (default: the one asked for) as it is now."""
    watch = RolloutWatch(cluster=cluster, wanted=issuer or "", probe=probe, clock=clock, operators=operators)
    watch.judge(retry(watch.look, clock=clock))
    return watch.record()


def find_switch(
    cluster: Cluster, given: datetime | None, *, noun: str, verb: str, clock: Clock, is_needed: bool = True
) -> tuple[datetime | None, str | None]:
    """Return since when every new token is as wanted: ``given``, or else the end of the last rollout, if it ``is_needed``.
    And the issuer that all kube-apiservers use, None where the cluster does not report that.

    Raises Refused while a rollout of the kube-apiservers runs. ``noun`` and ``verb`` are what is to be done to what, in the
    words of errors.
    """
    sought = f"Could not find out which {noun}s to {verb}:"
    is_needed = is_needed and given is None
    try:
        rollout = look_at_rollout(cluster, None, probe=None, clock=clock)
    except ApiError as error:
        if not error.is_missing_api:
            raise
        if is_needed:
            raise CollectionError(
                f"{sought} this cluster does not report rollouts of its kube-apiservers "
                "(it has no kubeapiservers.operator.openshift.io) and started_before is not given; set started_before "
                "to the moment since which every new token is as wanted, such as 2026-11-22T08:02:31Z."
            ) from None
        return given, None
    if not rollout["complete"]:
        raise Refused(
            f"No {noun} was {verb}ed, because the rollout of the kube-apiservers is not finished: "
            f"{rollout['explanation'].rstrip('.')}; wait for it with bound_tokens.openshift.kube_apiserver_rollout."
        )
    finished_at = parse_time(rollout["finished_at"])
    if is_needed and finished_at is None:
        raise CollectionError(
            f"{sought} the cluster does not tell any more when the rollout of the "
            f"kube-apiservers to the issuer {rollout['issuer']} finished, and started_before is not given; set "
            f"started_before to that moment, such as 2026-11-22T08:02:31Z, or to now to {verb} all that run now."
        )
    return finished_at if is_needed else given, rollout["issuer"]


def wait_for_rollout(
    cluster: Cluster,
    issuer: str | None,
    *,
    probe: Probe | None,
    options: WaitOptions,
    clock: Clock,
    operators: bool = False,
    patience: Patience | None = None,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return the record of the finished rollout. Raises WaitFailed or WaitTimedOut with the record so far.

    ``say`` is given a line for each change, ``warn`` what the user should know about the way of waiting.
    """
    watch = RolloutWatch(
        cluster=cluster,
        wanted=issuer or "",
        probe=probe,
        clock=clock,
        operators=operators,
        patience=patience or Patience(),
        say=say,
        warn=warn,
        interval=options.interval,
    )
    try:
        poll(
            watch.look,
            watch.judge,
            waiting_for="the rollout of the kube-apiservers",
            options=options,
            clock=clock,
            wait_for_change=watch.wait_for_change,
        )
    except (WaitFailed, WaitTimedOut) as error:
        error.progress = {"rollout": watch.record()}
        raise
    return watch.record()


def pause_for_rollout(
    cluster: Cluster,
    issuer: str,
    *,
    during: str,
    options: WaitOptions,
    clock: Clock,
    say: Callable[[str], None],
) -> bool:
    """Return False at once where no rollout of the kube-apiservers runs, else True when it is over.

    ``during`` is what is interrupted, for people. A node at a revision at which it has not been seen is progress, from
    which the time of ``options`` counts anew. Raises WaitTimedOut, and WaitFailed when the cluster is to use an issuer
    other than ``issuer``.
    """
    first = judge_rollout(read_rollout(cluster), issuer)
    if first.outcome is Outcome.DONE:
        return False
    say(f"paused: a rollout of the kube-apiservers has begun: {first.message}")
    seen: set[tuple[str, int, int]] = set()
    story, is_farther = RolloutStory(), False

    def judge(facts: RolloutFacts) -> RolloutVerdict:
        nonlocal story, is_farther
        verdict = judge_rollout(facts, issuer)
        story, lines = tell_rollout(story, facts, verdict, clock.monotonic())
        for line in lines:
            say(line)
        places = find_places(facts)
        is_farther = not places <= seen
        seen.update(places)
        return verdict

    poll(
        lambda: read_rollout(cluster),
        judge,
        waiting_for=f"the end of the rollout of the kube-apiservers that began during {during},",
        options=options,
        clock=clock,
        has_progressed=lambda verdict: is_farther,
    )
    return True
