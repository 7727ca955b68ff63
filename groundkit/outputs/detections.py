"""Masks as ``supervision.Detections``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from groundkit.errors import GroundkitError
from groundkit.results import Grounding

if TYPE_CHECKING:
    from supervision import Detections


def to_supervision(grounding: Grounding) -> Detections:
    """One class, number 0, whose ``data["class_name"]`` is the phrase.

    Raises:
        GroundkitError: when supervision is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise GroundkitError('supervision is not installed: pip install "groundkit-vision[supervision]"') from error
    return Detections(
        xyxy=grounding.boxes,
        mask=grounding.masks,
        confidence=grounding.scores,
        class_id=np.zeros(len(grounding.run_lengths), dtype=int),
        data={"class_name": np.array([grounding.phrase] * len(grounding.run_lengths), dtype=str)},
    )
