"""Is it there at all? Attention always peaks somewhere; the map of a phrase that names nothing shows how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.masks.geometry import agreement

Heat = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """Evidence that the object is there, each part in [0, 1]. The formulas are ours.

    Attributes:
        contrast: (p - q) / (p + q), floored at 0, of the mean attention that the phrase (p) and the null phrase (q) pay
            to the mask.
        focus: 1 - H / log n, of the entropy H of the phrase's map over n patches, scaled to sum to one.
        agreement: the correlation of the map with the mask, floored at 0 (see ``choose.agreement``).
    """

    contrast: float
    focus: float
    agreement: float

    @property
    def score(self) -> float:
        """sqrt(focus (2 + contrast + agreement) / 4): a flat map shows nothing, of a sharp one the rest weighs half."""
        return math.sqrt(self.focus * (2 + self.contrast + self.agreement) / 4)


def mean_evidence(found: Sequence[Evidence | None], weights: npt.NDArray[np.float64]) -> Evidence:
    """The mean of several models' evidence, part by part; a model that has none stands for nothing."""
    parts = [(each.contrast, each.focus, each.agreement) if each else (0.0, 0.0, 0.0) for each in found]
    return Evidence(*np.average(parts, axis=0, weights=weights).tolist())


def weigh_evidence(phrase_map: Heat, null_map: Heat, mask: npt.NDArray[np.bool_]) -> Evidence:
    """Compare a phrase's map with that of a null phrase, such as "thing".

    Args:
        phrase_map: float32 ``(h, w)``, attention as the model has it: not stretched to [0, 1].
        null_map: float32 ``(h, w)``, read in the same way.
        mask: bool ``(height, width)``, what the phrase was taken for.
    """
    rows, columns = phrase_map.shape
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    if not share.any():
        return Evidence(0.0, 0.0, 0.0)
    phrase, null = (float((each * share).sum()) for each in (phrase_map, null_map))
    contrast = (phrase - null) / max(phrase + null, 1e-12)
    spread = phrase_map / max(float(phrase_map.sum()), 1e-12)
    entropy = float(-(spread * np.log(np.maximum(spread, 1e-12))).sum())
    return Evidence(
        contrast=max(0.0, contrast),
        focus=max(0.0, 1 - entropy / float(np.log(phrase_map.size))) if phrase_map.size > 1 else 0.0,
        agreement=max(0.0, agreement(share > 0.5, phrase_map)),
    )
