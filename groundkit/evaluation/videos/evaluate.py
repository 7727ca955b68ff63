"""A method over a set of videos: how good it is, and how good a guess would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError, InputError
from groundkit.evaluation.pictures.controls import Guess, centre_blob, whole_image
from groundkit.evaluation.videos.cases import VideoCase, read_true_masks
from groundkit.evaluation.videos.metrics import VideoMetrics, VideoScore, measure_videos, score_video
from groundkit.masks.rle import RunLength, encode

Masks = npt.NDArray[np.bool_]
Predict = Callable[[VideoCase], Masks]
Control = Callable[[Masks | None, Masks], Masks | None]
"""Makes masks, bool ``(F, height, width)``, of the predicted ones, None where the method failed, and of the true ones;
None is a miss."""


@dataclass(frozen=True)
class VideoResult:
    """How the masks of one case compare with the truth; ``prediction`` holds them, None when the method failed."""

    case: VideoCase
    score: VideoScore
    prediction: tuple[RunLength, ...] | None


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
        controls: the same cases, guessed.
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


def repeat_frame_0(masks: Masks) -> Masks:
    """The mask of frame 0 on every frame, bool ``(F, height, width)``, read only: no idea of motion.

    With the true masks it is a perfect answer on a picture, which a method that tracks must beat; frame 0 itself, on
    which it is right, counts too.
    """
    return np.broadcast_to(masks[:1], masks.shape)


def _on_every_frame(guess: Callable[[npt.NDArray[np.uint8]], Guess]) -> Control:
    def control(predicted: Masks | None, truth: Masks) -> Masks:
        picture = np.zeros((*truth.shape[1:], 3), np.uint8)  # these guesses look at its size alone
        return np.broadcast_to(guess(picture).mask, truth.shape)

    return control


_BLIND: dict[str, Control] = {
    "centre_blob": _on_every_frame(centre_blob),
    "whole_image": _on_every_frame(whole_image),
}
TRACKER_CONTROLS: dict[str, Control] = {"repeat_frame_0": lambda _, truth: repeat_frame_0(truth), **_BLIND}
"""For methods that are given the true mask of frame 0."""
PHRASE_CONTROLS: dict[str, Control] = {
    "repeat_predicted_frame_0": lambda predicted, _: None if predicted is None else repeat_frame_0(predicted),
    **_BLIND,
}
"""For methods that are given a phrase."""


def evaluate_video(
    predict: Predict,
    cases: Sequence[VideoCase],
    *,
    controls: Mapping[str, Control] = TRACKER_CONTROLS,
    seed: int = 0,
    resamples: int = 2000,
    advance: Callable[[int], None] = lambda count: None,
    at: Callable[[str], None] = lambda name: None,
    keep: Callable[[VideoCase, Masks], None] | None = None,
) -> VideoReport:
    """Run a method over cases and compare it with the truth and with guesses.

    A case on which the method fails, by an error of groundkit's or by masks of the wrong shape or type, counts as a
    miss (J and F are 0 on every frame, also on those without the object). A case whose frames or true masks cannot be
    read judges no method: it is left out, not predicted, and listed in ``failures``.

    Args:
        predict: gives the masks of a case, bool ``(F, height, width)``, one for each of its frames and of their size.
        cases: from a reader of ``groundkit.evaluation.videos.cases``.
        controls: the guesses, by name.
        seed: of the bootstrap.
        resamples: bootstrap samples.
        advance: called with the number of cases done since the last call.
        at: called with the name of what is worked on.
        keep: takes the masks of each case, also of those whose truth a data set keeps to itself: without it these are
            left out like others without truth, with it they are predicted and not judged.
    """
    results: list[VideoResult] = []
    guesses: dict[str, list[VideoScore]] = {name: [] for name in controls}
    failures: list[VideoFailure] = []
    for case in cases:
        at(f"{case.id}: {case.phrase}")
        if case.truth is None and keep is not None:
            secret = _predict(predict, case, None)
            if isinstance(secret, str):
                failures.append(VideoFailure(case, secret, counted=False))
            else:
                keep(case, secret)
            advance(1)
            continue
        try:
            truth = read_true_masks(case)
        except InputError as error:
            failures.append(VideoFailure(case, str(error), counted=False))
            advance(1)
            continue
        outcome = _predict(predict, case, truth.shape)
        if isinstance(outcome, str):
            failures.append(VideoFailure(case, outcome, counted=True))
        predicted = None if isinstance(outcome, str) else outcome
        if predicted is not None and keep is not None:
            keep(case, predicted)
        runs = None if predicted is None else tuple(map(encode, predicted))
        results.append(VideoResult(case, _score(predicted, truth), runs))
        for name, control in controls.items():
            guesses[name].append(_score(control(predicted, truth), truth))
        advance(1)

    def over(scores: Sequence[VideoScore]) -> VideoMetrics:
        return measure_videos(scores, resamples=resamples, seed=seed)

    types = dict.fromkeys(each.case.phrase_type for each in results if each.case.phrase_type is not None)
    return VideoReport(
        metrics=over([each.score for each in results]),
        by_type={kind: over([each.score for each in results if each.case.phrase_type == kind]) for kind in types},
        controls={name: over(scores) for name, scores in guesses.items()},
        results=tuple(results),
        failures=tuple(failures),
    )


def _score(masks: Masks | None, truth: Masks) -> VideoScore:
    """The score; of a miss it is 0 on every frame."""
    nothing = (0.0,) * len(truth)
    return VideoScore(nothing, nothing) if masks is None else score_video(masks, truth)


def _predict(predict: Predict, case: VideoCase, shape: tuple[int, ...] | None) -> Masks | str:
    """The predicted masks, of a shape where it is known, or why there are none."""
    try:
        predicted = predict(case)
    except GroundkitError as error:
        return str(error)
    if predicted.dtype != np.bool_:
        return f"the predicted masks are {predicted.dtype}, not bool"
    if shape is not None and predicted.shape != shape:
        return f"the predicted masks are {predicted.shape}, the video is {shape} (frames, height, width)"
    return predicted
