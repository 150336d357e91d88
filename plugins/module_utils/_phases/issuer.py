# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Setting the service account issuer, and keeping the list of trusted ones in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .._client.cluster import Cluster
from .._clock import Clock, WaitOptions, poll, retry
from .._effects import keep_trusted, set_issuer
from .._errors import ApiError, Refused
from .._facts import (
    read_cluster_key_ids,
    read_discovery_issuer,
    read_issuer,
    read_kube_apiserver,
    read_preflight,
    read_rollout,
    read_token,
)
from .._model import (
    Finding,
    IssuerFacts,
    Judgement,
    Outcome,
    Probe,
    RolloutFacts,
    TrustedIssuer,
    format_time,
    trusted_issuers_of,
)
from .._plan.issuer import IssuerPlan, IssuerRequest, find_poisoned, former_places, judge_keys
from .._plan.permissions import ISSUER, TRUSTED_ISSUERS
from .._plan.preflight import judge_preflight
from .._plan.rollout import judge_rollout

#: Seconds that the operator gets to take over what was written; it needs about one.
REACTION = WaitOptions(timeout=120.0, interval=0.5)

#: Chooses entries of the list of trusted issuers: the reason for each one that goes, by its place.
Chooser = Callable[[Sequence[TrustedIssuer]], Mapping[int, str]]


def apply_issuer(cluster: Cluster, request: IssuerRequest, *, check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Carry out ``request`` and return the module's result. Raises Refused when that is not safe now."""
    plan = IssuerPlan(facts=read_issuer(cluster), after=request.wanted, repair=request.repair_trusted)
    if request.revoke_former and plan.patch:
        raise Refused(
            f"No former issuer was revoked, because {request.wanted} is not the cluster's issuer yet; set it, wait for its "
            "rollout and renew what holds tokens first."
        )
    findings = retry(lambda: find_obstacles(cluster, plan, request, clock), clock=clock) if plan.has_changes else []
    removed = _removal_records(plan.facts.trusted or (), plan.poisoned if plan.repair else {})
    result = {
        "changed": plan.has_changes,
        "issuer": {**issuer_record(plan.facts), "name": request.wanted, "previous": plan.facts.wanted},
        "preflight": [f.record() for f in findings],
        "removed": removed,
        "diff": {
            "before": {"spec": {"serviceAccountIssuer": plan.before}},
            "after": {"spec": {"serviceAccountIssuer": plan.after}},
        },
    }
    blocking = [f.message.rstrip(".") for f in findings if f.is_blocking]
    if blocking:
        raise Refused(
            f"The service account issuer was not changed to {request.wanted}: {'; '.join(blocking)}.",
            progress={**result, "changed": False, "removed": []},
        )
    if request.revoke_former:
        return {**result, **revoke_former(cluster, plan, check_mode=check_mode, clock=clock)}
    if not check_mode:
        carry_out(cluster, plan, clock)
    return result


def carry_out(cluster: Cluster, plan: IssuerPlan, clock: Clock) -> None:
    """Make the change. Poisoned former issuers go first.

    A poisoned active one can only go when it has become a former one, since the operator would put it back at once;
    it is gone again long before the operator makes a revision with it.
    """
    if plan.repairs:
        drop_trusted(cluster, _poisoned_former, clock)
    set_issuer(cluster, plan)
    if plan.repairs and plan.patch:
        await_reaction(cluster, lambda facts: facts.issuer.active == plan.after, clock)
        drop_trusted(cluster, find_poisoned, clock)


def _poisoned_former(trusted: Sequence[TrustedIssuer]) -> dict[int, str]:
    return {place: reason for place, reason in find_poisoned(trusted).items() if trusted[place].expires is not None}


def find_obstacles(cluster: Cluster, plan: IssuerPlan, request: IssuerRequest, clock: Clock) -> list[Finding]:
    """Return what speaks against carrying out ``plan`` now."""
    rollout = read_rollout(cluster)
    verdict = judge_rollout(rollout, rollout.issuer.wanted)
    permissions = (*ISSUER, TRUSTED_ISSUERS) if plan.repairs else ISSUER
    facts = read_preflight(cluster, request, permissions, verdict, clock)
    return judge_preflight(plan, facts, skip=request.skip_checks)


def revoke_former(cluster: Cluster, plan: IssuerPlan, *, check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Have all issuers but the wanted one distrusted and return what becomes of the result.

    Raises Refused before the wanted issuer's rollout is complete: its tokens would be refused by some API servers, and
    those of the former one by others. Returns when the operator has taken it over; the rollout follows.
    """
    rollout = retry(lambda: read_rollout(cluster), clock=clock)
    verdict = judge_rollout(rollout, plan.after)
    if verdict.outcome is not Outcome.DONE:
        raise Refused(
            f"No former issuer was revoked, because the rollout to the issuer {plan.after} is not complete: "
            f"{verdict.message.rstrip('.')}; wait for it with bound_tokens.openshift.kube_apiserver_rollout."
        )
    trusted = rollout.issuer.trusted or ()
    places = former_places(trusted, plan.after)
    if places and not check_mode:
        drop_trusted(cluster, lambda found: former_places(found, plan.after), clock)
        await_reaction(cluster, lambda facts: facts.observed_issuers == (plan.after,), clock)
    return {
        "changed": bool(places),
        "removed": _removal_records(trusted, places),
        "diff": {
            "before": {"status": {"serviceAccountIssuers": [i.name for i in trusted]}},
            "after": {"status": {"serviceAccountIssuers": [i.name for i in trusted if i.name == plan.after]}},
        },
    }


def drop_trusted(cluster: Cluster, choose: Chooser, clock: Clock) -> None:
    """Remove the entries that ``choose`` names from the list of trusted issuers, whoever else writes that status."""
    for is_last in (False, False, False, False, True):
        found = retry(lambda: read_kube_apiserver(cluster), clock=clock)
        places = choose(trusted_issuers_of(found) or ())
        if not places:
            return
        try:
            keep_trusted(cluster, found, list(places))
        except ApiError as error:
            if error.status != 409 or is_last:
                raise
        else:
            return


def await_reaction(cluster: Cluster, is_there: Callable[[RolloutFacts], bool], clock: Clock) -> None:
    """Return when the operator shows what ``is_there`` asks for. Raises WaitTimedOut."""

    def judge(facts: RolloutFacts) -> Judgement:
        issuers = ", ".join(facts.observed_issuers)
        return Judgement(
            outcome=Outcome.DONE if is_there(facts) else Outcome.WAITING,
            message=f"the active issuer is {facts.issuer.active}, and the kube-apiservers are configured for {issuers}.",
        )

    poll(
        lambda: read_rollout(cluster),
        judge,
        waiting_for="the operator to take over the list of trusted issuers",
        options=REACTION,
        clock=clock,
    )


def _removal_records(trusted: Sequence[TrustedIssuer], places: Mapping[int, str]) -> list[dict[str, Any]]:
    return [{**trusted[place].record(), "reason": reason} for place, reason in places.items()]


def describe_issuer(cluster: Cluster, *, probe: Probe | None, clock: Clock) -> dict[str, Any]:
    """Return the record of the issuer as it is now, by the cluster's clock; with a probe, what a new token says.

    A cluster that does not answer at all is told at once, one that goes away after that is waited for.
    """
    facts = read_issuer(cluster)
    return retry(lambda: _describe_issuer(cluster, facts, probe), clock=clock)


def _describe_issuer(cluster: Cluster, facts: IssuerFacts, probe: Probe | None) -> dict[str, Any]:
    token_issuer, token_key_id = read_token(cluster, probe) if probe else (None, None)
    now = cluster.server_time()
    discovery_issuer, key_ids = read_discovery_issuer(cluster), read_cluster_key_ids(cluster)
    keys_agree = None
    if token_issuer is not None:
        keys_agree = judge_keys(
            token_issuer=token_issuer, token_key_id=token_key_id, discovery_issuer=discovery_issuer, key_ids=key_ids
        )
    first = min((i.expires for i in facts.former if i.expires), default=None)
    return {
        **issuer_record(facts),
        "former": [{**i.record(), "seconds_left": _seconds_left(i.expires, now)} for i in facts.former],
        "trusts_former": facts.trusted is not None,
        "next_rollout_at": format_time(first),
        "seconds_left": _seconds_left(first, now),
        "read_at": format_time(now),
        "token_issuer": token_issuer,
        "token_key_id": token_key_id,
        "discovery_issuer": discovery_issuer,
        "key_ids": None if key_ids is None else sorted(key_ids),
        "keys_agree": keys_agree,
    }


def _seconds_left(moment: datetime | None, now: datetime | None) -> int | None:
    return None if moment is None or now is None else max(0, int((moment - now).total_seconds()))


def issuer_record(facts: IssuerFacts) -> dict[str, Any]:
    """Return ``facts`` in the shape that the modules document as ``issuer``."""
    return {
        "name": facts.wanted,
        "active": facts.active,
        "former": [i.record() for i in facts.former],
        "former_trusted_until": format_time(max((i.expires for i in facts.former if i.expires), default=None)),
    }
