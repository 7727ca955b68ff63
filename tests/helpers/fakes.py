"""Stand-ins that several tests share: a segmenter that needs no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts


class SquareSegmenter:
    """Answers with a square around the first point, and with the whole picture if that has a score."""

    name = "square"

    def __init__(self, half: int = 5, score: float = 0.8, whole: float | None = None) -> None:
        self.half, self.score, self.whole = half, score, whole
        self.images_embedded = 0

    def embed(self, image: npt.NDArray[np.uint8]) -> tuple[int, int]:
        self.images_embedded += 1
        return image.shape[0], image.shape[1]

    def segment(self, embedding: tuple[int, int], prompts: PointPrompts, **_: object) -> MaskProposals:
        x, y = prompts.xy[0].astype(int)
        square = np.zeros(embedding, np.bool_)
        square[max(0, y - self.half) : y + self.half, max(0, x - self.half) : x + self.half] = True
        if self.whole is None:
            return MaskProposals(square[None], np.array([self.score], np.float32))
        return MaskProposals(np.stack([square, np.ones_like(square)]), np.array([self.score, self.whole], np.float32))
