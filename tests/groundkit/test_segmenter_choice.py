"""Which segmenter goes with a model when none is named: one for nano, one for all real models."""

import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

import groundkit
from groundkit.errors import ModelError
from groundkit.outputs.record import record
from groundkit.results import Grounding
from groundkit.weights.catalog import default_segmenter, nano_folder


def into_cache(folder: Path, cache: Path, source: str) -> None:
    """Lay a model where the Hub's client would have downloaded it."""
    home = cache / f"models--{source.replace('/', '--')}"
    shutil.copytree(folder, home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def real_model(tmp_path: Path) -> Path:
    """A model that is not known as nano."""
    return Path(shutil.copytree(nano_folder("llava"), tmp_path / "llava"))


def test_nano_alone_gets_nanos_segmenter() -> None:
    assert default_segmenter("nano") == default_segmenter("nano,nano") == "nano"
    assert default_segmenter("nano,some/model") == default_segmenter(Path("folder")) == "facebook/sam-vit-base"


@pytest.mark.parametrize("others", [[], ["facebook/sam-vit-huge", "facebook/sam-vit-large"]])
@pytest.mark.parametrize("segmenter", [None, "auto"])
def test_a_real_model_gets_the_same_segmenter_whatever_else_is_on_disk(
    cache: Path, real_model: Path, others: list[str], segmenter: str | None
) -> None:
    for source in ["facebook/sam-vit-base", *others]:
        into_cache(nano_folder("sam"), cache, source)
    pipeline = groundkit.load("vlsam", model=real_model, segmenter=segmenter, device="cpu", local_files_only=True)
    grounding = pipeline(np.zeros((64, 64, 3), np.uint8), "the red cup")
    assert isinstance(grounding, Grounding)
    assert record(grounding, "a.png")["segmenter"] == "facebook/sam-vit-base"


def test_an_ensemble_with_a_real_member_gets_the_real_segmenter(cache: Path, real_model: Path) -> None:
    into_cache(nano_folder("sam"), cache, "facebook/sam-vit-base")
    pipeline = groundkit.load("ensemble", model=f"nano,{real_model}", device="cpu", local_files_only=True)
    assert pipeline.segmenter.name == "facebook/sam-vit-base"


def test_a_default_that_is_absent_is_one_line_with_what_is_on_disk(
    cache: Path, real_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"name another segmenter \(on disk: none that groundkit knows\)$"):
        groundkit.load("vlsam", model=real_model, device="cpu", local_files_only=True)
    large = cache / "models--facebook--sam-vit-large" / "blobs" / "0"
    large.parent.mkdir(parents=True)
    for file, size in ((large, 1_250_000_000), (tmp_path / "sam_vit_b_01ec64.pth", 375_000_000)):
        with file.open("wb") as content:
            content.truncate(size)
    broken_off = cache / "models--facebook--sam-vit-huge" / "blobs" / "0"
    broken_off.parent.mkdir(parents=True)
    broken_off.write_bytes(b"x" * 1000)
    with pytest.raises(ModelError) as refused:
        groundkit.load("vlsam", model=real_model, device="cpu", local_files_only=True)
    message = str(refused.value)
    assert message.startswith("facebook/sam-vit-base: no such folder, and not in the local Hub cache; ")
    assert message.endswith(
        "; it is the default: name another segmenter (on disk: facebook/sam-vit-large, sam_vit_b_01ec64.pth)"
    )
    assert "\n" not in message


def test_what_is_missing_is_found_before_the_large_model_is_loaded(cache: Path, real_model: Path) -> None:
    (real_model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"^facebook/sam-vit-base: "):
        groundkit.load("vlsam", model=real_model, device="cpu", local_files_only=True)
