"""HEIC and HEIF, which phones write: read by the optional library pillow-heif (extra: ``groundkit-vision[heic]``)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import BinaryIO

from PIL import Image

from groundkit.errors import ImageError

SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
REMEDY = 'pip install "groundkit-vision[heic]"'  # zsh takes brackets without quotation marks for a pattern
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1")


def is_installed() -> bool:
    return find_spec("pillow_heif") is not None


def is_heif(start: bytes) -> bool:
    """Whether a file that begins so is HEIF; AVIF, which is made alike, is read by Pillow itself."""
    return start[4:8] == b"ftyp" and start[8:12] in _BRANDS


def open_heif(file: BinaryIO) -> Image.Image:
    """The picture in an open file, turned upright by the library.

    Raises:
        ImageError: when the library is missing.
    """
    if not is_installed():
        raise ImageError(f"HEIC needs an optional library: {REMEDY}, or convert the picture to JPEG")
    from pillow_heif import HeifImageFile

    image: Image.Image = HeifImageFile(file)
    return image
