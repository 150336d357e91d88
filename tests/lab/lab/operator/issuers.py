# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of trusted issuers, and the API server's flags that follow from it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

DEFAULT_ISSUER = "https://kubernetes.default.svc"
LIMIT = 10
REFUSED = (
    "unable to configure more than 10 trusted service account issuers at the time, please wait until old issuers expire"
)

# {"name": ..., "expirationTime": ...}, as in kubeapiservers/cluster status.serviceAccountIssuers
Entry = dict[str, Any]


@dataclass(frozen=True)
class IssuerChange:
    """What becomes of status.serviceAccountIssuers; ``refused`` is said in the log only and changes nothing."""

    entries: tuple[Entry, ...] = ()
    event: str = ""
    refused: str = ""
    pruning: bool = False


def active_issuer(entries: Sequence[Entry]) -> str:
    """The issuer that signs: the first one without an expiration time."""
    return next((entry["name"] for entry in entries if not entry.get("expirationTime")), "")


def next_issuers(spec: str, entries: Sequence[Entry], now: datetime, trust: timedelta) -> IssuerChange | None:
    """The change that the field asks for, or None.

    The clock of a former issuer starts when the operator sees the edit, not when the rollout ends. Expired issuers go only while
    the active one is the wanted one.
    """
    if not spec and [entry["name"] for entry in entries] == [DEFAULT_ISSUER]:
        return None
    wanted, active = spec or DEFAULT_ISSUER, active_issuer(entries)
    if wanted == active:
        return _prune(entries, now)
    until = now + trust
    former = [
        {"name": entry["name"], "expirationTime": _rfc3339(until)} if not entry.get("expirationTime") else entry
        for entry in entries
        if entry["name"] != wanted
    ]
    changed = ({"name": wanted}, *former)
    if len(changed) > LIMIT:
        return IssuerChange(refused=REFUSED)
    event = f"Desired ServiceAccountIssuer {quote(wanted)} is now active issuer."
    if active:
        event += f" Previous issuer {quote(active)} is trusted until {until:%Y-%m-%d %H:%M:%S.%f} +0000 UTC."
    return IssuerChange(changed, event)


def _prune(entries: Sequence[Entry], now: datetime) -> IssuerChange | None:
    kept = tuple(e for e in entries if not e.get("expirationTime") or datetime.fromisoformat(e["expirationTime"]) > now)
    gone = [entry["name"] for entry in entries if entry not in kept]
    if not gone:
        return None
    event = f"The following service account issuers were pruned and are no longer trusted: {','.join(gone)}"
    return IssuerChange(kept, event, pruning=True)


def flags(entries: Sequence[Entry], api_server_url: str) -> tuple[dict[str, list[str]], str]:
    """(apiServerArguments, "") or ({}, the observer's complaint, which leaves the former arguments in force).

    Only the active issuer is checked: a bad former one reaches the flags, as with the real operator.
    """
    active = active_issuer(entries) or DEFAULT_ISSUER
    problem = go_url_problem(active) if ":" in active else ""
    if problem:
        return {}, f"service-account issuer contained a ':' but was not a valid URL: {problem}"
    names = [active, *(entry["name"] for entry in entries if entry.get("expirationTime"))]
    arguments = {"api-audiences": names, "service-account-issuer": names}
    if active == DEFAULT_ISSUER:
        if not api_server_url:
            return {}, "APIServerURL missing from infrastructure/cluster"
        arguments["service-account-jwks-uri"] = [api_server_url + "/openid/v1/jwks"]
    elif active.startswith("https://"):
        arguments["service-account-jwks-uri"] = [active + "/openid/v1/jwks"]
    return arguments, ""


def observation_event(before: Sequence[str], after: Sequence[str]) -> str:
    """The event's text, or "": the real observer compares sets, so a mere change of order makes no event."""
    before = before or [DEFAULT_ISSUER]
    return "" if set(before) == set(after) else f"ServiceAccount issuer changed from {before[0]} to {after[0]}"


def quote(text: str) -> str:
    """As Go's %q, for the texts that occur here."""
    return json.dumps(text, ensure_ascii=False)


def go_url_problem(text: str) -> str:
    """The error of Go's url.Parse for this text, or "" (the check that the operator and kube-apiserver itself make)."""
    raw, _unused, fragment = text.partition("#")
    problem = _go_url_problem(raw)
    if problem:
        return f"parse {quote(raw)}: {problem}"
    problem = _escape_problem(fragment)
    return f"parse {quote(text)}: {problem}" if problem else ""


def _go_url_problem(raw: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", raw):
        return "net/url: invalid control character in URL"
    if raw.startswith(":"):
        return "missing protocol scheme"
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", raw)
    rest = (raw[scheme.end() :] if scheme else raw).partition("?")[0]
    if not rest.startswith("/"):
        if not scheme and ":" in rest.partition("/")[0]:
            return "first path segment in URL cannot contain colon"
        return "" if scheme else _escape_problem(rest)
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        return _authority_problem(authority) or _escape_problem(slash + path)
    return _escape_problem(rest)


def _authority_problem(authority: str) -> str:
    user, at, host = authority.rpartition("@")
    if at and not re.fullmatch(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*", user):
        return "net/url: invalid userinfo"
    if host.startswith("["):
        if "]" not in host:
            return "missing ']' in host"
        port = host[host.rindex("]") + 1 :]
    else:
        port = host[host.rindex(":") :] if ":" in host else ""
    if port and not re.fullmatch(r":[0-9]*", port):
        return f"invalid port {quote(port)} after host"
    escape = re.search(r"%(?!25)(?:[0-7][0-9A-Fa-f]|(?![0-9A-Fa-f]{2}).{0,2})", host)
    if escape:
        return f"invalid URL escape {quote(escape.group())}"
    bad = re.search(r"""[^\x80-\U0010ffffA-Za-z0-9!$&'()*+,;=:\[\]<>"._~%-]""", host)
    return f"invalid character {quote(bad.group())} in host name" if bad else ""


def _escape_problem(text: str) -> str:
    escape = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text)
    return f"invalid URL escape {quote(escape.group())}" if escape else ""


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
