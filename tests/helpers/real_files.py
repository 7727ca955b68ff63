"""Untrained models of a real checkpoint's class, small inside, beside its real processor, tokenizer and template."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

CHECKPOINTS = os.environ.get("GROUNDKIT_CHECKPOINTS", "")
QWEN, GRANITE = "Qwen2.5-VL-7B-Instruct", "granite-docling-258M"
needs_checkpoints = pytest.mark.skipif(
    not CHECKPOINTS, reason="GROUNDKIT_CHECKPOINTS names no folder with the files of real checkpoints"
)
# What the weights' sizes come from; patches, tiles and vocabulary stay the checkpoint's own.
_SMALL = {
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    },
    "vision_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "depth": 2,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
    },
}


def save_small(name: str, folder: Path) -> None:
    """Copy a checkpoint's small files to a folder, and add weights of its class that are small and random."""
    for file in (Path(CHECKPOINTS) / name).iterdir():
        if file.name != "model.safetensors.index.json":
            shutil.copy(file, folder)
    config: Any = AutoConfig.from_pretrained(folder)
    for part, sizes in _SMALL.items():
        own = getattr(config, part)
        for key, value in sizes.items():
            if hasattr(own, key):
                setattr(own, key, value)
    if hasattr(config.text_config, "layer_types"):
        config.text_config.layer_types = ["full_attention"] * config.text_config.num_hidden_layers
    if mrope := (config.text_config.rope_parameters or {}).get("mrope_section"):
        config.text_config.rope_parameters["mrope_section"] = [2, 1, 1][: len(mrope)]
    config.dtype = torch.float32
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    generation = json.loads((folder / "generation_config.json").read_text())
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(generation))  # the checkpoint's own, not a default
