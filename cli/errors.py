"""How commands tell of an input that failed while the others go on."""

from __future__ import annotations

import re

from groundkit.cli.console import say

_FLAGS = {"local_files_only": "offline", "offload": "offload"}
_VALUES = "pipeline|range|model|segmenter|device|dtype|revision|variant|seed"


def for_command_line(message: object) -> str:
    """A message of the library, which speaks of Python's arguments, in the options of the command line.

    ``device="cpu"`` becomes ``--device cpu``, ``without local_files_only=True`` becomes ``without --offline``, and a
    setting in ``config={"noise_level": 0.5}`` becomes ``--set noise_level=0.5``.
    """
    text = re.sub(r'config=\{"(\w+)": "?([^"}]*)"?\}', r"--set \1=\2", str(message))
    text = re.sub(rf"\b({'|'.join(_FLAGS)})=True\b", lambda found: f"--{_FLAGS[found[1]]}", text)
    return re.sub(rf'\b({_VALUES})="([^"]*)"', r"--\1 \2", text)


def tell_error(name: str, error: object) -> None:
    """One line on standard error; errors about a picture open with its name, others know nothing of it."""
    text = for_command_line(error)
    say(f"error: {text if text.startswith(name) else f'{name}: {text}'}")
