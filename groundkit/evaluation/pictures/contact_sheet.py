"""The worst and the best cases of an evaluation in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.evaluation.pictures.cases import read_mask
from groundkit.evaluation.pictures.evaluate import CaseResult, Report
from groundkit.explain.tiles import (
    FAINT,
    GROUND,
    INK,
    INNER,
    MARGIN,
    WIDTH,
    Tile,
    draw_chip,
    draw_row,
    paint,
    shrink,
    stack,
)
from groundkit.masks.rle import decode
from groundkit.media.images import read_image
from groundkit.outputs.drawing import MASK_COLOURS, POSITIVE, fit_text, outline, stroke, text_width
from groundkit.outputs.letters import font
from groundkit.wording import count_of

PREDICTED = MASK_COLOURS[0]
Result = TypeVar("Result")


def draw_contact_sheet(report: Report, count: int = 10) -> npt.NDArray[np.uint8]:
    """Draw cases with the true mask's contour (green), the predicted mask (pink), the point, the phrase and the IoU.

    Args:
        report: from ``evaluate``; its pictures are read again.
        count: how many of the worst and of the best; no case is shown twice.

    Returns:
        uint8 RGB, 1600 pixels wide and as high as needed.
    """
    worst, best = worst_and_best(report.results, lambda result: result.score.iou, count)
    return stack(
        [
            draw_header(_about(report)),
            draw_row(f"The {len(worst)} worst", [_tile(result) for result in worst]),
            draw_row(f"The {len(best)} best", [_tile(result) for result in best]),
        ]
    )


def worst_and_best(
    results: Sequence[Result], value: Callable[[Result], float], count: int
) -> tuple[list[Result], list[Result]]:
    """The ``count`` lowest values, lowest first, and the highest, highest first; of few results none is in both."""
    ranked = sorted(results, key=value)
    best = ranked[::-1][: min(count, len(ranked) // 2)]
    return ranked[: min(count, len(ranked) - len(best))], best


def _tile(result: CaseResult) -> Tile:
    image = read_image(result.case.image)
    height, width = image.shape[:2]
    picture = shrink(image)
    if result.prediction is not None:
        paint(picture, decode(result.prediction), PREDICTED)
    truth = read_mask(result.case, height, width).astype(np.uint8)
    small = cv2.resize(truth, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_NEAREST)
    outline(picture, small.astype(np.bool_), POSITIVE, stroke(picture))
    points = None
    if result.point is not None:
        x, y = result.point
        points = np.array([[x * picture.shape[1] / width, y * picture.shape[0] / height, 1]], dtype=np.float32)
    note = "failed" if result.prediction is None else f"IoU {result.score.iou:.2f}"
    if result.score.point_hit is None:
        note += ", no target"
    else:
        note += ", point " + ("hits" if result.score.point_hit else "misses")
    return Tile(picture, result.case.phrase, note, points=points)


def _about(report: Report) -> str:
    miou = report.metrics["miou"]["value"]
    judged = count_of(report.metrics["n"], "case") + ("" if miou is None else f", mIoU {miou:.3f}")
    return f"{report.pipeline}, {report.model}, {judged}"


def draw_header(about: str) -> Image.Image:
    """The top of a contact sheet: what was evaluated, and what the colours mean."""
    section = Image.new("RGB", (WIDTH, 78), GROUND)
    brush = ImageDraw.Draw(section)
    brush.text((MARGIN, 0), "groundkit eval", font=font(30, bold=True), fill=INK)
    brush.text((WIDTH - MARGIN, 6), fit_text(about, font(20), INNER - 400), font=font(20), fill=FAINT, anchor="ra")
    x = MARGIN
    for name, colour in (("true mask", POSITIVE), ("predicted mask", PREDICTED)):
        draw_chip(section, (x, 53, 18, 18), colour)
        brush.text((x + 26, 62), name, font=font(18), fill=INK, anchor="lm")
        x += 54 + text_width(name, font(18))
    return section
