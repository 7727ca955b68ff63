"""groundkit settings: what ``--set`` takes, the value that is used, where it comes from, and what it means."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit.cli.console import put
from groundkit.cli.options import pipeline_of, read_settings
from groundkit.errors import ConfigError, ModelError, unknown

if TYPE_CHECKING:
    from groundkit.settings import Setting, Settings


def settings(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A method, such as refam, or video. Default: all.")
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="ID", help="Model whose settings are shown: a Hub id, a folder, or nano.")
    ] = "nano",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the model on the Hub.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for the other commands. Repeatable.")
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="As for the other commands.")
    ] = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the method as a TOML file for --config.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the Hugging Face Hub.")] = False,
) -> None:
    """List the settings of one method, of discovery (discover), of following objects through videos (video), or of all.

    Shows the value that is used with the model, and where it comes from: the default, the method, published settings
    of the model's family, the checkpoint's own groundkit.json, a preset, the file (--config) or --set. Later ones win.

    In a pipe: one line per setting, separated by tabs: pipeline, setting, value, origin, description.

    For example: groundkit settings refam --model black-forest-labs/FLUX.1-schnell
    """
    from groundkit.pipelines.resolve import PRESETS, readings_for, resolve, sources_of
    from groundkit.pipelines.video_config import VideoConfig
    from groundkit.settings import as_text
    from groundkit.weights.catalog import full_name

    model = full_name(model)
    names = [*PRESETS, "discover", "video"]
    pipeline = pipeline or pipeline_of(config_file)
    if pipeline is not None and pipeline not in names:
        raise ConfigError(unknown("pipeline", pipeline, names))
    if as_toml and (pipeline is None or as_json):
        raise ConfigError("--toml prints one method: groundkit settings refam --toml")
    method_of = {"discover": "vlsam"}
    given = read_settings(config_file, assignments or [], pipeline=pipeline and method_of.get(pipeline, pipeline))
    if pipeline is None and given:
        raise ConfigError("--set and --config are for one pipeline: groundkit settings refam --set max_peaks=2")
    configs: dict[str, Settings] = {}
    sources: dict[str, dict[str, str]] = {}
    known = False
    for name in names if pipeline is None else [pipeline]:
        if name == "video":
            configs[name] = VideoConfig.read(given)
            continue
        method = method_of.get(name, name)
        readings = readings_for(method, model, revision=revision, local_files_only=offline)
        known |= readings.found and name != "ensemble"
        configs[name], sources[name] = resolve(method, given, readings), sources_of(readings)
    if not known and pipeline not in ("video", "ensemble"):
        raise ModelError(
            f"{model} is no model for {pipeline or 'any pipeline'}, or is neither a folder nor on the Hub (offline: in "
            "its cache); check --model, or leave it out for the settings with nano"
        )
    found = {
        name: [each for each in config.list_settings() if each.full.startswith("discovery.") == (name == "discover")]
        for name, config in configs.items()
    }
    if as_toml and pipeline is not None:
        title = f"{pipeline} with {model}, as groundkit settings {pipeline} --toml prints it"
        put(_toml(title, None if pipeline == "video" else method_of.get(pipeline, pipeline), configs[pipeline]))
    elif as_json:
        rows = [_row(name, each, sources.get(name, {})) for name, settings in found.items() for each in settings]
        put(json.dumps(rows, indent=2))
    elif sys.stdout.isatty():
        _print_table(found, sources)
    else:
        for name, settings in found.items():
            for each in settings:
                put("\t".join((name, each.name, as_text(each.value), each.origin, each.description)))


def _row(pipeline: str, setting: Setting, sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "setting": setting.name,
        "value": setting.value,
        "from": setting.origin,
        **({"source": sources[setting.origin]} if setting.origin in sources else {}),
        "description": setting.description,
    }


def _print_table(found: Mapping[str, Sequence[Setting]], sources: Mapping[str, Mapping[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from groundkit.settings import as_text

    table = Table("pipeline", "setting", "value", "from", "description")
    for name, settings in found.items():
        for each in settings:
            table.add_row(*map(Text, (name, each.name, as_text(each.value), each.origin, each.description)))
    console = Console()
    console.print(table)
    for name, settings in found.items():
        for origin in dict.fromkeys(each.origin for each in settings):
            if origin in sources.get(name, {}):
                console.print(Text(f"{name}, {origin}: {sources[name][origin]}"))


def _toml(title: str, pipeline: str | None, config: Settings) -> str:
    """One setting per line with its origin as a comment, and a table per part; what has no value is a comment, too."""
    origins = {each.full: each.origin for each in config.list_settings()}
    lines = [f"# {title}", *([f'pipeline = "{pipeline}"'] if pipeline else [])]

    def add(part: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            origin = origins.get(f"{part}.{name}" if part else name, "")
            if value is None and origin == "default":  # TOML has no null
                lines.append(f"# {name} is not set")
                continue
            lines.append(f"{f'{name} = {_toml_value(value)}':44}  {f'# {origin}' if origin else ''}".rstrip())

    tables: dict[str, Any] = config.tables()
    add("", {name: value for name, value in tables.items() if not _is_part(value)})
    for name, value in tables.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]"]
            add(name, value)
        elif _is_part(value):
            for each in value:
                lines += ["", f"[[{name}]]"]
                add(each["name"], each)
    return "\n".join(lines)


def _is_part(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value))


def _toml_value(value: object) -> str:
    """A value in the types of JSON as TOML, which has no null; a setting that overrides one reads this text as none."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return '"null"' if value is None else json.dumps(value, ensure_ascii=False)
