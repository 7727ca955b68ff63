"""Every diffusion family, and the one that a checkpoint belongs to."""

from __future__ import annotations

from pathlib import Path

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
    kind = str(named.get("_class_name"))
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
