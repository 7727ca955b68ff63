"""Segmentation labels of YOLO: for each object its class and a polygon in shares of the picture's sides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, InputError
from groundkit.outputs.atomic import os_errors_as_input_errors, write_text
from groundkit.outputs.formats.base import Format, Source
from groundkit.outputs.locks import locked
from groundkit.results import Discovery, Grounding

_NAMES = "data.yaml"  # its classes are a list on one line, which is JSON as well as YAML
_MADE_BY = "# labels by "


def polygon(mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The outline of a mask, bool ``(height, width)``, as one polygon: int32 ``(N, 2)``, x and y of pixels, N >= 3.

    Parts and holes are joined by bridges without width, as the tools of Ultralytics do: the polygon, filled by the
    even-odd rule with its outline, is the mask. Empty for an empty mask.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    joined: npt.NDArray[Any] = np.zeros((0, 2), np.int32)
    for contour in contours:
        points: npt.NDArray[Any] = contour.reshape(-1, 2)
        if not len(joined):
            joined = points
            continue
        distances = np.abs(joined[:, None] - points[None]).sum(axis=2)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        around = np.roll(points, -int(there), axis=0)
        joined = np.concatenate([joined[: here + 1], around, around[:1], joined[here:]])
    return np.concatenate([joined, np.repeat(joined[-1:], max(0, 3 - len(joined)), axis=0)]) if len(joined) else joined


def label_lines(masks: Iterable[npt.NDArray[np.bool_]], number: int) -> list[str]:
    """One line per mask: the number of its class and x and y of the polygon's corners, in [0, 1]."""
    lines = []
    for mask in masks:
        height, width = mask.shape
        # A quarter of a pixel on: who rounds and who cuts off digits get back the same pixels.
        shares = (polygon(mask) + 0.25) / (width, height)
        if len(shares):
            lines.append(" ".join([str(number), *(f"{share:.6f}" for share in shares.ravel())]))
    return lines


class YoloRun:
    """The labels of a run: ``yolo/labels/<picture>.txt`` for each picture, and the classes in ``yolo/data.yaml``."""

    file: ClassVar[str] = "yolo"

    def __init__(self, command: str, categories: Sequence[str] = (), *, whole: bool = False) -> None:
        self._head = f"{_MADE_BY}{command}"
        self._whole = whole
        self._classes = list(categories)
        self._found: dict[str, dict[str, list[str]]] = {}  # lines without their class, by picture and label
        self._replaced: set[str] = set()  # pictures of which nothing else is true

    def check(self, path: Path) -> None:
        self._earlier_classes(path)

    def add(self, result: Grounding | Discovery, source: Source) -> None:
        of_picture = self._found.setdefault(source.stem, {})
        if isinstance(result, Discovery):
            of_picture.clear()
            self._replaced.add(source.stem)
        for each in result.groundings() if isinstance(result, Discovery) else [result]:
            of_picture[each.phrase] = [line.partition(" ")[2] for line in label_lines(each.masks, 0)]

    def finish(self, path: Path) -> list[Path]:
        if not self._found:
            return []
        with locked(path):
            earlier = [] if self._whole else self._earlier_classes(path)
            found = (label for of_picture in self._found.values() for label in of_picture)
            classes = list(dict.fromkeys([*earlier, *self._classes, *found]))
            for stem, of_picture in self._found.items():
                kept = []
                if not self._whole and stem not in self._replaced:
                    known = {str(classes.index(label)) for label in of_picture}
                    kept = [line for line in _lines(path / "labels" / f"{stem}.txt") if line.split()[0] not in known]
                new = [f"{classes.index(label)} {line}" for label, lines in of_picture.items() for line in lines]
                write_text(path / "labels" / f"{stem}.txt", "".join(f"{line}\n" for line in [*kept, *new]))
            names = json.dumps(classes, ensure_ascii=False)
            write_text(path / _NAMES, f"{self._head}\npath: .\ntrain: images\nval: images\nnames: {names}\n")
        return [path]

    def _earlier_classes(self, path: Path) -> list[str]:
        lines = _lines(path / _NAMES)
        try:
            if lines and lines[0] != self._head:
                raise ValueError
            names = [json.loads(line.removeprefix("names: ")) for line in lines if line.startswith("names: ")]
            return [str(name) for name in names[0]] if lines else []
        except (ValueError, IndexError, TypeError) as error:
            raise ConfigError(
                f"{path} was not written by {self._head.removeprefix(_MADE_BY)}: give another --output, or move it away"
            ) from error


def _lines(path: Path) -> list[str]:
    with os_errors_as_input_errors(path, "read"):
        if not path.exists():
            return []
        try:
            return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise InputError(f"cannot read {path}: it is not UTF-8") from error


class Yolo(Format):
    """The objects of one result; the labels of a discovery are numbered in the order of their best scores."""

    ending = ".txt"
    run = YoloRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        found = result.groundings() if isinstance(result, Discovery) else [result]
        lines = [line for number, each in enumerate(found) for line in label_lines(each.masks, number)]
        return [write_text(path, "".join(f"{line}\n" for line in lines))]


FORMAT = Yolo()
