"""The vision-language family that reads a checkpoint: the file with the name of its ``model_type``.

A family from outside is an entry point of the group ``groundkit.families`` with that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundkit.models.locate import VISION_LANGUAGE, Located, locate, not_wanted
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language import FAMILIES
from groundkit.models.vision_language.base import VisionLanguageModel


def vision_language_family(
    source: str | Path | Located, options: LoadOptions | None = None
) -> type[VisionLanguageModel]:
    """The family that reads a hub id or a folder, by its config.json. No weight is loaded.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    located = source if isinstance(source, Located) else locate(source, VISION_LANGUAGE, options)
    return _family(located.source, located.config)


def family_around(model: Any, processor: Any) -> VisionLanguageModel:
    """A model that is loaded already, as the family that reads it.

    It is switched to ``eval()``, and a pipeline's generation settings replace its own.

    Raises:
        ModelError: no family reads models of this type.
    """
    name = str(model.config._name_or_path or type(model).__name__)
    return _family(name, {"model_type": model.config.model_type})(model, processor, name, model.device)


def family_beside(model: Any, processor: Any) -> VisionLanguageModel:
    """The same for reading a model while its owner runs it: nothing of it is changed, and it answers no questions.

    Raises:
        ModelError: no family reads models of this type.
    """
    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", type(model).__name__)
    return _family(getattr(config, "_name_or_path", "") or kind, {"model_type": kind}).beside(model, processor)


def _family(source: str | Path, config: Mapping[str, Any]) -> type[VisionLanguageModel]:
    kind = config.get("model_type")
    family = FAMILIES.load(kind) if kind in FAMILIES.names else None
    if isinstance(family, type) and issubclass(family, VisionLanguageModel):
        return family
    raise not_wanted(source, config, VISION_LANGUAGE, FAMILIES.own)


def load_vision_language(source: str | Path | Located, options: LoadOptions | None = None) -> VisionLanguageModel:
    """Load a vision-language model of any family.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    located = source if isinstance(source, Located) else locate(source, VISION_LANGUAGE, options)
    return vision_language_family(located).from_pretrained(located, options)
