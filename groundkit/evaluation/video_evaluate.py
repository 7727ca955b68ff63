"""A method over a set of videos: how good it is, and how good it would be to let nothing move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError, InputError
from groundkit.evaluation.video_cases import VideoCase, read_true_masks
from groundkit.evaluation.video_metrics import VideoMetrics, VideoScore, measure_videos, score_video

Predict = Callable[[VideoCase], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class VideoResult:
    """How the masks of one case compare with the truth."""

    case: VideoCase
    score: VideoScore


@dataclass(frozen=True)
class VideoFailure:
    """A case that went wrong, and why. ``counted`` tells whether it stands in the metrics, as a miss."""

    case: VideoCase
    error: str
    counted: bool


@dataclass(frozen=True)
class VideoReport:
    """The outcome of an evaluation.

    Attributes:
        metrics: over all judged cases.
        by_type: the same for each ``phrase_type``, in order of first mention.
        controls: the same cases, guessed without the phrase or the frames after the first.
        results: each judged case, in the order given.
        failures: cases that went wrong.
    """

    metrics: VideoMetrics
    by_type: dict[str, VideoMetrics]
    controls: dict[str, VideoMetrics]
    results: tuple[VideoResult, ...]
    failures: tuple[VideoFailure, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``n``, ``j``, ``f``, ``j_and_f`` (each ``{"value", "low", "high"}``), ``by_type``, ``controls``,
        ``cases`` (the plain ``j``, ``f`` and ``j_and_f`` of each) and ``failed``."""
        cases = [
            {
                "id": each.case.id,
                "phrase": each.case.phrase,
                "j": each.score.j,
                "f": each.score.f,
                "j_and_f": each.score.j_and_f,
            }
            for each in self.results
        ]
        failed = [
            {"id": each.case.id, "phrase": each.case.phrase, "error": each.error, "counted": each.counted}
            for each in self.failures
        ]
        return {
            **self.metrics,
            "by_type": self.by_type,
            "controls": self.controls,
            "cases": cases,
            "failed": failed,
        }


def repeat_frame_0(truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The true mask of frame 0 on every frame, bool ``(F, height, width)``, read only: a perfect answer on a picture,
    and no idea of motion. A method that tracks must beat it; frame 0 itself, on which it is right, counts too."""
    return np.broadcast_to(truth[:1], truth.shape)


def evaluate_video(
    predict: Predict,
    cases: Sequence[VideoCase],
    *,
    seed: int = 0,
    resamples: int = 2000,
    advance: Callable[[int], None] = lambda count: None,
) -> VideoReport:
    """Run a method over cases and compare it with the truth and with the control ``repeat_frame_0``.

    A case on which the method fails, by an error of groundkit's or by masks of the wrong shape or type, counts as a
    miss (J and F are 0 on every frame, also on those without the object). A case whose frames or true masks cannot be
    read judges no method: it is left out, not predicted, and listed in ``failures``.

    Args:
        predict: gives the masks of a case, bool ``(F, height, width)``, one for each of its frames and of their size.
        cases: from a reader of ``groundkit.evaluation.video_cases``.
        seed: of the bootstrap.
        resamples: bootstrap samples.
        advance: called with the number of cases done since the last call.
    """
    results: list[VideoResult] = []
    stills: list[VideoScore] = []
    failures: list[VideoFailure] = []
    for case in cases:
        try:
            truth = read_true_masks(case)
        except InputError as error:
            failures.append(VideoFailure(case, str(error), counted=False))
            advance(1)
            continue
        outcome = _judge(predict, case, truth)
        if isinstance(outcome, str):
            failures.append(VideoFailure(case, outcome, counted=True))
            outcome = VideoScore((0.0,) * len(truth), (0.0,) * len(truth))
        results.append(VideoResult(case, outcome))
        stills.append(score_video(repeat_frame_0(truth), truth))
        advance(1)

    def over(scores: Sequence[VideoScore]) -> VideoMetrics:
        return measure_videos(scores, resamples=resamples, seed=seed)

    types = dict.fromkeys(each.case.phrase_type for each in results if each.case.phrase_type is not None)
    return VideoReport(
        metrics=over([each.score for each in results]),
        by_type={kind: over([each.score for each in results if each.case.phrase_type == kind]) for kind in types},
        controls={"repeat_frame_0": over(stills)},
        results=tuple(results),
        failures=tuple(failures),
    )


def _judge(predict: Predict, case: VideoCase, truth: npt.NDArray[np.bool_]) -> VideoScore | str:
    """The score, or why there is none."""
    try:
        predicted = predict(case)
    except GroundkitError as error:
        return str(error)
    if predicted.dtype != np.bool_:
        return f"the predicted masks are {predicted.dtype}, not bool"
    if predicted.shape != truth.shape:
        return f"the predicted masks are {predicted.shape}, the video is {truth.shape} (frames, height, width)"
    return score_video(predicted, truth)
