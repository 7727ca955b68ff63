"""Read a picture from wherever it is, the way a person sees it."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from groundkit.errors import ImageError
from groundkit.media.heif import is_heif, open_heif

ImageSource = str | Path | bytes | Image.Image | npt.NDArray[np.generic] | BinaryIO


def read_image(source: ImageSource) -> npt.NDArray[np.uint8]:
    """Read a picture as RGB, upright, at full resolution.

    Pictures are decoded by Pillow:
        - the EXIF orientation is applied;
        - transparent pictures are laid over white, as a page or a browser would show them;
        - of an animation or a stack, the first frame counts;
        - 16-bit grey is scaled to 8 bits (divided by 257), never clipped; a float picture must lie in [0, 1];
        - CMYK goes through its embedded ICC profile, and through Pillow's plain formula if there is none; RGB values
          are taken as stored, whatever their profile says, which is what vision models were trained on.

    Arrays are ``(height, width)`` or ``(height, width, 1)`` grey, ``(height, width, 3)`` RGB, or
    ``(height, width, 4)`` RGBA, of uint8, uint16, bool, or floats in [0, 1].

    Args:
        source: a path, the bytes of a file, an open binary file (read from its start if it can seek), a Pillow image,
            or an array. A string is a path.

    Returns:
        uint8 ``(height, width, 3)`` RGB, a copy that shares no memory with the source.

    Raises:
        ImageError: the picture is missing, unreadable, damaged, too large or of a kind that has no RGB meaning; one
            line that names it and says what to do. A file of more than twice ``PIL.Image.MAX_IMAGE_PIXELS`` pixels
            (178,956,970 in all, unless it was changed) is refused unread.
    """
    try:
        # Pillow warns of large pictures and of damaged metadata; the one is fine here and the other harmless.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(source)
    except ImageError as error:
        raise ImageError(f"{_name_of(source)}: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{_name_of(source)}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise ImageError(f"{_name_of(source)}: this is a folder; give a picture in it") from error
    except OSError as error:
        detail = error.strerror or error
        raise ImageError(f"{_name_of(source)}: cannot be opened ({detail}); check the file's permissions") from error


def _read(source: ImageSource) -> npt.NDArray[np.uint8]:
    if isinstance(source, np.ndarray):
        return _array_to_rgb(source)
    if isinstance(source, Image.Image):
        return _decode(source)
    if isinstance(source, bytes):
        return _from_file(io.BytesIO(source))
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return _from_file(file)
    return _from_file(source)


def _from_file(file: BinaryIO) -> npt.NDArray[np.uint8]:
    if not file.seekable():
        file = io.BytesIO(file.read())
    file.seek(0)
    start = file.read(16)
    if not start:
        raise ImageError("the file is empty; save or download it again")
    file.seek(0)
    try:
        image = open_heif(file) if is_heif(start) else Image.open(file)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"more pixels than the limit of {2 * (Image.MAX_IMAGE_PIXELS or 0):,}; "
            "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    # Pillow's format readers let exceptions of many kinds through on damaged files.
    except Exception as error:
        raise ImageError("not a picture, or of a kind that Pillow cannot read; convert it to PNG or JPEG") from error
    if image.format == "EPS":
        # Pillow would start Ghostscript, which runs the file as a program and writes temporary files.
        raise ImageError("EPS is not read; convert it to PNG or JPEG")
    return _decode(image)


def _decode(image: Image.Image) -> npt.NDArray[np.uint8]:
    if 0 in image.size:
        raise ImageError(f"the picture has no pixels ({image.width}x{image.height})")
    try:
        image.load()
    except MemoryError as error:
        raise ImageError(f"{image.width}x{image.height} pixels do not fit into memory; make it smaller") from error
    except Exception as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"the picture is damaged or incomplete ({detail}); save or download it again") from error
    return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    # EXIF that cannot be parsed says nothing of the orientation; its parser raises what it happens to meet.
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Convert a decoded image of any mode."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _array_to_rgb(_deep_grey(image))
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        # A damaged profile is as good as none.
        with suppress(ImageCms.PyCMSError, OSError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            return np.array(ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"))
    try:
        if image.has_transparency_data:
            colours = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
        return np.array(image.convert("RGB"))
    except ValueError as error:
        raise ImageError(f"its colour mode {image.mode} has no conversion to RGB; save it as RGB") from error


def _deep_grey(image: Image.Image) -> npt.NDArray[np.generic]:
    """The values of a picture of more than 8 bits, in a type that tells their range: uint16, or float in [0, 1]."""
    values = np.asarray(image)
    if image.mode == "F":
        return values
    # Pillow also reads 16-bit files into 32-bit integers; beyond 16 bits there is no telling what is white.
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ImageError("32-bit integers have no known white; save the picture with 8 or 16 bits")
    return values.astype(np.uint16)


def _array_to_rgb(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            "an array must be (height, width), or (height, width, channels) with 1, 3 or 4 channels last, "
            f"got {array.shape}"
        )
    if array.size == 0:
        raise ImageError(f"the picture has no pixels {array.shape}")
    pixels = _to_8_bits(array)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        return _to_rgb(Image.fromarray(pixels))
    return pixels


def _to_8_bits(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """A contiguous copy of the values, scaled to 0..255."""
    kind = array.dtype.newbyteorder("=")
    if kind == np.uint8:
        return array.astype(np.uint8, order="C")
    if kind == np.bool_:
        return array.astype(np.uint8, order="C") * np.uint8(255)
    if kind == np.uint16:
        return ((array.astype(np.uint32, order="C") + 128) // 257).astype(np.uint8)
    if kind.kind == "f":
        values = array.astype(np.float32, order="C")
        # Written so that NaN fails too.
        if not (values.min() >= 0 and values.max() <= 1):
            raise ImageError(
                f"float values must lie in [0, 1], got {values.min():g} to {values.max():g}; scale them first"
            )
        return np.rint(values * 255).astype(np.uint8)
    raise ImageError(f"values of type {array.dtype} have no known range; give uint8, or floats in [0, 1]")


def _name_of(source: ImageSource) -> str:
    if isinstance(source, str | Path):
        name = str(source)
    elif isinstance(source, np.ndarray):
        name = "array"
    elif isinstance(source, bytes):
        name = "picture given as bytes"
    else:
        name = str(getattr(source, "filename", "") or getattr(source, "name", "") or "picture")
    # A message is one line, even if a file name is not.
    return name if name.isprintable() else repr(name)
