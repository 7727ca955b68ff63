"""Segmentation labels of YOLO: for each object its class and a polygon in shares of the picture's sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.masks.polygons import join
from groundkit.masks.rle import RunLength, decode
from groundkit.outputs.atomic import write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, Pictured, link_picture, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.results import Discovery, Grounding


def polygon(mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The outline of a mask, bool ``(height, width)``, as one polygon: int32 ``(N, 2)``, x and y of pixels, N >= 3.

    Parts and holes are joined by bridges without width, as the tools of Ultralytics do: the polygon, filled by the
    even-odd rule with its outline, is the mask. Empty for an empty mask.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    joined = join(contour.reshape(-1, 2) for contour in contours)
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


def _line(mask: RunLength) -> str:
    return next(iter(label_lines([decode(mask)], 0)), "").partition(" ")[2]


class YoloRun(DataSetRun):
    """A data set that Ultralytics trains on: ``yolo/data.yaml``, and a picture and its labels under the same name in
    ``yolo/images/train`` and ``yolo/labels/train``, or ``val`` for those that are held out."""

    file: ClassVar[str] = "yolo"
    line: Callable[[RunLength], str] = staticmethod(_line)
    """The part of a line behind the number of the class; nothing for an empty mask."""

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        files = []
        parts = data.parts()
        for part, pictures in parts.items():
            for each in pictures:
                text = "".join(f"{line}\n" for line in lines_of(each, data.classes, self.line))
                files.append(write_text(folder / "labels" / part / f"{each.stem}.txt", text))
                files += link_picture(each, folder / "images" / part)
            (folder / "images" / part).mkdir(parents=True, exist_ok=True)
        names = json.dumps(data.classes, ensure_ascii=False)  # JSON is YAML, too
        # Ultralytics asks for val. Without pictures of its own it is train, which measures nothing but training.
        val = "val" if "val" in parts else "train"
        head = f"# made by {self.command}\n" + ("" if val == "val" else "# no pictures are held out\n")
        # Without path, the others are relative to this file; with it, Ultralytics looks in the current folder.
        text = f"{head}train: images/train\nval: images/{val}\nnames: {names}\n"
        return [*files, write_text(folder / "data.yaml", text)]


def lines_of(picture: Pictured, classes: list[str], line: Callable[[RunLength], str]) -> list[str]:
    """One line per object that has a pixel."""
    drawn = ((each.label, line(each.mask)) for each in picture.objects)
    return [f"{classes.index(label)} {text}" for label, text in drawn if text]


class Yolo(Format):
    """The objects of one result; the labels of a discovery are numbered in the order of their best scores."""

    ending = ".txt"
    run = YoloRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        data = pictured(result, source)
        return [write_text(path, "".join(f"{line}\n" for line in lines_of(data, data.labels, self.run.line)))]


FORMAT = Yolo()
