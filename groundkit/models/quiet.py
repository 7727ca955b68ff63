"""Silence the loading libraries: what a user must know is in groundkit's own messages."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("huggingface_hub", "transformers", "diffusers")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No warnings of the loading libraries in the ``with`` block; their progress bars in a terminal alone."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    bars = [each for each in (transformers_logging, diffusers_logging) if each.is_progress_bar_enabled()]
    hidden = [] if sys.stderr is not None and sys.stderr.isatty() else bars
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    for library in hidden:
        library.disable_progress_bar()  # that of transformers also hides those of huggingface_hub
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=rf"({'|'.join(_LIBRARIES)})\b")
            yield
    finally:
        for library in hidden:
            library.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
