"""A table with one row per object."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from groundkit.masks.rle import area
from groundkit.outputs.atomic import write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, Pictured, boxed, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.results import Discovery, Grounding

COLUMNS = ("picture", "path", "width", "height", "phrase", "label", "score", "x1", "y1", "x2", "y2", "area")


def rows(pictures: Sequence[Pictured]) -> list[dict[str, Any]]:
    """One per object with the values of ``COLUMNS``: boxes are XYXY pixels, x2 and y2 exclusive, ``area`` is in pixels.

    A phrase that was not found has a row without score, box and area.
    """
    table = []
    for each in pictures:
        height, width = each.size
        common = {"picture": each.file_name, "path": each.place, "width": width, "height": height}
        for phrase, objects in each.found.items():
            for one in objects:
                corners = dict(zip(("x1", "y1", "x2", "y2"), boxed(one.mask), strict=True))
                told = {"phrase": phrase, "label": one.label, "score": one.score, **corners, "area": area(one.mask)}
                table.append({**common, **told})
            if not objects:
                table.append({**dict.fromkeys(COLUMNS), **common, "phrase": phrase})
    return table


def write_csv(path: Path, pictures: Sequence[Pictured]) -> Path:
    """Write the table, UTF-8 with a header; empty fields where there is no value."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows(pictures))
    return write_text(path, text.getvalue(), errors="surrogateescape")


class CsvRun(DataSetRun):
    """``csv/objects.csv``."""

    file: ClassVar[str] = "csv"

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        return [write_csv(folder / "objects.csv", data.pictures)]


class Csv(Format):
    """The objects of one result."""

    ending = ".csv"
    run = CsvRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        return [write_csv(path, [pictured(result, source)])]


FORMAT = Csv()
