"""Masks as black-and-white PNG files, one per mask, and other pictures as PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.outputs.atomic import atomic_path
from groundkit.outputs.formats.base import Format, Source, mask_names
from groundkit.outputs.ours import earlier_masks, png_mark, remove_ours
from groundkit.results import Discovery, Grounding


def write_png(path: Path, picture: npt.NDArray[np.uint8], owner: str = "") -> Path:
    """Write uint8 ``(height, width)`` grey, ``(height, width, 3)`` RGB or ``(height, width, 4)`` RGBA; return ``path``.

    Args:
        path: the file.
        picture: what is written.
        owner: of which input it is, see ``ours.owner``.

    Raises:
        InputError: when the place cannot be written to.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=png_mark(owner))
    return path


def write_mask(path: Path, mask: npt.NDArray[np.bool_], owner: str = "") -> Path:
    """Write a mask, bool ``(height, width)``, as an 8-bit grey PNG: 255 on the object, 0 off it; return ``path``."""
    return write_png(path, mask.astype(np.uint8) * 255, owner)


def write_each(result: Grounding, path: Path, owner: str, draw: Callable[[int], npt.NDArray[np.uint8]]) -> list[Path]:
    """Write a picture per mask to ``mask_names``, and remove those of an earlier result with other masks."""
    files = mask_names(path, len(result.masks))
    for number, file in enumerate(files):
        write_png(file, draw(number), owner)
    remove_ours(earlier_masks(path), files)
    return files


class Png(Format):
    """Each mask as an 8-bit grey PNG, 255 on the object and 0 off it; no file when nothing was found."""

    ending = ".png"
    per_label = True

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        assert isinstance(result, Grounding)
        return write_each(result, path, source.owner, lambda number: result.masks[number].astype(np.uint8) * 255)


FORMAT = Png()
