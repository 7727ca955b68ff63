"""Lists of inputs and phrases: CSV with a header, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from groundkit.errors import ConfigError, InputError


def read_list(path: Path) -> list[tuple[str, list[str]]]:
    """Read which phrase is wanted of which input.

    A file that ends in ``.csv`` has a header with the columns ``input`` and ``phrase``; any other is JSON lines with
    these keys. Further columns and keys are left alone. An input is a file, a folder or a glob, relative to the list's
    own folder.

    Returns:
        One input and phrase a row, in the order of the file.

    Raises:
        InputError: when the file cannot be read.
        ConfigError: for a row without both, with the number of its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: save it as UTF-8") from error
    rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _json_rows(path, text)
    wanted = []
    for line, row in rows:
        values = [row.get(key) if isinstance(row, dict) else None for key in ("input", "phrase")]
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise ConfigError(f"{path}, line {line}: needs input and phrase, such as photo.jpg and the red cup")
        source, phrase = map(str, values)
        wanted.append((str(path.parent / Path(source).expanduser()), [phrase]))
    if not wanted:
        raise ConfigError(f"{path}: no input and phrase in this list")
    return wanted


def _csv_rows(text: str) -> list[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    return [(reader.line_num, row) for row in reader]


def _json_rows(path: Path, text: str) -> list[tuple[int, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append((number, json.loads(line)))
            except ValueError as error:
                raise ConfigError(f"{path}, line {number}: no JSON object ({error})") from error
    return rows
