"""Working ahead and behind: what comes next is made, and what came before is used, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
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


@contextmanager
def behind(work: Callable[[Item], object]) -> Iterator[Callable[[Item], None]]:
    """Do ``work`` for one item after another in a thread, in their order.

    Gives what takes an item. It waits only where a few items wait already. What ``work`` raises is raised there when a
    later item is given, or at the end of the block, which ends when all is done. Where the block raises, Ctrl-C
    included, items that wait are dropped, and the thread has ended before the exception goes on.
    """
    waiting: deque[Future[object]] = deque()

    def give(item: Item) -> None:
        while waiting and (waiting[0].done() or len(waiting) == _DEPTH):
            waiting.popleft().result()
        waiting.append(pool.submit(work, item))

    with ThreadPoolExecutor(1, "groundkit-behind") as pool:
        try:
            yield give
            while waiting:
                waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


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
