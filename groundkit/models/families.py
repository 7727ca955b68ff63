"""Every vision-language family, and the one that a checkpoint belongs to."""

from __future__ import annotations

from pathlib import Path

import torch

from groundkit.models.gemma3 import Gemma3Model
from groundkit.models.internvl import InternVlModel
from groundkit.models.llava import LlavaModel
from groundkit.models.llava_onevision import LlavaOnevisionModel
from groundkit.models.locate import VISION_LANGUAGE, locate, not_wanted
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
    located = locate(source, VISION_LANGUAGE, revision=revision, local_files_only=local_files_only)
    kind = located.config.get("model_type")
    for family in FAMILIES:
        if kind in family.model_types:
            return family.from_pretrained(
                source,
                name=name,
                device=device,
                dtype=dtype,
                offload=offload,
                revision=revision,
                variant=variant,
                local_files_only=located.local_files_only,
            )
    known = [kind for family in FAMILIES for kind in family.model_types]
    raise not_wanted(source, located.config, VISION_LANGUAGE, known)
