"""Stable Diffusion 3 and 3.5: a transformer that cuts latents into patches itself; the joint sequence is [image, text].

Its text is 77 tokens of both CLIPs and then T5's, whose columns are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groundkit.exclusive import exclusive
from groundkit.models.diffusion.base import DiffusionModel, Text
from groundkit.models.options import ReadOptions


class StableDiffusion3Model(DiffusionModel):
    """A Stable Diffusion 3 pipeline that is read, not sampled from."""

    pipelines = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")
    max_tokens = 256
    clips = False

    def __init__(self, pipeline: Any, name: str, device: torch.device) -> None:
        super().__init__(pipeline, name, device)
        self.tokenizer = pipeline.tokenizer_3

    @property
    def compression(self) -> tuple[int, int]:
        return 1, self.pipeline.vae_scale_factor

    @property
    def patch(self) -> tuple[int, int]:
        return 1, self.pipeline.transformer.config.patch_size

    def native_size(self) -> tuple[int, int]:
        side = self.pipeline.transformer.config.sample_size * self.pipeline.vae_scale_factor
        return side, side

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        """The joint attention of each block; some blocks of 3.5 have another one, of the image alone."""
        return {f"transformer_blocks.{i}.attn": block.attn for i, block in enumerate(transformer.transformer_blocks)}

    def text_states(self, ids: list[int]) -> Tensor:
        states: Tensor = self.pipeline.text_encoder_3(torch.tensor([ids], device=self.device))[0]
        return states

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> Text:
        words = super().encode_text(pieces, plain).states
        clips = [self.pipeline._get_clip_prompt_embeds(plain, device=self.device, clip_model_index=i) for i in (0, 1)]
        both = torch.cat([states for states, _ in clips], dim=2)
        padded = nn.functional.pad(both, (0, words.shape[2] - both.shape[2]))
        states = torch.cat([padded.to(words.dtype), words], dim=1)
        return Text(states, slice(both.shape[1], states.shape[1]), torch.cat([pooled for _, pooled in clips], dim=1))

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        assert text.pooled is not None
        return self.pipeline.transformer(
            hidden_states=noisy[:, :, 0],
            encoder_hidden_states=text.states.to(self.dtype),
            pooled_projections=text.pooled.to(self.dtype),
            timestep=self.timestep(options.noise_level).expand(len(noisy)),
            return_dict=False,
        )


FAMILY = StableDiffusion3Model
