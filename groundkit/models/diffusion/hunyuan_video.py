"""HunyuanVideo, text to video.

The joint sequence is [video, text]. A language model writes the text's states, after a template that asks it to
describe a video; the states of the template are cut off. Padding is masked everywhere, so text goes in without any.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

from groundkit.exclusive import exclusive
from groundkit.models.diffusion.base import DiffusionModel, Text, blocks_of
from groundkit.models.options import ReadOptions

BEFORE, AFTER = DEFAULT_PROMPT_TEMPLATE["template"].split("{}")
STATES = -3  # the last but two, as the pipeline has it


class HunyuanVideoModel(DiffusionModel):
    """A HunyuanVideo pipeline that is read, not sampled from.

    Attributes:
        template: token ids of the template up to the phrase.
        tokenizer: the pipeline's, but that it ends a text as the template does and begins it with nothing.
    """

    pipelines = ("HunyuanVideoPipeline",)
    max_tokens = 256
    batched = True
    encoded_frames = 17

    def __init__(self, pipeline: Any, name: str, device: torch.device) -> None:
        super().__init__(pipeline, name, device)
        self.template: list[int] = self.tokenizer(BEFORE).input_ids
        self.tokenizer = _ended_by(self.tokenizer, AFTER)

    @property
    def compression(self) -> tuple[int, int]:
        return self.pipeline.vae_scale_factor_temporal, self.pipeline.vae_scale_factor_spatial

    @property
    def patch(self) -> tuple[int, int]:
        config = self.pipeline.transformer.config
        return config.patch_size_t, config.patch_size

    def native_size(self) -> tuple[int, int]:
        return 720, 1280

    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        return blocks_of(transformer, "transformer_blocks", "single_transformer_blocks")

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> Text:
        pooled = self.pipeline._get_clip_prompt_embeds(plain, device=self.device)
        return replace(super().encode_text(pieces, plain), pooled=pooled)

    def text_states(self, ids: list[int]) -> Tensor:
        whole = torch.tensor([[*self.template, *ids]], device=self.device)
        states: Tensor = self.pipeline.text_encoder(whole, output_hidden_states=True).hidden_states[STATES]
        return states[:, len(self.template) :]

    def states_of(self, output: Any) -> Tensor:
        states: Tensor = output.hidden_states[STATES]
        return states

    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        assert text.pooled is not None
        return self.pipeline.transformer(
            hidden_states=noisy,
            encoder_hidden_states=text.states.to(self.dtype),
            encoder_attention_mask=torch.ones(text.states.shape[:2], dtype=self.dtype, device=self.device),
            pooled_projections=text.pooled.to(self.dtype),
            timestep=self.timestep(options.noise_level).expand(len(noisy)),
            guidance=torch.full((len(noisy),), options.guidance * 1000, dtype=self.dtype, device=self.device),
            return_dict=False,
        )


def _ended_by(tokenizer: Any, ending: str) -> Any:
    """A copy of a tokenizer whose texts begin with no special token and end with those of ``ending``."""
    ids = tokenizer(ending, add_special_tokens=False).input_ids
    tokens = tokenizer.convert_ids_to_tokens(ids)
    ended = copy.deepcopy(tokenizer)
    ended.backend_tokenizer.post_processor = TemplateProcessing(
        single=["$A", *tokens], special_tokens=list(zip(tokens, ids, strict=True))
    )
    ended.eos_token = tokens[-1]
    return ended


FAMILY = HunyuanVideoModel
