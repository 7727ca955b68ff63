"""CogVideoX and CogVideoX 1.5, text to video.

The joint sequence is [text, video]. Text is padded by T5 to 226 tokens, and nothing hides the padding from anyone: it
stays, as in training (without rotary embeddings the model takes no other length), and its columns are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groundkit.attention.grids import TokenGrid
from groundkit.exclusive import exclusive
from groundkit.models.diffusion.base import DiffusionModel, Text, blocks_of
from groundkit.models.options import ReadOptions


class CogVideoXModel(DiffusionModel):
    """A CogVideoX pipeline that is read, not sampled from."""

    pipelines = ("CogVideoXPipeline",)
    max_tokens = 226
    text_first = True
    batched = True
    encoded_frames = 8

    @property
    def compression(self) -> tuple[int, int]:
        return self.pipeline.vae_scale_factor_temporal, self.pipeline.vae_scale_factor_spatial

    @property
    def patch(self) -> tuple[int, int]:
        config = self.pipeline.transformer.config
        return config.patch_size_t or 1, config.patch_size

    def native_size(self) -> tuple[int, int]:
        config, side = self.pipeline.transformer.config, self.pipeline.vae_scale_factor_spatial
        return config.sample_height * side, config.sample_width * side

    def clip_size(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = super().clip_size(height, width)
        if self.pipeline.transformer.config.patch_size_t is None:
            return rows, columns
        # Version 1.5 has positions for its native rows and columns, and for no more.
        native = self.native_size()
        return min(rows, native[0]), min(columns, native[1])

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        return blocks_of(transformer, "transformer_blocks")

    def patch_grid(self, call: Mapping[str, Any]) -> TokenGrid:
        return super().patch_grid({"hidden_states": call["hidden_states"].transpose(1, 2)})

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> Text:
        padding = self.tokenizer.pad_token_id
        padded = [self.text_states([*ids, *[padding] * (self.max_tokens - len(ids))]) for ids in pieces]
        own = [states[:, : len(ids)] for states, ids in zip(padded, pieces, strict=True)]
        tokens = sum(len(ids) for ids in pieces)
        return Text(torch.cat([*own, padded[0][:, tokens:]], dim=1), slice(0, tokens))

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        transformer, side = self.pipeline.transformer, self.compression[1]
        frames, rows, columns = noisy.shape[2:]
        rotary = None
        if transformer.config.use_rotary_positional_embeddings:
            rotary = self.pipeline._prepare_rotary_positional_embeddings(
                rows * side, columns * side, frames, self.device
            )
        return transformer(
            hidden_states=noisy.permute(0, 2, 1, 3, 4),
            encoder_hidden_states=text.states.to(self.dtype),
            timestep=self.timestep(options.noise_level).expand(len(noisy)),
            image_rotary_emb=rotary,
            return_dict=False,
        )

    def noised(self, clean: Tensor, noise: Tensor, noise_level: float) -> Tensor:
        """x_t = sqrt(a) x_0 + sqrt(1 - a) eps, a the cumulated alpha of the time step with this share of noise."""
        kept: Tensor = self.pipeline.scheduler.alphas_cumprod[self._step(noise_level)].cpu()
        return kept.sqrt() * clean + (1 - kept).sqrt() * noise

    def timestep(self, noise_level: float) -> Tensor:
        return torch.tensor([self._step(noise_level)], device=self.device)

    def _step(self, noise_level: float) -> int:
        """The time step whose share of noise, sqrt(1 - a) / (sqrt(a) + sqrt(1 - a)), is nearest."""
        kept = self.pipeline.scheduler.alphas_cumprod
        share = (1 - kept).sqrt() / (kept.sqrt() + (1 - kept).sqrt())
        return int((share - noise_level).abs().argmin())


FAMILY = CogVideoXModel
