"""SIGTERM and SIGHUP end a command as Ctrl-C does: nothing half-written and no temporary file is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interruption:
    """How a command that is interrupted ends: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""

    exit_code: int = 130


@contextmanager
def interrupted_by_signals() -> Iterator[Interruption]:
    """Raise KeyboardInterrupt where SIGTERM or SIGHUP arrives in the block; a second one ends the process at once.

    What the parent wants ignored (``nohup``) stays ignored.
    """
    interruption = Interruption()

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        interruption.exit_code = 128 + number
        raise KeyboardInterrupt

    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = [each for each in numbers if in_main_thread and signal.getsignal(each) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield interruption
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
