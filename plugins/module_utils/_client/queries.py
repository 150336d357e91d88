# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Objects of the kinds that a task names, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from .._errors import ApiError, CollectionError, InvalidOption
from .cluster import Cluster

try:
    import jmespath
except ImportError:
    jmespath = None


class _Place(NamedTuple):
    """Where the API keeps the objects of a kind."""

    path: str
    plural: str
    is_namespaced: bool


class Queries:
    """Reads objects of any kind. Where the API keeps a kind is asked once. Every method may raise ApiError."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._places: dict[tuple[str, str], _Place] = {}

    def read(
        self,
        api_version: str,
        kind: str,
        *,
        name: str | None = None,
        namespace: str | None = None,
        label_selectors: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Return the objects that exist; without ``namespace`` those of all.

        Raises InvalidOption for a kind that the cluster does not have, and for a name that lacks its namespace.
        """
        place = self._find(api_version, kind)
        if place.is_namespaced and name and not namespace:
            raise InvalidOption(f"The {kind} {name} can't be looked up without its namespace; give it as well.")
        scope = ["namespaces", namespace] if place.is_namespaced and namespace else []
        path = _join(place.path, *scope, place.plural, *([name] if name else []))
        query = {"labelSelector": ",".join(label_selectors)} if label_selectors else None
        try:
            found = self._cluster.get_document(path, query)
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [found] if name else list(found.get("items") or ())

    def _find(self, api_version: str, kind: str) -> _Place:
        if (api_version, kind) not in self._places:
            path = _join("/apis" if "/" in api_version else "/api", *api_version.split("/"))
            try:
                resources = self._cluster.get_document(path).get("resources") or ()
            except ApiError as error:
                if error.status != 404:
                    raise
                resources = ()
            # a name with a slash is that of a subresource, which may bear the kind of another
            places = [
                _Place(path, r["name"], bool(r.get("namespaced")))
                for r in resources
                if r.get("kind") == kind and "/" not in r["name"]
            ]
            if not places:
                raise InvalidOption(
                    f"The cluster has no {kind} of {api_version}; check api_version and kind (oc api-resources shows them)."
                )
            self._places[api_version, kind] = places[0]
        return self._places[api_version, kind]


def _join(start: str, *parts: str) -> str:
    return "/".join([start, *(quote(p, safe="") for p in parts)])


def require_expression(expression: str) -> None:
    """Return for a JMESPath expression that can be used. Raises CollectionError for another one, and without jmespath."""
    if jmespath is None:
        raise CollectionError(
            "The Python package jmespath is needed where this task runs, to look at objects by an expression; "
            "install it with: pip install jmespath"
        )
    try:
        jmespath.search(expression, {})
    except jmespath.exceptions.JMESPathTypeError:
        pass  # an object may have what the empty one lacks
    except jmespath.exceptions.JMESPathError as error:
        raise InvalidOption(f"The expression {expression!r} is not JMESPath: {_words_of(error)}.") from None


def search(expression: str, obj: Mapping[str, Any]) -> Any:
    """Return what a JMESPath expression gives for an object. Raises CollectionError where it does not suit the object."""
    try:
        return jmespath.search(expression, obj)
    except jmespath.exceptions.JMESPathError as error:
        raise CollectionError(f"{expression} can't be told: {_words_of(error)}") from None


def _words_of(error: Exception) -> str:
    """Return the first line of the library's words; the others draw where in the expression it is."""
    return str(error).strip().splitlines()[0].rstrip(".:") if str(error).strip() else type(error).__name__
