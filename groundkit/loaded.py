"""Models that a caller has loaded already, as the families that read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from groundkit.errors import ConfigError
from groundkit.weights.catalog import source_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import PreTrainedModel, ProcessorMixin

    from groundkit.models.diffusion.base import DiffusionModel
    from groundkit.models.readings import Readings
    from groundkit.models.vision_language.base import VisionLanguageModel

Family: TypeAlias = "DiffusionModel | VisionLanguageModel"
ModelSource: TypeAlias = "str | Path | DiffusionPipeline | tuple[PreTrainedModel, ProcessorMixin] | Family"
"""A hub id, a folder, or what is loaded: a pipeline of diffusers, a model and its processor, a family of groundkit."""


def family_of(model: object) -> Family:
    """The family that reads a loaded model.

    Raises:
        ModelError: a pipeline or model of no family.
        ConfigError: something else.
    """
    from diffusers import DiffusionPipeline
    from transformers import PreTrainedModel

    from groundkit.models.diffusion.base import DiffusionModel
    from groundkit.models.diffusion.families import family_around
    from groundkit.models.vision_language import families
    from groundkit.models.vision_language.base import VisionLanguageModel

    if isinstance(model, (DiffusionModel, VisionLanguageModel)):
        return model
    if isinstance(model, DiffusionPipeline):
        return family_around(model)
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], PreTrainedModel):
        return families.family_around(*model)
    if isinstance(model, PreTrainedModel):
        raise ConfigError("a model of transformers comes with its processor: model=(model, processor)")
    raise ConfigError(
        "model is a name, a path, a pipeline of diffusers, a pair of a transformers model and its processor, or a "
        f"family of groundkit, not {type(model).__name__}"
    )


def readings_of(model: Family, method: str) -> Readings:
    """What is known of a loaded model for a method: by its kind and sizes, and by the folder that it came from."""
    from groundkit.models.readings import readings_of_loaded

    pipeline: Any = getattr(model, "pipeline", None)
    if pipeline is not None:
        sizes = dict(pipeline.transformer.config)
        return readings_of_loaded(source_of(model.name, "flux"), method, type(pipeline).__name__, sizes)
    config: Any = model.model.config  # type: ignore[union-attr]
    source = source_of(model.name, "llava")
    return readings_of_loaded(source, method, config.model_type, config.get_text_config().to_dict())
