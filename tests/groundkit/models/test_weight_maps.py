"""The installed classes have exactly the tensors of the real checkpoints, by their published weight maps."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForImageTextToText

CHECKPOINTS = os.environ.get("GROUNDKIT_CHECKPOINTS", "")
pytestmark = pytest.mark.skipif(
    not CHECKPOINTS, reason="GROUNDKIT_CHECKPOINTS names no folder with the files of real checkpoints"
)
BYTES = 2  # a number of a real checkpoint, in bfloat16


def weight_map(path: str) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((Path(CHECKPOINTS) / path).read_text())
    return index


def size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters()) * BYTES


def test_flux_has_the_tensors_and_the_size_of_the_real_transformer() -> None:
    folder = Path(CHECKPOINTS) / "FLUX.1-schnell" / "transformer"
    with torch.device("meta"):
        model = FluxTransformer2DModel.from_config(FluxTransformer2DModel.load_config(folder))
    index = weight_map("FLUX.1-schnell/transformer/diffusion_pytorch_model.safetensors.index.json")
    assert set(model.state_dict()) == set(index["weight_map"])
    assert size(model) == index["metadata"]["total_size"]


def test_qwen_has_the_size_of_the_real_model() -> None:
    config = AutoConfig.from_pretrained(Path(CHECKPOINTS) / "Qwen2.5-VL-7B-Instruct")
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    index = weight_map("Qwen2.5-VL-7B-Instruct/model.safetensors.index.json")
    assert size(model) == index["metadata"]["total_size"]


def test_qwen_is_saved_under_the_names_of_the_real_tensors(tmp_path: Path) -> None:
    """Saving names tensors as published. As many blocks as the real model, but narrow ones."""
    config = AutoConfig.from_pretrained(Path(CHECKPOINTS) / "Qwen2.5-VL-7B-Instruct")
    config.text_config.update({"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2})
    config.text_config.update({"num_key_value_heads": 1, "vocab_size": 200})
    config.vision_config.update({"hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": 8})
    AutoModelForImageTextToText.from_config(config).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as saved:
        names = set(saved.keys())
    assert names == set(weight_map("Qwen2.5-VL-7B-Instruct/model.safetensors.index.json")["weight_map"])
