"""What commands print: results on standard output, messages and progress on standard error.

Progress is for people: none in a pipe, none with --quiet. While it is shown, lines are printed above it.
"""

from __future__ import annotations

import codecs
import io
import logging
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_shown: Console | None = None  # where progress is shown


def put(text: object) -> None:
    """Print a line of results on standard output."""
    if _shown is None or not sys.stdout.isatty():
        print(text, flush=True)  # at once: a long run can be followed and piped on
    else:
        _above(_shown, str(text))


def say(text: object) -> None:
    """Print a message on standard error, in one line that says whose it is."""
    line = f"groundkit: {text}"
    if _shown is None:
        print(line, file=sys.stderr, flush=True)
    else:
        _above(_shown, line)


class _Says(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


_says = _Says()


def say_what_is_logged() -> None:
    """Say from now on what the library logs of its choices, such as why a model runs in a dtype."""
    log = logging.getLogger("groundkit")
    log.addHandler(_says)
    log.setLevel(logging.INFO)


def keep_quiet_of_what_is_logged() -> None:
    """The command is done: another one in this process may be a quiet one."""
    logging.getLogger("groundkit").removeHandler(_says)


def _above(console: Console, line: str) -> None:
    from rich.text import Text

    console.print(Text(line), soft_wrap=True)


class Progress:
    """Counts steps, and names what is worked on. This one shows nothing."""

    def at(self, name: str) -> None:
        """Name what is worked on now."""

    def advance(self, count: float = 1) -> None:
        """Some steps are done."""


class _Shown(Progress):
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task

    def at(self, name: str) -> None:
        self._bar.update(self._task, name=name)

    def advance(self, count: float = 1) -> None:
        self._bar.advance(self._task, count)


@contextmanager
def progress(description: str, total: int | None, *, quiet: bool, done: int = 0) -> Iterator[Progress]:
    """Show a bar with the rate and the time left while the block runs.

    Args:
        description: what is done, such as ``segment``.
        total: number of steps; None for work whose end is not known.
        quiet: show nothing.
        done: steps that were done before.
    """
    global _shown
    if quiet or not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    class Times(ProgressColumn):
        """``3/9, 0:12, 1.30/s, 0:40 left``, of which what is not known is left out."""

        def render(self, task: Task) -> Text:
            parts = [] if task.total is None and not task.completed else [_steps(task.completed, task.total)]
            elapsed = task.elapsed or 0.0
            parts.append(_clock(elapsed))
            # Over the whole run: steps may take longer than the half minute over which rich takes its mean.
            if task.total is not None and task.completed > done and elapsed:
                rate = (task.completed - done) / elapsed
                parts.append(f"{rate:.2f}/s" if rate >= 0.1 else f"{1 / rate:.0f} s each")
                parts.append(f"{_clock(max(0.0, task.total - task.completed) / rate)} left")
            return Text(", ".join(parts))

    wide = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        Times(),
        TextColumn("{task.fields[name]}", markup=False, table_column=wide),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    task = bar.add_task(description, total=total, completed=done, name="")
    before, _shown = _shown, bar.console
    try:
        with bar:
            yield _Shown(bar, task)
    finally:
        _shown = before


def _steps(done: float, total: float | None) -> str:
    return f"{done:.0f}" if total is None else f"{math.floor(done + 1e-6)}/{total:.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def accept_any_text() -> None:
    """Let standard output take every file name, whatever its encoding.

    Bytes of a name that are no text are given back as they are; characters that the encoding of a terminal or a pipe
    lacks are written as escapes, so that they never stop the work.
    """
    codecs.register_error("groundkit", _encode)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="groundkit")


def _encode(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = b""
    for character in error.object[error.start : error.end]:
        code = ord(character)
        is_byte = 0xDC80 <= code <= 0xDCFF
        written += bytes([code - 0xDC00]) if is_byte else character.encode("ascii", "backslashreplace")
    return written, error.end


def silence_libraries() -> None:
    """No bars and notices of theirs, where nobody looks or several processes would write over each other."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
