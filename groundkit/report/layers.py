"""One picture of a report: the picture itself, and the layers that are laid over it in the browser.

Pictures travel inside the page as data URIs, no larger than they are shown. Masks and points are drawn by the browser,
from contours and coordinates, which is smaller than a picture and sharp at any size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.outputs.drawing import MASK_COLOURS
from groundkit.outputs.formats.heatmap import colour_map

LONGEST_SIDE = 480  # pixels of a picture in a report
LONGEST_HEAT = 128  # attention is smooth: the browser's interpolation shows the same as more pixels would
_MOST_COVER = 0.75  # how much of the picture the hottest colour covers; the coldest covers nothing
_TOLERANCE = 0.4  # pixels by which a contour may be straightened


@dataclass(frozen=True)
class MaskShape:
    """A mask as an SVG path, and its colour as CSS writes it."""

    path: str
    colour: str


@dataclass(frozen=True)
class Mark:
    """A point in pixels of ``Layers``, on the object or off it."""

    x: float
    y: float
    positive: bool


@dataclass(frozen=True)
class Layers:
    """What a report shows of one picture.

    Attributes:
        width, height: of the picture as it is shown; masks and points are in these pixels.
        picture: a data URI.
        heat: a data URI, see-through where it is cold; empty when there is none.
        masks: in their order.
        points: in their order.
    """

    width: int
    height: int
    picture: str
    heat: str = ""
    masks: tuple[MaskShape, ...] = ()
    points: tuple[Mark, ...] = ()


def draw_layers(
    image: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.bool_] | Sequence[npt.NDArray[np.bool_]] = (),
    points: npt.NDArray[np.float32] | None = None,
    heat: npt.NDArray[np.uint8] | None = None,
    *,
    longest: int = LONGEST_SIDE,
) -> Layers:
    """Make the layers of a picture.

    Args:
        image: uint8 ``(height, width, 3)`` RGB.
        masks: bool ``(K, height, width)``; an empty mask gives a path without points.
        points: float32 ``(M, 3)``: x, y in pixels and the label, 1 on the object and 0 off it.
        heat: from ``shrink_heat``.
        longest: pixels of the longer side in the report; smaller pictures keep their size.
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    picture.thumbnail((longest, longest))
    scale_x, scale_y = picture.width / width, picture.height / height
    return Layers(
        width=picture.width,
        height=picture.height,
        picture=_data_uri(picture, "JPEG", quality=80),
        heat="" if heat is None else _heat(heat),
        masks=tuple(
            MaskShape(trace(mask, picture.size), f"rgb{colour}".replace(" ", ""))
            for mask, colour in zip(masks, cycle(MASK_COLOURS), strict=False)
        ),
        points=tuple(
            Mark(round(float(x) * scale_x, 1), round(float(y) * scale_y, 1), bool(label == 1))
            for x, y, label in (() if points is None else points)
        ),
    )


def trace(mask: npt.NDArray[np.bool_], size: tuple[int, int]) -> str:
    """The outlines of a mask, holes included, as an SVG path for the even-odd rule.

    Args:
        mask: bool ``(height, width)``.
        size: width and height of the picture that the path is for. What is smaller than its pixels still leaves a mark.
    """
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    if not share.any():
        return ""
    inside = share >= min(0.5, float(share.max()))
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        corners = cv2.approxPolyDP(contour, _TOLERANCE, closed=True).reshape(-1, 2)
        # Contours run through the middles of pixels.
        parts.append("M" + "L".join(f"{x}.5 {y}.5" for x, y in corners.tolist()) + "Z")
    return "".join(parts)


def shrink_heat(heatmap: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8] | None:
    """What a report shows of a heatmap, float32 ``(height, width)`` in [0, 1].

    Returns:
        uint8 ``(h, w)``, 255 where it is hottest, no larger than 128 pixels; None for one that is flat, which points
        nowhere, or NaN everywhere.
    """
    heatmap = np.nan_to_num(heatmap)
    if heatmap.max() <= heatmap.min():
        return None
    height, width = heatmap.shape
    scale = min(1.0, LONGEST_HEAT / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.clip(cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA), 0, 1)
    return np.rint(small * 255).astype(np.uint8)


def _heat(heat: npt.NDArray[np.uint8]) -> str:
    """Heat as a picture with a palette: one byte per pixel, and the colder the more transparent."""
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    picture = Image.fromarray(heat)
    picture.putpalette(colour_map(levels[None])[0].tobytes())
    cover = np.rint(255 * _MOST_COVER * levels).astype(np.uint8)
    return _data_uri(picture, "PNG", transparency=cover.tobytes())


def _data_uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
