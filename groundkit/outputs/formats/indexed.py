"""One PNG per picture, each pixel the number of its class, in the colours of DAVIS and Pascal VOC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.outputs.atomic import atomic_path, write_text
from groundkit.outputs.data_set import DataSet, DataSetRun, overlaid, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.outputs.ours import png_mark
from groundkit.results import Discovery, Grounding


def write_indices(path: Path, indices: npt.NDArray[Any], owner: str = "") -> Path:
    """Write numbers, uint8 or uint16 ``(height, width)``: up to 255 with a palette, above as 16-bit grey."""
    from groundkit.outputs.video.folders import davis_palette

    with atomic_path(path) as temporary:
        picture = Image.fromarray(indices)
        if indices.dtype == np.uint8:
            picture.putpalette(davis_palette().tobytes())
        picture.save(temporary, format="PNG", pnginfo=png_mark(owner))
    return path


class IndexedRun(DataSetRun):
    """``indexed/<picture>.png`` with 0 off all objects and classes from 1, which ``indexed/classes.json`` names.

    Where objects overlap, the smallest counts.
    """

    file: ClassVar[str] = "indexed"

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        files = []
        for each in data.pictures:
            numbered = [(data.classes.index(one.label) + 1, one.mask) for one in each.objects]
            files.append(write_indices(folder / f"{each.stem}.png", overlaid(numbered, each.size)))
        names = dict(enumerate(["background", *data.classes]))
        return [*files, write_text(folder / "classes.json", json.dumps(names, ensure_ascii=False, indent=1) + "\n")]


class Indexed(Format):
    """The classes of one result, from 1."""

    ending = "-indexed.png"
    run = IndexedRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        data = pictured(result, source)
        numbered = [(data.labels.index(one.label) + 1, one.mask) for one in data.objects]
        return [write_indices(path, overlaid(numbered, data.size), source.owner)]


FORMAT = Indexed()
