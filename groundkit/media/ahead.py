"""Working ahead: what comes next is made in threads while what came before is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from groundkit import clock

Item = TypeVar("Item")
Made = TypeVar("Made")
_DEPTH = 4  # items that wait in memory; the slower side decides the pace, so that more would not help


def read_ahead(items: Generator[Item]) -> Generator[Item]:
    """The same items in the same order, a few of them read in a thread before they are asked for.

    What ``items`` raises is raised in its place. When this generator ends or is closed, ``items`` is closed.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1, "groundkit-frames") as pool:
        ahead = deque(pool.submit(_next, items, end) for _ in range(_DEPTH))
        try:
            while True:
                with clock.part("reading"):
                    item = ahead.popleft().result()
                if item is end:
                    return
                ahead.append(pool.submit(_next, items, end))
                yield item  # type: ignore[misc]  # whatever is not the end is an item
        finally:
            pool.shutdown(cancel_futures=True)


@clock.timed("reading")
def _next(items: Generator[Item], end: object) -> object:
    return next(items, end)


def map_ahead(work: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Generator[Made]:
    """``map(work, items)`` in threads, with no more results in memory than two per thread.

    What ``work`` raises is raised in its place; what has not begun then is left undone.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, "groundkit") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
