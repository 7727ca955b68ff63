"""Whether an input is still the file that a result was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundkit.media.inputs import frame_files
from groundkit.run.weights import add_to_digest

_WHOLE = 1 << 26  # bytes up to which all of a file is read; of a larger one, a film, both ends


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in nanoseconds, summed over the frames of a folder; None if there is nothing."""
    status = [file.stat() for file in _files(path)]
    return (sum(each.st_size for each in status), sum(each.st_mtime_ns for each in status)) if status else None


def digest_of(path: Path) -> str:
    """A short digest of the content, with the names of the frames of a folder."""
    digest = hashlib.sha256()
    for file in _files(path):
        add_to_digest(digest, file, file.name if file != path else "", whole=_WHOLE)
    return digest.hexdigest()[:16]


def fingerprint(path: Path) -> dict[str, Any]:
    """What a record keeps of its input: ``bytes``, ``modified`` and ``digest``; nothing where there is no file."""
    stamp = stamp_of(path)
    return {} if stamp is None else {"bytes": stamp[0], "modified": stamp[1], "digest": digest_of(path)}


def is_same(record: Mapping[str, Any], path: Path) -> bool:
    """Whether a record with the keys of ``fingerprint`` is of this file.

    By size and time of change; where only the time is another, as on a copy, by the content.
    """
    stamp = stamp_of(path)
    if stamp is None or "bytes" not in record:
        return stamp is None and "bytes" not in record
    if record["bytes"] != stamp[0]:
        return False
    return bool(record.get("modified") == stamp[1]) or bool(record.get("digest") == digest_of(path))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return frame_files(path)
    return [path] if path.is_file() else []
