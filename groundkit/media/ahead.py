"""Reading ahead: frames are decoded in a thread while those before them are worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")
_DEPTH = 4  # items that wait in memory; the slower side decides the pace, so that more would not help


def read_ahead(items: Generator[Item]) -> Generator[Item]:
    """The same items in the same order, a few of them read in a thread before they are asked for.

    What ``items`` raises is raised in its place. When this generator ends or is closed, ``items`` is closed.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1, "groundkit-frames") as pool:
        ahead = deque(pool.submit(next, items, end) for _ in range(_DEPTH))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(pool.submit(next, items, end))
                yield item  # type: ignore[misc]  # whatever is not the end is an item
        finally:
            pool.shutdown(cancel_futures=True)
