"""groundkit models: what can be used, and what is on disk; groundkit models pull: download one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from groundkit.cli.command import Command
from groundkit.cli.console import put

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """List what can be used and what is on disk.

    In a pipe: one line per model, separated by tabs: source, option, size and size on disk in GB, licence, name, note,
    alias, machine (laptop or GPU).

    An alias stands for the Hub id wherever a model is named: --model smolvlm. groundkit models pull ALIAS downloads it.
    """
    if context.invoked_subcommand is not None:
        return
    from groundkit.weights.catalog import entries
    from groundkit.weights.on_disk import find_on_disk, place_of

    cached, problems = find_on_disk()
    rows: list[dict[str, Any]] = []
    for entry in entries():
        place = place_of(entry, cached)
        rows.append(
            {
                "name": entry.name,
                "alias": entry.alias or None,
                "kind": entry.kind,
                "source": entry.source,
                "size_gb": entry.size_gb,
                "licence": entry.licence,
                "needs": entry.needs,
                "note": entry.note,
                "path": str(place.path) if place else None,
                "on_disk_gb": place.size_gb if place else None,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif sys.stdout.isatty():
        typer.echo("\n".join(_blocks(rows, shutil.get_terminal_size().columns)))
    else:
        for row in rows:
            about = [row["licence"], row["name"], row["note"], row["alias"] or "", row["needs"]]
            typer.echo("\t".join([row["source"], _option(row), *_sizes(row), *about]))
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        typer.echo(f"groundkit: warning: a part of the Hub cache cannot be read: {problems[0]}{more}", err=True)


def _option(row: Mapping[str, Any]) -> str:
    """The option that takes the model."""
    return {"pipeline": "--model", "segmenter": "--segmenter", "tracker": "--tracker"}[str(row["kind"])]


def _sizes(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[key]:.2f}" if row[key] is not None else "-" for key in ("size_gb", "on_disk_gb")]


def _blocks(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Lines for a terminal. A source stands alone on its line and is never wrapped, so that it can be copied."""
    import textwrap

    lines = []
    for row in rows:
        size, on_disk = _sizes(row)
        held = f"{on_disk} GB on disk" if row["on_disk_gb"] is not None else "not on disk"
        about = f"{row['name']}: {'' if size == '-' else f'{size} GB, '}{held}; {row['licence']}"
        about += "; needs a GPU" if row["needs"] == "GPU" else ""
        about += f"; {row['note']}" if row["note"] else ""
        about += f"; short: {row['alias']}" if row["alias"] else ""
        lines.append(f"{_option(row)} {row['source']}")
        lines += textwrap.wrap(about, max(width, 20), initial_indent="    ", subsequent_indent="    ")
    return [
        *lines,
        "A download that was interrupted is smaller on disk than its size; groundkit models pull NAME completes it.",
    ]


@app.command("pull", cls=Command)
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Aliases or Hub ids, such as smolvlm.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant of the weight files, such as fp16.")] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Without the segmenter that goes with a model by default.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages and no progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Download models, so that later runs need no network.

    Prints the folder of each in the Hugging Face cache. After an interruption, files that are complete are kept.
    With a model comes the segmenter that is used with it by default. Free space is checked first.

    For example: groundkit models pull smolvlm
    """
    from groundkit.cli.download import download
    from groundkit.weights.catalog import REAL_SEGMENTER, find, full_name

    sources = dict.fromkeys(full_name(name) for name in names)
    for source in sources:
        put(str(download(source, revision=revision, variant=variant, quiet=quiet)))
    need_segmenter = any(entry is None or entry.kind == "pipeline" for entry in map(find, sources))
    if need_segmenter and not alone and REAL_SEGMENTER not in sources:
        put(str(download(REAL_SEGMENTER, quiet=quiet)))
