"""The object alone, on a transparent ground."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.outputs.formats.base import Format, Part, Source
from groundkit.outputs.formats.png import grey_of, write_each
from groundkit.results import Discovery, Grounding


def cut_out(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], *, crop: bool = True) -> npt.NDArray[np.uint8]:
    """Cut an object out of its picture.

    Args:
        image: uint8 ``(height, width, 3)`` RGB.
        mask: bool ``(height, width)``.
        crop: cut to the mask's box; otherwise, and for an empty mask, the size of the picture is kept.

    Returns:
        uint8 RGBA; alpha is 255 on the object and 0 off it. Colours stay under transparent pixels, so that the mask
        can still be widened in a picture editor.
    """
    if crop and mask.any():
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        inside = np.s_[y : y + height, x : x + width]
        image, mask = image[inside], mask[inside]
    return np.dstack([image, grey_of(mask)])


class Cutout(Format):
    """Each object alone as an RGBA PNG; no file when nothing was found."""

    ending = "-cutout.png"
    needs = frozenset[Part]({"image"})
    per_label = True

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        assert isinstance(result, Grounding)
        return write_each(result, path, source.owner, lambda number: result.cutout(number))


FORMAT = Cutout()
