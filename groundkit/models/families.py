"""Every vision-language family, and the one that a checkpoint belongs to."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig

from groundkit.errors import ModelError
from groundkit.models.gemma3 import Gemma3Model
from groundkit.models.internvl import InternVlModel
from groundkit.models.llava import LlavaModel
from groundkit.models.llava_onevision import LlavaOnevisionModel
from groundkit.models.loading import check_model_folder, explain_loading_errors
from groundkit.models.paligemma import PaliGemmaModel
from groundkit.models.qwen2_vl import Qwen2VlModel
from groundkit.models.qwen3_vl import Qwen3VlModel
from groundkit.models.smolvlm import SmolVlmModel
from groundkit.models.vision_language import VisionLanguageModel

FAMILIES: tuple[type[VisionLanguageModel], ...] = (
    LlavaModel,
    LlavaOnevisionModel,
    Qwen2VlModel,
    Qwen3VlModel,
    SmolVlmModel,
    InternVlModel,
    PaliGemmaModel,
    Gemma3Model,
)


def load_vision_language(
    source: str | Path,
    *,
    name: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    offload: bool = False,
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
) -> VisionLanguageModel:
    """Load a vision-language model of any family from a hub id or a folder; see ``VisionLanguageModel``.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    check_model_folder(source, "config.json")
    with explain_loading_errors(source):
        config = AutoConfig.from_pretrained(
            source, revision=revision, local_files_only=local_files_only, trust_remote_code=False
        )
    for family in FAMILIES:
        if config.model_type in family.model_types:
            return family.from_pretrained(
                source,
                name=name,
                device=device,
                dtype=dtype,
                offload=offload,
                revision=revision,
                variant=variant,
                local_files_only=local_files_only,
            )
    known = ", ".join(kind for family in FAMILIES for kind in family.model_types)
    raise ModelError(f"{source}: no family for models of type {config.model_type}; there are {known}")
