"""Cases to evaluate on: a JSON-lines file of pictures, phrases and true masks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.errors import InputError
from groundkit.evaluation.text import read_text


@dataclass(frozen=True)
class Case:
    """One phrase about one picture, and what it means there.

    Attributes:
        id: the file's ``id``, or its line number.
        image: path of the picture.
        phrase: the referring expression.
        mask: path of the true mask, a PNG whose pixels on the object are not zero; None only without a target.
        phrase_type: a kind of phrase to report apart, if the file gives one.
        no_target: the phrase names nothing in the picture: only an empty prediction is right.
    """

    id: str
    image: Path
    phrase: str
    mask: Path | None
    phrase_type: str | None = None
    no_target: bool = False


def read_cases(path: Path, limit: int | None = None) -> list[Case]:
    """Read cases, one JSON object per line: ``image``, ``phrase``, ``mask`` and, if wanted, ``id``, ``phrase_type`` and
    ``no_target``. Paths are relative to the file. Empty lines and other fields are passed over.

    Args:
        path: the ``.jsonl`` file, in UTF-8.
        limit: read at most this many cases.

    Raises:
        InputError: when the file cannot be read, has no cases, or has a bad line; file and line are named.
    """
    lines = read_text(path).splitlines()
    cases: list[Case] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and (limit is None or len(cases) < limit):
            cases.append(_case(line, path, number))
    if not cases:
        raise InputError(f"{path} has no cases: write one JSON object per line with image, phrase and mask")
    return cases


def _case(line: str, path: Path, number: int) -> Case:
    where = f"{path}:{number}"
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not a JSON object: {error.msg} at column {error.colno}") from error
    if not isinstance(fields, dict):
        raise InputError(f"{where}: not a JSON object")
    no_target = fields.get("no_target", False)
    if not isinstance(no_target, bool):
        raise InputError(f"{where}: no_target must be true or false")
    for name in ("image", "phrase", "mask"):
        value = fields.get(name)
        if name == "mask" and value is None and no_target:
            continue
        if not isinstance(value, str) or not value:
            raise InputError(f"{where}: {name} must be a text that is not empty")
    phrase_type = fields.get("phrase_type")
    return Case(
        id=str(fields.get("id", number)),
        image=path.parent / fields["image"],
        phrase=fields["phrase"],
        mask=path.parent / fields["mask"] if fields.get("mask") else None,
        phrase_type=None if phrase_type is None else str(phrase_type),
        no_target=no_target,
    )


def group_by_image(cases: Iterable[Case]) -> dict[Path, list[Case]]:
    """Put cases about the same picture together, so that each picture is encoded once; order of first mention."""
    groups: dict[Path, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.image, []).append(case)
    return groups


def read_mask(case: Case, height: int, width: int) -> npt.NDArray[np.bool_]:
    """The true mask, bool ``(height, width)``: all False for a case without a target.

    Raises:
        InputError: when the file cannot be read, has another size than the picture, or is empty without reason.
    """
    if case.no_target or case.mask is None:
        return np.zeros((height, width), dtype=np.bool_)
    try:
        with Image.open(case.mask) as picture:
            pixels = np.asarray(picture if picture.mode in ("1", "L", "P", "I;16", "I") else picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:
        raise InputError(f"cannot read mask {case.mask}") from error
    mask: npt.NDArray[np.bool_] = pixels != 0
    if mask.ndim == 3:
        mask = np.logical_or.reduce(mask, axis=2)
    if mask.shape != (height, width):
        raise InputError(f"mask {case.mask} is {mask.shape[1]}x{mask.shape[0]}, its picture {width}x{height}")
    if not mask.any():
        raise InputError(f'mask {case.mask} is empty: add "no_target": true if that is meant')
    return mask
