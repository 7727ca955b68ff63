"""Both implementations of SAM segment on a GPU as they do on the CPU: bit for bit on a make-believe one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from devices import DTYPES, Device

from groundkit.models.options import LoadOptions
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.load import load_segmenter
from groundkit.segmenters.points import PointPrompts

PROMPTS = PointPrompts.from_rows(np.array([[20.5, 30.5, 1], [60.0, 8.0, 0]], np.float32))


def propose(source: Path, picture: np.ndarray, device: str, dtype: torch.dtype) -> tuple[MaskProposals, MaskProposals]:
    """The proposals for two points, and one refined with a mask and a box."""
    segmenter = load_segmenter(source, LoadOptions(device=torch.device(device), dtype=dtype))
    embedding = segmenter.embed(picture)
    first = segmenter.segment(embedding, PROMPTS)
    assert first.logits is not None
    box = np.array([5, 6, 50, 60], np.float32)
    return first, segmenter.segment(embedding, PROMPTS, mask=first.logits[0], box=box, several=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("kind", ["transformers", "original"])
def test_sam_proposes_on_the_device_what_it_proposes_on_the_cpu(
    device: Device,
    dtype: torch.dtype,
    kind: str,
    sam_folder: Path,
    sam_checkpoint: Path,
    make_picture: Callable[[int, int], np.ndarray],
) -> None:
    source = sam_folder if kind == "transformers" else sam_checkpoint
    expected = propose(source, make_picture(70, 90), "cpu", dtype)
    with device.used():
        actual = propose(source, make_picture(70, 90), device.name, dtype)
    for one, other in zip(actual, expected, strict=True):
        device.assert_same(one.logits, other.logits)
        device.assert_same(one.scores, other.scores)
        device.assert_same(one.masks, other.masks)
