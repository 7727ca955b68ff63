"""FLUX.1: where its words and patches stand in the joint sequence, and one forward pass on a real picture.

The joint sequence is [text, image]; text columns are T5 tokens. T5 is given the tokens alone: the pipeline's padding to
512 is not masked, so that PAD tokens would soak up the very attention that magnets are there to catch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn

from groundkit.attention.grids import TokenGrid
from groundkit.exclusive import exclusive
from groundkit.models.diffusion.base import DiffusionModel, Text, blocks_of
from groundkit.models.options import ReadOptions

PATCH = 2  # FLUX packs 2x2 latents into one token


class FluxModel(DiffusionModel):
    """A FLUX.1 pipeline (dev, schnell, Krea, or any other of its class) that is read, not sampled from."""

    # Those whose transformer reads a picture's latents alone. Fill, Control and FLUX.2 read more, or something else.
    pipelines = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline", "FluxKontextPipeline")
    max_tokens = 512
    clips = False
    text_first = True
    batched = True
    text_encoder = "text_encoder_2"

    def __init__(self, pipeline: Any, name: str, device: torch.device) -> None:
        super().__init__(pipeline, name, device)
        self.tokenizer = pipeline.tokenizer_2

    @property
    def compression(self) -> tuple[int, int]:
        return 1, self.pipeline.vae_scale_factor

    @property
    def patch(self) -> tuple[int, int]:
        return 1, PATCH

    def native_size(self) -> tuple[int, int]:
        side = self.pipeline.vae.config.sample_size
        return side, side

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        return blocks_of(transformer, "transformer_blocks", "single_transformer_blocks")

    def text_states(self, ids: list[int]) -> Tensor:
        states: Tensor = self.pipeline.text_encoder_2(torch.tensor([ids], device=self.device))[0]
        return states

    def patch_grid(self, call: Mapping[str, Any]) -> TokenGrid:
        """Kontext's patches of the picture that it edits have a number of their own, and follow these."""
        ids = call["img_ids"]
        rows, columns = (int(side) + 1 for side in ids[ids[:, 0] == 0][:, 1:].amax(dim=0))
        return TokenGrid((rows, columns))

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> Text:
        text = super().encode_text(pieces, plain)
        clip = self.pipeline.tokenizer(
            plain,
            padding="max_length",
            max_length=self.pipeline.tokenizer_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return replace(text, pooled=self.pipeline.text_encoder(clip.input_ids.to(self.device)).pooler_output)

    def noise(self, latents: Tensor, seed: int) -> Tensor:
        """Drawn for packed tokens, ``(1, P, 4 C)``."""
        packed = super().noise(_packed(latents), seed)
        rows, columns = latents.shape[3:]
        # (1, P, 4 C) to (1, C, rows, columns), the inverse of packing.
        grid = packed.reshape(1, rows // PATCH, columns // PATCH, -1, PATCH, PATCH).permute(0, 3, 1, 4, 2, 5)
        return grid.reshape(latents.shape)

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        assert text.pooled is not None
        rows, columns = (side // PATCH for side in noisy.shape[3:])
        transformer = self.pipeline.transformer
        strength = torch.full((len(noisy),), options.guidance, dtype=torch.float32, device=self.device)
        return transformer(
            hidden_states=_packed(noisy),
            encoder_hidden_states=text.states.to(self.dtype),
            pooled_projections=text.pooled.to(self.dtype),
            timestep=torch.full((len(noisy),), options.noise_level, device=self.device, dtype=self.dtype),
            guidance=strength if transformer.config.guidance_embeds else None,
            img_ids=FluxPipeline._prepare_latent_image_ids(1, rows, columns, self.device, self.dtype),
            txt_ids=torch.zeros(text.states.shape[1], 3, device=self.device, dtype=self.dtype),
            return_dict=False,
        )


def _packed(latents: Tensor) -> Tensor:
    """``(B, C, 1, rows, columns)`` to tokens ``(B, P, 4 C)``."""
    tokens: Tensor = FluxPipeline._pack_latents(latents, *latents.shape[:2], *latents.shape[3:])
    return tokens


FAMILY = FluxModel
