"""How the text files of evaluation sets are read."""

from __future__ import annotations

from pathlib import Path

from groundkit.errors import InputError


def read_text(path: Path, fallback: str | None = None) -> str:
    """The text of a file in UTF-8, or in the encoding ``fallback`` where it is not.

    Raises:
        InputError: the file cannot be read, or not be decoded.
    """
    try:
        data = path.read_bytes()
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            if fallback is None:
                raise
            return data.decode(fallback)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from error
