"""CVAT for images 1.1: one XML file with the masks of all pictures, exact to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as Xml

import numpy as np

from groundkit.masks.rle import RunLength, area, decode
from groundkit.outputs.atomic import write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, Pictured, boxed, link_picture, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.results import Discovery, Grounding


def annotations_xml(pictures: Sequence[Pictured], classes: Sequence[str]) -> str:
    """The XML of pictures."""
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
    labels = Xml.SubElement(task, "labels")
    for name in classes:
        label = Xml.SubElement(labels, "label")
        Xml.SubElement(label, "name").text = name
        Xml.SubElement(label, "attributes")
    for number, each in enumerate(pictures):
        height, width = each.size
        told = {"id": str(number), "name": each.file_name, "width": str(width), "height": str(height)}
        image = Xml.SubElement(root, "image", told)
        for order, one in enumerate(each.objects):
            if area(one.mask):
                Xml.SubElement(image, "mask", {"label": one.label, **_mask(one.mask), "z_order": str(order)})
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _mask(mask: RunLength) -> dict[str, str]:
    """Runs along the rows of the mask's box, off the object first."""
    x1, y1, x2, y2 = boxed(mask)
    inside = decode(mask)[y1:y2, x1:x2].ravel()
    changes = np.flatnonzero(np.diff(inside, prepend=False, append=~inside[-1]))
    runs = np.diff(changes, prepend=0)
    place = {"left": x1, "top": y1, "width": x2 - x1, "height": y2 - y1}
    return {
        "source": "auto",
        "occluded": "0",
        "rle": ", ".join(map(str, runs)),
        **{name: str(value) for name, value in place.items()},
    }


class CvatRun(DataSetRun):
    """``cvat/annotations.xml``, and the pictures that it names in ``cvat/images``."""

    file: ClassVar[str] = "cvat"

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        pictures = [file for each in data.pictures for file in link_picture(each, folder / "images")]
        return [*pictures, write_text(folder / "annotations.xml", annotations_xml(data.pictures, data.classes))]


class Cvat(Format):
    """One result."""

    ending = "-cvat.xml"
    run = CvatRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        data = pictured(result, source)
        return [write_text(path, annotations_xml([data], data.labels))]


FORMAT = Cvat()
