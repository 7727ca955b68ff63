"""A mask that may become a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from groundkit.masks.geometry import agreement
from groundkit.masks.packed import PackedMask
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts


@dataclass(frozen=True)
class Candidate:
    """A mask, its score, and the points that it was prompted with.

    Attributes:
        mask: of a picture, or of a crop of it, at the working size; so are the points.
        score: at least 0.
        points: float32 ``(M, 3)``, x, y and label.
        label: the object's name, such as ``red cup``; empty for a given phrase.
        agreement: how well the mask agrees with the heatmap that it was prompted from, at most 1.
        proposals: the masks that the segmenter proposed for the points, with their scores, where a prompter keeps them
            for ``explain``.
        chosen: which of the proposals was taken.
        logits: float32 ``(s, s)``, what the segmenter makes the mask of, at any size.
        full: makes the mask at the size of the picture, where that is another.
        area: the positive area that the points were drawn from, where there is one.
    """

    mask: PackedMask
    score: float
    points: npt.NDArray[np.float32]
    label: str = ""
    agreement: float = 1.0
    proposals: tuple[tuple[PackedMask, float], ...] = field(default=(), repr=False)
    chosen: int = 0
    area: PackedMask | None = field(default=None, repr=False)
    logits: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    full: Callable[[], PackedMask] | None = field(default=None, repr=False)

    @property
    def noun(self) -> str:
        return self.label.split()[-1]

    @classmethod
    def of(
        cls,
        proposals: MaskProposals,
        index: int,
        prompts: PointPrompts,
        heat: npt.NDArray[np.float32] | None = None,
    ) -> Candidate:
        """One of the segmenter's proposals, compared with the heatmap ``(height, width)`` of its points if given."""
        mask = proposals.masks[index]
        agrees = 1.0 if heat is None else agreement(mask, heat)
        logits = None if proposals.logits is None else proposals.logits[index].copy()
        score = float(proposals.scores[index])
        return cls(PackedMask.of(mask), score, prompts.rows, agreement=agrees, logits=logits)
