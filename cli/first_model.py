"""The first run in a terminal offers a small real model, since nano is for drawn scenes alone."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import typer

from groundkit.cli.console import say


def offer_real_model(context: typer.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Ask once whether to download a small real model; the values of the options with it, if the answer is yes.

    Nothing is asked in a pipe, with ``--model``, ``--quiet`` or ``--offline``, or where the model is on disk.
    """
    origin = context.get_parameter_source("model")
    chosen = origin is not None and origin.name != "DEFAULT"
    in_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if chosen or not in_terminal or values.get("quiet") or values.get("offline"):
        return values
    from huggingface_hub import constants

    from groundkit.pipelines.vlsam_config import PRESETS
    from groundkit.weights.catalog import REAL_READER, REAL_SEGMENTER, find
    from groundkit.weights.on_disk import find_on_disk

    asked = Path(constants.HF_HOME) / "groundkit-offered-a-model"
    if asked.exists() or constants.HF_HUB_OFFLINE or REAL_READER in find_on_disk()[0]:
        return values
    with contextlib.suppress(OSError):  # then it is asked again
        asked.parent.mkdir(parents=True, exist_ok=True)
        asked.touch()
    size = sum(entry.size_gb or 0 for entry in map(find, (REAL_READER, REAL_SEGMENTER)) if entry)
    name = getattr(find(REAL_READER), "alias", REAL_READER)
    if not typer.confirm(f"nano is a demo model for drawn scenes; download {name}, {size:.1f} GB?", err=True):
        say(f"later: groundkit models pull {name}")
        return values
    from groundkit.cli.download import download

    for source in (REAL_READER, REAL_SEGMENTER):
        download(source)
    pipeline = values["pipeline"] if values["pipeline"] in PRESETS else "vlsam"
    say(f"using --pipeline {pipeline} --model {name}")
    return {**values, "pipeline": pipeline, "model": REAL_READER}
