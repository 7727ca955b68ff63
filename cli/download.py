"""Downloading a model, with what it is and its progress on standard error."""

from __future__ import annotations

import sys
from pathlib import Path

from groundkit.cli.console import say, silence_libraries
from groundkit.errors import ConfigError


def download(source: str, *, revision: str | None = None, variant: str | None = None, quiet: bool = False) -> Path:
    """Download one model, with what it is and its progress on standard error."""
    if quiet or not sys.stderr.isatty():
        silence_libraries()
    from groundkit.models.pull import plan, pull
    from groundkit.weights import catalog

    if catalog.is_embedded(source):
        raise ConfigError("nano comes with groundkit: there is nothing to download")
    wanted = plan(source, revision=revision, variant=variant)
    entry = catalog.find(source)
    if not quiet:
        licence = f", {entry.licence}" if entry else ""
        say(f"{source}{licence}: {f'{wanted.missing / 1e9:.2f} GB to download' if wanted.missing else 'on disk'}")
    return pull(wanted)
