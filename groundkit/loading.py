"""``groundkit.load``: names in, a ready pipeline out."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from groundkit.errors import ConfigError, ModelError, explain_opencv, unknown
from groundkit.memory import explain_out_of_memory
from groundkit.settings import Given
from groundkit.weights.catalog import default_segmenter, is_embedded, source_of

if TYPE_CHECKING:
    import torch

    from groundkit.pipelines.ensemble import Ensemble
    from groundkit.pipelines.refam import RefAM
    from groundkit.pipelines.refam_clip import RefAMClip
    from groundkit.pipelines.vlsam import VLSAM
    from groundkit.segmenters.base import Segmenter

_log = logging.getLogger("groundkit")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@overload
def load(
    pipeline: Literal["refam", "cross-attention"] = ...,
    *,
    model: str | Path = ...,
    segmenter: str | Path | None = ...,
    device: str | torch.device = ...,
    dtype: str | torch.dtype = ...,
    offload: bool = ...,
    revision: str | None = ...,
    variant: str | None = ...,
    local_files_only: bool = ...,
    config: Mapping[str, object] | None = ...,
) -> RefAM | RefAMClip: ...
@overload
def load(
    pipeline: Literal["vlsam", "decaf"],
    *,
    model: str | Path = ...,
    segmenter: str | Path | None = ...,
    device: str | torch.device = ...,
    dtype: str | torch.dtype = ...,
    offload: bool = ...,
    revision: str | None = ...,
    variant: str | None = ...,
    local_files_only: bool = ...,
    config: Mapping[str, object] | None = ...,
) -> VLSAM: ...
@overload
def load(
    pipeline: Literal["ensemble"],
    *,
    model: str | Path = ...,
    segmenter: str | Path | None = ...,
    device: str | torch.device = ...,
    dtype: str | torch.dtype = ...,
    offload: bool = ...,
    revision: str | None = ...,
    variant: str | None = ...,
    local_files_only: bool = ...,
    config: Mapping[str, object] | None = ...,
) -> Ensemble: ...
@overload
def load(
    pipeline: str,
    *,
    model: str | Path = ...,
    segmenter: str | Path | None = ...,
    device: str | torch.device = ...,
    dtype: str | torch.dtype = ...,
    offload: bool = ...,
    revision: str | None = ...,
    variant: str | None = ...,
    local_files_only: bool = ...,
    config: Mapping[str, object] | None = ...,
) -> RefAM | RefAMClip | VLSAM | Ensemble: ...
@explain_out_of_memory()
def load(
    pipeline: str = "refam",
    *,
    model: str | Path = "nano",
    segmenter: str | Path | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    offload: bool = False,
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    config: Mapping[str, object] | None = None,
) -> RefAM | RefAMClip | VLSAM | Ensemble:
    """Load a method with its model and its segmenter.

    Threads may share what is returned: their calls queue at the model, and each gets what it would have got alone.

    Args:
        pipeline: ``refam``, or ``cross-attention``, the same without anything of RefAM; ``vlsam``, or ``decaf``, the
            same model read another way; ``ensemble``, several of them together.
        model: hub id or folder of a FLUX.1 pipeline, or of one for videos (Mochi, Wan, CogVideoX, HunyuanVideo or
            LTX-Video), which looks at clips; of a vision-language model for ``vlsam`` and ``decaf``; or ``nano``, the
            embedded one of either kind; of each member of an ensemble, joined by commas.
        segmenter: hub id or folder of a SAM model, a ``.pth`` file of the segment-anything package, or ``nano``. By
            default nano's own for nano models and ``facebook/sam-vit-base`` for real ones, whatever else is on disk.
        device: ``auto`` (CUDA, then Apple's MPS, then the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: of the model: ``float32``, ``bfloat16``, ``float16`` or ``auto``, see
            :func:`~groundkit.models.dtypes.choose_dtype`: bfloat16 where GPU or processor computes in it, else float32,
            always float32 for nano. The segmenter always runs in float32.
        offload: keep on the GPU only the part that runs: one text encoder, the autoencoder, the transformer or the
            segmenter; of a vision-language model one block of layers.
        revision: branch, tag or commit of the model on the hub.
        variant: of the model's weight files, such as ``fp16``.
        local_files_only: never ask the hub.
        config: fields of ``RefAMConfig``, ``RefAMClipConfig``, ``VLSAMConfig`` or ``EnsembleConfig``; see there.

    Raises:
        ConfigError: an unknown pipeline, device, dtype or field.
        ModelError: something that cannot be loaded.
        OutOfMemoryError: a model is too large for the device.

    Example:
        >>> import groundkit
        >>> pipeline = groundkit.load("refam", device="cpu", config={"min_evidence": 0.2})
        >>> pipeline("scene.png", "the submarine").masks.shape
        (0, 256, 256)
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise (explain_opencv(error) or error) from error
    # Settings are checked first: nobody should wait for a model to learn of a typing error.
    from groundkit.pipelines import ensemble
    from groundkit.pipelines.resolve import check_pipeline, resolve

    _check_kinds(pipeline=pipeline, model=model, segmenter=segmenter or "auto")
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(f"config is a mapping of settings to values, not {type(config).__name__}")
    checked = resolve(pipeline, config)
    device, dtype = str(device), str(dtype).removeprefix("torch.")
    check_names(device, dtype)
    settings = checked if isinstance(checked, ensemble.EnsembleConfig) else None
    names = [check_pipeline(name) for name in settings.members] if settings else [pipeline]
    sources: list[str | Path] = [*str(model).split(",")] if settings else [model]
    if len(sources) != len(names):
        raise ConfigError(f"{pipeline} needs {len(names)} models, for {' and '.join(names)}: join them by a comma")
    from groundkit.models.devices import choose_device

    place = choose_device(device)
    makers = [
        _member(
            name,
            source,
            Given({"evidence": settings.weighs_evidence}, "ensemble") if settings else config or {},
            {
                "device": place,
                "dtype": dtype,
                "offload": offload,
                "revision": revision,
                "variant": variant,
                "local_files_only": local_files_only,
            },
        )
        for name, source in zip(names, sources, strict=True)
    ]
    # The segmenter comes first: it is small, and what is missing should be found before the large model is loaded.
    sam = _load_segmenter(segmenter, model, device=place, local_files_only=local_files_only, offload=offload)
    if settings is None:
        return makers[0](sam)
    shared = ensemble.EmbeddedOnce(sam)
    return ensemble.Ensemble([make(shared) for make in makers], shared, settings, name=pipeline)


def _check_kinds(**names: object) -> None:
    """Raises ConfigError for what is neither a name nor a path."""
    for key, value in names.items():
        if not isinstance(value, (str, Path)):
            raise ConfigError(f"{key} is a name or a path, not {type(value).__name__}")


def _load_segmenter(segmenter: str | Path | None, model: str | Path, **options: Any) -> Segmenter:
    from groundkit.segmenters.load import load_segmenter

    if segmenter is not None and str(segmenter) != "auto":
        return load_segmenter(source_of(segmenter, "sam"), name=str(segmenter), **options)
    usual = default_segmenter(model)
    try:
        return load_segmenter(source_of(usual, "sam"), name=usual, **options)
    except ModelError as error:
        from groundkit.weights.on_disk import segmenters_on_disk

        found = ", ".join(segmenters_on_disk()) or "none that groundkit knows"
        raise ModelError(f"{error}; it is the default: name another segmenter (on disk: {found})") from error


def _member(
    name: str, source: str | Path, config: Mapping[str, Any], options: dict[str, Any]
) -> Callable[[Segmenter], RefAM | RefAMClip | VLSAM]:
    """Check one method's settings and its model's kind, and return what loads it and makes the pipeline."""
    from groundkit.models.diffusion.base import select_layers
    from groundkit.pipelines import decaf, refam, vlsam
    from groundkit.pipelines.resolve import readings_for, resolve

    place = {key: options[key] for key in ("revision", "local_files_only")}
    if name in refam.PRESETS:
        _check_attention_backend()
        from groundkit.models.diffusion.clips import VideoDiffusionModel
        from groundkit.models.diffusion.families import diffusion_family
        from groundkit.pipelines import refam_clip, refam_config

        folder = source_of(source, "flux")
        family = diffusion_family(folder, **place)
        clips = issubclass(family, VideoDiffusionModel)
        settings = resolve(name, config, readings_for(name, source, **place), clips=clips)
        options = {**options, "dtype": _dtype(options["dtype"], options["device"], source)}

        def read_diffusion(segmenter: Segmenter) -> RefAM | RefAMClip:
            model = family.from_pretrained(folder, name=str(source), **options)
            select_layers(model.layer_names, cast(refam_config.RefAMConfig, settings).layers)
            if isinstance(model, VideoDiffusionModel):
                clip_settings = cast(refam_config.RefAMClipConfig, settings)
                return refam_clip.RefAMClip(model, segmenter, clip_settings, name=name)
            return refam.RefAM(model, segmenter, cast(refam_config.RefAMConfig, settings), name=name)

        return read_diffusion
    if name in vlsam.PRESETS:
        from groundkit.models.vision_language.families import vision_language_family

        home = source_of(source, "llava")
        kind = vision_language_family(home, **place)
        looking = cast(vlsam.VLSAMConfig, resolve(name, config, readings_for(name, source, **place)))
        options = {**options, "dtype": _dtype(options["dtype"], options["device"], source, home, **place)}

        def read_vision_language(segmenter: Segmenter) -> VLSAM:
            model = kind.from_pretrained(home, name=str(source), **options)
            select_layers(model.layer_names, looking.layers)
            return (decaf.DecAF if name == "decaf" else vlsam.VLSAM)(model, segmenter, looking, name=name)

        return read_vision_language
    raise ConfigError(f"{name} has members of its own, and cannot be one")


def _check_attention_backend() -> None:
    """Attention is read where it calls torch's scaled_dot_product_attention, and diffusers can be told to call others.

    Raises:
        ConfigError: it is told so; where the other's package is missing, its own error would be a NoneType.
    """
    backend = os.environ.get("DIFFUSERS_ATTN_BACKEND", "native")
    if backend != "native":
        raise ConfigError(
            f"DIFFUSERS_ATTN_BACKEND={backend}: attention can be read from torch's own alone; "
            "unset this environment variable, or set it to native"
        )


def check_names(device: str, dtype: str) -> None:
    """Raises ConfigError for a device or dtype that exists on no machine, before torch is imported to ask for it."""
    if not re.fullmatch(r"auto|(cpu|mps|cuda)(:\d+)?", device):
        meant = {"gpu": "cuda", "nvidia": "cuda", "apple": "mps", "metal": "mps"}.get(device.lower())
        if device.isdecimal():
            meant = f"cuda:{device}"
        raise ConfigError(unknown("device", device, ("auto", "cpu", "cuda", "cuda:1", "mps"), meant))
    if dtype not in DTYPES:
        short = {"fp32": "float32", "float": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
        raise ConfigError(unknown("dtype", dtype, DTYPES, short.get(dtype.lower())))


def _dtype(
    name: str, device: torch.device, source: str | Path, config: str | Path | None = None, **place: Any
) -> torch.dtype:
    """What a name stands for with a model; ``config`` is where its ``config.json`` is, if it has one."""
    import torch

    if name != "auto":
        return getattr(torch, name)  # type: ignore[no-any-return]
    from groundkit.models.dtypes import choose_dtype

    published = None
    if device.type == "cuda" and config is not None and not is_embedded(source):
        from transformers import AutoConfig

        from groundkit.models.loading import explain_loading_errors

        with explain_loading_errors(config):
            published = AutoConfig.from_pretrained(config, trust_remote_code=False, **place).dtype
    choice = choose_dtype(device, embedded=is_embedded(source), published=published)
    _log.info("%s runs in %s: %s", source, str(choice.dtype).removeprefix("torch."), choice.reason)
    return choice.dtype
