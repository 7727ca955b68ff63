"""A segmenter that waits in main memory while a model runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.models.offload import Stage
from groundkit.segmenters.base import MaskProposals, Segmenter, segment_each
from groundkit.segmenters.points import PointPrompts


class OffloadedSegmenter:
    """Takes its turn on the GPU with the parts of the models that are offloaded, see :class:`Stage`.

    Args:
        segmenter: one with a ``model``, which is on the CPU, and a ``dtype``.
        stage: of the GPU.
    """

    def __init__(self, segmenter: Any, stage: Stage) -> None:
        self.name: str = segmenter.name
        self.dtype = segmenter.dtype
        self.model = segmenter.model
        self._segmenter: Segmenter = segmenter
        self._stage = stage

    def embed(self, image: npt.NDArray[np.uint8]) -> Any:
        """See ``Segmenter.embed``."""
        with self._stage.lock:
            self._stage.enter(self.model)
            return self._segmenter.embed(image)

    def segment(self, embedding: Any, prompts: PointPrompts, **prompt: Any) -> MaskProposals:
        """See ``Segmenter.segment``."""
        with self._stage.lock:
            self._stage.enter(self.model)
            return self._segmenter.segment(embedding, prompts, **prompt)

    def enlarge(self, embedding: Any, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """See ``Segmenter.enlarge``."""
        return self._segmenter.enlarge(embedding, logits)

    def segment_each(self, embedding: Any, prompts: Sequence[PointPrompts], **prompt: Any) -> list[MaskProposals]:
        """See :func:`groundkit.segmenters.base.segment_each`."""
        with self._stage.lock:
            self._stage.enter(self.model)
            return segment_each(self._segmenter, embedding, prompts, **prompt)
