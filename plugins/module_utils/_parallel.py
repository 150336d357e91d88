# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Several requests at once, where each would wait for its answer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeVar

#: So many requests are under way at once. The client keeps at least as many connections for each processor.
MAX_PARALLEL = 5

ResultT = TypeVar("ResultT")


def side_by_side(deeds: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
    """Return what each of ``deeds`` returns. The first error is raised when those under way have ended; no more begin."""
    if len(deeds) < 2:
        return [deed() for deed in deeds]
    with ThreadPoolExecutor(max_workers=MAX_PARALLEL) as pool:
        return list(pool.map(lambda deed: deed(), deeds))


def in_turns(deeds: Iterable[tuple[str, Callable[[], ResultT]]]) -> list[ResultT]:
    """Return what ``deeds`` return, in no order. Each has a turn: those of one turn are done one after the other."""
    turns: dict[str, list[Callable[[], ResultT]]] = {}
    for turn, deed in deeds:
        turns.setdefault(turn, []).append(deed)
    return list(chain.from_iterable(side_by_side([partial(_one_by_one, part) for part in turns.values()])))


def _one_by_one(deeds: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
    return [deed() for deed in deeds]
