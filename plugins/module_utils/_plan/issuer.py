# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Decisions about the service account issuer. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .._errors import InvalidOption
from .._model import IssuerFacts, TrustedIssuer
from .go_url import find_go_url_problem

#: The operator configures no more trusted issuers at a time and refuses further ones without a condition
#: (cluster-kube-apiserver-operator, serviceaccountissuer_controller.go).
MAX_TRUSTED_ISSUERS = 10

_HOST = re.compile(r"^(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$")
#: What a name that is no URL may consist of: nothing that a flag, a list of flags or a shell could take for more.
_PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._~/@+=-]*$")
_BRACKETED = re.compile(r"^\[[0-9A-Fa-f:.]+\](:\d{1,5})?$")
_PATH = re.compile(r"^(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*$")


def validate_issuer(issuer: str, *, allow_non_url: bool = False) -> str:
    """Return ``issuer`` unchanged when it is a URL that every kube-apiserver and every relying party can use.

    With ``allow_non_url`` a plain name is taken too, which kube-apiservers accept and nobody outside can look up.
    Raises InvalidOption otherwise. The API accepts any text; one that the operator can't parse becomes a
    "trusted former issuer" at the next change, which then keeps kube-apiservers from starting for 24 hours.
    """
    if allow_non_url and issuer and ":" not in issuer:
        if not _PLAIN.fullmatch(issuer):
            raise InvalidOption(
                f"The service account issuer {issuer!r} is no URL and not a plain name either; "
                "give a name of letters, digits and . _ ~ / @ + = - that begins with a letter or digit."
            )
        return issuer
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
    if "," in issuer:
        return "contains a comma, at which kube-apiservers split their list of audiences"
    if not _PATH.match(parts.path):
        return "has a path that is not well-formed"
    # What Python's parser lets pass, such as https://[::1]!443, a kube-apiserver may not.
    problem = find_go_url_problem(issuer)
    return problem and f"is not a well-formed URL ({problem})"


def find_poison(name: str, before: Sequence[str] = ()) -> str | None:
    """Return why a kube-apiserver would not start with ``name`` among its issuers, None when it would.

    ``before`` are the issuers that stand before it in the list. The rules are those of BuiltInAuthenticationOptions
    (k8s.io/kubernetes, pkg/kubeapiserver/options/authentication.go), and of the flag api-audiences, which gets the
    same list as comma-separated values.
    """
    if not name:
        return "is empty"
    if name in before:
        return "stands in the list twice"
    if '"' in name:
        return "contains a quotation mark, with which the flag api-audiences can't be parsed"
    problem = find_go_url_problem(name) if ":" in name else None
    return problem and f"contains a colon and is no valid URL ({problem})"


def find_poisoned(trusted: Sequence[TrustedIssuer] | None) -> dict[int, str]:
    """Return the reason for each poisoned entry of ``status.serviceAccountIssuers``, by its place in the list."""
    names = [issuer.name for issuer in trusted or ()]
    found = ((place, find_poison(name, names[:place])) for place, name in enumerate(names))
    return {place: reason for place, reason in found if reason}


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
class DocumentOptions:
    """Whether and how the documents at the new issuer's address are read; ``timeout`` is in seconds per document."""

    mode: str = "auto"
    ca_cert: str | None = None
    proxy: str | None = None
    timeout: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRequest:
    """What the task asks for."""

    wanted: str
    skip_checks: tuple[str, ...] = ()
    documents: DocumentOptions = field(default_factory=DocumentOptions)
    repair_trusted: bool = False
    revoke_former: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPlan:
    """Making ``after`` the issuer: ``patch`` is the merge patch of the one field, None when it is set already.

    With ``repair`` the poisoned entries are removed from the operator's list of trusted issuers.
    """

    facts: IssuerFacts
    after: str
    repair: bool = False

    @property
    def before(self) -> str:
        """The issuer in the specification, empty where it names none."""
        return self.facts.spec_issuer

    @property
    def patch(self) -> dict[str, Any] | None:
        return None if self.before == self.after else {"spec": {"serviceAccountIssuer": self.after}}

    @property
    def poisoned(self) -> dict[int, str]:
        """The reason for each entry with which a kube-apiserver does not start, by its place in the list."""
        return find_poisoned(self.facts.trusted)

    @property
    def repairs(self) -> bool:
        """Some entry is removed."""
        return self.repair and bool(self.poisoned)

    @property
    def has_changes(self) -> bool:
        return self.patch is not None or self.repairs


def judge_keys(
    *, token_issuer: str, token_key_id: str | None, discovery_issuer: str | None, key_ids: Collection[str] | None
) -> bool | None:
    """Return whether a new token can be verified by what the API servers publish; None when they publish nothing."""
    if discovery_issuer is None or key_ids is None:
        return None
    return discovery_issuer == token_issuer and token_key_id in key_ids


def former_places(trusted: Sequence[TrustedIssuer], wanted: str) -> dict[int, str]:
    """Return the places of all issuers but ``wanted``, for revoking them."""
    return {place: "is no longer wanted" for place, issuer in enumerate(trusted) if issuer.name != wanted}
