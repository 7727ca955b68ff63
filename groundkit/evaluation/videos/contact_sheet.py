"""The worst and the best cases of a video evaluation in one picture, each as a strip of frames."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.evaluation.pictures.contact_sheet import PREDICTED, draw_header, worst_and_best
from groundkit.evaluation.videos.cases import read_true_masks
from groundkit.evaluation.videos.evaluate import VideoReport, VideoResult
from groundkit.explain.tiles import Tile, draw_row, paint, shrink, stack
from groundkit.masks.rle import decode
from groundkit.media.images import read_image
from groundkit.outputs.drawing import POSITIVE, outline, stroke
from groundkit.wording import count_of

_FRAMES = 8  # of each case


def draw_video_contact_sheet(report: VideoReport, about: str, count: int = 5) -> npt.NDArray[np.uint8]:
    """Draw cases with the true mask's contour (green) and the predicted mask (pink) on evenly spaced frames.

    Args:
        report: from ``evaluate_video``; its frames and true masks are read again.
        about: what was evaluated.
        count: how many of the worst and of the best; no case is shown twice.

    Returns:
        uint8 RGB, 1600 pixels wide and as high as needed.
    """
    worst, best = worst_and_best(report.results, lambda result: result.score.j_and_f, count)
    value = report.metrics["j_and_f"]["value"]
    judged = count_of(report.metrics["n"], "case") + ("" if value is None else f", J&F {value:.3f}")
    rows = [_strip("worst", result) for result in worst] + [_strip("best", result) for result in best]
    return stack([draw_header(f"{about}, {judged}"), *rows])


def _strip(rank: str, result: VideoResult) -> Image.Image:
    truth = read_true_masks(result.case)
    chosen = np.unique(np.linspace(0, len(truth) - 1, min(_FRAMES, len(truth))).round().astype(int))
    tiles = []
    for index in chosen.tolist():
        picture = shrink(read_image(result.case.frames[index]))
        if result.prediction is not None:
            paint(picture, decode(result.prediction[index]), PREDICTED)
        size = (picture.shape[1], picture.shape[0])
        true = cv2.resize(truth[index].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
        outline(picture, true, POSITIVE, stroke(picture))
        tiles.append(Tile(picture, result.case.frames[index].stem, f"J {result.score.regions[index]:.2f}"))
    fate = "failed" if result.prediction is None else f"J&F {result.score.j_and_f:.2f}"
    return draw_row(f"{rank}: {result.case.phrase}, {fate}", tiles)
