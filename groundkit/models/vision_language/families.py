"""Every vision-language family, and the one that a checkpoint belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundkit.models.locate import VISION_LANGUAGE, locate, not_wanted
from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.models.vision_language.gemma3 import Gemma3Model
from groundkit.models.vision_language.internvl import InternVlModel
from groundkit.models.vision_language.llava import LlavaModel
from groundkit.models.vision_language.llava_onevision import LlavaOnevisionModel
from groundkit.models.vision_language.paligemma import PaliGemmaModel
from groundkit.models.vision_language.qwen2_vl import Qwen2VlModel
from groundkit.models.vision_language.qwen3_vl import Qwen3VlModel
from groundkit.models.vision_language.smolvlm import SmolVlmModel

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


def vision_language_family(
    source: str | Path, *, revision: str | None = None, local_files_only: bool = False
) -> type[VisionLanguageModel]:
    """The family that reads a hub id or a folder, by its config.json. No weight is loaded.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    config = locate(source, VISION_LANGUAGE, revision=revision, local_files_only=local_files_only).config
    for family in FAMILIES:
        if config.get("model_type") in family.model_types:
            return family
    raise not_wanted(source, config, VISION_LANGUAGE, [kind for family in FAMILIES for kind in family.model_types])


def load_vision_language(
    source: str | Path, *, revision: str | None = None, local_files_only: bool = False, **options: Any
) -> VisionLanguageModel:
    """Load a vision-language model of any family; see ``VisionLanguageModel.from_pretrained`` for the options.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    where: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    return vision_language_family(source, **where).from_pretrained(source, **where, **options)
