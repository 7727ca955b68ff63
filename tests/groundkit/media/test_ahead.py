"""Reading ahead gives what was there, in order, and stops when nobody asks any more."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from groundkit.media.ahead import read_ahead


def test_the_items_and_their_order_stay_and_are_read_in_another_thread() -> None:
    threads = set()

    def items() -> Generator[int]:
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    assert list(read_ahead(items())) == list(range(50))
    assert threading.get_ident() not in threads


def test_what_reading_raises_comes_in_its_place() -> None:
    def items() -> Generator[int]:
        yield from range(3)
        raise ValueError("broken")

    read = read_ahead(items())
    assert [next(read), next(read), next(read)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(read)


def test_few_are_read_before_they_are_asked_for_and_closing_ends_the_reading() -> None:
    taken: list[int] = []
    closed = threading.Event()

    def items() -> Generator[int]:
        try:
            for number in range(1000):
                taken.append(number)
                yield number
        finally:
            closed.set()

    read = read_ahead(items())
    assert next(read) == 0
    read.close()
    assert closed.is_set()
    assert len(taken) <= 6
