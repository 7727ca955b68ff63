"""Words for numbers, and messages in the options of the command line."""

import re

_FLAGS = {"local_files_only": "offline", "offload": "offload"}
_VALUES = "pipeline|range|model|segmenter|device|dtype|revision|variant|seed"


def count_of(number: int, noun: str) -> str:
    """``1 result``, ``2 results``, ``1,200 results``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def for_command_line(message: object) -> str:
    """A message of the library with Python's arguments replaced by the options of the command line.

    ``device="cpu"`` becomes ``--device cpu``, ``without local_files_only=True`` becomes ``without --offline``, and a
    setting in ``config={"noise_level": 0.5}`` becomes ``--set noise_level=0.5``.
    """
    text = re.sub(r'config=\{"(\w+)": "?([^"}]*)"?\}', r"--set \1=\2", str(message))
    text = re.sub(rf"\b({'|'.join(_FLAGS)})=True\b", lambda found: f"--{_FLAGS[found[1]]}", text)
    return re.sub(rf'\b({_VALUES})="([^"]*)"', r"--\1 \2", text)
