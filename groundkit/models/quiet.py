"""Silence the loading libraries: what a user must know is in groundkit's own messages."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module

_LIBRARIES = ("huggingface_hub", "transformers", "diffusers")

_lock = threading.Lock()
_inside = 0
_undo = ExitStack()


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No warnings of the loading libraries in the ``with`` block; their progress bars in a terminal alone.

    Threads may be in it at once: the first one in silences, the last one out puts back what the first one found.
    """
    global _inside
    with _lock:
        if _inside == 0:
            _silence()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _undo.close()


def _silence() -> None:
    for logger in map(logging.getLogger, _LIBRARIES):
        _undo.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
    if sys.stderr is None or not sys.stderr.isatty():
        for name in ("transformers", "diffusers"):  # the first one's also hides huggingface_hub's
            # One that is not imported shows none, and is not imported for that.
            library = import_module(f"{name}.utils.logging") if name in sys.modules else None
            if library is not None and library.is_progress_bar_enabled():
                _undo.callback(library.enable_progress_bar)
                library.disable_progress_bar()
    # Not catch_warnings, which puts back a list of filters that another thread may have replaced meanwhile.
    warnings.filterwarnings("ignore", category=UserWarning, module=rf"({'|'.join(_LIBRARIES)})\b")
    _undo.callback(_remove, warnings.filters[0])


def _remove(item: object) -> None:
    with suppress(ValueError):  # someone's catch_warnings has ended since
        warnings.filters.remove(item)  # type: ignore[attr-defined]
