"""From a heatmap to a result, the same for every method."""

from __future__ import annotations

import functools
import itertools
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from groundkit.masks.candidates import Candidate
from groundkit.masks.evidence import Evidence, weigh_evidence
from groundkit.masks.geometry import boxes_of
from groundkit.models.look import Look
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.shared_config import EvidenceSettings
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.prompting.objects import Objects
from groundkit.prompting.peaks import Peaks
from groundkit.results import Grounding, Making
from groundkit.stages.negation import is_left
from groundkit.stages.places import minmax
from groundkit.stages.trace import Step, Trace


class Method(Pipeline):
    """A pipeline that draws points from a heatmap, for which its segmenter proposes masks."""

    config: EvidenceSettings

    @property
    @abstractmethod
    def prompter(self) -> Prompter:
        """What draws points from the heatmap for a phrase that means one object."""

    @property
    def peaks(self) -> Peaks:
        """What draws a point for each of several objects."""
        return self.prompter if isinstance(self.prompter, Peaks) else Peaks.of(self.config)

    @abstractmethod
    def made_by(self) -> Making:
        """What results say of their making, see ``made_by``."""

    def point(
        self,
        look: Look,
        text: str,
        heatmap: Heatmap,
        trace: Trace,
        started: float,
        *,
        evidence: Callable[[npt.NDArray[np.bool_]], Evidence] | None = None,
    ) -> Grounding:
        """From a heatmap to points and masks, and to the evidence for them: by default that of the trace."""
        selection, prompter = self.config.selection_of(trace.phrase), self.prompter
        if not selection.is_best:
            prompter = Objects(selection=selection, peaks=self.peaks)
        candidates = prompter(heatmap, look.propose)
        if prompter.alternatives and candidates:
            candidates = [max(candidates, key=lambda each: each.score)]
        if trace.phrase.negated:
            candidates = [each for each in candidates if remains(each.mask.whole(), trace.steps)]
        return self.result(
            look.image,
            text,
            heatmap.pixels,
            candidates,
            trace=trace,
            started=started,
            evidence=evidence or evidence_of(trace),
        )

    def result(
        self,
        image: npt.NDArray[np.uint8],
        text: str,
        heat: npt.NDArray[np.float32],
        candidates: Sequence[Candidate],
        *,
        trace: Trace,
        started: float,
        evidence: Callable[[npt.NDArray[np.bool_]], Evidence] | None,
    ) -> Grounding:
        """Candidates as a result, without any where there is too little evidence for them.

        Args:
            started: what ``time.perf_counter`` told when the work for this phrase began.
            evidence: how much evidence there is for a mask; None where it is not asked for.
        """
        seen = [each for each in candidates if each.mask.area]
        masks = np.array([each.mask.whole() for each in seen], np.bool_).reshape(-1, *image.shape[:2])
        grounding = Grounding(
            image=image,
            phrase=text,
            masks=masks,
            scores=np.array([each.score for each in seen], dtype=np.float32),
            boxes=boxes_of(masks),
            points=np.concatenate([np.zeros((0, 3), np.float32), *(each.points for each in seen or candidates[:1])]),
            heatmap=minmax(heat),
            pipeline=self.name,
            model=self.model,
            seconds=time.perf_counter() - started,
            steps=trace.without_pixels(tuple(candidates)),
            **self.made_by(),
        )
        return grounding if evidence is None else _judged(grounding, evidence(grounding.mask), self.config.min_evidence)


def evidence_of(trace: Trace) -> Callable[[npt.NDArray[np.bool_]], Evidence] | None:
    """How much evidence there is for a mask, from the maps of phrase and null phrase; None where it was not read."""
    step = next((step for step in trace.steps if step.name == "evidence"), None)
    if step is None:
        return None
    *_, null = step.beside.values()
    return functools.partial(weigh_evidence, step.maps.on_finest_grid(), null.on_finest_grid())


def remains(mask: npt.NDArray[np.bool_], steps: Sequence[Step]) -> bool:
    """Whether a mask shows what is left of a map after the part that the phrase excludes was taken out of it."""
    for before, step in itertools.pairwise(steps):
        if step.name == "negation":
            return is_left(mask, *(each.maps.by_grid()[0][0, 0, 0] for each in (step, before)))
    return True


def _judged(grounding: Grounding, evidence: Evidence, min_evidence: float) -> Grounding:
    """The grounding with its evidence; without masks and points where there is less than ``min_evidence``."""
    grounding = replace(grounding, evidence=evidence)
    if evidence.score >= min_evidence:
        return grounding
    none = np.zeros(0, np.float32)
    empty = np.zeros((0, *grounding.image.shape[:2]), np.bool_)
    return replace(grounding, masks=empty, scores=none, boxes=none.reshape(0, 4), points=none.reshape(0, 3))
