"""Read a picture from wherever it is, the way a person sees it."""

from __future__ import annotations

import io
import os
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin
from PIL.ExifTags import Base

from groundkit import clock
from groundkit.errors import GroundkitError, ImageError
from groundkit.media.deep import Range, parse_range, read_deep, tell_if_flat, to_8_bits
from groundkit.media.heif import is_heif, open_heif
from groundkit.media.limits import open_picture, refuse_too_large

ImageSource = str | Path | bytes | Image.Image | npt.NDArray[np.generic] | BinaryIO


_MOST_BANDS_ALPHA = 16  # values of an alpha band without a transparent or an opaque pixel, above which it is no mask
_ROWS = 2048  # that are copied at a time
_WELL_KNOWN = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8")  # how JPEG, PNG and GIF begin
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ZEROS = 64  # bytes at the end of a file that are too many to be a part of a picture
_JPEG_END = b"\xff\xd9"


@clock.timed("reading")
def source_of(image: object) -> str:
    """The path that a picture was given by, as it was given; empty for one that was given in another way."""
    return str(image) if isinstance(image, str | Path) else ""


def read_image(source: ImageSource, *, range: Range = "full") -> npt.NDArray[np.uint8]:
    """Read a picture as RGB, upright, at full resolution.

    Pictures are decoded by Pillow, TIFFs that it does not know by OpenCV:
        - the EXIF orientation is applied;
        - transparent pictures are laid over white, as a page or a browser would show them; a fourth band of a TIFF that
          is marked as transparency, but has many values and no transparent or opaque pixel, is none, and left out;
        - of an animation or a stack, the first frame counts;
        - more than 8 bits are scaled to 8 by ``range``, never clipped unless it says so: by default 16 bits are divided
          by 257 (grey) or 256 (colours), and floats must lie in [0, 1];
        - CMYK goes through its embedded ICC profile, and through Pillow's plain formula if there is none; RGB values
          are taken as stored, whatever their profile says, which is what vision models were trained on;
        - of a JPEG that lacks nothing but its end marker, every row is read.

    Arrays are ``(height, width)`` or ``(height, width, 1)`` grey, ``(height, width, 3)`` RGB, or
    ``(height, width, 4)`` RGBA, of uint8, uint16, bool, or floats in [0, 1]; with a ``range``, of any real numbers.

    A UserWarning tells what may surprise: a picture that is dark or flat as it uses little of its range, values that
    are no numbers, a fourth band or an end marker as above, an animation of which one frame is read.

    Args:
        source: a path, the bytes of a file, an open binary file (read from its start if it can seek), a Pillow image,
            or an array. A string is a path.
        range: of pictures of more than 8 bits, what becomes black and white: ``full``, ``auto`` (the 2nd to the 98th
            percentile of the picture's values), or ``LOW,HIGH``; a pair of numbers too.

    Returns:
        uint8 ``(height, width, 3)`` RGB, a copy that shares no memory with the source.

    Raises:
        ImageError: the picture is missing, unreadable, damaged, too large or of a kind that has no RGB meaning; one
            line that names it and says what to do. A file of more pixels than the environment variable
            ``GROUNDKIT_MAX_PIXELS`` says, or than twice ``PIL.Image.MAX_IMAGE_PIXELS`` (178,956,970 in all, unless it
            was changed), is refused unread.
        ConfigError: for an invalid range.
    """
    _check_kind(source)
    reading = _Reading(parse_range(range))
    try:
        with _pillow_is_quiet:
            pixels = reading.read(source)
    except ImageError as error:
        raise ImageError(f"{_name_of(source)}: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{_name_of(source)}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise ImageError(f"{_name_of(source)}: this is a folder; give a picture in it") from error
    except OSError as error:
        detail = error.strerror or error
        raise ImageError(f"{_name_of(source)}: cannot be opened ({detail}); check the file's permissions") from error
    except MemoryError as error:
        raise ImageError(f"{_name_of(source)}: does not fit into memory; make it smaller") from error
    for note in reading.notes:
        warnings.warn(f"{_name_of(source)}: {note}", stacklevel=2)
    return pixels


def _check_kind(source: object) -> None:
    if isinstance(source, (str, Path, bytes, Image.Image, np.ndarray)) or hasattr(source, "read"):
        return
    kind = type(source).__name__
    if kind == "Tensor":
        raise ImageError("a tensor is no picture here: give an array, such as tensor.permute(1, 2, 0).cpu().numpy()")
    several = "; give a list of pictures" if hasattr(source, "__iter__") else ""
    raise ImageError(f"a picture is a path, bytes, an open file, a Pillow image or an array, not {kind}{several}")


class _PillowIsQuiet:
    """While anything is read, Pillow does not warn of large pictures and damaged metadata: both are fine here.

    ``warnings.catch_warnings`` is not for threads: what one restores may be what another has set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0

    def __enter__(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                warnings.filterwarnings("ignore", module="PIL")
                self._filter = warnings.filters[0]

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                with suppress(ValueError):  # somebody else has put back what was there before
                    warnings.filters.remove(self._filter)  # type: ignore[attr-defined]


_pillow_is_quiet = _PillowIsQuiet()


class _Reading:
    """One picture on its way to RGB.

    Attributes:
        range: what becomes black and white, see ``parse_range``.
        notes: what there is to tell of it.
    """

    def __init__(self, range: str | tuple[float, float]) -> None:
        self.range = range
        self.notes: list[str] = []

    def read(self, source: ImageSource) -> npt.NDArray[np.uint8]:
        if isinstance(source, np.ndarray):
            return self._array_to_rgb(source)
        if isinstance(source, Image.Image):
            return self._decode(source)
        if isinstance(source, bytes):
            return self._from_file(io.BytesIO(source))
        if source == "":  # the working folder to Path
            raise ImageError("an empty text names no picture; give its path")
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                return self._from_file(file)
        return self._from_file(source)

    def _from_file(self, file: BinaryIO) -> npt.NDArray[np.uint8]:
        if not file.seekable():
            file = io.BytesIO(file.read())
        file.seek(0)
        start = file.read(16)
        if not start:
            raise ImageError("the file is empty; save or download it again")
        file.seek(0)
        try:
            image = open_heif(file) if is_heif(start) else open_picture(file)
        except GroundkitError:
            raise
        # Pillow's format readers let exceptions of many kinds through on damaged files.
        except Exception as error:
            if start[:4] in _TIFF and (values := _deep_tiff(file)) is not None:
                return self._deep_to_rgb(values)
            raise ImageError(_unreadable(start)) from error
        refuse_too_large(image.width, image.height)
        if image.format == "EPS":
            # Pillow would start Ghostscript, which runs the file as a program and writes temporary files.
            raise ImageError("EPS is not read; convert it to PNG or JPEG")
        if _is_animation(image):
            self.notes.append("an animation: only its first picture is read; groundkit follow reads it as a video")
        if self.range != "full" and _is_deep_colour(image):
            file.seek(0)
            if (values := read_deep(file.read())) is not None:
                pixels = Image.fromarray(self._deep_to_rgb(values))
                if image.format != "TIFF":  # which OpenCV turns upright itself
                    pixels.getexif()[Base.Orientation] = image.getexif().get(Base.Orientation, 1)
                return np.array(_upright(pixels))
        if image.format == "JPEG" and _ends_in_zeros(file) and _with_end_marker(file) is None:
            raise ImageError("the picture is damaged or incomplete (it ends in zeros); save or download it again")
        try:
            return self._decode(image)
        except ImageError:
            if image.format != "JPEG" or (mended := _with_end_marker(file)) is None:
                raise
            self.notes.append("the file has no end marker, as if it was cut off, but every row of the picture is there")
            return self._decode(mended)

    def _decode(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        if 0 in image.size:
            raise ImageError(f"the picture has no pixels ({image.width}x{image.height})")
        deep = _is_deep_colour(image)
        try:
            image.load()
        except MemoryError as error:
            raise ImageError(f"{image.width}x{image.height} pixels do not fit into memory; make it smaller") from error
        except Exception as error:
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ImageError(f"the picture is damaged or incomplete ({detail}); save or download it again") from error
        if image.format == "TIFF" and image.mode == "RGBA" and self._is_no_mask(image.getchannel("A")):
            image = image.convert("RGB")
        pixels = self._to_rgb(_upright(image))
        if deep:
            tell_if_flat(int(pixels.min()), int(pixels.max()), 255, self.notes)
        return pixels

    def _is_no_mask(self, alpha: Image.Image) -> bool:
        counts = np.array(alpha.histogram())
        values = np.count_nonzero(counts)
        if counts[0] or counts[255] or values <= _MOST_BANDS_ALPHA:
            return False
        self.notes.append(
            f"its fourth band is marked as transparency, but has {values} values and no transparent or opaque pixel: "
            "it is left out as another band, such as infrared"
        )
        return True

    def _to_rgb(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Convert a decoded image of any mode."""
        if image.mode == "F" or image.mode.startswith("I"):
            return self._array_to_rgb(_deep_grey(image, limited=self.range == "full"))
        if image.mode == "CMYK" and image.info.get("icc_profile"):
            # A damaged profile is as good as none.
            with suppress(ImageCms.PyCMSError, OSError):
                profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
                return np.array(
                    ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
                )
        try:
            if image.has_transparency_data:
                colours = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
            return _array(image if image.mode == "RGB" else image.convert("RGB"))
        except ValueError as error:
            raise ImageError(f"its colour mode {image.mode} has no conversion to RGB; save it as RGB") from error

    def _deep_to_rgb(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """OpenCV's fourth band: with 16 bits transparency where that is possible, with floats another band."""
        if values.ndim == 3 and values.shape[2] == 4:
            alpha = values[..., 3]
            values = values[..., :3]
            if alpha.dtype in (np.uint8, np.uint16):
                opacity = (alpha.astype(np.uint16) >> (0 if alpha.dtype == np.uint8 else 8)).astype(np.uint8)
                if not self._is_no_mask(Image.fromarray(opacity)):
                    colours = self._array_to_rgb(values)
                    return self._to_rgb(Image.fromarray(np.dstack([colours, opacity])))
        if self.range == "full" and values.dtype.kind in "iu" and values.dtype != np.uint8:
            values = _as_16_bits(values)
        return self._array_to_rgb(values)

    def _array_to_rgb(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
            raise ImageError(
                "an array must be (height, width), or (height, width, channels) with 1, 3 or 4 channels last, "
                f"got {array.shape}"
            )
        if array.size == 0:
            raise ImageError(f"the picture has no pixels {array.shape}")
        pixels = self._to_8_bits(array)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        if pixels.shape[2] == 4:
            return self._to_rgb(Image.fromarray(pixels))
        return pixels

    def _to_8_bits(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """A contiguous copy of the values, scaled to 0..255."""
        kind = array.dtype.newbyteorder("=")
        if kind == np.uint8:
            return array.astype(np.uint8, order="C")
        if kind == np.bool_:
            return array.astype(np.uint8, order="C") * np.uint8(255)
        if kind == np.uint16 or kind.kind == "f" or (kind.kind in "iu" and self.range != "full"):
            return to_8_bits(array, self.range, self.notes)
        raise ImageError(f"values of type {array.dtype} have no known range; give uint8, or floats in [0, 1]")


def _unreadable(start: bytes) -> str:
    """Why Pillow cannot open a file that begins so."""
    if start.startswith(_WELL_KNOWN):
        return "the picture is damaged or incomplete; save or download it again"
    is_mp4 = start[4:8] == b"ftyp" and start[8:12] not in (b"avif", b"avis")
    if is_mp4 or start[:4] == b"\x1aE\xdf\xa3" or (start[:4] == b"RIFF" and start[8:12] == b"AVI "):
        return "this is a video, which groundkit follow takes; give a picture"
    return "not a picture, or of a kind that Pillow cannot read; convert it to PNG or JPEG"


def _is_animation(image: Image.Image) -> bool:
    """Not a stack of pages, nor the pictures that cameras keep in one file."""
    with suppress(Exception):  # of many kinds on damaged files, in which nothing is counted then
        return image.format in ("GIF", "PNG", "WEBP", "AVIF") and getattr(image, "n_frames", 1) > 1
    return False


def _deep_tiff(file: BinaryIO) -> npt.NDArray[np.generic] | None:
    """The values of a TIFF whose numbers Pillow does not know, such as three bands of floats; None if it is none."""
    file.seek(0)
    try:
        start = file.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(start + (file.read(8) if start[2] == 43 else b""))
        file.seek(directory.next)
        directory.load(file)
        width, height = int(directory[TiffImagePlugin.IMAGEWIDTH]), int(directory[TiffImagePlugin.IMAGELENGTH])
    except Exception:  # it lets exceptions of many kinds through on damaged files
        return None
    refuse_too_large(width, height)
    file.seek(0)
    return read_deep(file.read())


def _ends_in_zeros(file: BinaryIO) -> bool:
    """Whether the end is missing of a file that has its full length, as broken transfers leave it."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _ZEROS))
    return not any(file.read())


def _with_end_marker(file: BinaryIO) -> Image.Image | None:
    """A JPEG that lacks nothing but its end marker, with one; None where rows are missing.

    Where rows are missing, what is put before the marker is decoded as some of them, and otherwise it is passed over.
    """
    file.seek(0)
    data = file.read().rstrip(b"\0").removesuffix(b"\xff")
    filler = np.random.default_rng(0).integers(0, 255, 2**16, dtype=np.uint8).tobytes()
    read = []
    for more in (filler, b""):
        try:
            image = Image.open(io.BytesIO(data + more + _JPEG_END))
            image.load()
        except Exception:
            return None
        read.append(image)
    return read[1] if read[0].tobytes() == read[1].tobytes() else None


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether a file that is not decoded yet has colours of 16 bits, of which Pillow keeps the upper 8."""
    tiles = getattr(image, "tile", None) or []
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in tiles)


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(Base.Orientation, 1) == 1:
            return image  # and no copy of it
        return ImageOps.exif_transpose(image)
    # EXIF that cannot be parsed says nothing of the orientation; its parser raises what it happens to meet.
    except Exception:
        return image


def _array(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB image, a few rows at a time: Pillow makes bytes of them first, a copy of their own."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS):
        pixels[top : top + _ROWS] = np.asarray(image.crop((0, top, image.width, min(top + _ROWS, image.height))))
    return pixels


def _deep_grey(image: Image.Image, *, limited: bool) -> npt.NDArray[np.generic]:
    """The values of a picture of more than 8 bits; if they are to be limited, in a type that tells their range."""
    values = np.asarray(image)
    return values if image.mode == "F" or not limited else _as_16_bits(values)


def _as_16_bits(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Pillow also reads 16-bit files into 32-bit integers; beyond 16 bits there is no telling what is white."""
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ImageError(
            "negative and 32-bit integers have no known white; save the picture with 8 or 16 bits, or give the range: "
            'range="auto", or two numbers'
        )
    return values.astype(np.uint16)


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
    return name if name and name.isprintable() else repr(name)
