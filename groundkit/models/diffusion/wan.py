"""Wan 2.1 and 2.2, text to video.

Patches look at words by a cross-attention of their own. Its text was filled up with zeros in training, and nothing
hides them from the patches: they stay, as without them the model is another one, and their columns are not read.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import pad

from groundkit.models.diffusion.base import DiffusionModel, Text, normalised
from groundkit.models.options import ReadOptions


class WanModel(DiffusionModel):
    """A Wan pipeline that is read, not sampled from."""

    pipelines = ("WanPipeline",)
    max_tokens = 512
    joint = False
    batched = True
    encoded_frames = 4
    encoder_channels = 96

    @property
    def compression(self) -> tuple[int, int]:
        config = self.pipeline.vae.config
        return config.scale_factor_temporal, config.scale_factor_spatial

    @property
    def patch(self) -> tuple[int, int]:
        slices, side, _ = self.pipeline.transformer.config.patch_size
        return slices, side

    def native_size(self) -> tuple[int, int]:
        return 480, 832

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        return {f"blocks.{i}": block.attn2 for i, block in enumerate(transformer.blocks)}

    def latents_of(self, pixels: Tensor) -> Tensor:
        vae = self.pipeline.vae
        return normalised(vae.encode(pixels).latent_dist.mean, vae.config)

    def transformer(self, noise_level: float) -> Any:
        boundary = self.pipeline.config.boundary_ratio  # Wan 2.2 has one transformer for much noise and one for little
        return self.pipeline.transformer if boundary is None or noise_level >= boundary else self.pipeline.transformer_2

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        timestep = self.timestep(options.noise_level).expand(len(noisy))
        if self.pipeline.config.expand_timesteps:  # Wan 2.2's small model is told the noise of every patch
            side = self.patch[1]
            timestep = timestep[:, None].expand(-1, noisy[0, 0, :, ::side, ::side].numel())
        return self.transformer(options.noise_level)(
            hidden_states=noisy,
            encoder_hidden_states=pad(text.states, (0, 0, 0, self.max_tokens - text.tokens)).to(self.dtype),
            timestep=timestep,
            return_dict=False,
        )


FAMILY = WanModel
