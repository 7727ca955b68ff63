"""Mochi, the model of RefAM's video experiments.

The joint sequence is [video, text]. Its attention drops padded text by a mask, so text goes in without padding.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from diffusers import MochiPipeline
from torch import Tensor, nn

from groundkit.models.diffusion.base import blocks_of
from groundkit.models.diffusion.clips import ClipText, VideoDiffusionModel, normalised


class MochiModel(VideoDiffusionModel):
    """A Mochi pipeline that is read, not sampled from."""

    pipeline_class = MochiPipeline
    pipeline_names = ("MochiPipeline",)
    max_tokens = 256
    encoder_channels = 64

    @property
    def compression(self) -> tuple[int, int]:
        vae = self.pipeline.vae
        return vae.temporal_compression_ratio, vae.spatial_compression_ratio

    @property
    def patch(self) -> tuple[int, int]:
        return 1, self.pipeline.transformer.config.patch_size

    @classmethod
    def _native_size(cls, pipeline: Any) -> tuple[int, int]:
        return pipeline.default_height, pipeline.default_width

    def _layers(self, transformer: Any) -> dict[str, nn.Module]:
        return blocks_of(transformer, "transformer_blocks")

    def _encode(self, pixels: Tensor) -> Tensor:
        vae = self.pipeline.vae
        scale: float = vae.config.scaling_factor
        return normalised(vae.encode(pixels).latent_dist.mean, vae.config) * scale

    def _run(self, noisy: Tensor, text: ClipText, noise_level: float, guidance: float) -> object:
        with warnings.catch_warnings():
            # It asks for autocast to float32, to have none; torch says on the CPU that there is none.
            warnings.filterwarnings("ignore", message="In CPU autocast", category=UserWarning)
            return self.pipeline.transformer(
                hidden_states=noisy,
                encoder_hidden_states=text.states.to(self.dtype),
                encoder_attention_mask=torch.ones(1, text.tokens, dtype=torch.bool, device=self.device),
                timestep=self._timestep(noise_level),
                return_dict=False,
            )
