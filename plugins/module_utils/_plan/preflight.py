# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What speaks against changing the issuer now. Pure: one function per check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from .._model import (
    NO_CONDITION,
    Finding,
    Outcome,
    PreflightFacts,
    PublishedDocuments,
    format_time,
)
from .issuer import MAX_TRUSTED_ISSUERS, IssuerPlan

#: How long the operator trusts a former issuer, counted from the moment at which it sees the edit
#: (cluster-kube-apiserver-operator, serviceaccountissuer_controller.go).
TRUST = timedelta(hours=24)
#: A generous estimate of one rollout of the kube-apiservers.
ROLLOUT = timedelta(minutes=45)
#: The kube-apiservers' arguments that the operator derives from the issuers.
ISSUER_ARGUMENTS = ("service-account-issuer", "api-audiences")

HOSTED = (
    "The control plane of this cluster is hosted elsewhere (controlPlaneTopology External), so its issuer can't be "
    "changed from within; set spec.issuerURL of its HostedCluster on the management cluster."
)
MICROSHIFT = (
    "This is MicroShift, whose issuer no operator manages: its kube-apiserver is part of the service microshift, and "
    "/etc/microshift/config.yaml on its host is where that is configured. The modules pod_restart (with started_before) "
    "and projected_token_pod work here."
)
PLAIN_KUBERNETES = (
    "This is Kubernetes without OpenShift, whose issuer is the option --service-account-issuer of its kube-apiservers; "
    "set it there, the new issuer first and the former one after it. The modules pod_restart (with started_before) and "
    "projected_token_pod work here."
)

Found = Iterator[Finding]


def judge_preflight(plan: IssuerPlan, facts: PreflightFacts, *, skip: Sequence[str] = ()) -> list[Finding]:
    """Return everything that speaks against carrying out ``plan`` now, in the order in which to mend it.

    Nothing to write means nothing to find.
    """
    if not plan.has_changes:
        return []
    return [f for name, check in CHECKS.items() if name not in skip for f in check(plan, facts)]


def _check_permissions(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    for permission in facts.denied:
        yield Finding(check="permissions", message=f"You are not allowed to {permission}.")


def _check_topology(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    if facts.topology == "External":
        yield Finding(check="topology", message=HOSTED)
    elif facts.topology == "SingleReplica" or facts.control_plane_nodes == 1:
        yield Finding(
            check="topology",
            message="There is one control-plane node: the API is away for some minutes while its kube-apiserver "
            "restarts, now and when the former issuer stops being trusted.",
            is_blocking=False,
        )


def _check_managed(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    if facts.management_state not in ("Managed", "Force", ""):
        yield Finding(
            check="managed",
            message=f"The operator does not manage the kube-apiservers: kubeapiservers.operator.openshift.io/cluster "
            f"has managementState {facts.management_state}; set it to Managed.",
        )


def _check_overrides(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    for name in ISSUER_ARGUMENTS:
        if name in facts.overridden:
            yield Finding(
                check="overrides",
                message=f"spec.unsupportedConfigOverrides of kubeapiservers.operator.openshift.io/cluster sets "
                f"apiServerArguments.{name}, which wins over the issuer that is asked for; remove it.",
            )


def _check_quiet(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    # What a poisoned entry has brought to a halt goes on when it is gone, so it does not forbid the repair.
    is_blocking = not plan.repairs
    if facts.rollout.outcome is not Outcome.DONE:
        yield Finding(
            check="quiet",
            message=f"A rollout of the kube-apiservers is not finished: {facts.rollout.message}",
            is_blocking=is_blocking,
        )
    for name, condition in facts.degraded.items():
        if condition is not None and condition.status == "True":
            yield Finding(
                check="quiet",
                message=f"ClusterOperator {name} is degraded: {condition.message}",
                is_blocking=is_blocking or name != "kube-apiserver",
            )
    if facts.progressing is not None and facts.progressing.status == "True":
        yield Finding(check="quiet", message=f"The cluster is being updated: {facts.progressing.message}")
    for name, conditions in facts.pools.items():
        for kind, word in (("Updating", "is updating its nodes"), ("Degraded", "is degraded")):
            condition = conditions.get(kind, NO_CONDITION)
            if condition.status == "True":
                words = f": {condition.message}" if condition.message else "."
                yield Finding(check="quiet", message=f"MachineConfigPool {name} {word}{words}")


def _check_poison(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    trusted = plan.facts.trusted or ()
    for place, reason in plan.poisoned.items():
        issuer = trusted[place]
        until = f" until {format_time(issuer.expires)}" if issuer.expires else " for 24 hours after the change"
        if plan.repair:
            message = f"The trusted issuer {issuer.name!r} {reason}; it is removed from the list."
        else:
            message = (
                f"The trusted issuer {issuer.name!r} {reason}: a kube-apiserver that gets it does not start,{until}; "
                "have it removed with repair_trusted: true."
            )
        yield Finding(check="poison", message=message, is_blocking=not plan.repair)


def _check_room(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    kept = [i for place, i in enumerate(plan.facts.trusted or ()) if not (plan.repair and place in plan.poisoned)]
    if plan.after in {i.name for i in kept} or len(kept) < MAX_TRUSTED_ISSUERS:
        return
    first = min((i.expires for i in kept if i.expires), default=None)
    yield Finding(
        check="room",
        message=f"{len(kept)} issuers are trusted already, and the operator silently ignores an eleventh; "
        f"the next one expires at {format_time(first)}.",
    )


def _check_trust(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    if plan.patch and plan.facts.trusted is None:
        yield Finding(
            check="trust",
            message=f"This release trusts no former issuer: every token of {plan.facts.wanted} dies with the change, and "
            "what holds one fails until it is renewed.",
            is_blocking=False,
        )


def _check_documents(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    documents = facts.documents
    problem = judge_documents(plan.after, documents) if documents and plan.patch else None
    if documents and problem:
        yield Finding(
            check="documents",
            message=f"Nobody outside the cluster could verify tokens of {plan.after}: {problem}.",
            is_blocking=documents.is_required,
        )


def judge_documents(issuer: str, documents: PublishedDocuments) -> str | None:
    """Return why relying parties can't verify tokens by what is published at ``issuer``; None when they can."""
    if documents.problem:
        return documents.problem.rstrip(".")
    if documents.issuer != issuer:
        return f"its discovery document names the issuer {documents.issuer!r}"
    if not isinstance(documents.jwks_uri, str) or urlsplit(documents.jwks_uri).scheme != "https":
        return f"the jwks_uri of its discovery document, {documents.jwks_uri!r}, is not an https URL"
    if documents.cluster_key_ids is None:
        return "the cluster does not tell its own signing keys (/openid/v1/jwks), so they can't be compared"
    missing = sorted(documents.cluster_key_ids - documents.key_ids)
    if missing:
        return f"{documents.jwks_uri} lacks the cluster's signing keys {', '.join(missing)}"
    return None


def _check_credential(plan: IssuerPlan, facts: PreflightFacts) -> Found:
    caller, now = facts.caller, facts.now
    if not plan.patch or caller.token_issuer is None or now is None:
        return
    trusted = plan.facts.trusted
    expires = next((i.expires for i in trusted or () if i.name == caller.token_issuer), None)
    if caller.token_issuer == plan.facts.wanted:
        expires = now + TRUST if trusted is not None else now
    ends = min((moment for moment in (expires, caller.token_expires) if moment), default=None)
    if expires is not None and ends is not None and caller.token_issuer != plan.after:
        yield _credential(
            f"Your own token names the issuer {caller.token_issuer} and stops being accepted "
            + (f"at {format_time(ends)}, whatever its expiry says" if ends > now else "with the change")
        )
    elif caller.token_expires and caller.token_expires < now + ROLLOUT:
        yield _credential(
            f"Your own token expires at {format_time(caller.token_expires)}, before a rollout of "
            f"{ROLLOUT.seconds // 60} minutes would be over"
        )


def _credential(words: str) -> Finding:
    return Finding(
        check="credential",
        message=f"{words}; use a kubeconfig with a client certificate, or take a new token in time.",
        is_blocking=False,
    )


Check = Callable[[IssuerPlan, PreflightFacts], Found]

#: The checks by name, in the order in which their findings are best mended.
CHECKS: dict[str, Check] = {
    "permissions": _check_permissions,
    "topology": _check_topology,
    "managed": _check_managed,
    "overrides": _check_overrides,
    "quiet": _check_quiet,
    "poison": _check_poison,
    "room": _check_room,
    "trust": _check_trust,
    "documents": _check_documents,
    "credential": _check_credential,
}

CHECK_NAMES: Collection[str] = tuple(sorted(CHECKS))
