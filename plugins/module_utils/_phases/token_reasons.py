# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Finding out which pods need not be renewed for the tokens that they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .._client.cluster import Cluster
from .._errors import ApiError, CollectionError
from .._facts import read_issuer
from .._holder_facts import read_driver_claims, read_drivers, read_ready_since
from .._holder_model import HolderContext, HolderPod, holder_pod
from .._model import IssuerFacts, PodFacts, pod_facts
from .._node_facts import read_kubelet_starts
from .._plan.holders import Surroundings, SwitchWindow, find_deadline, find_reason_to_stay, judge_holder
from .._plan.pods import RenewalRequest


def find_reader(
    cluster: Cluster, request: RenewalRequest, started_before: datetime | None, restarted: Mapping[str, datetime]
) -> Callable[[Mapping[str, Any]], PodFacts]:
    """Return what makes facts of a pod as the API shows it, with the reason to stay where ``request`` asks for one.

    ``restarted`` is as in find_exemption. A ``started_before`` in the future is a plan for a rollout that is yet to come.
    """
    if started_before is None:
        return pod_facts
    if all(part.tokens == "any" for part in request.parts):
        return _find_plain_reader(cluster)
    now = cluster.server_time()
    if now is None:
        raise CollectionError(f"{cluster.host} does not tell the time, by which tokens are judged; use tokens: any.")
    issuer = read_shown_issuer(cluster)
    window = SwitchWindow(issuer=issuer.wanted, former=issuer.former, last=min(started_before, now))
    ready_since = read_ready_since(cluster)
    kubelets: Mapping[str, datetime] = {}
    if started_before <= now and any(part.tokens == "lasting" for part in request.parts):
        kubelets = read_kubelet_starts(cluster, sorted(n for n, since in ready_since.items() if since))
    around = Surroundings(window=window, now=now, ready_since=ready_since, restarted=restarted, kubelets=kubelets)
    deadline = find_deadline(issuer, now, is_planned=started_before > now)
    drivers = read_drivers(cluster)
    context = HolderContext(drivers=drivers, claims=read_driver_claims(cluster, drivers))

    def read(pod: Mapping[str, Any]) -> PodFacts:
        holder = holder_pod(pod, context)
        tokens = request.within(holder.pod.namespace).tokens
        found = judge_holder(holder, around)
        return replace(_facts_of(holder), reason_to_stay=find_reason_to_stay(found, tokens, deadline))

    return read


def _find_plain_reader(cluster: Cluster) -> Callable[[Mapping[str, Any]], PodFacts]:
    """Return what makes facts of a pod, without a reason to stay. Who may not read CSI drivers misses what they are given."""
    try:
        drivers = read_drivers(cluster)
        context = HolderContext(drivers=drivers, claims=read_driver_claims(cluster, drivers))
    except ApiError as error:
        if error.status != 403:
            raise
        return pod_facts
    return (lambda pod: _facts_of(holder_pod(pod, context))) if drivers else pod_facts


def _facts_of(holder: HolderPod) -> PodFacts:
    """Return the facts of a pod; a CSI driver's token is none that its own volumes show."""
    return replace(holder.pod, has_token=holder.pod.has_token or bool(holder.sources))


def read_shown_issuer(cluster: Cluster) -> IssuerFacts:
    """Return the cluster's issuer; an empty one where it has no such setting."""
    try:
        return read_issuer(cluster)
    except ApiError as error:
        if not error.is_missing_api:
            raise
        return IssuerFacts(spec_issuer="", trusted=None)
