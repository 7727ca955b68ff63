"""The vision-language family that reads a checkpoint: the file with the name of its ``model_type``.

A family from outside is an entry point of the group ``groundkit.families`` with that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundkit.models.locate import VISION_LANGUAGE, locate, not_wanted
from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.plugins import Registry

FAMILIES = Registry(
    Path(__file__).parent,
    __package__ or "",
    "FAMILY",
    "groundkit.families",
    frozenset({"base", "families", "picture_sizes"}),
)


def vision_language_family(
    source: str | Path, *, revision: str | None = None, local_files_only: bool = False
) -> type[VisionLanguageModel]:
    """The family that reads a hub id or a folder, by its config.json. No weight is loaded.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    config = locate(source, VISION_LANGUAGE, revision=revision, local_files_only=local_files_only).config
    return _family(source, config)


def family_around(model: Any, processor: Any) -> VisionLanguageModel:
    """A model that is loaded already, as the family that reads it.

    It is switched to ``eval()``, and its generation settings give way to those that a pipeline asks with.

    Raises:
        ModelError: no family reads models of this type.
    """
    name = str(model.config._name_or_path or type(model).__name__)
    return _family(name, {"model_type": model.config.model_type})(model, processor, name, model.device)


def _family(source: str | Path, config: Mapping[str, Any]) -> type[VisionLanguageModel]:
    kind = config.get("model_type")
    family = FAMILIES.load(kind) if kind in FAMILIES.names else None
    if isinstance(family, type) and issubclass(family, VisionLanguageModel):
        return family
    raise not_wanted(source, config, VISION_LANGUAGE, FAMILIES.own)


def load_vision_language(
    source: str | Path, *, revision: str | None = None, local_files_only: bool = False, **options: Any
) -> VisionLanguageModel:
    """Load a vision-language model of any family; see ``VisionLanguageModel.from_pretrained`` for the options.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    where: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    return vision_language_family(source, **where).from_pretrained(source, **where, **options)
