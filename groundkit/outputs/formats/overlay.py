"""The picture with what was found in it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.outputs.drawing import (
    MASK_COLOURS,
    WHITE,
    Colour,
    fit_text,
    mark_points,
    outline,
    stroke,
    text_width,
    tint,
)
from groundkit.outputs.formats.base import Format, Part, Source
from groundkit.outputs.formats.png import write_png
from groundkit.outputs.letters import legible
from groundkit.results import Discovery, Grounding

_SMALLEST_LABELLED = 64  # pixels; on a smaller picture a label would hide what it names


def draw_overlay(
    image: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.bool_],
    points: npt.NDArray[np.float32],
    phrase: str = "",
    scores: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint8]:
    """Tint and outline the masks, mark the points, and write the phrase.

    Args:
        image: uint8 ``(height, width, 3)`` RGB.
        masks: bool ``(K, height, width)``.
        points: float32 ``(M, 3)``: x, y in pixels and the label, 1 (green plus) or 0 (red minus).
        phrase: written at the first mask, or at the top left when there is none; empty for no label.
        scores: float32 ``(K,)``, written behind the phrase at each mask.

    Returns:
        A new uint8 ``(height, width, 3)`` RGB picture of the same size.
    """
    canvas = _paint(image, masks)
    mark_points(canvas, points, radius=3 * stroke(image))
    if not phrase:
        return canvas
    if len(masks) == 0:
        return _announce(canvas, f"{phrase}: nothing found")
    return _name(canvas, masks, [phrase] * len(masks), scores)


def draw_labelled(
    image: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.bool_],
    labels: Sequence[str],
    scores: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint8]:
    """Tint, outline and name each of K masks, bool ``(K, height, width)``; see ``draw_overlay``."""
    if len(masks) == 0:
        return _announce(image.copy(), "nothing found")
    return _name(_paint(image, masks), masks, labels, scores)


def _paint(image: npt.NDArray[np.uint8], masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    canvas = image.copy()
    for mask, colour in zip(masks, itertools.cycle(MASK_COLOURS), strict=False):
        tint(canvas, mask, colour)
        outline(canvas, mask, colour, stroke(image))
    return canvas


def _announce(canvas: npt.NDArray[np.uint8], text: str) -> npt.NDArray[np.uint8]:
    if min(canvas.shape[:2]) >= _SMALLEST_LABELLED:
        _label(canvas, text, 0, 0, (71, 85, 105))
    return canvas


def _name(
    canvas: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.bool_],
    labels: Sequence[str],
    scores: npt.NDArray[np.float32] | None,
) -> npt.NDArray[np.uint8]:
    """Write each mask's label, and its score, at its top left, in place."""
    if min(canvas.shape[:2]) < _SMALLEST_LABELLED:
        return canvas
    for index, (mask, colour) in enumerate(zip(masks, itertools.cycle(MASK_COLOURS), strict=False)):
        x, y, width, _ = cv2.boundingRect(mask.view(np.uint8))
        if width:  # it is in sight on this frame
            score = "" if scores is None else f"  {scores[index]:.2f}"
            _label(canvas, labels[index], x, y, colour, score)
    return canvas


def _label(canvas: npt.NDArray[np.uint8], text: str, x: int, bottom: int, colour: Colour, score: str = "") -> None:
    """Write on a box of ``colour`` that stands on the line y = ``bottom`` but never leaves the picture, in place.

    A text for whose letters there is no font is left out.
    """
    size = int(np.clip(min(canvas.shape[:2]) / 24, 11, 96))
    text, face = legible(text, size, bold=True)
    if not text and not score:
        return
    pad = max(2, size // 3)
    room = canvas.shape[1] - 2 * pad
    text = fit_text(text, face, room - text_width(score, face)) + (score if text else score.strip())
    width, height = text_width(text, face) + 2 * pad, size + 2 * pad
    left = int(np.clip(x, 0, max(0, canvas.shape[1] - width)))
    top = int(np.clip(bottom - height, 0, max(0, canvas.shape[0] - height)))
    # The label and what is right around it, where accents may reach: Pillow draws on a copy.
    above, before = max(0, top - size), max(0, left - size)
    around = canvas[above : top + height + size, before : left + width + size]
    top, left = top - above, left - before
    drawing = Image.fromarray(around)
    brush = ImageDraw.Draw(drawing)
    brush.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    dark = sum(colour) > 480
    brush.text((left + pad, top + height / 2), text, font=face, fill=(17, 24, 39) if dark else WHITE, anchor="lm")
    around[:] = np.asarray(drawing)


class Overlay(Format):
    """The picture with masks, contours, points and labels drawn over it, as a PNG."""

    ending = "-overlay.png"
    needs = frozenset[Part]({"image"})

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        return [write_png(path, result.overlay(), source.owner)]


FORMAT = Overlay()
