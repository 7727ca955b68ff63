"""What a pipeline returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Grounding:
    """Where a phrase was found in a picture.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB, the picture as it was grounded (upright, full resolution).
        phrase: the phrase as given.
        masks: bool ``(K, height, width)``; K is 0 when nothing was found.
        scores: float32 ``(K,)``, higher is better.
        boxes: float32 ``(K, 4)``, XYXY pixels, tight around each mask (x2 and y2 exclusive).
        points: float32 ``(M, 3)``: x, y in pixels and the label, 1 on the object and 0 off it.
        heatmap: float32 ``(height, width)`` in [0, 1].
        pipeline: name of the method, such as ``refam``.
        model: id or folder of the model that was read.
        seconds: wall-clock time that this phrase took.
        trace: what each step saw, for ``explain`` (family-specific objects; not part of the stable interface).
    """

    image: npt.NDArray[np.uint8]
    phrase: str
    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32]
    points: npt.NDArray[np.float32]
    heatmap: npt.NDArray[np.float32]
    pipeline: str
    model: str
    seconds: float
    trace: Any = field(default=None, repr=False, compare=False)
