"""``groundkit.load``: names in, a ready pipeline out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundkit.errors import ConfigError, ModelError
from groundkit.weights.catalog import Kind, nano_folder

if TYPE_CHECKING:
    import torch

    from groundkit.pipelines.refam import RefAM
    from groundkit.pipelines.vlsam import VLSAM
    from groundkit.segmenters.base import Segmenter

VLM_EXAMPLE = "Qwen/Qwen2.5-VL-3B-Instruct"
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
) -> RefAM | VLSAM:
    """Load a method with its model and its segmenter.

    Args:
        pipeline: ``refam``, or ``cross-attention``, the same without anything of RefAM; ``vlsam``, or ``decaf``, the
            same model read another way.
        model: hub id or folder of a FLUX.1 pipeline, or ``nano``, the embedded one; of a vision-language model for
            ``vlsam`` and ``decaf``, which have no embedded one yet.
        segmenter: hub id or folder of a SAM model, a ``.pth`` file of the segment-anything package, or ``nano``.
        device: ``auto`` (CUDA, then Apple's MPS, then the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: of the model: ``auto`` (bfloat16 on CUDA, else float32), ``float32``, ``bfloat16`` or ``float16``. The
            segmenter always runs in float32.
        offload: keep on the GPU only the part of the model that runs.
        revision: branch, tag or commit of the model on the hub.
        variant: of the model's weight files, such as ``fp16``.
        local_files_only: never ask the hub.
        config: fields of ``RefAMConfig`` or ``VLSAMConfig``; see there.

    Raises:
        ConfigError: an unknown pipeline, device, dtype or field.
        ModelError: something that cannot be loaded.
    """
    # Settings are checked first: nobody should wait for a model to learn of a typing error.
    from groundkit.pipelines import refam, vlsam

    method = next((m for m in (refam, vlsam) if pipeline in m.PRESETS), None)
    if method is None:
        raise ConfigError(f"no pipeline named {pipeline!r}: use {', '.join([*refam.PRESETS, *vlsam.PRESETS])}")
    place = _device(device)
    kind = _dtype(dtype, place)

    from groundkit.segmenters.load import load_segmenter

    def load_sam() -> Segmenter:
        return load_segmenter(_folder(segmenter, "segmenter"), device=place, local_files_only=local_files_only)

    if method is vlsam:
        looking = vlsam.read_config({**vlsam.PRESETS[pipeline], **(config or {})})
        if str(model) == "nano":
            raise ModelError(f"{pipeline} has no embedded model: name one, such as --model {VLM_EXAMPLE}")
        if offload or variant:
            raise ConfigError(f"{pipeline} takes neither offload nor variant: leave them out")

        from groundkit.models.families import load_vision_language

        vlm = load_vision_language(
            model, device=place, dtype=kind, revision=revision, local_files_only=local_files_only
        )
        return vlsam.VLSAM(vlm, load_sam(), looking, name=pipeline)

    settings = refam.read_config({**refam.PRESETS[pipeline], **(config or {})})

    from groundkit.models.flux import FluxModel

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
    return refam.RefAM(diffusion, load_sam(), settings, name=pipeline)


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
