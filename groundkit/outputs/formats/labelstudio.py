"""Label Studio: one JSON list of tasks with predictions, and the labelling configuration that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from groundkit.masks.polygons import join, polygons
from groundkit.masks.rle import decode
from groundkit.outputs.atomic import write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, Layout, Pictured, link_picture, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.results import Discovery, Grounding


def task(picture: Pictured, tolerance: float) -> dict[str, Any]:
    """One picture, with a polygon per object, see ``join``. Corners are percentages of the picture's sides."""
    height, width = picture.size
    regions = [
        {
            "id": f"object-{number}",
            "type": "polygonlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": each.score,
            "value": {
                "points": [[100 * float(x) / width, 100 * float(y) / height] for x, y in outline],
                "closed": True,
                "polygonlabels": [each.label],
            },
        }
        for number, each in enumerate(picture.objects, start=1)
        if len(outline := join(polygons(decode(each.mask), tolerance)))
    ]
    best = max((each.score for each in picture.objects), default=0.0)
    return {
        "data": {"image": f"/data/local-files/?d=images/{quote(picture.file_name)}"},
        "predictions": [{"model_version": picture.model or "groundkit", "score": best, "result": regions}],
    }


def configuration(classes: list[str]) -> str:
    """The labelling configuration of a project for these tasks."""
    view = Xml.Element("View")
    Xml.SubElement(view, "Image", {"name": "image", "value": "$image"})
    labels = Xml.SubElement(view, "PolygonLabels", {"name": "label", "toName": "image"})
    for name in classes:
        Xml.SubElement(labels, "Label", {"value": name})
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode") + "\n"


class LabelstudioRun(DataSetRun):
    """``labelstudio/tasks.json``, ``labelstudio/config.xml``, and the pictures in ``labelstudio/images``.

    Label Studio serves them as local files when ``LOCAL_FILES_DOCUMENT_ROOT`` is the folder ``labelstudio``.
    """

    file: ClassVar[str] = "labelstudio"

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        files = [file for each in data.pictures for file in link_picture(each, folder / "images")]
        tasks = [task(each, data.layout.tolerance) for each in data.pictures]
        files.append(write_text(folder / "tasks.json", json.dumps(tasks, indent=1) + "\n"))
        return [*files, write_text(folder / "config.xml", configuration(data.classes))]


class Labelstudio(Format):
    """One result as a list of one task."""

    ending = "-labelstudio.json"
    run = LabelstudioRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        return [write_text(path, json.dumps([task(pictured(result, source), Layout().tolerance)], indent=1) + "\n")]


FORMAT = Labelstudio()
