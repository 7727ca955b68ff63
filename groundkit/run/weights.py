"""Which weights a run is made with: a folder can hold others tomorrow under the same name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from groundkit.media.paths import expand_home
from groundkit.weights.catalog import NANO, is_embedded

_END = 1 << 16  # bytes at each end of a file that are read: its header, and numbers that any training changes


def weights_digest(source: str) -> str | None:
    """A short digest of the files of a model; None for a Hub id, which its revision tells apart.

    Each file's path within the folder, its size and both its ends count: a copy on another machine has the same
    digest, and it does not take the time to read large files. Several sources are joined by commas. All parts of nano
    are one model here.
    """
    digest, found = hashlib.sha256(), False
    for one in source.split(","):
        place = NANO if is_embedded(one) else expand_home(one)
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if not file.is_file():
                continue
            found = True
            add_to_digest(digest, file, file.relative_to(place).as_posix(), whole=2 * _END)
    return digest.hexdigest()[:16] if found else None


def add_to_digest(digest: hashlib._Hash, file: Path, name: str, *, whole: int) -> None:
    """Add a file's name, its size, and its content: all of it up to ``whole`` bytes, else both its ends."""
    size = file.stat().st_size
    digest.update(f"{name} {size}\n".encode(errors="surrogateescape"))
    with file.open("rb") as content:
        digest.update(content.read(size if size <= whole else _END))
        content.seek(max(0, size - _END), os.SEEK_SET)
        digest.update(content.read(_END))
