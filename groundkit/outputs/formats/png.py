"""Masks as black-and-white PNG files, one per mask, and other pictures as PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL.PngImagePlugin import putchunk

from groundkit.masks.rle import decode
from groundkit.outputs.atomic import atomic_path
from groundkit.outputs.formats.base import Format, Source, mask_names
from groundkit.outputs.ours import earlier_masks, png_mark, remove_ours
from groundkit.results import Discovery, Grounding

_HEADER = 33  # bytes: PNG's signature and its first chunk, IHDR; texts may follow


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
        save_png(temporary, picture, owner)
    return path


def save_png(path: Path, picture: npt.NDArray[np.uint8], owner: str = "") -> None:
    """``write_png`` right to ``path``, which an error leaves half-written."""
    encoded = encode_png(picture)
    with path.open("wb") as file:
        file.write(encoded[:_HEADER])
        for kind, text, *_ in png_mark(owner).chunks:
            putchunk(file, kind, text)
        file.write(encoded[_HEADER:])


def encode_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """The file of a picture as ``write_png`` takes it, without texts."""
    if picture.ndim == 3:
        swap = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        picture = np.asarray(cv2.cvtColor(picture, swap), np.uint8)
    # OpenCV's own choice, the filter of differences and runs alone, is four times faster than Pillow's for 5 % more.
    return cv2.imencode(".png", picture)[1].tobytes()


def write_mask(path: Path, mask: npt.NDArray[np.bool_], owner: str = "") -> Path:
    """Write a mask, bool ``(height, width)``, as an 8-bit grey PNG: 255 on the object, 0 off it; return ``path``."""
    return write_png(path, grey_of(mask), owner)


def grey_of(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """A mask as uint8 of the same shape: 255 on the object, 0 off it."""
    return mask.view(np.uint8) * np.uint8(255)


def write_each(result: Grounding, path: Path, owner: str, draw: Callable[[int], npt.NDArray[np.uint8]]) -> list[Path]:
    """Write a picture per mask to ``mask_names``, and remove those of an earlier result with other masks."""
    files = mask_names(path, len(result.run_lengths))
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
        return write_each(result, path, source.owner, lambda number: grey_of(decode(result.run_lengths[number])))


FORMAT = Png()
