"""``groundkit.load``: names in, a ready pipeline out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundkit.errors import ConfigError
from groundkit.weights.catalog import Kind, nano_folder

if TYPE_CHECKING:
    import torch

    from groundkit.pipelines.refam import RefAM

DTYPES = ("auto", "float32", "bfloat16", "float16")


def load(
    pipeline: str = "refam",
    *,
    model: str | Path = "nano",
    segmenter: str | Path = "nano",
    device: str = "auto",
    dtype: str = "auto",
    offload: bool = False,
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    config: Mapping[str, Any] | None = None,
) -> RefAM:
    """Load a method with its model and its segmenter.

    Args:
        pipeline: ``refam``, or ``cross-attention``, the same without anything of RefAM.
        model: hub id or folder of a FLUX.1 pipeline, or ``nano``, the embedded one.
        segmenter: hub id or folder of a SAM model, a ``.pth`` file of the segment-anything package, or ``nano``.
        device: ``auto`` (CUDA, then Apple's MPS, then the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: of the model: ``auto`` (bfloat16 on CUDA, else float32), ``float32``, ``bfloat16`` or ``float16``. The
            segmenter always runs in float32.
        offload: keep on the GPU only the part of the model that runs.
        revision: branch, tag or commit of the model on the hub.
        variant: of the model's weight files, such as ``fp16``.
        local_files_only: never ask the hub.
        config: fields of ``RefAMConfig``; see there.

    Raises:
        ConfigError: an unknown pipeline, device, dtype or field.
        ModelError: something that cannot be loaded.
    """
    # Settings are checked first: nobody should wait for a model to learn of a typing error.
    from groundkit.pipelines.refam import PRESETS, RefAM, read_config

    if pipeline not in PRESETS:
        raise ConfigError(f"no pipeline named {pipeline!r}: use {' or '.join(PRESETS)}")
    settings = read_config({**PRESETS[pipeline], **(config or {})})
    place = _device(device)
    kind = _dtype(dtype, place)

    from groundkit.models.flux import FluxModel
    from groundkit.segmenters.load import load_segmenter

    diffusion = FluxModel.from_pretrained(
        _folder(model, "pipeline"),
        name=str(model),
        device=place,
        dtype=kind,
        offload=offload,
        revision=revision,
        variant=variant,
        local_files_only=local_files_only,
    )
    sam = load_segmenter(_folder(segmenter, "segmenter"), device=place, local_files_only=local_files_only)
    return RefAM(diffusion, sam, settings, name=pipeline)


def _folder(source: str | Path, kind: Kind) -> str | Path:
    return nano_folder(kind) if str(source) == "nano" else source


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device named {name!r}: use auto, cpu, cuda, cuda:1 or mps") from None
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= available.get(device.type, 0):
        raise ConfigError(f"device {name!r} is not on this machine: use --device auto or cpu")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    import torch

    if name not in DTYPES:
        raise ConfigError(f"no dtype named {name!r}: use {', '.join(DTYPES)}")
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return getattr(torch, name)  # type: ignore[no-any-return]
