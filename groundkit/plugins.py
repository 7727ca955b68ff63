"""What is found by its name: a file in a folder of groundkit, or an entry point of an installed package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from groundkit.errors import ConfigError


@dataclass(frozen=True)
class Registry:
    """Objects by name. Nothing is imported before one is asked for.

    Attributes:
        folder: of the files; ``llava.py`` is ``llava``.
        package: the dotted name of that folder.
        attribute: the name under which each file holds its object, such as ``FAMILY``; empty where it is the file's
            own, ``HotCells`` of ``hot_cells.py``.
        group: the entry point group for objects of other packages; an entry point's name is the object's.
        others: files of the folder that hold none.
    """

    folder: Path
    package: str
    attribute: str
    group: str
    others: frozenset[str] = frozenset({"base"})

    @property
    def own(self) -> tuple[str, ...]:
        """The names that come with groundkit."""
        return _stems(self.folder, self.others)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those of other packages behind groundkit's own."""
        return (*self.own, *(name for name in sorted(plugins(self.group)) if name not in self.own))

    def load(self, name: str) -> Any:
        """The object of a name.

        Raises:
            KeyError: there is none.
            ConfigError: its file, or the package that it comes from, cannot be loaded.
        """
        entry = None if name in self.own else plugins(self.group)[name]
        try:
            if entry is not None:
                return entry.load()
            attribute = self.attribute or name.title().replace("_", "")
            return getattr(import_module(f"{self.package}.{name}"), attribute)
        except (ImportError, AttributeError, SyntaxError) as error:
            where = entry.value if entry else f"{self.package}.{name}"
            raise ConfigError(f"{name!r} cannot be loaded from {where}: {error}") from error


@cache
def _stems(folder: Path, others: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py") if path.stem not in others))


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by their names."""
    return {each.name: each for each in entry_points(group=group)}
