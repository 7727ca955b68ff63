"""What the pictures we draw have in common: colours, contours, markers, text that fits."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.outputs.letters import Font

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
POSITIVE: Colour = (34, 197, 94)
NEGATIVE: Colour = (239, 68, 68)
# Told apart by eye and against most photographs; taken in turn for several masks.
MASK_COLOURS: tuple[Colour, ...] = (
    (255, 64, 129),
    (0, 176, 255),
    (255, 193, 7),
    (124, 77, 255),
    (0, 230, 118),
    (255, 110, 64),
    (0, 229, 255),
    (213, 0, 249),
)
_LONGEST_TEXT = 400  # no caption shows more letters; a 2,000-word phrase must not be measured letter by letter


def text_width(text: str, face: Font) -> int:
    """Width of one line of text in pixels."""
    return math.ceil(float(face.getlength(text)))


def fit_text(text: str, face: Font, width: int) -> str:
    """Put text on one line and shorten it with an ellipsis until it is at most ``width`` pixels wide."""
    text = " ".join(text[:_LONGEST_TEXT].split())
    if text_width(text, face) <= width:
        return text
    fitting, too_long = 0, len(text)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        if text_width(text[:middle].rstrip() + "…", face) <= width:
            fitting = middle
        else:
            too_long = middle
    return text[:fitting].rstrip() + "…" if fitting else ""


def stroke(image: npt.NDArray[np.uint8], share: float = 1 / 260) -> int:
    """A line width that looks the same on small and large pictures."""
    height, width = image.shape[:2]
    return max(1, round(int(max(height, width)) * share))


def tint(canvas: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: Colour, opacity: float = 0.45) -> None:
    """Colour the masked pixels of uint8 ``(height, width, 3)`` RGB, in place."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    inside = np.s_[y : y + height, x : x + width]
    # Each of the 256 values of a channel has one blend: no pixel is turned into floats.
    blends = np.rint(np.arange(256)[None, :, None] * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)
    cv2.copyTo(cv2.LUT(canvas[inside], blends), mask[inside].view(np.uint8), canvas[inside])


def outline(canvas: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: Colour, width: int) -> None:
    """Draw the mask's contour with a thin white rim around it, in place."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, WHITE, width + 2 * max(1, width // 2), cv2.LINE_AA)
    cv2.drawContours(canvas, contours, -1, colour, width, cv2.LINE_AA)


def mark_points(canvas: npt.NDArray[np.uint8], points: npt.NDArray[np.float32], radius: int) -> None:
    """Draw points ``(M, 3)`` (x, y, label) in place: green with a plus for 1, red with a minus for 0."""
    for x, y, label in points:
        colour = POSITIVE if label == 1 else NEGATIVE
        centre = (int(x), int(y))
        cv2.circle(canvas, centre, radius + max(1, radius // 4), WHITE, -1, cv2.LINE_AA)
        cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA)
        arm, line = round(radius * 0.55), max(1, radius // 4)
        cv2.line(canvas, (centre[0] - arm, centre[1]), (centre[0] + arm, centre[1]), WHITE, line, cv2.LINE_AA)
        if label == 1:
            cv2.line(canvas, (centre[0], centre[1] - arm), (centre[0], centre[1] + arm), WHITE, line, cv2.LINE_AA)


class Placed(NamedTuple):
    """A picture made to fit a tile, and how to get from its own pixels to the tile's."""

    picture: Image.Image
    scale_x: float
    scale_y: float


def fit_inside(picture: npt.NDArray[np.uint8], width: int, height: int, *, smooth: bool = True) -> Placed:
    """Scale uint8 ``(h, w, 3)`` RGB to the largest size inside ``width`` x ``height`` that keeps its proportions."""
    own_height, own_width = picture.shape[:2]
    scale = min(width / own_width, height / own_height)
    size = (max(1, round(own_width * scale)), max(1, round(own_height * scale)))
    enlarge = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    method = Image.Resampling.BOX if scale < 1 else enlarge
    resized = Image.fromarray(picture).resize(size, method)
    return Placed(resized, size[0] / own_width, size[1] / own_height)
