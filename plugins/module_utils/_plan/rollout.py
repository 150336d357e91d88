# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Is the rollout over? Pure, and replayed against a recording of the real operator in the unit tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .._model import (
    NO_CONDITION,
    Outcome,
    RolloutFacts,
    RolloutVerdict,
    SwitchTime,
    TrustedIssuer,
    conditions_of,
    parse_time,
)


def judge_rollout(facts: RolloutFacts, wanted: str) -> RolloutVerdict:
    """Return DONE only when every control-plane node runs a revision that holds ``wanted`` as its active issuer.

    The steps are taken in the order in which the operator reacts, and none may be left out: for up to 32 s after an
    edit all but the revision's own configuration is, already or still, as it will be at the end, and for up to 47 s
    the documented condition NodeInstallerProgressing keeps saying that all is done.
    """
    if facts.issuer.wanted != wanted:
        return RolloutVerdict(
            outcome=Outcome.FAILED,
            reason="SpecificationDiffers",
            message=f"authentications.config.openshift.io/cluster asks for {facts.issuer.wanted}, not for {wanted}; "
            "somebody has changed it.",
        )
    for judge in _EVIDENCE:
        verdict = judge(facts, wanted)
        if verdict:
            return verdict
    who = f"All {len(facts.nodes)} kube-apiservers run" if len(facts.nodes) > 1 else "The kube-apiserver runs"
    return RolloutVerdict(
        outcome=Outcome.DONE,
        reason="Complete",
        message=f"{who} revision {facts.revision} with the issuer {wanted}.",
    )


def _waiting(reason: str, message: str) -> RolloutVerdict:
    return RolloutVerdict(outcome=Outcome.WAITING, reason=reason, message=message)


def _judge_operator(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    if facts.issuer.trusted is None or facts.issuer.active == wanted:
        return None
    return _waiting(
        "OperatorHasNotReacted",
        f"The operator still reports {facts.issuer.active} as the active issuer"
        + ("." if facts.management_state == "Managed" else f" (its managementState is {facts.management_state})."),
    )


def _judge_observation(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    trusted = facts.issuer.trusted
    # Same issuer first is not enough: away from it and back within seconds leaves one more to trust, and so a rollout.
    if facts.observed_issuers[:1] == (wanted,) and (trusted is None or _names(trusted) == facts.observed_issuers):
        return None
    observation = facts.condition("ConfigObservationDegraded")
    if observation.status == "True" and "service-account issuer" in observation.message:
        return _waiting("ConfigObservationDegraded", f"The operator can't use the issuer: {observation.message}")
    return _waiting("NotObserved", "The operator has not put the issuer into the kube-apiservers' configuration yet.")


def _names(trusted: Iterable[TrustedIssuer]) -> tuple[str, ...]:
    return tuple(i.name for i in trusted)


def _judge_revision(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    if facts.revision_at_start != facts.revision:
        return _waiting("RevisionChanging", f"Revision {facts.revision} has just appeared.")
    if facts.revision_issuers != facts.observed_issuers:
        return _waiting(
            "NoRevisionYet", f"Revision {facts.revision}, the latest, does not hold the new configuration yet."
        )
    return None


def _judge_nodes(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    behind = [n for n in facts.nodes if n.current != facts.revision or n.target]
    if facts.nodes and not behind:
        return None
    where = ", ".join(f"{n.name} at {n.current}" + (f" (going to {n.target})" if n.target else "") for n in facts.nodes)
    return _waiting(
        "NodesBehind",
        f"{len(facts.nodes) - len(behind)} of {len(facts.nodes)} nodes are at revision {facts.revision}: {where}.",
    )


def _judge_conditions(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    expected = {
        "NodeInstallerProgressing": "False",
        "StaticPodsAvailable": "True",
        "NodeInstallerDegraded": "False",
    }
    for name, status in expected.items():
        condition = facts.condition(name)
        if condition.status != status:
            return _waiting("ConditionsDiffer", f"{name} is {condition.status}: {condition.message}")
    return None


def _judge_servers(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    if facts.servers is None:
        return None
    by_node = {s.node: s for s in facts.servers}
    differing = []
    for node in facts.nodes:
        server = by_node.get(node.name)
        if server is None:
            differing.append(f"that of {node.name} is missing")
        elif server.revision != facts.revision:
            differing.append(f"that of {node.name} says revision {server.revision}")
        elif not server.is_ready:
            differing.append(f"that of {node.name} is not ready")
    if not differing:
        return None
    return _waiting(
        "ServersDiffer",
        f"The operator reports revision {facts.revision} everywhere, but of the static pods {', '.join(differing)}.",
    )


def _judge_cluster_operators(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    expected = {"Available": "True", "Progressing": "False", "Degraded": "False"}
    for name, conditions in (facts.operators or {}).items():
        for kind, status in expected.items():
            condition = conditions.get(kind, NO_CONDITION)
            if condition.status != status:
                return _waiting(
                    "ClusterOperatorsDiffer",
                    f"Of ClusterOperator {name}, {kind} is {condition.status}: {condition.message or condition.reason}",
                )
    return None


def _judge_tokens(facts: RolloutFacts, wanted: str) -> RolloutVerdict | None:
    others = sorted({issuer for issuer in facts.token_issuers or () if issuer != wanted})
    if not others:
        return None
    return _waiting("TokensDiffer", f"A new token still names the issuer {', '.join(others)}.")


_EVIDENCE = (
    _judge_operator,
    _judge_observation,
    _judge_revision,
    _judge_nodes,
    _judge_conditions,
    _judge_servers,
    _judge_cluster_operators,
    _judge_tokens,
)


def find_places(facts: RolloutFacts) -> frozenset[tuple[str, int, int]]:
    """Return each node with the revision that it is at and the one that it goes to. One that was not seen before is progress;
    how often an installer has failed is none."""
    return frozenset((n.name, n.current, n.target) for n in facts.nodes)


def find_switch_revision(latest: int, wanted: str, issuers_of: Callable[[int], tuple[str, ...] | None]) -> int | None:
    """Return the revision at which ``wanted`` became the active issuer, None when that can't be told any more.

    ``issuers_of`` returns the issuer list of a retained revision, None for one that is gone. Only a retained
    predecessor with another active issuer proves that the switch was here.
    """
    revision = latest
    while revision > 0:
        issuers = issuers_of(revision)
        if issuers is None:
            return None
        if issuers[:1] != (wanted,):
            return None if revision == latest else revision + 1
        revision -= 1
    return None


def find_finish(facts: RolloutFacts, switch_revision: int | None, *, was_seen_running: bool) -> datetime | None:
    """Return when the last kube-apiserver took over the issuer (cluster time), None when it can't be told.

    The operator stamps the moment on its own condition. It belongs to this issuer when the rollout was watched to
    its end, or when no later revision has been rolled out since the one that brought the issuer.
    """
    if was_seen_running or switch_revision == facts.revision:
        return facts.condition("NodeInstallerProgressing").last_transition
    return None


def find_ready_by(pods: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Return when the last of the kube-apiservers' static pods among ``pods`` became Ready; None while one is not."""
    moments = []
    for pod in pods:
        if pod["metadata"]["name"] == f"kube-apiserver-{(pod.get('spec') or {}).get('nodeName')}":
            ready = conditions_of(pod).get("Ready", NO_CONDITION)
            moments.append(ready.last_transition if ready.status == "True" else None)
    known = [m for m in moments if m]
    return max(known) if known and len(known) == len(moments) else None


_INSTALLER = re.compile(r"^installer-(?P<revision>\d+)-(?:retry-\d+-)?(?P<node>.+)$")


def bound_switch_times(
    pods: Iterable[Mapping[str, Any]], nodes: Iterable[str], switch_revision: int | None
) -> dict[str, SwitchTime]:
    """Return for each node between which moments its API server took over the issuer, in cluster time.

    The API server can't have switched before the installer of ``switch_revision`` had finished, and has switched
    when its static pod of that revision was Ready. What the pods no longer tell stays unknown.
    """
    not_before: dict[str, datetime] = {}
    not_after: dict[str, datetime] = {}
    for pod in pods:
        metadata = pod["metadata"]
        installer = _INSTALLER.match(metadata["name"])
        if installer and int(installer["revision"]) == switch_revision:
            finished = _finished_at(pod)
            if finished:
                not_before[installer["node"]] = max(finished, not_before.get(installer["node"], finished))
        elif (metadata.get("labels") or {}).get("revision") == str(switch_revision):
            ready = conditions_of(pod).get("Ready")
            if ready and ready.status == "True" and ready.last_transition:
                not_after[(pod.get("spec") or {}).get("nodeName", "")] = ready.last_transition
    return {n: SwitchTime(not_before=not_before.get(n), not_after=not_after.get(n)) for n in nodes}


def bound_by_finish(times: Mapping[str, SwitchTime], finished_at: datetime | None) -> dict[str, SwitchTime]:
    """Return ``times`` with no API server said to have switched after the last one had: a static pod that was not Ready
    for a moment since then tells of a later one."""
    return {
        name: replace(t, not_after=finished_at) if finished_at and t.not_after and t.not_after > finished_at else t
        for name, t in times.items()
    }


def _finished_at(pod: Mapping[str, Any]) -> datetime | None:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        terminated = (status.get("state") or {}).get("terminated") or {}
        if terminated.get("exitCode") == 0:
            return parse_time(terminated.get("finishedAt"))
    return None
