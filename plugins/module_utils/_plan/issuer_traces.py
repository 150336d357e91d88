# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""What names a former issuer and is to be changed by hand: objects that carry its URL, its tokens, or it as an audience. Pure.

No value of an object leaves this file, only where in it something was found.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .._claims import decode_payload
from .._errors import InvalidOption
from .._holder_model import HolderPod, TokenDriver
from .._model import DEFAULT_ISSUER, format_time

#: The kind of Secret whose token no issuer change concerns.
LEGACY_TYPE = "kubernetes.io/service-account-token"
#: Namespaces whose objects operators keep, with the issuers in them.
KEPT_NAMESPACES = frozenset({"openshift-kube-apiserver", "openshift-oauth-apiserver"})

#: A token begins where a word does; else a long text of nothing but beginnings, which anybody may put there, takes minutes.
_TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]*\.([\w-]+)\.[\w-]+")
#: What may follow an issuer's URL where it is meant as such, and not as the beginning of another address.
_END = r"(?=/?(?:$|[^\w./:?#@%~-])|/\.well-known/|/openid/v1/jwks)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where a former issuer is named. ``what`` is issuer, audience or token; ``expires`` is that of the token."""

    kind: str
    namespace: str
    name: str
    where: str
    what: str
    issuer: str
    expires: datetime | None = None

    def record(self, new_issuer: str, trusted_until: datetime | None) -> dict[str, Any]:
        end = f" at {format_time(trusted_until)}" if trusted_until else ""
        change = {
            "issuer": f"Trust {new_issuer} here as well, and {self.issuer} no more once its last token is dead"
            + ("; it is the API server's address too, which stays." if self.issuer == DEFAULT_ISSUER else "."),
            "audience": f"Leave the audience out or name {new_issuer}: the API servers accept {self.issuer} as an audience only "
            f"until it is no longer trusted{end}.",
            "token": f"Put a new token here: this one is refused once its issuer is no longer trusted{end}.",
        }
        return {
            "kind": self.kind,
            "namespace": self.namespace or None,
            "name": self.name,
            "where": self.where,
            "what": self.what,
            "issuer": self.issuer,
            "expires": format_time(self.expires),
            "change": change[self.what],
        }


class TraceSearch:
    """Looks for what names one of the former issuers."""

    def __init__(self, former: Iterable[str]) -> None:
        self.former = frozenset(former)
        self._patterns = {
            issuer: re.compile(re.escape(issuer.rstrip("/")) + _END, re.MULTILINE) for issuer in self.former
        }

    def in_secret(self, secret: Mapping[str, Any]) -> list[Trace]:
        """Return the traces in a Secret: URLs, and tokens of a former issuer."""
        if not self.former or secret.get("type") == LEGACY_TYPE:
            return []
        found = []
        for key, value in (secret.get("data") or {}).items():
            text = _decode(value)
            found += self._traces("Secret", secret, [(f"data.{key}", text)])
            found += self._tokens(secret, f"data.{key}", text)
        return found

    def in_object(self, kind: str, obj: Mapping[str, Any]) -> list[Trace]:
        """Return the traces in any other object, outside its metadata and its status."""
        if not self.former:
            return []
        texts = (t for key, value in obj.items() if key not in ("metadata", "status") for t in _texts(value, key))
        return self._traces(kind, obj, texts)

    def in_pod(self, holder: HolderPod) -> list[Trace]:
        """Return the traces in a pod's tokens; the pod's controller is named where it has one."""
        pod = holder.pod
        return [
            Trace(
                kind=pod.owner.kind if pod.owner else "Pod",
                namespace=pod.namespace,
                name=pod.owner.name if pod.owner else pod.name,
                where="serviceAccountToken.audience",
                what="audience",
                issuer=source.audience,
            )
            for source in holder.sources
            if source.audience in self.former
        ]

    def in_driver(self, name: str, driver: TokenDriver) -> list[Trace]:
        return [
            Trace(
                kind="CSIDriver", namespace="", name=name, where="spec.tokenRequests", what="audience", issuer=audience
            )
            for audience, _seconds in driver.tokens
            if audience in self.former
        ]

    def _traces(self, kind: str, obj: Mapping[str, Any], texts: Iterable[tuple[str, str]]) -> list[Trace]:
        metadata = obj["metadata"]
        return [
            Trace(
                kind=kind,
                namespace=metadata.get("namespace") or "",
                name=metadata["name"],
                where=where,
                what="issuer",
                issuer=issuer,
            )
            for where, text in texts
            for issuer, pattern in self._patterns.items()
            if pattern.search(text)
        ]

    def _tokens(self, secret: Mapping[str, Any], where: str, text: str) -> Iterator[Trace]:
        """Yield one trace for all tokens of an issuer under one key, with the end of the last."""
        ends: dict[str, list[datetime]] = {}
        for payload in _TOKEN.findall(text):
            try:
                claims = decode_payload(payload)
            except InvalidOption:
                continue
            issuer = claims.get("iss")
            if isinstance(issuer, str) and issuer in self.former:
                ends.setdefault(issuer, []).extend(_moment(claims.get("exp")))
        for issuer, expires in ends.items():
            yield Trace(
                kind="Secret",
                namespace=secret["metadata"]["namespace"],
                name=secret["metadata"]["name"],
                where=where,
                what="token",
                issuer=issuer,
                expires=max(expires, default=None),
            )


def _decode(value: str) -> str:
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _moment(seconds: Any) -> list[datetime]:
    try:
        return [datetime.fromtimestamp(seconds, timezone.utc)]
    except (TypeError, ValueError, OverflowError, OSError):
        return []


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{number}]")


def legacy_record(secret: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the namespace, the name and the service account of a Secret with a token."""
    metadata = secret["metadata"]
    account = (metadata.get("annotations") or {}).get("kubernetes.io/service-account.name") or ""
    return metadata["namespace"], metadata["name"], account


def is_kept(obj: Mapping[str, Any], also: Collection[str] = ()) -> bool:
    """Tell whether an operator or a run of this collection keeps the object."""
    namespace = obj["metadata"].get("namespace") or ""
    return namespace in KEPT_NAMESPACES or namespace in also
