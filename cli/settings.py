"""groundkit settings: what ``--set`` takes, with its default and its meaning."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from groundkit.errors import ConfigError


def settings(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="refam, vlsam, ensemble, a preset of theirs, or video.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List what --set takes: of one pipeline, of following through videos (video), or of all.

    For example: groundkit settings refam
    """
    from pydantic import BaseModel

    from groundkit.pipelines import ensemble, refam, refam_clip, refam_video, vlsam

    kinds: dict[str, type[BaseModel]] = {
        **dict.fromkeys(refam.PRESETS, refam.RefAMConfig),
        "refam on a video model": refam_clip.RefAMClipConfig,
        **dict.fromkeys(vlsam.PRESETS, vlsam.VLSAMConfig),
        **dict.fromkeys(ensemble.PRESETS, ensemble.EnsembleConfig),
        "video": refam_video.VideoConfig,
    }
    presets = {**refam.PRESETS, **vlsam.PRESETS, **ensemble.PRESETS}
    if pipeline is not None and pipeline not in kinds:
        raise ConfigError(f"no settings of {pipeline!r}: use {', '.join(kinds)}")
    rows = [
        {
            "pipeline": name,
            "setting": field,
            "default": presets.get(name, {}).get(field, info.get_default()),
            "description": info.description or "",
        }
        for name, kind in kinds.items()
        if pipeline in (name, None)
        for field, info in kind.model_fields.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("pipeline", "setting", "default", "description")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    Console(width=None if Console().is_terminal else 160).print(table)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(json.dumps, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
