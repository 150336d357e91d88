# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Reads what stands between two batches of nodes into plain facts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from ._client.cluster import Cluster
from ._client.documents import fetch_status
from ._client.queries import Queries, require_expression, search
from ._errors import ApiError, CollectionError, InvalidOption
from ._facts import OPERAND_NAMESPACE, read_rollout
from ._model import Condition, Outcome, RolloutFacts, RolloutVerdict, conditions_of, pod_facts
from ._node_facts import read_budgets, read_machine_pools, read_nodes
from ._plan.gates import GateFacts, GateRequest, GateResult, Hold, ProbeGate, ResourceGate, judge_answer, judge_objects
from ._plan.rollout import find_places, judge_rollout

#: Seconds in which an address outside the cluster must answer.
PROBE_TIMEOUT = 10.0

FoundT = TypeVar("FoundT")


def read_gate_facts(
    cluster: Cluster, request: GateRequest, queries: Queries, *, batch: Collection[str] | None
) -> GateFacts:
    """Return what is needed to judge the gates before ``batch``; None for the start of a run, without the user's gates.

    What nobody wants to know is not asked for. Clusters that are not OpenShift lack what only OpenShift has.
    """
    wants, nodes = request.wants, read_nodes(cluster)
    wants_members = wants("etcd") and any(n.is_control_plane and n.name in (batch or ()) for n in nodes)
    return GateFacts(
        nodes=nodes,
        pools=read_machine_pools(cluster) if wants("pools") or wants("room") else (),
        budgets=read_budgets(cluster) if wants("budgets") else (),
        operators=_where_served(lambda: _read_operators(cluster), {}) if wants("operators") else {},
        updating=_where_served(lambda: _read_updating(cluster), None) if wants("update") else None,
        etcd_members=_read_members(cluster, "openshift-etcd", "etcd") if wants_members else {},
        api_servers=_read_members(cluster, OPERAND_NAMESPACE, "openshift-kube-apiserver") if wants_members else {},
        rollout=read_rollout_verdict(cluster) if wants("rollout") else None,
        results=[] if batch is None else [read_result(gate, queries) for gate in request.gates],
        now=cluster.server_time() if request.needs_time else None,
    )


def _where_served(read: Callable[[], FoundT], otherwise: FoundT) -> FoundT:
    try:
        return read()
    except ApiError as error:
        if error.is_missing_api:
            return otherwise
        raise


def _read_operators(cluster: Cluster) -> dict[str, Mapping[str, Condition]]:
    return {o["metadata"]["name"]: conditions_of(o) for o in cluster.list("ClusterOperator")}


def _read_updating(cluster: Cluster) -> Condition | None:
    return conditions_of(cluster.get("ClusterVersion", "version") or {}).get("Progressing")


def _read_members(cluster: Cluster, namespace: str, app: str) -> dict[str, bool]:
    """Return for each node that has a static pod of ``app`` whether it is Ready."""
    pods = [pod_facts(p) for p in cluster.list("Pod", namespace, label_selector=f"app={app}")]
    return {p.node: p.is_ready and not p.is_terminating for p in pods if p.is_static}


def read_hold(cluster: Cluster) -> Hold | None:
    """Return the rollout of the kube-apiservers that runs now, None when none does."""
    facts = _read_rollout(cluster)
    if facts is None:
        return None
    verdict = judge_rollout(facts, facts.issuer.wanted)
    if verdict.outcome is Outcome.DONE:
        return None
    return Hold(words=f"a rollout runs: {verdict.message}", places=find_places(facts))


def read_rollout_verdict(cluster: Cluster) -> RolloutVerdict | None:
    """Return how the rollout of the kube-apiservers stands; None where no operator of this cluster keeps them."""
    facts = _read_rollout(cluster)
    return None if facts is None else judge_rollout(facts, facts.issuer.wanted)


def _read_rollout(cluster: Cluster) -> RolloutFacts | None:
    try:
        return read_rollout(cluster)
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    except CollectionError:  # the control plane is hosted elsewhere
        return None


def read_result(gate: ResourceGate | ProbeGate, queries: Queries) -> GateResult:
    """Return how one of the user's gates stands."""
    try:
        if isinstance(gate, ProbeGate):
            answer = fetch_status(
                gate.url, ca_cert=gate.ca_cert, validate_certs=gate.validate_certs, timeout=PROBE_TIMEOUT
            )
            return judge_answer(gate, answer)
        return judge_objects(gate, [(_name(o), search(gate.expression, o)) for o in _read_objects(gate, queries)])
    except (ApiError, InvalidOption):
        raise
    except CollectionError as error:
        return GateResult(description=gate.description, problem=error.message)


def check_gates(request: GateRequest, queries: Queries) -> None:
    """Return when the user's gates can be looked at, however they stand. Raises InvalidOption, or another CollectionError."""
    for gate in request.gates:
        if isinstance(gate, ResourceGate):
            require_expression(gate.expression)
            _read_objects(gate, queries)


def _read_objects(gate: ResourceGate, queries: Queries) -> list[dict[str, Any]]:
    return queries.read(
        gate.api_version,
        gate.kind,
        name=gate.name,
        namespace=gate.namespace,
        label_selectors=gate.label_selectors,
    )


def _name(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata") or {}
    return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
