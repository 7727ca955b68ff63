"""Pascal VOC: an XML file per picture with the boxes of its objects, and masks as pictures with indices."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as Xml

from groundkit.masks.rle import area
from groundkit.outputs.atomic import write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, Pictured, boxed, link_picture, overlaid, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.outputs.formats.indexed import write_indices
from groundkit.results import Discovery, Grounding


def annotation(picture: Pictured) -> str:
    """The XML of one picture. Corners of boxes are pixels that belong to the object, counted from 1."""
    root = Xml.Element("annotation")
    _tell(root, {"folder": "JPEGImages", "filename": picture.file_name, "path": picture.place})
    _tell(Xml.SubElement(root, "source"), {"database": "groundkit", "annotation": picture.model})
    height, width = picture.size
    _tell(Xml.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    _tell(root, {"segmented": 1})
    for each in picture.objects:
        if not area(each.mask):
            continue
        one = Xml.SubElement(root, "object")
        _tell(one, {"name": each.label, "pose": "Unspecified", "truncated": 0, "occluded": 0, "difficult": 0})
        x1, y1, x2, y2 = boxed(each.mask)
        _tell(Xml.SubElement(one, "bndbox"), {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2})
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _tell(parent: Xml.Element, values: dict[str, str | int]) -> None:
    for name, value in values.items():
        Xml.SubElement(parent, name).text = str(value)


class VocRun(DataSetRun):
    """``Annotations``, ``SegmentationClass``, ``SegmentationObject``, ``JPEGImages``, ``ImageSets``, ``labelmap.txt``.

    A picture that is no JPEG keeps its own suffix.
    """

    file: ClassVar[str] = "voc"

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        files = []
        for each in data.pictures:
            there = [one for one in each.objects if area(one.mask)]
            kinds = [(data.classes.index(one.label) + 1, one.mask) for one in there]
            numbers = [(number, one.mask) for number, one in enumerate(there, start=1)]
            files += [
                write_text(folder / "Annotations" / f"{each.stem}.xml", annotation(each)),
                write_indices(folder / "SegmentationClass" / f"{each.stem}.png", overlaid(kinds, each.size)),
                write_indices(folder / "SegmentationObject" / f"{each.stem}.png", overlaid(numbers, each.size)),
                *link_picture(each, folder / "JPEGImages"),
            ]
        for kind in ("Main", "Segmentation"):
            for part, pictures in data.parts().items():
                stems = "".join(f"{each.stem}\n" for each in pictures)
                files.append(write_text(folder / "ImageSets" / kind / f"{part}.txt", stems))
        from groundkit.outputs.video.folders import davis_palette

        colours = davis_palette()
        rows = [f"{name}:{','.join(map(str, colours[number % 256]))}::" for number, name in enumerate(
            ["background", *data.classes])]  # fmt: skip
        head = "# label:color_rgb:parts:actions\n"
        return [*files, write_text(folder / "labelmap.txt", head + "".join(f"{row}\n" for row in rows))]


class Voc(Format):
    """The boxes of one result as XML."""

    ending = "-voc.xml"
    run = VocRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        return [write_text(path, annotation(pictured(result, source)))]


FORMAT = Voc()
