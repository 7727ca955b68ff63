"""Load whichever segmenter a name stands for."""

from __future__ import annotations

from pathlib import Path

import torch

from groundkit.models.offload import check_offload, stage_of
from groundkit.segmenters.base import Segmenter
from groundkit.segmenters.offload import OffloadedSegmenter
from groundkit.segmenters.sam_original import OriginalSam
from groundkit.segmenters.sam_transformers import TransformersSam


def load_segmenter(
    source: str | Path,
    *,
    name: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    offload: bool = False,
) -> Segmenter:
    """Load a segmenter from a checkpoint file, a folder, or the Hugging Face Hub.

    Args:
        source: a ``.pth`` or ``.pt`` file of the ``segment-anything`` package; or a model folder; or a Hub id.
        name: what messages and results call it, its source by default.
        device: such as ``cpu``, ``cuda:1`` or ``mps``.
        dtype: of the image encoder; prompts and masks are always computed in float32.
        revision: branch, tag or commit on the Hub. Says nothing about a file or folder.
        variant: which set of weights to take, such as ``fp16``. Says nothing about a checkpoint file.
        local_files_only: take the Hub's models from the local cache only.
        offload: keep the model in main memory until it runs (needs a GPU).

    Raises:
        ModelError: nothing that can be loaded is there; the message says what to do.
    """
    if offload:
        device = torch.device(device)
        check_offload(device)
        waiting = load_segmenter(
            source, name=name, dtype=dtype, revision=revision, variant=variant, local_files_only=local_files_only
        )
        return OffloadedSegmenter(waiting, stage_of(device))
    if Path(source).suffix.lower() in {".pth", ".pt"}:
        return OriginalSam.from_checkpoint(source, name=name, device=device, dtype=dtype)
    return TransformersSam.from_pretrained(
        source,
        name=name,
        device=device,
        dtype=dtype,
        revision=revision,
        variant=variant,
        local_files_only=local_files_only,
    )
