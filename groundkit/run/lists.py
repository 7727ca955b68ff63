"""Lists of inputs and phrases: CSV with a header, or JSON lines."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
import re
from pathlib import Path
from typing import Any

from groundkit.errors import ConfigError, InputError
from groundkit.language.several import parts_of, split_phrases
from groundkit.media.paths import expand_home

_NO_TEXT = r"[\0\ud800-\udc7f\udd00-\udfff]"  # surrogates between these stand for bytes of a name that is not UTF-8


def read_list(path: Path) -> list[tuple[str, list[str]]]:
    """Read which phrase is wanted of which input.

    A file that ends in ``.csv`` has a header with the columns ``input`` and ``phrase``, in any case; any other is JSON
    lines with these keys. For ``label`` see ``read_labels``; further
    columns and keys are left alone. An input is a file, a folder or a glob, relative to
    the list's own folder.

    Returns:
        One input and phrase a row, in the order of the file.

    Raises:
        InputError: when the file cannot be read.
        ConfigError: for a header or a row without both and a quote that is not closed, with the number of the line.
    """
    wanted = []
    for line, row in _rows(path):
        values = [row.get(key) if isinstance(row, dict) else None for key in ("input", "phrase")]
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise ConfigError(f"{path}, line {line}: needs input and phrase, such as photo.jpg and the red cup")
        source, phrase = (str(value).strip() for value in values)
        if re.search(_NO_TEXT, source + phrase):
            raise ConfigError(f"{path}, line {line}: \\u0000 and halves of surrogate pairs are no text; take them out")
        wanted.append((_beside(path, source), split_phrases([phrase])))
    if not wanted:
        raise ConfigError(f"{path}: no input and phrase in this list")
    return wanted


def read_labels(path: Path) -> dict[str, str]:
    """The classes of a list's phrases, in its column or key ``label``; a phrase without one has none.

    Raises:
        InputError, ConfigError: see ``read_list``, and for a phrase with two labels, with the number of the line.
    """
    labels: dict[str, str] = {}
    for line, row in _rows(path):
        phrase, label = (row.get(key) if isinstance(row, dict) else None for key in ("phrase", "label"))
        if not (isinstance(phrase, str) and isinstance(label, str) and label.strip()):
            continue
        for part in parts_of(phrase) if len(parts_of(phrase)) > 1 else [phrase.strip()]:
            if labels.setdefault(part, label.strip()) != label.strip():
                raise ConfigError(f"{path}, line {line}: {part!r} has two labels: {labels[part]} and {label.strip()}")
    return labels


def _rows(path: Path) -> list[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: save it as UTF-8") from error
    return _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(path, text)


def _beside(path: Path, source: str) -> str:
    """An input relative to the list's folder, in which brackets and stars are no pattern."""
    found = path.parent / source
    if os.path.lexists(found):
        return str(found)
    expanded = expand_home(source)
    if expanded.is_absolute() or not glob.has_magic(source):
        return str(path.parent / expanded)
    return str(Path(glob.escape(str(path.parent))) / source)


def _csv_rows(path: Path, text: str) -> list[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        names = [name.strip().casefold() for name in reader.fieldnames or ()]
        if not {"input", "phrase"} <= set(names):
            raise ConfigError(f"{path}: its first line must name the columns input and phrase, separated by a comma")
        reader.fieldnames = names
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num + 1}: {error}; close every quote") from error


def _json_rows(path: Path, text: str) -> list[tuple[int, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append((number, json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}, line {number}: no JSON object ({error})") from error
    return rows
