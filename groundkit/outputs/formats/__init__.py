"""Formats of results, found by name: ``yolo.py`` in this folder is the format ``yolo``, and holds it as ``FORMAT``.

A format from outside is an entry point of the group ``groundkit.formats`` that names such an object. See
:class:`groundkit.outputs.formats.base.Format`. Nothing here imports NumPy: help texts list the formats.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from groundkit.errors import ConfigError, unknown
from groundkit.plugins import Registry

if TYPE_CHECKING:
    from groundkit.outputs.formats.base import Format

FORMATS = Registry(Path(__file__).parent, __name__, "FORMAT", "groundkit.formats")
NAMES = FORMATS.own
"""The formats that come with groundkit."""


def known_formats() -> tuple[str, ...]:
    """The names of all formats, those of installed plug-ins behind groundkit's own."""
    return FORMATS.names


@cache
def load_format(name: str) -> Format:
    """The format of this name. Raises ConfigError when there is none, or it cannot be loaded."""
    if name not in known_formats():
        raise ConfigError(unknown("format", name, known_formats()))
    from groundkit.outputs.formats.base import Format

    try:
        found = FORMATS.load(name)
    except ConfigError as error:
        raise ConfigError(f"the format {name!r} cannot be loaded: {error.__cause__}") from error
    if not isinstance(found, Format):
        raise ConfigError(f"the format {name!r} cannot be loaded: it is not an object of a class of Format")
    return found


def working_formats() -> dict[str, Format]:
    """All formats by their names, but for those of other packages that cannot be loaded."""
    found = {}
    for name in known_formats():
        with suppress(ConfigError):
            found[name] = load_format(name)
    return found


def check_formats(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names without repeats; a text is one name. Raises ConfigError for a format that does not exist."""
    names = [names] if isinstance(names, str) else names
    for name in names:
        load_format(name)
    return tuple(dict.fromkeys(names))
