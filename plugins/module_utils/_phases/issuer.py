# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Setting the service account issuer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._client import Cluster
from .._effects import set_issuer
from .._errors import Refused
from .._facts import read_condition, read_denied, read_issuer, read_rollout, read_token_issuers
from .._model import Finding, IssuerFacts, Permission, Probe, format_time
from .._plan.issuer import IssuerPlan, judge_preflight
from .._plan.rollout import judge_rollout

#: What the write needs; what the reads need has been shown by reading.
PERMISSIONS = (
    Permission(verb="patch", group="config.openshift.io", resource="authentications"),
    Permission(verb="get", group="", resource="configmaps", namespace="openshift-kube-apiserver"),
    Permission(verb="list", group="", resource="pods", namespace="openshift-kube-apiserver"),
)


def apply_issuer(cluster: Cluster, wanted: str, *, check_mode: bool, skip_checks: Sequence[str] = ()) -> dict[str, Any]:
    """Make ``wanted`` the cluster's issuer and return the module's result. Raises Refused when it is not safe now."""
    plan = IssuerPlan(facts=read_issuer(cluster), after=wanted)
    findings = find_obstacles(cluster, plan, skip_checks) if plan.patch else []
    result = {
        "changed": plan.patch is not None,
        "issuer": {**issuer_record(plan.facts), "name": wanted, "previous": plan.facts.wanted},
        "preflight": [f.record() for f in findings],
        "diff": {
            "before": {"spec": {"serviceAccountIssuer": plan.before}},
            "after": {"spec": {"serviceAccountIssuer": plan.after}},
        },
    }
    blocking = [f.message.rstrip(".") for f in findings if f.is_blocking]
    if blocking:
        raise Refused(
            f"The service account issuer was not changed to {wanted}: {'; '.join(blocking)}.",
            progress={**result, "changed": False},
        )
    if not check_mode:
        set_issuer(cluster, plan)
    return result


def find_obstacles(cluster: Cluster, plan: IssuerPlan, skip_checks: Sequence[str]) -> list[Finding]:
    """Return what speaks against carrying out ``plan`` now."""
    rollout = read_rollout(cluster)
    return judge_preflight(
        plan,
        rollout=judge_rollout(rollout, rollout.issuer.wanted),
        operator=read_condition(cluster, "ClusterOperator", "kube-apiserver", "Degraded"),
        progressing=read_condition(cluster, "ClusterVersion", "version", "Progressing"),
        denied=read_denied(cluster, PERMISSIONS),
        skip=skip_checks,
    )


def describe_issuer(cluster: Cluster, *, probe: Probe | None) -> dict[str, Any]:
    """Return the record of the issuer as it is now, with the issuer that a new token names when a probe is given."""
    token_issuers = read_token_issuers(cluster, probe, count=1) if probe else (None,)
    return {**issuer_record(read_issuer(cluster)), "token_issuer": token_issuers[0]}


def issuer_record(facts: IssuerFacts) -> dict[str, Any]:
    """Return ``facts`` in the shape that the modules document as ``issuer``."""
    return {
        "name": facts.wanted,
        "active": facts.active,
        "former": [i.record() for i in facts.former],
        "former_trusted_until": format_time(max((i.expires for i in facts.former if i.expires), default=None)),
    }
