"""Every family looks at a clip on a GPU as it does on the CPU: bit for bit on a make-believe one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from devices import Device, each_dtype, on_both

from groundkit.models.diffusion.base import DiffusionModel
from groundkit.models.options import ReadOptions


def outcome(model: DiffusionModel) -> dict[str, Any]:
    frames = np.random.default_rng(0).integers(
        0, 256, (model.clip_length(model.compression[0] + 1), *model.size, 3), dtype=np.uint8
    )
    clip = model.encode(frames)
    words = [model.tokenizer(text).input_ids for text in ("the red cup", "with")]
    maps = model.read_attention(clip, model.encode_text(words, "the red cup"), ReadOptions(seed=1, heads=(1,)))
    outcome = {"latents": clip.latents, "maps": maps.values}
    return outcome if maps.text is None else {**outcome, "words": maps.text}


@pytest.mark.filterwarnings("ignore:In (CPU|CUDA|MPS) autocast:UserWarning")  # of Mochi's own making
@each_dtype
def test_a_family_reads_on_the_device_what_it_reads_on_the_cpu(
    device: Device, dtype: torch.dtype, load_model: Callable[..., DiffusionModel]
) -> None:
    for name, actual, expected in on_both(outcome, load_model, device, dtype):
        # diffusers counts Wan's positions in float64, and on MPS in float32
        device.assert_same(actual, expected, exact=device.name == "cuda" or name == "latents")
