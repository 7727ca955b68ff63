"""What both implementations of SAM do: one picture embedded, then asked about one object or several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from groundkit.batches import BatchSize, in_batches
from groundkit.exclusive import exclusive
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts
from groundkit.segmenters.sam_frame import SamEmbedding

_FLOATS_PER_PIXEL = 12  # three masks in float32, enlarged in two steps, with room for one more copy of both


class AnySam(ABC):
    """A SAM. The image encoder runs in ``dtype``, everything else in float32.

    Attributes:
        name: what messages and results call the segmenter.
        model: the library's own.
        dtype: of the image encoder.
        batch_size: how many objects the mask decoder is asked for at once.
    """

    name: str
    model: Any
    dtype: torch.dtype
    batch_size: BatchSize = "auto"

    @abstractmethod
    def embed(self, image: npt.NDArray[np.uint8]) -> SamEmbedding:
        """Run the image encoder once on an RGB picture, uint8 ``(height, width, 3)``, of any size."""

    @exclusive
    @torch.inference_mode()
    def segment(
        self,
        embedding: SamEmbedding,
        prompts: PointPrompts,
        *,
        mask: npt.NDArray[np.float32] | None = None,
        box: npt.NDArray[np.float32] | None = None,
        several: bool = True,
        size: tuple[int, int] | None = None,
    ) -> MaskProposals:
        """Propose SAM's masks (three, for the published models) for the object that all prompts together describe.

        Without a point there are no proposals. See ``Segmenter.segment`` for the arguments.
        """
        if len(prompts.xy) == 0:
            return embedding.no_proposals(size)
        (found,) = self._ask(embedding, [prompts], several, size, mask, box)
        return found

    @exclusive
    @torch.inference_mode()
    def segment_each(
        self,
        embedding: SamEmbedding,
        prompts: Sequence[PointPrompts],
        *,
        several: bool = True,
        size: tuple[int, int] | None = None,
    ) -> list[MaskProposals]:
        """What ``segment`` proposes for each of several objects, in as few calls of the mask decoder as possible.

        Equal to one by one, to rounding. Objects with the same number of points go together.
        """
        found = [embedding.no_proposals(size)] * len(prompts)
        height, width = size or embedding.original_size
        for count in sorted({len(each.xy) for each in prompts} - {0}):
            places = [place for place, each in enumerate(prompts) if len(each.xy) == count]
            proposals = in_batches(
                [prompts[place] for place in places],
                lambda batch: self._ask(embedding, batch, several, size),
                limit=self.batch_size,
                device=embedding.features.device,
                item_bytes=4 * _FLOATS_PER_PIXEL * height * width,
            )
            for place, each in zip(places, proposals, strict=True):
                found[place] = each
        return found

    @exclusive
    @torch.inference_mode()
    def enlarge(self, embedding: SamEmbedding, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """See ``Segmenter.enlarge``."""
        mask: npt.NDArray[np.bool_] = self._masks(embedding, torch.from_numpy(logits).to(self.model.device)[None])[0]
        return mask

    def _ask(
        self,
        embedding: SamEmbedding,
        prompts: Sequence[PointPrompts],
        several: bool,
        size: tuple[int, int] | None,
        mask: npt.NDArray[np.float32] | None = None,
        box: npt.NDArray[np.float32] | None = None,
    ) -> list[MaskProposals]:
        """Proposals for each of N objects that have the same number of points."""
        device = self.model.device
        logits, scores = self._decode(
            embedding,
            torch.stack([embedding.to_input_frame(each.xy) for each in prompts]),
            torch.stack([torch.from_numpy(each.labels) for each in prompts]).to(device),
            None if mask is None else torch.from_numpy(mask).to(device)[None, None],
            None if box is None else embedding.to_input_frame(box.reshape(2, 2)).reshape(1, 4),
            several,
        )
        masks = self._masks(embedding, logits.flatten(0, 1), size)
        masks = masks.reshape(*logits.shape[:2], *masks.shape[1:])
        arrays = zip(masks, scores.float().cpu().numpy(), logits.float().cpu().numpy(), strict=True)
        return [MaskProposals(*each) for each in arrays]

    @abstractmethod
    def _decode(
        self,
        embedding: SamEmbedding,
        xy: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        box: torch.Tensor | None,
        several: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``(N, C, s, s)`` and scores ``(N, C)`` of N objects.

        Args:
            xy: float32 ``(N, M, 2)``, in the model's square.
            labels: ``(N, M)``.
            mask: ``(1, 1, s, s)``, and ``box``, ``(1, 4)``: of one object.
        """

    @abstractmethod
    def _masks(
        self, embedding: SamEmbedding, logits: torch.Tensor, size: tuple[int, int] | None = None
    ) -> npt.NDArray[np.bool_]:
        """Logits ``(K, s, s)`` as masks of a size, bool ``(K, height, width)``."""
