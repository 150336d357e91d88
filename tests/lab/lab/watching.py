# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a collection of objects for as long as one likes, while API servers come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from .api import Api, ApiError, Object, Unreachable

_PAUSE = 0.3
"""Seconds between tries."""


def follow(
    api: Api, path: str, query: str = "", sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[str, Object]]:
    """Each object as ADDED, then every change as ADDED, MODIFIED or DELETED, without end.

    After a lost watch objects come again as ADDED, and what has gone meanwhile comes as DELETED.
    """
    known: dict[str, Object] = {}
    version = ""
    while True:
        try:
            if not version:
                listed = api.get(f"{path}?{query}")
                found = {item["metadata"]["uid"]: item for item in listed["items"]}
                gone = [known[uid] for uid in known.keys() - found.keys()]
                known, version = found, listed["metadata"]["resourceVersion"]
                yield from (("DELETED", item) for item in gone)
                yield from (("ADDED", item) for item in found.values())
            for kind, item in api.watch(f"{path}?{query}&resourceVersion={version}"):
                version = item["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                known[item["metadata"]["uid"]] = item
                if kind == "DELETED":
                    del known[item["metadata"]["uid"]]
                yield kind, item
        except ApiError:
            version = ""
            sleep(_PAUSE)
        except Unreachable:
            sleep(_PAUSE)
