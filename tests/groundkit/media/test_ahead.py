"""Reading ahead gives what was there, in order, and stops when nobody asks any more."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from groundkit.media.ahead import behind, map_ahead, read_ahead


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


def test_results_of_several_threads_come_in_order_and_only_a_few_are_made_before_they_are_asked_for() -> None:
    made: list[int] = []

    def work(number: int) -> int:
        made.append(number)
        return number * number

    results = map_ahead(work, range(100), 2)
    assert next(results) == 0
    assert len(made) <= 5
    assert list(results) == [number * number for number in range(1, 100)]


def test_what_work_raises_comes_in_its_place_and_the_rest_is_left_undone() -> None:
    made: list[int] = []

    def work(number: int) -> int:
        made.append(number)
        if number == 3:
            raise ValueError("broken")
        return number

    results = map_ahead(work, range(100), 1)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(results)
    assert len(made) <= 6


def test_work_behind_is_done_in_order_in_one_other_thread_before_the_block_ends():
    done, threads = [], set()

    def work(item):
        threads.add(threading.get_ident())
        done.append(item)

    with behind(work) as give:
        for item in range(50):
            give(item)
    assert done == list(range(50))
    assert len(threads - {threading.get_ident()}) == len(threads) == 1


@pytest.mark.parametrize("at", [0, 7, 19])
def test_an_error_of_work_behind_is_raised_by_a_later_item_or_at_the_end(at):
    def work(item):
        if item == at:
            raise ValueError(item)

    def run():
        with behind(work) as give:
            for item in range(20):
                give(item)
                assert item <= at + 5

    with pytest.raises(ValueError, match=str(at)):
        run()


def test_an_error_in_the_block_drops_what_waits_and_outlives_what_is_in_work():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(item):
        begun.set()
        go_on.wait(20)
        done.append(item)

    def run():
        with behind(work) as give:
            for item in range(4):
                give(item)
            begun.wait(20)
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert done == [0]


def test_few_items_wait_for_work_behind():
    given, seen, full = [], [], threading.Event()

    def work(item):
        assert full.wait(20)
        seen.append(len(given) - item)

    with behind(work) as give:
        for item in range(20):
            given.append(item)
            if len(given) == 4:
                full.set()
            give(item)
    assert max(seen) <= 5
