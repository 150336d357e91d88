# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: may change without notice.
"""Several requests at once, where each would wait for its answer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from itertools import chain
from threading import Event
from typing import TypeVar

#: So many reads are under way at once, whose answers all need memory. Since Kubernetes 1.31 an API server may first ask etcd
#: whether it knows the newest, which takes up to a tenth of a second (ConsistentListFromCache).
MAX_PARALLEL = 10
#: So many deeds are under way at once, whose answers are small. Each eviction begins with such a read, that of the budgets.
MAX_DEEDS = 20

ResultT = TypeVar("ResultT")


def side_by_side(deeds: Sequence[Callable[[], ResultT]], limit: int = MAX_PARALLEL) -> list[ResultT]:
    """Return what each of ``deeds`` returns, ``limit`` of which are under way at once.

    The first error is raised when those under way have ended; no more begin.
    """
    if len(deeds) < 2:
        return [deed() for deed in deeds]
    with ThreadPoolExecutor(max_workers=limit) as pool:
        futures = [pool.submit(deed) for deed in deeds]
        if wait(futures, return_when=FIRST_EXCEPTION).not_done:
            for future in futures:
                future.cancel()
        # they are begun in this order, so that one that failed stands before those that were not begun
        return [future.result() for future in futures]


def in_turns(deeds: Iterable[tuple[str, Callable[[], ResultT]]]) -> list[ResultT]:
    """Return what ``deeds`` return, in no order, MAX_DEEDS of them under way at once.

    Each has a turn: those of one turn are done one after the other. Errors are as in side_by_side.
    """
    has_failed = Event()
    turns: dict[str, list[Callable[[], ResultT]]] = {}
    for turn, deed in deeds:
        turns.setdefault(turn, []).append(deed)
    return list(
        chain.from_iterable(
            side_by_side([partial(_one_by_one, part, has_failed) for part in turns.values()], MAX_DEEDS)
        )
    )


def _one_by_one(deeds: Sequence[Callable[[], ResultT]], has_failed: Event) -> list[ResultT]:
    done: list[ResultT] = []
    for deed in deeds:
        if has_failed.is_set():
            break
        try:
            done.append(deed())
        except Exception:
            has_failed.set()
            raise
    return done
