"""Segment Anything (Kirillov et al., 2023, arXiv 2304.02643) as its authors published it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from groundkit import clock
from groundkit.batches import BatchSize
from groundkit.exclusive import exclusive
from groundkit.models.options import LoadOptions
from groundkit.segmenters.sam import AnySam
from groundkit.segmenters.sam_checkpoint import read_sam_checkpoint
from groundkit.segmenters.sam_frame import SamEmbedding, pad_thin_image


class OriginalSam(AnySam):
    """A SAM of the ``segment-anything`` package, from its ``.pth`` checkpoint.

    The image encoder runs in ``dtype``. Prompt encoder and mask decoder are small and stay in float32, as the package
    requires. The steps are those of its ``SamPredictor``, which can neither hand out what it holds of one picture
    nor run the encoder in another precision.

    Args:
        model: a ``segment_anything.modeling.Sam``.
        name: what messages and results call the segmenter.
        device: where the model runs.
        dtype: of the image encoder.
        batch_size: how many objects the mask decoder is asked for at once.
    """

    def __init__(
        self,
        model: Sam,
        *,
        name: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_size: BatchSize = "auto",
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.batch_size = batch_size
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
        where: dict[str, Any] = {"device": options.device, "dtype": options.dtype, "batch_size": options.batch_size}
        return cls(model, name=options.name or str(path), **where)

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

    def _decode(
        self,
        embedding: SamEmbedding,
        xy: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        box: torch.Tensor | None,
        several: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sparse, dense = self.model.prompt_encoder(points=(xy, labels), boxes=box, masks=mask)
        logits, scores = self.model.mask_decoder(
            image_embeddings=embedding.features,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        return logits, scores

    def _masks(
        self, embedding: SamEmbedding, logits: torch.Tensor, size: tuple[int, int] | None = None
    ) -> npt.NDArray[np.bool_]:
        large = self.model.postprocess_masks(logits[None], embedding.input_size, embedding.padded(size))
        return embedding.to_masks(large[0] > self.model.mask_threshold, size)
