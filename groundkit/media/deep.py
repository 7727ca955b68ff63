"""Pictures of more than 8 bits a value: from their range to 8 bits. Satellites, microscopes and infrared cameras."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, ImageError

Range = str | tuple[float, float]
"""``full``, ``auto``, ``LOW,HIGH`` or that as two numbers: which values become black and white; see ``to_8_bits``."""

_SHARE = 1 / 20  # of its range, below which what a picture uses is told
_SAMPLE = 2**20  # values by which the range is found
_PERCENT = (2, 98)


def parse_range(wanted: Range) -> str | tuple[float, float]:
    """``full``, ``auto``, or two numbers of which the first is smaller. Raises ConfigError for all else."""
    if wanted in ("full", "auto"):
        return str(wanted)
    try:
        low, high = map(float, wanted.split(",") if isinstance(wanted, str) else wanted)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (low < high and math.isfinite(high - low)):
        raise ConfigError(f"range {wanted}: give full, auto, or LOW,HIGH with LOW below HIGH, such as 0,3000")
    return low, high


def to_8_bits(
    values: npt.NDArray[np.generic], wanted: str | tuple[float, float], notes: list[str]
) -> npt.NDArray[np.uint8]:
    """Scale integers of more than 8 bits, or floats, of any shape to 0..255; bool and uint8 are not for this.

    Args:
        values: of one picture.
        wanted: ``full`` takes the range of the type, 0 to 65,535 for integers and 0 to 1 for floats; ``auto`` the 2nd
            to the 98th percentile of the picture's values, all bands together; two numbers are black and white.
            Values beyond it are black or white, and so are infinite values; what is no number is black.
        notes: gets a line for a picture that is dark or flat by its range, or has values that are no numbers.

    Returns:
        A contiguous copy.

    Raises:
        ImageError: values without a known range, for ``full``.
    """
    kind = values.dtype.newbyteorder("=")
    finite = values[np.isfinite(values)] if kind.kind == "f" else values
    if finite.size == 0:
        raise ImageError("none of its values is a number; give another picture")
    least, most = float(finite.min()), float(finite.max())
    if finite.size < values.size:
        notes.append(f"{1 - finite.size / values.size:.1%} of its values are NaN or infinite; NaN becomes black")
    if wanted == "full":
        low, high = 0.0, 1.0 if kind.kind == "f" else 65_535.0
        if least < low or most > high:
            raise ImageError(
                f"float values must lie in [0, 1], got {least:g} to {most:g}; scale them first, or give the range: "
                'range="auto", or two numbers'
            )
        tell_if_flat(least, most, high, notes)
        if kind.kind != "f":
            return ((values.astype(np.uint32, order="C") + 128) // 257).astype(np.uint8)
    elif wanted == "auto":
        low, high = np.percentile(finite.reshape(-1)[:: max(1, finite.size // _SAMPLE)].astype(np.float64), _PERCENT)
        low, high = (low, high) if low < high else (least, most)
    else:
        low, high = float(wanted[0]), float(wanted[1])
    exact = wanted == "full" or (kind.kind == "f" and kind.itemsize <= 4) or kind.itemsize <= 2
    scaled: npt.NDArray[Any] = values.astype(np.float32 if exact else np.float64, order="C")
    scaled = np.nan_to_num((scaled - low) / (high - low or 1), copy=False, nan=0, posinf=1, neginf=0)
    pixels: npt.NDArray[np.uint8] = np.rint(scaled.clip(0, 1, out=scaled) * 255).astype(np.uint8)
    return pixels


def tell_if_flat(least: float, most: float, whole: float, notes: list[str]) -> None:
    """Note that a picture uses little of its range, from 0 to ``whole``; a picture of one colour is not noted."""
    if 0 < most - least < whole * _SHARE:
        share = max((most - least) / whole, 0.001)
        notes.append(
            f'its values use {share:.1%} of their range, which leaves a dark or flat picture: range="auto" spreads them'
        )


def read_deep(data: bytes) -> npt.NDArray[Any] | None:
    """The values of a file as they are stored, ``(h, w)`` or ``(h, w, bands)`` in RGB order; None if OpenCV cannot."""
    import cv2

    logging: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, and 4
    before = logging.getLogLevel()
    logging.setLogLevel(0)  # it writes of every tag that it does not know
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        logging.setLogLevel(before)
    if values is None:
        return None
    if values.ndim == 2:
        return values
    return values[..., [2, 1, 0, 3][: values.shape[2]]] if values.shape[2] in (3, 4) else None
