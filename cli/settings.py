"""groundkit settings: what ``--set`` takes, the value that is used, where it comes from, and what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.options import read_assignments, read_config_file
from groundkit.errors import ConfigError, unknown

if TYPE_CHECKING:
    from groundkit.pipelines.resolve import Setting


def settings(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A pipeline, such as refam, or video. By default all.")
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="ID", help="Model whose settings are shown: a checkpoint may bring its own.")
    ] = "nano",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for the other commands. Repeatable.")
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="As for the other commands.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List the settings of one pipeline, of following through videos (video), or of all.

    Shows the value that is used with the model, and where it comes from: the method's default, its preset, the
    checkpoint, the file or --set.

    For example: groundkit settings refam --model black-forest-labs/FLUX.1-schnell
    """
    from groundkit.pipelines.resolve import PRESETS, settings_of, video_settings

    names = [*PRESETS, "video"]
    if pipeline is not None and pipeline not in names:
        raise ConfigError(unknown("pipeline", pipeline, names))
    given = {"file": read_config_file(config_file) if config_file else {}, "--set": read_assignments(assignments or [])}
    if pipeline is None and any(given.values()):
        raise ConfigError("--set and --config are for one pipeline: groundkit settings refam --set peaks=2")
    found: dict[str, list[Setting]] = {}
    for name in names if pipeline is None else [pipeline]:
        found[name] = video_settings(given) if name == "video" else settings_of(name, model, given)
    if as_json:
        rows = [
            {
                "pipeline": name,
                "setting": each.name,
                "value": each.value,
                "from": each.origin,
                "description": each.description,
            }
            for name, settings in found.items()
            for each in settings
        ]
        typer.echo(json.dumps(rows, indent=2))
        return

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("pipeline", "setting", "value", "from", "description")
    for name, settings in found.items():
        for each in settings:
            table.add_row(*map(Text, (name, each.name, _shown(each.value), each.origin, each.description)))
    Console(width=None if Console().is_terminal else 160).print(table)


def _shown(value: object) -> str:
    """As ``--set`` takes it."""
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
