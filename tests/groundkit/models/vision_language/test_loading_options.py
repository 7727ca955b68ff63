"""What can be said about how a vision-language model is loaded: the variant of its files, and offloading."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

import groundkit
from groundkit.errors import ConfigError, ModelError
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.families import load_vision_language
from groundkit.pipelines.vlsam import VLSAM


@pytest.fixture(scope="module")
def folder(save_tiny: Callable[[str], Path]) -> Path:
    return save_tiny("llava")


def test_the_variant_decides_which_weight_file_is_read(folder: Path, tmp_path: Path) -> None:
    both = shutil.copytree(folder, tmp_path / "both")
    (both / "model.safetensors").rename(both / "model.fp16.safetensors")
    loaded = groundkit.load("vlsam", model=both, variant="fp16", device="cpu", segmenter="nano", local_files_only=True)
    assert isinstance(loaded, VLSAM)
    plain = groundkit.load("vlsam", model=folder, device="cpu", segmenter="nano", local_files_only=True)
    assert isinstance(plain, VLSAM)
    weights = zip(loaded.vlm.model.parameters(), plain.vlm.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_a_variant_that_the_folder_has_not_is_refused_in_one_line(folder: Path) -> None:
    with pytest.raises(ModelError, match="check the variant") as refused:
        groundkit.load("vlsam", model=folder, variant="fp8", device="cpu", segmenter="nano", local_files_only=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("pipeline", "models"), [("vlsam", "{}"), ("decaf", "{}"), ("ensemble", "nano,{}")])
def test_offloading_without_a_gpu_is_refused(folder: Path, pipeline: str, models: str) -> None:
    with pytest.raises(ConfigError, match="offload=True moves parts to a GPU"):
        groundkit.load(
            pipeline, model=models.format(folder), offload=True, device="cpu", segmenter="nano", local_files_only=True
        )


def test_a_checkpoint_that_was_saved_quantised_is_read(load_tiny: Callable[[str], Any], tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    plain = load_tiny("qwen2_5_vl")
    eight_bits = BitsAndBytesConfig(load_in_8bit=True)
    AutoModelForImageTextToText.from_pretrained(plain.name, quantization_config=eight_bits).save_pretrained(tmp_path)
    plain.processor.save_pretrained(tmp_path)
    model = load_vision_language(tmp_path, LoadOptions(local_files_only=True))
    assert model.model.is_quantized
    picture = model.encode(np.zeros((64, 64, 3), np.uint8))
    assert torch.isfinite(model.logits(model.ask(picture, "What is this?"))).all()


def test_a_processor_with_meaningless_values_is_refused_in_one_line_before_the_first_picture(
    folder: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    (path,) = (each for each in broken.glob("*processor_config.json") if '"resample"' in each.read_text())
    path.write_text(re.sub(r'"resample": \d+', '"resample": 77', path.read_text()))
    with pytest.raises(ModelError) as refused:
        load_vision_language(broken, LoadOptions(local_files_only=True))
    assert str(refused.value).startswith(f"{broken}: cannot be loaded (")
    assert "\n" not in str(refused.value)
