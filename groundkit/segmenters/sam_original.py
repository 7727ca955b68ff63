"""Segment Anything (Kirillov et al., 2023, arXiv 2304.02643) as its authors published it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from groundkit import clock
from groundkit.exclusive import exclusive
from groundkit.models.options import LoadOptions
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts
from groundkit.segmenters.sam_checkpoint import read_sam_checkpoint
from groundkit.segmenters.sam_frame import SamEmbedding, pad_thin_image, proposals_of


class OriginalSam:
    """A SAM of the ``segment-anything`` package, from its ``.pth`` checkpoint.

    The image encoder runs in ``dtype``. Prompt encoder and mask decoder are small and stay in float32, as the package
    requires. The steps are those of its ``SamPredictor``, which can neither hand out what it holds of one picture
    nor run the encoder in another precision.

    Args:
        model: a ``segment_anything.modeling.Sam``.
        name: what messages and results call the segmenter.
        device: where the model runs.
        dtype: of the image encoder.
    """

    def __init__(
        self,
        model: Sam,
        *,
        name: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.model = model.to(device).eval().requires_grad_(False)
        self.model.image_encoder.to(dtype)
        clock.watch(self.model.image_encoder, "SAM encoder")
        clock.watch(self.model.prompt_encoder, "SAM decoder", passes=0)
        clock.watch(self.model.mask_decoder, "SAM decoder")
        self.input_size: int = model.image_encoder.img_size

    @classmethod
    def from_checkpoint(cls, path: str | Path, options: LoadOptions | None = None) -> OriginalSam:
        """Load a checkpoint of any size; its tensors tell the architecture, so no model type is asked for.

        Raises:
            ModelError: the file is missing, unreadable, not a file of tensors, or not a SAM.
        """
        options = options or LoadOptions()
        model = read_sam_checkpoint(path)
        return cls(model, name=options.name or str(path), device=options.device, dtype=options.dtype)

    @exclusive
    @torch.inference_mode()
    def embed(self, image: npt.NDArray[np.uint8]) -> SamEmbedding:
        """Run the image encoder once on an RGB picture, uint8 ``(height, width, 3)``, of any size."""
        padded = pad_thin_image(image, self.input_size)
        scaled = ResizeLongestSide(self.input_size).apply_image(padded)
        pixels = torch.from_numpy(scaled).to(self.model.device).permute(2, 0, 1)[None]
        features = self.model.image_encoder(self.model.preprocess(pixels).to(self.dtype))
        return SamEmbedding(
            features=features.float(),
            original_size=(image.shape[0], image.shape[1]),
            padded_size=(padded.shape[0], padded.shape[1]),
            input_size=(scaled.shape[0], scaled.shape[1]),
        )

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
        device = self.model.device
        labels = torch.from_numpy(prompts.labels).to(device)
        sparse, dense = self.model.prompt_encoder(
            points=(embedding.to_input_frame(prompts.xy)[None], labels[None]),
            boxes=None if box is None else embedding.to_input_frame(box.reshape(2, 2)).reshape(1, 4),
            masks=None if mask is None else torch.from_numpy(mask).to(device)[None, None],
        )
        small, scores = self.model.mask_decoder(
            image_embeddings=embedding.features,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        return proposals_of(self._masks(embedding, small, size), scores[0], small[0])

    @exclusive
    @torch.inference_mode()
    def enlarge(self, embedding: SamEmbedding, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """See ``Segmenter.enlarge``."""
        (mask,) = self._masks(embedding, torch.from_numpy(logits).to(self.model.device)[None, None])
        return np.asarray(mask)

    def _masks(
        self, embedding: SamEmbedding, logits: torch.Tensor, size: tuple[int, int] | None = None
    ) -> npt.NDArray[np.bool_]:
        large = self.model.postprocess_masks(logits, embedding.input_size, embedding.padded(size))
        return embedding.to_masks(large[0] > self.model.mask_threshold, size)
