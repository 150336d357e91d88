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


def side_by_side(deeds: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
    """Return what each of ``deeds`` returns. The first error is raised when those under way have ended; no more begin."""
    return _run(deeds, MAX_PARALLEL, Event())


def _run(deeds: Sequence[Callable[[], ResultT]], limit: int, is_over: Event) -> list[ResultT]:
    """Do as side_by_side with ``limit`` at once; ``is_over`` is set when no more may begin."""
    if len(deeds) < 2:
        return [deed() for deed in deeds]
    with ThreadPoolExecutor(max_workers=limit) as pool:
        futures = [pool.submit(deed) for deed in deeds]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # also when somebody interrupts it
            for future in futures:
                future.cancel()
            is_over.set()
        # they are begun in this order, so that one that failed stands before those that were not begun
        return [future.result() for future in futures]


def in_turns(deeds: Iterable[tuple[str, Callable[[], ResultT]]]) -> list[ResultT]:
    """Return what ``deeds`` return, in no order, MAX_DEEDS of them under way at once.

    Each has a turn: those of one turn are done one after the other. Errors are as in side_by_side.
    """
    is_over = Event()
    turns: dict[str, list[Callable[[], ResultT]]] = {}
    for turn, deed in deeds:
        turns.setdefault(turn, []).append(deed)
    return list(
        chain.from_iterable(_run([partial(_one_by_one, part, is_over) for part in turns.values()], MAX_DEEDS, is_over))
    )


def _one_by_one(deeds: Sequence[Callable[[], ResultT]], is_over: Event) -> list[ResultT]:
    done: list[ResultT] = []
    for deed in deeds:
        if is_over.is_set():
            break
        try:
            done.append(deed())
        except BaseException:
            is_over.set()
            raise
    return done
