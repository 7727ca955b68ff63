"""labelme: a JSON file beside each picture, with polygons that labelme shows and edits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from groundkit.masks.polygons import polygons
from groundkit.masks.rle import decode
from groundkit.outputs.atomic import write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, Layout, Pictured, link_picture, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.results import Discovery, Grounding

_VERSION = "5.5.0"  # of labelme, whose file format this is


def annotation(picture: Pictured, tolerance: float) -> dict[str, Any]:
    """The values of one file. The parts of an object are shapes with the same ``group_id``, from 1."""
    height, width = picture.size
    shapes: list[dict[str, Any]] = [
        {
            "label": each.label,
            "points": [[float(x), float(y)] for x, y in outline],
            "group_id": number,
            "description": each.phrase if each.phrase != each.label else "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for number, each in enumerate(picture.objects, start=1)
        for outline in polygons(decode(each.mask), tolerance)
    ]
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture.file_name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


class LabelmeRun(DataSetRun):
    """``labelme/<picture>.json`` beside the picture, a folder that labelme opens."""

    file: ClassVar[str] = "labelme"

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        files = []
        for each in data.pictures:
            told = annotation(each, data.layout.tolerance)
            files.append(write_text(folder / f"{each.stem}.json", json.dumps(told, indent=1) + "\n"))
            files += link_picture(each, folder)
        return files


class Labelme(Format):
    """One result, for a file that is put beside the picture."""

    ending = "-labelme.json"
    run = LabelmeRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        told = annotation(pictured(result, source), Layout().tolerance)
        told["imagePath"] = Path(source.name).name or told["imagePath"]
        return [write_text(path, json.dumps(told, indent=1) + "\n")]


FORMAT = Labelme()
