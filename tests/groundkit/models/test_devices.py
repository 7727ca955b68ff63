"""FLUX looks at a picture on a GPU as it does on the CPU: bit for bit on a make-believe one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from devices import DTYPES, Device

from groundkit.attention.maps import AttentionMaps
from groundkit.models.diffusion.flux import FluxModel
from groundkit.models.options import LoadOptions, ReadOptions

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)


def read(model: FluxModel) -> AttentionMaps:
    model.size = (96, 96)  # half precision is slow on a CPU
    words = [model.tokenizer(text).input_ids for text in ("the red cup", "with")]
    text = model.encode_text(words, "the red cup")
    return model.read_attention(model.encode(PICTURE[None]), text, ReadOptions(seed=1))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_flux_reads_on_the_device_what_it_reads_on_the_cpu(
    device: Device, dtype: torch.dtype, flux_folder: Path
) -> None:
    expected = read(FluxModel.from_pretrained(flux_folder, LoadOptions(dtype=dtype)))
    with device.used():
        actual = read(
            FluxModel.from_pretrained(flux_folder, LoadOptions(dtype=dtype, device=torch.device(device.name)))
        )
    # diffusers counts FLUX's positions in float64, and on MPS, which has none, in float32.
    device.assert_same(actual.values, expected.values, exact=device.name == "cuda")
    device.assert_same(actual.text, expected.text, exact=device.name == "cuda")
