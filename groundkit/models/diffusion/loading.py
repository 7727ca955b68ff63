"""Loading a diffusion pipeline of any class, onto its device or part by part."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import nn
from transformers import PreTrainedModel

from groundkit.models.loading import check_model_folder, check_vocabulary, explain_loading_errors
from groundkit.models.locate import Located
from groundkit.models.offload import check_offload, stage_of
from groundkit.models.options import LoadOptions
from groundkit.models.weights_check import check_weights, load_weights, only_variant


def load_pipeline(kind: type[DiffusionPipeline], located: Located, options: LoadOptions) -> Any:
    """Load all parts of a pipeline from a hub id or a folder in the pipeline's layout.

    Raises:
        ModelError: with one line that says what is missing or refused, and what to do.
        ConfigError: offloading without a GPU.
    """
    source, device, dtype, variant = located.source, options.device, options.dtype, options.variant
    if options.offload:
        check_offload(device)
    folder = Path(source)
    if not folder.is_dir():
        where: dict[str, Any] = {"revision": options.revision, "local_files_only": located.local_files_only}
        with explain_loading_errors(source):
            folder = Path(kind.download(source, variant=variant, **where))
    classes = _parts(source, folder)
    with explain_loading_errors(source):
        parts = {
            name: _load_part(source, folder / name, *classes[name], dtype=dtype, variant=variant) for name in classes
        }
        pipeline: Any = kind.from_pretrained(folder, **{name: part for name, part in parts.items() if part is not None})
    pipeline.set_progress_bar_config(disable=True)
    if device.type == "mps":
        drop_float64(pipeline)
    if not options.offload:
        pipeline.to(device)
        return pipeline
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    stage_of(device).add(*(part for name, part in parts.items() if name.startswith("text_encoder")))
    for name, part in parts.items():
        if not name.startswith("text_encoder"):
            stage_of(device).add(part)
    return pipeline


def drop_float64(pipeline: Any) -> None:
    """Round what diffusers counted in float64 (CogVideoX's positions), which Apple's GPUs do not have, to float32."""
    for part in pipeline.components.values():
        for module in part.modules() if isinstance(part, nn.Module) else ():
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.dtype == torch.float64:
                    module._buffers[name] = buffer.float()


def _parts(source: str | Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Library and class of each part that ``model_index.json`` names.

    Raises:
        ModelError: a part's files are missing. diffusers would make do with a tokenizer of its own invention.
    """
    check_model_folder(folder, "model_index.json")
    with explain_loading_errors(source):
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        named = {name: part for name, part in index.items() if not name.startswith("_") and isinstance(part, list)}
    parts = {name: (library, kind) for name, (library, kind) in named.items() if library}
    check_model_folder(folder, *(f"{name}/*.json" for name in parts))
    for name in parts:
        if name.startswith("tokenizer"):
            check_vocabulary(folder / name)
    return parts


def _load_part(
    source: str | Path, folder: Path, library: str, kind: str, *, dtype: torch.dtype, variant: str | None
) -> Any:
    """Load one part if it has weights, whole or not at all; None leaves it to diffusers."""
    loader = getattr(importlib.import_module(library), kind, None) if library in ("diffusers", "transformers") else None
    if not isinstance(loader, type) or not issubclass(loader, nn.Module):
        return None
    # A variant need not exist of every part.
    variant = variant if variant and any(folder.glob(f"*.{variant}*")) else only_variant(folder)
    options: dict[str, Any] = {"dtype": dtype, "variant": variant}
    if issubclass(loader, PreTrainedModel):
        return load_weights(loader, folder, source=source, part=folder.name, **options)
    part, report = loader.from_pretrained(folder, output_loading_info=True, **options)  # type: ignore[attr-defined]
    check_weights(source, part, report, folder.name)
    return part
