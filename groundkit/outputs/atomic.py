"""Files that are whole or not there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from groundkit.errors import InputError


@contextmanager
def told_refusals(path: Path, deed: str = "write") -> Iterator[None]:
    """Raise what the operating system refuses within the block as an InputError about ``path``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot {deed} {path}: {error.strerror or error}") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, in the same folder and with the same suffix; it becomes ``path`` at the end.

    When the block raises, Ctrl-C included, the temporary file is removed and an older ``path`` stays as it was.
    Missing folders are made.

    Raises:
        InputError: when the operating system refuses (no such place, no permission, disk full).
    """
    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        with told_refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        # Never there after a successful rename; unlink must not hide the error that brought us here.
        if temporary.exists():
            temporary.unlink()


def write_text(path: Path, text: str, *, errors: str = "strict") -> Path:
    """Write UTF-8 text atomically and return ``path``; ``errors`` as in ``str.encode``."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process has left right inside ``folder``.

    Only for a folder to which nobody writes: they are told by their names alone, those of ``atomic_path``.
    """
    for path in folder.iterdir():
        if re.fullmatch(r"\.[0-9a-f]{32}(\.\w+)?", path.name):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
