"""groundkit models: what can be used, and what is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.errors import ModelError

if TYPE_CHECKING:
    from groundkit.weights.catalog import Entry


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """List what can be used and what is on disk."""
    from groundkit.weights.catalog import entries

    cached = _cached()
    rows = []
    for entry in entries():
        path, size = cached.get(entry.source) or _local(entry)
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "source": entry.source,
                "size_gb": entry.size_gb,
                "licence": entry.licence,
                "note": entry.note,
                "path": path,
                "on_disk_gb": size,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(caption="A download that was broken off is smaller on disk than its size.")
    for heading in ("name", "kind", "source", "size", "on disk", "licence", "note"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        sizes = [f"{row[key]:.2f} GB" if row[key] is not None else "-" for key in ("size_gb", "on_disk_gb")]
        texts = (row["name"], row["kind"], row["source"], *sizes, row["licence"], row["note"])
        table.add_row(*(Text(str(text)) for text in texts))
    # A pipe has no width; a narrow table would break every name in pieces.
    Console(width=None if Console().is_terminal else 160).print(table)


def _cached() -> dict[str, tuple[str | None, float | None]]:
    """Folder and gigabytes of each repository in the Hugging Face cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return {}
    return {
        repository.repo_id: (str(repository.repo_path), repository.size_on_disk / 1e9)
        for repository in repositories
        if repository.repo_type == "model"
    }


def _local(entry: Entry) -> tuple[str | None, float | None]:
    """Path and gigabytes of an embedded model, or of a file in the current folder; None for both without it."""
    from groundkit.weights.catalog import nano_folder

    try:
        place = nano_folder(entry.embedded) if entry.embedded else Path(entry.source)
    except ModelError:
        return None, None
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    if not files:
        return None, None
    return str(place), sum(file.stat().st_size for file in files) / 1e9
