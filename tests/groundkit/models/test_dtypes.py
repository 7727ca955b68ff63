"""What ``auto`` stands for, by the processor and the model."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pretend_device import pretend

import groundkit
from groundkit.models import dtypes
from groundkit.models.dtypes import choose_dtype
from groundkit.weights.catalog import nano_folder

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize(
    ("capability", "published", "expected"),
    [
        ((9, 0), None, torch.bfloat16),
        ((8, 0), torch.float16, torch.bfloat16),
        ((7, 5), torch.float16, torch.float16),
        ((7, 5), torch.bfloat16, torch.float32),
        ((7, 5), None, torch.float32),
    ],
    ids=str,
)
def test_a_gpu_without_bfloat16_takes_float16_only_of_models_published_in_it(
    capability: tuple[int, int], published: torch.dtype | None, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    choice = choose_dtype(CUDA, published=published)
    assert choice.dtype is expected
    assert ".".join(map(str, capability)) in choice.reason


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_and_an_apple_gpu_take_bfloat16_where_they_have_it(
    has: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dtypes, "_cpu_has_bfloat16", lambda: has)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: has and major == 14)
    assert choose_dtype(CPU, published=torch.float16).dtype is expected
    assert choose_dtype(MPS, published=torch.float16).dtype is expected


def test_a_mac_whose_torch_lacks_mkldnn_runs_in_float32_on_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert choose_dtype(CPU).dtype is torch.float32


def test_nano_is_in_float32_everywhere() -> None:
    with pretend("cuda"):
        assert choose_dtype(CUDA, embedded=True).dtype is torch.float32
    assert choose_dtype(CPU, embedded=True).dtype is torch.float32


@pytest.mark.parametrize(("pipeline", "part"), [("refam", "flux"), ("vlsam", "llava")])
def test_a_model_from_a_folder_runs_in_what_is_chosen_and_the_reason_is_logged(
    pipeline: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dtypes, "_cpu_has_bfloat16", lambda: True)
    folder = shutil.copytree(nano_folder(part), tmp_path / part)  # type: ignore[arg-type]
    for model, expected in ((folder, "bfloat16"), ("nano", "float32")):
        with caplog.at_level(logging.INFO, logger="groundkit"):
            loaded = groundkit.load(pipeline, model=model, segmenter="nano", device="cpu", local_files_only=True)
        used = loaded.diffusion if pipeline == "refam" else loaded.vlm  # type: ignore[union-attr]
        assert str(used.dtype) == f"torch.{expected}"
        assert f"{model} runs in {expected}: " in caplog.text
