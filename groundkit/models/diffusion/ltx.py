"""LTX-Video, text to video.

Patches look at words by a cross-attention of their own, in which padding is masked, so that it is left out. T5 itself
is shown the padding without a mask, as the pipeline does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import LTXPipeline
from torch import Tensor, nn

from groundkit.attention.grids import TokenGrid
from groundkit.models.diffusion.base import DiffusionModel, Text
from groundkit.models.options import ReadOptions

FRAME_RATE = 25  # positions in time are seconds; clips are sampled from videos of any rate, this is the pipeline's own


class LtxVideoModel(DiffusionModel):
    """An LTX-Video pipeline that is read, not sampled from."""

    pipelines = ("LTXPipeline", "LTXConditionPipeline")
    max_tokens = 128
    joint = False
    batched = True
    encoder_channels = 8  # 128 for each 4 x 4 pixels

    @property
    def compression(self) -> tuple[int, int]:
        return self.pipeline.vae_temporal_compression_ratio, self.pipeline.vae_spatial_compression_ratio

    @property
    def patch(self) -> tuple[int, int]:
        config = self.pipeline.transformer.config
        return config.patch_size_t, config.patch_size

    def native_size(self) -> tuple[int, int]:
        return 512, 704

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        return {f"transformer_blocks.{i}": block.attn2 for i, block in enumerate(transformer.transformer_blocks)}

    def latents_of(self, pixels: Tensor) -> Tensor:
        vae = self.pipeline.vae
        latents: Tensor = LTXPipeline._normalize_latents(
            vae.encode(pixels).latent_dist.mean, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )
        return latents

    def text_states(self, ids: list[int]) -> Tensor:
        padding = [self.tokenizer.pad_token_id] * (self.max_tokens - len(ids))
        return super().text_states([*ids, *padding])[:, : len(ids)]

    def patch_grid(self, call: Mapping[str, Any]) -> TokenGrid:
        return TokenGrid((call["num_frames"], call["height"], call["width"]))

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        (slices, side), (frames, rows, columns) = self.patch, noisy.shape[2:]
        seconds, pixels = self.compression[0] / FRAME_RATE, self.compression[1]
        return self.pipeline.transformer(
            hidden_states=LTXPipeline._pack_latents(noisy, side, slices),
            encoder_hidden_states=text.states.to(self.dtype),
            encoder_attention_mask=torch.ones(text.states.shape[:2], dtype=torch.float32, device=self.device),
            timestep=self.timestep(options.noise_level).expand(len(noisy)),
            num_frames=frames // slices,
            height=rows // side,
            width=columns // side,
            rope_interpolation_scale=(seconds, pixels, pixels),
            return_dict=False,
        )


FAMILY = LtxVideoModel
