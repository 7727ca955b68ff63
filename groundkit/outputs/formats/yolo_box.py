"""Detection labels of YOLO: for each object its class, and centre and size of its box in shares of the picture's."""

from __future__ import annotations

from typing import ClassVar

from groundkit.masks.rle import RunLength, area, box
from groundkit.outputs.formats.yolo import Yolo, YoloRun


def _line(mask: RunLength) -> str:
    if not area(mask):
        return ""
    height, width = mask["size"]
    x, y, w, h = box(mask)
    return f"{(x + w / 2) / width:.6f} {(y + h / 2) / height:.6f} {w / width:.6f} {h / height:.6f}"


class YoloBoxRun(YoloRun):
    """As ``YoloRun``, with boxes."""

    file: ClassVar[str] = "yolo_box"
    line = staticmethod(_line)


class YoloBox(Yolo):
    """As ``Yolo``, with boxes."""

    ending = "-box.txt"
    run = YoloBoxRun


FORMAT = YoloBox()
