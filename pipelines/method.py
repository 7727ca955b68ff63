"""From a heatmap to a result, the same for every method."""

from __future__ import annotations

import functools
import itertools
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from groundkit.masks.candidates import Candidate
from groundkit.masks.evidence import Evidence, weigh_evidence
from groundkit.masks.heat import PixelHeat
from groundkit.masks.rle import RunLengths, area
from groundkit.models.look import Asked, Look
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.shared_config import EvidenceSettings
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.prompting.objects import Objects
from groundkit.prompting.peaks import Peaks
from groundkit.results import Grounding, Making
from groundkit.stages.negation import is_left
from groundkit.stages.trace import Step, Trace

AnyLook = TypeVar("AnyLook", bound=Look)


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
        candidates: Sequence[Candidate] = prompter(heatmap, Asked(look))
        if prompter.alternatives and candidates:
            candidates = [max(candidates, key=lambda each: each.score)]
        if trace.phrase.negated:
            candidates = [each for each in candidates if remains(each.mask.whole(), trace.steps)]
        trace = trace.without_pixels(tuple(candidates))
        evidence = evidence or evidence_of(trace)
        judged = evidence(union(candidates, look.working_size)) if evidence else None
        if judged is not None and judged.score < self.config.min_evidence:
            candidates = []
        masks = RunLengths.of((look.enlarge(each.mask.whole(), each.logits) for each in candidates), look.size)
        seen = [index for index, mask in enumerate(masks.masks) if area(mask)]
        pointed = [candidates[index].points for index in seen] or [each.points for each in candidates[:1]]
        kept = masks.rows(seen)
        small: Any = heatmap.small or PixelHeat(look.size, heatmap.pixels)
        return Grounding(
            image=look.image,
            phrase=text,
            masks=cast(Any, kept),
            scores=np.array([candidates[index].score for index in seen], dtype=np.float32),
            boxes=kept.boxes(),
            points=look.in_picture(np.concatenate([np.zeros((0, 3), np.float32), *pointed])),
            heatmap=small,
            pipeline=self.name,
            model=self.model,
            seconds=time.perf_counter() - started,
            evidence=judged,
            steps=trace,
            **self.made_by(),
        )

    def bounded(self, look: AnyLook, size: tuple[int, ...]) -> AnyLook:
        """A look whose masks are chosen at ``max_mask_side`` pixels of a picture of ``size``: (height, width)."""
        look.mask_scale = min(1.0, (self.config.max_mask_side or math.inf) / max(size[:2]))
        return look


def union(candidates: Sequence[Candidate], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """All masks in one, bool ``size``."""
    mask = np.zeros(size, np.bool_)
    for each in candidates:
        mask |= each.mask.whole()
    return mask


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
