"""How large a picture may be."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

from PIL import Image

from groundkit.errors import ConfigError, ImageError

MAX_PIXELS = "GROUNDKIT_MAX_PIXELS"
"""Environment variable: how many pixels a picture may have."""


def max_pixels() -> int | None:
    """How many pixels a picture or a frame may have; None for any number.

    Raises:
        ConfigError: when ``GROUNDKIT_MAX_PIXELS`` is no whole number above 0.
    """
    text = os.environ.get(MAX_PIXELS, "").strip()
    if not text:
        return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS
    if not text.replace("_", "").isdecimal() or int(text) < 1:
        raise ConfigError(f"{MAX_PIXELS}={text}: give a whole number of pixels above 0")
    return int(text)


def refuse_too_large(width: int, height: int) -> None:
    """Raises ImageError for more pixels than are allowed."""
    most = max_pixels()
    if most is not None and width * height > most:
        raise ImageError(
            f"{width}x{height} are more pixels than the limit of {most:,}; make it smaller, or set the environment "
            f"variable {MAX_PIXELS}={width * height}"
        )


def open_picture(file: BinaryIO) -> Image.Image:
    """``PIL.Image.open`` with our limit and not Pillow's."""
    if os.environ.get(MAX_PIXELS) and Image.MAX_IMAGE_PIXELS is not None:
        # Pillow looks at its own limit first; refuse_too_large has the last word.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels() or 0)
    try:
        return Image.open(file)
    except Image.DecompressionBombError as error:
        claimed = re.search(r"\d+", str(error))  # "Image size (400000000 pixels) exceeds limit ..."
        pixels = int(claimed[0]) if claimed else 0
        raise ImageError(
            f"{pixels:,} are more pixels than the limit of {max_pixels() or 0:,}; make it smaller, or set the "
            f"environment variable {MAX_PIXELS}={pixels}"
        ) from error
