"""Mochi, the model of RefAM's video experiments.

The joint sequence is [video, text]. Its attention drops padded text by a mask, so text goes in without padding.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from groundkit.models.diffusion.base import DiffusionModel, Text, blocks_of, normalised
from groundkit.models.options import ReadOptions


class MochiModel(DiffusionModel):
    """A Mochi pipeline that is read, not sampled from."""

    pipelines = ("MochiPipeline",)
    max_tokens = 256
    encoder_channels = 64
    row_by_row = True

    @property
    def compression(self) -> tuple[int, int]:
        vae = self.pipeline.vae
        return vae.temporal_compression_ratio, vae.spatial_compression_ratio

    @property
    def patch(self) -> tuple[int, int]:
        return 1, self.pipeline.transformer.config.patch_size

    def native_size(self) -> tuple[int, int]:
        return self.pipeline.default_height, self.pipeline.default_width

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        return blocks_of(transformer, "transformer_blocks")

    def latents_of(self, pixels: Tensor) -> Tensor:
        vae = self.pipeline.vae
        scale: float = vae.config.scaling_factor
        return normalised(vae.encode(pixels).latent_dist.mean, vae.config) * scale

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        with warnings.catch_warnings():
            # It asks for autocast to float32, to have none; torch says on the CPU that there is none.
            warnings.filterwarnings("ignore", message="In CPU autocast", category=UserWarning)
            return self.pipeline.transformer(
                hidden_states=noisy,
                encoder_hidden_states=text.states.to(self.dtype),
                encoder_attention_mask=torch.ones(1, text.tokens, dtype=torch.bool, device=self.device),
                timestep=self.timestep(options.noise_level),
                return_dict=False,
            )


FAMILY = MochiModel
