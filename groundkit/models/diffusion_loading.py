"""Loading a diffusion pipeline of any class, onto its device or part by part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from groundkit.models.loading import check_model_folder, check_vocabulary, explain_loading_errors
from groundkit.models.offload import check_offload


def load_pipeline(
    kind: type[DiffusionPipeline],
    source: str | Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    offload: bool,
    revision: str | None,
    variant: str | None,
    local_files_only: bool,
) -> Any:
    """Load all parts of a pipeline from a hub id or a folder in the pipeline's layout.

    ``offload`` keeps each part in main memory until it runs (needs a GPU).

    Raises:
        ModelError: with one line that says what is missing or refused, and what to do.
        ConfigError: offloading without a GPU.
    """
    _check_parts(source)
    if offload:
        check_offload(device)
    with explain_loading_errors(source):
        pipeline: Any = kind.from_pretrained(
            source, dtype=dtype, revision=revision, variant=variant, local_files_only=local_files_only
        )
    pipeline.set_progress_bar_config(disable=True)
    if offload:
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    return pipeline


def _check_parts(source: str | Path) -> None:
    """Raise ``ModelError`` when a folder lacks a part that its ``model_index.json`` names.

    diffusers makes do with a tokenizer of its own invention where a tokenizer's folder is missing.
    """
    check_model_folder(source, "model_index.json")
    if not Path(source).is_dir():
        return
    with explain_loading_errors(source):
        index = json.loads((Path(source) / "model_index.json").read_text(encoding="utf-8"))
        named = {name: part for name, part in index.items() if not name.startswith("_") and isinstance(part, list)}
    parts = [name for name, (library, _) in named.items() if library]
    check_model_folder(source, *(f"{name}/*.json" for name in parts))
    for name in parts:
        if name.startswith("tokenizer"):
            check_vocabulary(Path(source) / name)
