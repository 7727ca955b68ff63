"""Paths as people type them: the home folder, patterns, and links that lead in circles."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

has_magic = glob.has_magic


def expand_home(text: str | Path) -> Path:
    """The path with a leading ``~/`` or ``~user/`` replaced by the home folder.

    A file of that very name comes first, and where there is no such user, the name stays as it is.
    """
    return Path(text) if os.path.lexists(text) else Path(os.path.expanduser(text))  # noqa: PTH111 - a Path's own raises


def real_path(path: Path) -> Path:
    """The path without links, as far as there are files: the same for all spellings of one file. Never raises."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, names that no file system takes
        return path.absolute()


def matches(pattern: str) -> Iterator[str]:
    """The paths that match a glob, in any order, some perhaps twice.

    As ``glob.iglob`` with ``recursive``, but ``**`` enters every folder once, so that links to folders above end.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)  # noqa: PTH207 - Path.glob takes no absolute pattern
        return
    place = parts.index("**")
    base, tail = _join("", *parts[:place]), parts[place + 1 :]
    for start in glob.iglob(base) if has_magic(base) else [base]:  # noqa: PTH207
        for folder in _folders(start):
            yield from matches(_join(glob.escape(folder), *tail or ("*",)))
            if folder and not tail:
                yield folder


def _folders(base: str) -> Iterator[str]:
    """A folder and all that are not hidden below it, also through links, each once; those without a link first."""
    seen = set()
    waiting = deque([base])
    while waiting:
        folder = waiting.popleft()
        try:
            status = os.stat(folder or ".")  # noqa: PTH116
            names = os.listdir(folder or ".")  # noqa: PTH208
        except OSError:  # no folder, or one that may not be looked into
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        yield folder
        for name in names:
            below = _join(folder, name)
            if os.path.isdir(below) and not name.startswith("."):  # noqa: PTH112 - a Path raises at a link to itself
                (waiting.append if os.path.islink(below) else waiting.appendleft)(below)  # noqa: PTH114


def _join(*parts: str) -> str:
    return os.path.join(*parts)  # noqa: PTH118 - a Path makes "." of nothing, which would be in every name
