"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from groundkit.errors import InputError


@contextmanager
def os_errors_as_input_errors(path: Path, deed: str = "write") -> Iterator[None]:
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
    temporary = path.with_name(temporary_name(path.suffix))
    try:
        with os_errors_as_input_errors(path):
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


def temporary_name(suffix: str = "") -> str:
    """A hidden name of 32 hexadecimal digits: 8 of this machine, 8 of this process, and random ones."""
    return f".{_machine()}{os.getpid():08x}{uuid4().hex[:16]}{suffix}"


def prepare_folder(folder: Path) -> None:
    """Make a folder for results, see that it can be written to, and remove what killed processes have left in it.

    Raises:
        InputError: when the operating system refuses.
    """
    with os_errors_as_input_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / temporary_name()
        trial.touch()
        trial.unlink()
    remove_leftovers(folder, of_dead=True)


def remove_leftovers(folder: Path, *, of_dead: bool = False) -> None:
    """Remove the temporary files and folders that a killed process has left right inside ``folder``.

    They are told by their names, those of ``temporary_name``.

    Args:
        folder: one to which nobody writes, unless ``of_dead``.
        of_dead: leave those of other machines and of processes that are alive.

    Raises:
        InputError: when the operating system refuses.
    """
    with os_errors_as_input_errors(folder, "use"):
        for path in folder.iterdir():
            name = re.fullmatch(r"\.([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{16}(\.\w+)?", path.name)
            if name is None or (of_dead and (name[1] != _machine() or _is_alive(int(name[2], 16)))):
                continue
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@cache
def _machine() -> str:
    return hashlib.sha256(f"{platform.node()} {uuid.getnode()}".encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process))
