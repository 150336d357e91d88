# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Decisions about the service account issuer. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .._errors import InvalidOption
from .._model import Condition, Finding, IssuerFacts, Outcome, Permission, RolloutVerdict, format_time

#: The operator configures no more trusted issuers at a time and refuses further ones without a condition
#: (cluster-kube-apiserver-operator, serviceaccountissuer_controller.go).
MAX_TRUSTED_ISSUERS = 10

_HOST = re.compile(r"^(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$")
_BRACKETED = re.compile(r"^\[[0-9A-Fa-f:.]+\](:\d{1,5})?$")
_PATH = re.compile(r"^(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*$")


def validate_issuer(issuer: str) -> str:
    """Return ``issuer`` unchanged when it is a URL that every kube-apiserver and every relying party can use.

    Raises InvalidOption otherwise. The API accepts any text; one that the operator can't parse becomes a
    "trusted former issuer" at the next change, which then keeps kube-apiservers from starting for 24 hours.
    """
    problem = _find_problem(issuer)
    if problem:
        raise InvalidOption(
            f"The service account issuer {issuer!r} {problem}; "
            "give an https URL with a host and without user, query, fragment or trailing slash, "
            "such as https://issuer.example.com/cluster-1."
        )
    return issuer


def _find_problem(issuer: str) -> str | None:
    if not issuer:
        return "is empty"
    if any(c.isspace() or not c.isprintable() for c in issuer):
        return "contains whitespace or a control character"
    try:
        parts = urlsplit(issuer)
        port = parts.port
    except ValueError as error:
        return f"is not a well-formed URL ({error})"
    if not issuer.startswith("https://"):
        return "is not an https URL"
    if "@" in parts.netloc:
        return "contains user information"
    if "?" in issuer:
        return "contains a query"
    if "#" in issuer:
        return "contains a fragment"
    if not parts.hostname:
        return "has no host"
    if port == 0 or parts.netloc.endswith(":"):
        return "has no valid port"
    if not _is_host(parts.netloc, parts.hostname):
        return "has no valid host name"
    if issuer.endswith("/"):
        return "ends with a slash"
    if not _PATH.match(parts.path):
        return "has a path that is not well-formed"
    return None


def _is_host(netloc: str, host: str) -> bool:
    if "[" not in netloc:
        return _HOST.match(host) is not None
    # Go takes neither a zone (https://[fe80::1%eth0]) nor anything but a port behind the bracket.
    if not _BRACKETED.match(netloc):
        return False
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPlan:
    """Making ``after`` the issuer: ``patch`` is the merge patch of the one field, None when it is set already."""

    facts: IssuerFacts
    after: str

    @property
    def before(self) -> str:
        """The issuer in the specification, empty where it names none."""
        return self.facts.spec_issuer

    @property
    def patch(self) -> dict[str, Any] | None:
        return None if self.before == self.after else {"spec": {"serviceAccountIssuer": self.after}}


def judge_preflight(
    plan: IssuerPlan,
    *,
    rollout: RolloutVerdict,
    operator: Condition | None,
    progressing: Condition | None,
    denied: Iterable[Permission] = (),
    skip: Sequence[str] = (),
) -> list[Finding]:
    """Return everything that speaks against carrying out ``plan`` now, in the order in which to mend it.

    ``rollout`` is the judgement for the issuer as it is before the change; ``operator`` the Degraded condition of
    ClusterOperator kube-apiserver; ``progressing`` the Progressing condition of the ClusterVersion (None: there is
    no such object). Nothing to write means nothing to find.
    """
    if plan.patch is None:
        return []
    facts = plan.facts
    findings = [Finding(check="permissions", message=f"You are not allowed to {p}.") for p in denied]
    if rollout.outcome is not Outcome.DONE:
        findings.append(
            Finding(check="quiet", message=f"A rollout of the kube-apiservers is not finished: {rollout.message}")
        )
    if operator is not None and operator.status == "True":
        findings.append(
            Finding(check="quiet", message=f"ClusterOperator kube-apiserver is degraded: {operator.message}")
        )
    if progressing is not None and progressing.status == "True":
        findings.append(Finding(check="quiet", message=f"The cluster is being updated: {progressing.message}"))
    known = {i.name for i in facts.trusted or ()}
    if plan.after not in known and len(known) >= MAX_TRUSTED_ISSUERS:
        first = min((i.expires for i in facts.former if i.expires), default=None)
        findings.append(
            Finding(
                check="room",
                message=f"{len(known)} issuers are trusted already, and the operator silently ignores an eleventh; "
                f"the next one expires at {format_time(first)}.",
            )
        )
    return [f for f in findings if f.check not in skip]
