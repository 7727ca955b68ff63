"""A pipeline over a set of cases: how good it is, and how good a guess would be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.errors import InputError
from groundkit.evaluation.metrics import Metrics, Score, measure, score
from groundkit.evaluation.pictures.cases import Case, group_by_image, read_mask
from groundkit.evaluation.pictures.controls import CONTROLS
from groundkit.masks.rle import RunLength, encode
from groundkit.media.images import read_image
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure, Grounding


@dataclass(frozen=True)
class CaseResult:
    """What a pipeline made of one case.

    Attributes:
        case: the case.
        score: how it compares with the truth.
        prediction: union of the predicted masks; None when the pipeline failed.
        point: first positive point, (x, y) in pixels; None when there is none.
        evidence: how much spoke for the object being there, 0 to 1; None when it was not weighed.
    """

    case: Case
    score: Score
    prediction: RunLength | None
    point: tuple[float, float] | None
    evidence: float | None = None


@dataclass(frozen=True)
class CaseFailure:
    """A case that went wrong, and why. ``counted`` tells whether it stands in the metrics, as a miss."""

    case: Case
    error: str
    counted: bool


@dataclass(frozen=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
        pipeline: name of the method.
        model: id or folder of its model.
        metrics: over all judged cases.
        by_type: the same for each ``phrase_type``, in order of first mention.
        controls: the same cases, guessed without the phrase.
        results: each judged case, in the order of the file.
        failures: cases that went wrong.
    """

    pipeline: str
    model: str
    metrics: Metrics
    by_type: dict[str, Metrics]
    controls: dict[str, Metrics]
    results: tuple[CaseResult, ...]
    failures: tuple[CaseFailure, ...]

    @property
    def evidence(self) -> float | None:
        """Its mean over the cases for which it was weighed; None without any."""
        weighed = [each.evidence for each in self.results if each.evidence is not None]
        return float(np.mean(weighed)) if weighed else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``n``, ``oiou``, ``miou``, ``p50``, ``point_accuracy`` (each ``{"value", "low", "high"}``),
        ``by_type``, ``controls``, ``pipeline``, ``model``, mean ``evidence`` (or None) and ``failed``."""
        failed = [
            {"id": each.case.id, "phrase": each.case.phrase, "error": each.error, "counted": each.counted}
            for each in self.failures
        ]
        return {
            "pipeline": self.pipeline,
            "model": self.model,
            **self.metrics,
            "evidence": None if self.evidence is None else round(self.evidence, 4),
            "by_type": self.by_type,
            "controls": self.controls,
            "failed": failed,
        }


def evaluate(
    pipeline: Pipeline,
    cases: Sequence[Case],
    *,
    seed: int = 0,
    resamples: int = 2000,
    advance: Callable[[int], None] = lambda count: None,
    at: Callable[[str], None] = lambda name: None,
) -> Report:
    """Run a pipeline over cases and compare it with the truth and with three controls.

    The prediction is the union of all masks, and the point is the first positive one. A case with ``no_target`` has IoU
    1 when nothing was predicted and 0 otherwise, and point accuracy leaves it out. A case whose phrase the pipeline
    refuses counts as a miss (IoU 0). A case whose picture or mask cannot be read judges no method: it is left out and
    listed in ``failures``.

    Args:
        pipeline: what is evaluated; each picture is given to it once, with all its phrases.
        cases: from ``read_cases``.
        seed: of the pipeline's noise and of the bootstrap.
        resamples: bootstrap samples.
        advance: called with the number of cases done since the last call.
        at: called with the name of what is worked on.
    """
    results: dict[Case, CaseResult] = {}
    guesses: dict[str, dict[Case, Score]] = {name: {} for name in CONTROLS}
    failures: list[CaseFailure] = []
    for path, group in group_by_image(cases).items():
        at(str(path))
        try:
            image = read_image(path)
        except InputError as error:
            failures += [CaseFailure(case, str(error), counted=False) for case in group]
            advance(len(group))
            continue
        truths: dict[Case, npt.NDArray[np.bool_]] = {}
        for case in group:
            try:
                truths[case] = read_mask(case, *image.shape[:2])
            except InputError as error:
                failures.append(CaseFailure(case, str(error), counted=False))
                advance(1)
        if not truths:
            continue
        outcomes = pipeline.ground_each(image, [case.phrase for case in truths], seed=seed)
        for case, outcome in zip(truths, outcomes, strict=True):
            if isinstance(outcome, Failure):
                failures.append(CaseFailure(case, str(outcome.error), counted=True))
            results[case] = _judge(case, outcome, truths[case])
            advance(1)
        for name, control in CONTROLS.items():
            guess = control(image)
            for case, truth in truths.items():
                guesses[name][case] = score(guess.mask, truth, guess.point)

    judged = [case for case in cases if case in results]
    types = dict.fromkeys(case.phrase_type for case in judged if case.phrase_type is not None)

    def over(chosen: Sequence[Case], scores: Callable[[Case], Score]) -> Metrics:
        return measure([scores(case) for case in chosen], resamples=resamples, seed=seed)

    return Report(
        pipeline=pipeline.name,
        model=pipeline.model,
        metrics=over(judged, lambda case: results[case].score),
        by_type={
            kind: over([case for case in judged if case.phrase_type == kind], lambda case: results[case].score)
            for kind in types
        },
        controls={name: over(judged, scores.__getitem__) for name, scores in guesses.items()},
        results=tuple(results[case] for case in judged),
        failures=tuple(failures),
    )


def _judge(case: Case, outcome: Grounding | Failure, truth: npt.NDArray[np.bool_]) -> CaseResult:
    if isinstance(outcome, Failure):
        # Never a success: a phrase without a target must not profit from an empty prediction that was not made.
        missed = Score(0, max(1, int(truth.sum())), False if truth.any() else None)
        return CaseResult(case, missed, None, None)
    positive = outcome.points[outcome.points[:, 2] == 1]
    point = (float(positive[0, 0]), float(positive[0, 1])) if len(positive) else None
    evidence = None if outcome.evidence is None else outcome.evidence.score
    return CaseResult(case, score(outcome.mask, truth, point), encode(outcome.mask), point, evidence)
