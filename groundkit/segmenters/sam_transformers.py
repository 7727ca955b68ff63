"""Segment Anything (Kirillov et al., 2023, arXiv 2304.02643) as implemented in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import SamImageProcessor, SamModel

from groundkit import clock
from groundkit.batches import BatchSize
from groundkit.exclusive import exclusive
from groundkit.models.loading import check_model_folder, explain_loading_errors
from groundkit.models.locate import SEGMENTER, locate, not_wanted
from groundkit.models.options import LoadOptions
from groundkit.models.weights_check import load_weights
from groundkit.segmenters.sam import AnySam
from groundkit.segmenters.sam_frame import SamEmbedding, pad_thin_image


class TransformersSam(AnySam):
    """A SAM of any size in the Hugging Face format.

    The image encoder runs in ``dtype``. Prompt encoder and mask decoder are small and stay in float32: half precision
    would move a point by pixels, and masks are cut from float32 logits.

    Args:
        model: a ``transformers.SamModel``.
        processor: its ``SamImageProcessor``.
        name: what messages and results call the segmenter.
        device: where the model runs.
        dtype: of the image encoder.
        batch_size: how many objects the mask decoder is asked for at once.
    """

    def __init__(
        self,
        model: SamModel,
        processor: SamImageProcessor,
        *,
        name: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_size: BatchSize = "auto",
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.batch_size = batch_size
        # Any, here and below: the library's annotations do not describe its own calls.
        self.model = cast(Any, model)
        self.model.to(device).eval().requires_grad_(False)
        self.model.vision_encoder.to(dtype)
        clock.watch(self.model.vision_encoder, "SAM encoder")
        clock.watch(self.model.prompt_encoder, "SAM decoder", passes=0)
        clock.watch(self.model.mask_decoder, "SAM decoder")
        self.processor = cast(Any, processor)
        self.input_size: int = self.model.config.vision_config.image_size

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path, options: LoadOptions | None = None) -> TransformersSam:
        """Load a SAM by its Hub id, such as ``facebook/sam-vit-base``, or from a folder of the same layout.

        Raises:
            ModelError: the folder, a file in it, or the Hub's copy is missing, damaged, out of reach, or no SAM.
        """
        options = options or LoadOptions()
        located = locate(name_or_folder, SEGMENTER, options)
        if located.config.get("model_type") != "sam":
            raise not_wanted(name_or_folder, located.config, SEGMENTER)
        check_model_folder(name_or_folder, "*processor_config.json")
        where: dict[str, Any] = {"revision": options.revision or "main", "local_files_only": located.local_files_only}
        with explain_loading_errors(name_or_folder):
            model = load_weights(
                SamModel,
                name_or_folder,
                source=name_or_folder,
                dtype=torch.float32,
                variant=options.variant,
                **where,
            )
            # The model's input size decides, not the processor's: its default of 1024 is right for no other size.
            side = model.config.vision_config.image_size
            processor = SamImageProcessor.from_pretrained(
                name_or_folder, size={"longest_edge": side}, pad_size={"height": side, "width": side}, **where
            )
            # Values of its configuration without a meaning show when a picture is read, and not before.
            processor(np.zeros((8, 8, 3), np.uint8), input_data_format="channels_last", return_tensors="pt")
        name = options.name or str(name_or_folder)
        where = {"device": options.device, "dtype": options.dtype, "batch_size": options.batch_size}
        return cls(model, processor, name=name, **where)

    @exclusive
    @torch.inference_mode()
    def embed(self, image: npt.NDArray[np.uint8]) -> SamEmbedding:
        """Run the image encoder once on an RGB picture, uint8 ``(height, width, 3)``, of any size."""
        padded = pad_thin_image(image, self.input_size)
        # Named, because a picture 1 or 3 pixels high would be taken for channels-first.
        inputs = self.processor(padded, input_data_format="channels_last", return_tensors="pt")
        pixels = inputs["pixel_values"].to(self.model.device, self.model.vision_encoder.dtype)
        height, width = inputs["reshaped_input_sizes"][0].tolist()
        return SamEmbedding(
            features=self.model.get_image_embeddings(pixels).float(),
            original_size=(image.shape[0], image.shape[1]),
            padded_size=(padded.shape[0], padded.shape[1]),
            input_size=(height, width),
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
        output = self.model(
            image_embeddings=embedding.features,
            input_points=xy[None],
            input_labels=labels[None],
            input_boxes=None if box is None else box[None],
            input_masks=mask,
            multimask_output=several,
        )
        return output.pred_masks[0], output.iou_scores[0]

    def _masks(
        self, embedding: SamEmbedding, logits: torch.Tensor, size: tuple[int, int] | None = None
    ) -> npt.NDArray[np.bool_]:
        large = self.processor.post_process_masks(logits[None, None], [embedding.padded(size)], [embedding.input_size])
        return embedding.to_masks(large[0][0], size)
