"""Load whichever segmenter a name stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from groundkit.models.offload import check_offload, stage_of
from groundkit.models.options import LoadOptions
from groundkit.segmenters.base import Segmenter
from groundkit.segmenters.offload import OffloadedSegmenter
from groundkit.segmenters.sam_transformers import TransformersSam


def load_segmenter(source: str | Path, options: LoadOptions | None = None) -> Segmenter:
    """Load a segmenter from a checkpoint file, a folder, or the Hugging Face Hub.

    Args:
        source: a ``.pth`` or ``.pt`` file of the ``segment-anything`` package; or a model folder; or a Hub id.
        options: where it goes, and which files are read; revision and variant say nothing about a checkpoint file. The
            dtype is that of the image encoder: prompts and masks are always computed in float32.

    Raises:
        ModelError: nothing that can be loaded is there; the message says what to do.
    """
    options = options or LoadOptions()
    if options.offload:
        check_offload(options.device)
        waiting = load_segmenter(source, replace(options, offload=False, device=torch.device("cpu")))
        return OffloadedSegmenter(waiting, stage_of(options.device))
    if Path(source).suffix.lower() in {".pth", ".pt"}:
        from groundkit.segmenters.sam_original import OriginalSam  # needs libraries that the other does not

        return OriginalSam.from_checkpoint(source, options)
    return TransformersSam.from_pretrained(source, options)
