"""Pictures written as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.outputs.atomic import atomic_path
from groundkit.outputs.ours import png_mark


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
