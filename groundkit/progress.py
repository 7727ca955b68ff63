"""What a caller is told of a long call, and how it stops one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from groundkit.errors import CancelledError

Item = TypeVar("Item")
Report = Callable[[int, int | None], None]
"""Is told how many steps are done, and of how many; None where that is not known."""

Cancel = Callable[[], bool] | threading.Event
"""Says whether to stop: a function that returns True, or an event that is set."""


class Advance(Protocol):
    """Called with the number of further steps that are done."""

    def __call__(self, steps: int = 1, /) -> None: ...


@contextmanager
def watched(
    total: int | None, progress: bool | Report = False, cancel: Cancel | None = None, what: str = "groundkit"
) -> Iterator[Advance]:
    """Report each step of the ``with`` block, and stop it between two steps.

    Args:
        total: number of steps; None where that is not known.
        progress: told of every step; True draws a bar on stderr.
        cancel: asked before the first step and after each one.
        what: label of the bar.

    Raises:
        CancelledError: ``cancel`` said so.
    """
    done = 0
    stop = cancel.is_set if isinstance(cancel, threading.Event) else cancel

    def check() -> None:
        if stop is not None and stop():
            raise CancelledError(f"cancelled after {done} of {total or 'an unknown number of'} steps")

    with _bar(total, what) if isinstance(progress, bool) and progress else _told_by(progress) as report:

        def advance(steps: int = 1, /) -> None:
            nonlocal done
            done += steps
            report(done, total)
            check()

        check()
        yield advance


def watched_steps(
    items: Sequence[Item], progress: bool | Report = False, cancel: Cancel | None = None, what: str = "groundkit"
) -> Iterator[Item]:
    """Each item of a loop whose body is one step; see ``watched``."""
    with watched(len(items), progress, cancel, what) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def _told_by(progress: bool | Report) -> Iterator[Report]:
    yield (lambda done, total: None) if isinstance(progress, bool) else progress


@contextmanager
def _bar(total: int | None, what: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)
