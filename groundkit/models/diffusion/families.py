"""Every diffusion family, and the one that a checkpoint belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundkit.errors import ModelError
from groundkit.models.diffusion.clips import VideoDiffusionModel
from groundkit.models.diffusion.flux import FluxModel
from groundkit.models.locate import DIFFUSION, locate

# Those whose transformer reads a picture's latents alone. Fill, Control and FLUX.2 read more, or something else.
FLUX_PIPELINES = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline", "FluxKontextPipeline")


def diffusion_family(
    source: str | Path, *, revision: str | None = None, local_files_only: bool = False
) -> type[FluxModel] | type[VideoDiffusionModel]:
    """The family that reads a hub id or a folder, by the pipeline class that it names. No weight is loaded.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    named = locate(source, DIFFUSION, revision=revision, local_files_only=local_files_only).config
    return _family(str(named.get("_class_name")), source)


def family_around(pipeline: Any) -> FluxModel | VideoDiffusionModel:
    """A pipeline that is loaded already, as the family that reads it; nothing of it is changed.

    Raises:
        ModelError: no family reads pipelines of this class.
    """
    name = str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)
    family = _family(type(pipeline).__name__, name)
    if issubclass(family, VideoDiffusionModel):
        return family(pipeline, name, pipeline.device, family._native_size(pipeline))
    return family(pipeline, name, pipeline.device)


def _family(kind: str, source: str | Path) -> type[FluxModel] | type[VideoDiffusionModel]:
    if kind in FLUX_PIPELINES:
        return FluxModel
    families = _video_families()
    for family in families:
        if kind in family.pipeline_names:
            return family
    known = ", ".join([*FLUX_PIPELINES, *(name for family in families for name in family.pipeline_names)])
    raise ModelError(f"{source}: no family for pipelines of class {kind}; there are {known}")


def _video_families() -> tuple[type[VideoDiffusionModel], ...]:
    """Imported late: each brings a library's worth of modules that a picture does not need."""
    from groundkit.models.diffusion.cogvideo import CogVideoXModel
    from groundkit.models.diffusion.hunyuan_video import HunyuanVideoModel
    from groundkit.models.diffusion.ltx import LtxVideoModel
    from groundkit.models.diffusion.mochi import MochiModel
    from groundkit.models.diffusion.wan import WanModel

    return MochiModel, WanModel, CogVideoXModel, HunyuanVideoModel, LtxVideoModel
