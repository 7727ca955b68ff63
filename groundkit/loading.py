"""``groundkit.load``: names in, a ready pipeline out."""

from __future__ import annotations

import functools
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from groundkit import clock
from groundkit.batches import BatchSize, read_batch_size
from groundkit.errors import ConfigError, ModelError, explain_opencv, unknown
from groundkit.memory import explain_out_of_memory, paused_garbage_collection
from groundkit.weights.catalog import default_segmenter, full_name, is_embedded, source_of

if TYPE_CHECKING:
    import torch

    from groundkit.loaded import Family, ModelSource
    from groundkit.models.locate import Located
    from groundkit.models.options import LoadOptions
    from groundkit.pipelines.decaf import DecAF
    from groundkit.pipelines.ensemble import Ensemble
    from groundkit.pipelines.refam import RefAM
    from groundkit.pipelines.vlsam import VLSAM
    from groundkit.segmenters.base import Segmenter

_log = logging.getLogger("groundkit")
DTYPES = ("auto", "float32", "bfloat16", "float16")


class LoadKeywords(TypedDict, total=False):
    """What ``load`` takes beside the name of a pipeline; see there."""

    model: ModelSource | Sequence[ModelSource]
    segmenter: str | Path | Segmenter | None
    device: str | torch.device
    dtype: str | torch.dtype
    segmenter_dtype: str | torch.dtype
    offload: bool
    revision: str | None
    variant: str | None
    local_files_only: bool
    config: Mapping[str, object] | None
    batch_size: BatchSize


@overload
def load(pipeline: Literal["refam", "cross-attention"] = ..., **options: Unpack[LoadKeywords]) -> RefAM: ...
@overload
def load(pipeline: Literal["vlsam"], **options: Unpack[LoadKeywords]) -> VLSAM: ...
@overload
def load(pipeline: Literal["decaf"], **options: Unpack[LoadKeywords]) -> DecAF: ...
@overload
def load(pipeline: Literal["ensemble"], **options: Unpack[LoadKeywords]) -> Ensemble: ...
@overload
def load(pipeline: str, **options: Unpack[LoadKeywords]) -> RefAM | VLSAM | Ensemble: ...
@clock.timed("loading")
@paused_garbage_collection()
@explain_out_of_memory()
def load(
    pipeline: str = "refam",
    *,
    model: ModelSource | Sequence[ModelSource] = "nano",
    segmenter: str | Path | Segmenter | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    segmenter_dtype: str | torch.dtype = "auto",
    offload: bool = False,
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    config: Mapping[str, object] | None = None,
    batch_size: BatchSize = "auto",
) -> RefAM | VLSAM | Ensemble:
    """Load a method with its model and its segmenter.

    Threads may share what is returned: their calls queue at the model, and each gets what it would have got alone.

    Args:
        pipeline: ``refam``, or ``cross-attention``, the same without anything of RefAM; ``vlsam``, or ``decaf``, the
            same model read another way; ``ensemble``, several of them together.
        model: hub id or folder of a FLUX.1 pipeline, or of one for videos (Mochi, Wan, CogVideoX, HunyuanVideo or
            LTX-Video), which looks at clips; of a vision-language model for ``vlsam`` and ``decaf``; or ``nano``, the
            embedded one of either kind. Or what is loaded already: a pipeline of diffusers, a pair of a transformers
            model and its processor, or a family of groundkit. An alias that ``groundkit models`` lists, such as
            ``smolvlm``, stands for its hub id. For an ensemble, one for each member: a list, or names
            joined by commas.
        segmenter: hub id or folder of a SAM model, a ``.pth`` file of the segment-anything package, ``nano``, or one
            that is loaded already (``pipeline.segmenter``). By default nano's own for nano models and
            ``facebook/sam-vit-base`` for real ones, whatever else is on disk.
        device: ``auto`` (CUDA, then Apple's MPS, then the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: of the model: ``float32``, ``bfloat16``, ``float16`` or ``auto``, see
            :func:`~groundkit.models.dtypes.choose_dtype`: bfloat16 where GPU or processor computes in it, else float32,
            always float32 for nano.
        segmenter_dtype: of the segmenter's image encoder, and of a SAM 2 or EdgeTAM that follows; by default (``auto``)
            ``dtype`` where one is named, else float32. Prompts and masks of pictures are always computed in float32.
        offload: keep on the GPU only the part that runs: one text encoder, the autoencoder, the transformer or the
            segmenter; of a vision-language model one block of layers.
        revision: branch, tag or commit of the model on the hub.
        variant: of the model's weight files, such as ``fp16``.
        local_files_only: never ask the hub.
        config: fields of ``RefAMConfig``, ``VLSAMConfig`` or ``EnsembleConfig`` and their parts; see there.
        batch_size: the maximum number of noise samples, phrases or questions of one picture, or points that run as one
            batch, from 1; ``auto``: as many as fit into free memory, at most 8 on a CPU and 32 on a GPU. Where memory
            runs out, batches are halved. Results are equal to those one by one, to rounding.

    Raises:
        ConfigError: an unknown pipeline, device, dtype or field, or a batch size that is none.
        ModelError: something that cannot be loaded.
        OutOfMemoryError: a model is too large for the device.

    Example:
        >>> import groundkit
        >>> pipeline = groundkit.load("refam", device="cpu", config={"min_evidence": 0.2})
        >>> pipeline("scene.png", "the submarine").masks.shape
        (0, 256, 256)
    """
    started = time.perf_counter()
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise (explain_opencv(error) or error) from error
    # Settings are checked first: nobody should wait for a model to learn of a typing error.
    from groundkit.loaded import family_of
    from groundkit.pipelines import ensemble_config
    from groundkit.pipelines.resolve import check_pipeline, resolve

    if not isinstance(pipeline, str):
        raise ConfigError(f"pipeline is a name, not {type(pipeline).__name__}")
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(f"config is a mapping of settings to values, not {type(config).__name__}")
    checked = resolve(pipeline, config)
    device = str(device)
    dtype, segmenter_dtype = (str(each).removeprefix("torch.") for each in (dtype, segmenter_dtype))
    check_names(device, dtype, segmenter_dtype)
    batch_size = read_batch_size(batch_size)
    settings = checked if isinstance(checked, ensemble_config.EnsembleConfig) else None
    names = [check_pipeline(name) for name in settings.members] if settings else [pipeline]
    sources: list[Any] = list(model) if isinstance(model, list) else [model]
    if settings and isinstance(model, (str, Path)):
        sources = str(model).split(",")
    sources = [full_name(str(source)) if isinstance(source, (str, Path)) else source for source in sources]
    if len(sources) != len(names):
        raise ConfigError(f"{pipeline} needs {len(names)} models, for {' and '.join(names)}: join them by a comma")
    from groundkit.models.devices import choose_device

    loaded = [family_of(source) for source in sources if not isinstance(source, (str, Path))]
    asked = {"device": device != "auto", "dtype": dtype != "auto", "offload": offload, "revision": revision}
    if loaded and any(asked.values()):
        what = next(name for name, given in asked.items() if given)
        raise ConfigError(f"{what} is for models that are loaded by name; this one is loaded already, as it shall be")
    place = loaded[0].device if loaded else choose_device(device)
    families = iter(loaded)
    sources = [source if isinstance(source, (str, Path)) else next(families) for source in sources]
    from groundkit.models.options import LoadOptions

    options = LoadOptions(
        device=place,
        offload=offload,
        revision=revision,
        variant=variant,
        local_files_only=local_files_only,
        batch_size=batch_size,
    )
    makers = [
        _member(
            name,
            source,
            settings.of_member(name) if settings else config or {},
            options,
            dtype,
        )
        for name, source in zip(names, sources, strict=True)
    ]
    # The segmenter comes first: it is small, and what is missing should be found before the large model is loaded.
    sam = _load_segmenter(segmenter, sources, replace(options, revision=None, variant=None), segmenter_dtype, dtype)
    made: RefAM | VLSAM | Ensemble
    if settings is None:
        made = makers[0](sam)
    else:
        from groundkit.pipelines.ensemble import EmbeddedOnce, Ensemble

        shared = EmbeddedOnce(sam)
        made = Ensemble([make(shared) for make in makers], shared, settings, name=pipeline)
        made.batch_size = batch_size
    took = time.perf_counter() - started
    _log.info("%s: loaded %s and segmenter %s on %s in %.1f s", made.name, made.model, sam.name, made.device, took)
    _log.debug("settings of %s: %s", made.name, made.config.flat())
    return made


def _load_segmenter(
    segmenter: str | Path | Segmenter | None, models: list[Any], options: LoadOptions, dtype: str, of_model: str
) -> Segmenter:
    """``dtype`` auto is that which the model was asked to run in, or float32."""
    from groundkit.segmenters.load import load_segmenter

    if segmenter is not None and not isinstance(segmenter, (str, Path)):
        if not (hasattr(segmenter, "embed") and hasattr(segmenter, "segment")):
            raise ConfigError(f"segmenter is a name, a path or a segmenter, not {type(segmenter).__name__}")
        if dtype != "auto":
            raise ConfigError("segmenter_dtype is for a segmenter that is loaded by name; this one is loaded already")
        return segmenter
    named = next((each for each in (dtype, of_model) if each != "auto"), "float32")
    options = replace(options, dtype=_named_dtype(named, options.device))
    if segmenter is not None and str(segmenter) != "auto":
        name = full_name(str(segmenter))
        return load_segmenter(source_of(name, "sam"), replace(options, name=name))
    usual = default_segmenter(",".join(str(getattr(model, "name", model)) for model in models))
    try:
        return load_segmenter(source_of(usual, "sam"), replace(options, name=usual))
    except ModelError as error:
        from groundkit.weights.on_disk import segmenters_on_disk

        found = ", ".join(segmenters_on_disk()) or "none that groundkit knows"
        raise ModelError(f"{error}; it is the default: name another segmenter (on disk: {found})") from error


def _member(
    name: str, source: str | Path | Family, config: Mapping[str, Any], options: LoadOptions, dtype: str
) -> Callable[[Segmenter], RefAM | VLSAM]:
    """Check one method's settings and its model's kind, and return what loads it and makes the pipeline."""
    from groundkit.models.locate import DIFFUSION, VISION_LANGUAGE, locate
    from groundkit.pipelines import refam_config, vlsam_config
    from groundkit.pipelines.resolve import readings_for, resolve

    if not isinstance(source, (str, Path)):
        return functools.partial(_pipeline, name, source, _settings_of_loaded(name, source, config), options)
    place: dict[str, Any] = {"revision": options.revision, "local_files_only": options.local_files_only}
    if name in refam_config.PRESETS:
        _check_attention_backend()
        from groundkit.models.diffusion.families import diffusion_family

        located = locate(source_of(source, "flux"), DIFFUSION, options)
        family: Any = diffusion_family(located)
        settings = resolve(name, config, readings_for(name, source, **place))
        chosen = _dtype(dtype, options.device, source)
    elif name in vlsam_config.PRESETS:
        from groundkit.models.vision_language.families import vision_language_family

        located = locate(source_of(source, "llava"), VISION_LANGUAGE, options)
        family = vision_language_family(located)
        settings = resolve(name, config, readings_for(name, source, **place))
        chosen = _dtype(dtype, options.device, source, located, options.revision)
    else:
        raise ConfigError(f"{name} has members of its own, and cannot be one")

    def read(segmenter: Segmenter) -> RefAM | VLSAM:
        model = family.from_pretrained(located, replace(options, name=str(source), dtype=chosen))
        return _pipeline(name, model, settings, options, segmenter)

    return read


def _settings_of_loaded(name: str, model: Family, config: Mapping[str, Any]) -> Any:
    """The settings of a method for a model that is loaded already. Raises ConfigError where it is of another kind."""
    from groundkit.loaded import readings_of
    from groundkit.models.vision_language.base import VisionLanguageModel
    from groundkit.pipelines.resolve import resolve
    from groundkit.pipelines.vlsam_config import PRESETS

    if (name in PRESETS) != isinstance(model, VisionLanguageModel):
        kind = "vision-language model" if name in PRESETS else "pipeline of diffusers"
        raise ConfigError(f"{name} reads a {kind}, not a {type(model).__name__}")
    return resolve(name, config, readings_of(model, name))


def _pipeline(name: str, model: Any, settings: Any, options: LoadOptions, segmenter: Segmenter) -> RefAM | VLSAM:
    """Put a method together. Raises ConfigError for layers that the model does not have."""
    from groundkit.attention.select import select_layers
    from groundkit.pipelines import refam_config

    select_layers(model.layer_names, settings.reading.layers)
    made: RefAM | VLSAM
    # What reads models of another kind is not imported.
    if name in refam_config.PRESETS:
        from groundkit.pipelines.refam import RefAM

        made = RefAM(model, segmenter, settings, name=name)
    elif name == "decaf":
        from groundkit.pipelines.decaf import DecAF

        made = DecAF(model, segmenter, settings, name=name)
    else:
        from groundkit.pipelines.vlsam import VLSAM

        made = VLSAM(model, segmenter, settings, name=name)
    made.batch_size = options.batch_size
    return made


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


def check_names(device: str, *dtypes: str) -> None:
    """Raises ConfigError for a device or dtype that exists on no machine, before torch is imported to ask for it."""
    if not re.fullmatch(r"auto|(cpu|mps|cuda)(:\d+)?", device):
        meant = {"gpu": "cuda", "nvidia": "cuda", "apple": "mps", "metal": "mps"}.get(device.lower())
        if device.isdecimal():
            meant = f"cuda:{device}"
        raise ConfigError(unknown("device", device, ("auto", "cpu", "cuda", "cuda:1", "mps"), meant))
    for dtype in dtypes:
        if dtype not in DTYPES:
            short = {"fp32": "float32", "float": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"}
            raise ConfigError(unknown("dtype", dtype, DTYPES, short.get(dtype.lower())))


def _dtype(
    name: str, device: torch.device, source: str | Path, located: Located | None = None, revision: str | None = None
) -> torch.dtype:
    """What a name stands for with a model; ``located`` may say in which it was published."""
    if name != "auto":
        return _named_dtype(name, device)

    from groundkit.models.dtypes import choose_dtype

    published = None
    if device.type == "cuda" and located is not None and not is_embedded(source):
        from transformers import AutoConfig

        from groundkit.models.loading import explain_loading_errors

        where: dict[str, Any] = {"revision": revision, "local_files_only": located.local_files_only}
        with explain_loading_errors(located.source):
            published = AutoConfig.from_pretrained(located.source, trust_remote_code=False, **where).dtype
    choice = choose_dtype(device, embedded=is_embedded(source), published=published)
    _log.info("%s runs in %s: %s", source, str(choice.dtype).removeprefix("torch."), choice.reason)
    return choice.dtype


def _named_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of a name; warns of the one that is slow there."""
    import torch

    if name == "float16" and device.type == "cpu":
        warnings.warn(
            "float16 is about three times slower than float32 on a CPU, which has no kernels for it: "
            'dtype="bfloat16" takes as little memory',
            stacklevel=2,
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype
