import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundkit
from groundkit.errors import ConfigError, ModelError
from groundkit.masks.geometry import mask_iou
from groundkit.models import locate
from groundkit.outputs.record import record
from groundkit.pipelines.resolve import readings_for, resolve
from groundkit.results import Grounding
from groundkit.weights import catalog


def test_every_exported_name_exists_and_is_documented() -> None:
    for name in groundkit.__all__:
        assert getattr(groundkit, name).__doc__, name
    assert groundkit.__all__ == sorted(groundkit.__all__)


def test_nano_is_loaded_through_the_real_loaders_and_grounds_a_phrase() -> None:
    pipeline = groundkit.load(local_files_only=True, device="cpu")
    assert (pipeline.name, pipeline.model) == ("refam", "nano")
    picture = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    grounding = pipeline(picture, "the red cup")
    assert isinstance(grounding, Grounding)
    assert grounding.masks.shape == (1, 90, 130)
    assert grounding.model == "nano"
    config = resolve("refam", None, readings_for("refam", "nano"))
    shown = config.list_settings()
    told = {each.name: each.value for each in shown}
    assert grounding.settings == told  # what groundkit settings shows is what ran
    assert grounding.origins == {each.name: each.origin for each in shown if each.origin != "default"}
    assert {"evidence": True, "layers": "1-2", "direction": "image_to_text"}.items() <= told.items()
    assert record(grounding, "a.png")["settings"] == told
    assert record(grounding, "a.png")["origins"]["layers"] == "checkpoint"


def test_the_plain_preset_uses_no_magnet_and_no_filter() -> None:
    config = groundkit.load("cross-attention", device="cpu").config
    assert config.reading.magnets == ()
    assert [type(stage).__name__ for stage in config.stages] == ["Layers", "Words", "Tokens", "Negation"]
    assert config.stages[1].kept_words == "all"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"pipeline": "vlsum"},
            r"no pipeline named 'vlsum', did you mean vlsam\? Use one of refam, cross-attention, vlsam",
        ),
        ({"device": "gpu"}, r"no device named 'gpu', did you mean cuda\? Use one of auto, cpu, cuda, cuda:1, mps"),
        ({"device": "cuda:99"}, r"device 'cuda:99' is not on this machine: use device=\"auto\" or device=\"cpu\""),
        ({"dtype": "int8"}, r"no dtype named 'int8': use one of auto, float32, bfloat16, float16"),
        ({"dtype": "fp16"}, r"no dtype named 'fp16', did you mean float16\?"),
        ({"device": "0"}, r"no device named '0', did you mean cuda:0\?"),
        (
            {"config": {"magnet": ["a"]}},
            r"no setting named 'magnet', did you mean magnets\? Use one of prompter, ",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        groundkit.load(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("pipeline", ["refam", "vlsam"])
def test_layers_that_the_model_does_not_have_are_refused_before_any_picture(pipeline: str) -> None:
    with pytest.raises(ConfigError, match="layers='90-99': use all, late"):
        groundkit.load(pipeline, device="cpu", config={"layers": "90-99"})


def test_a_missing_model_and_a_missing_segmenter_are_refused_in_one_line(tmp_path: Path) -> None:
    for arguments in ({"model": tmp_path}, {"segmenter": tmp_path}, {"segmenter": tmp_path / "sam.pth"}):
        with pytest.raises(ModelError) as refused:
            groundkit.load(device="cpu", local_files_only=True, **arguments)  # type: ignore[arg-type]
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "of_model", "of_segmenter"),
    [
        ({}, "float32", "float32"),
        ({"dtype": "bfloat16"}, "bfloat16", "bfloat16"),
        ({"dtype": "bfloat16", "segmenter_dtype": "float32"}, "bfloat16", "float32"),
        ({"segmenter_dtype": torch.bfloat16}, "float32", "bfloat16"),
        ({"dtype": "float32", "segmenter_dtype": "auto"}, "float32", "float32"),
    ],
)
def test_the_segmenters_encoder_runs_in_the_dtype_that_is_named_for_it_or_for_the_model(
    asked: dict[str, Any], of_model: str, of_segmenter: str
) -> None:
    pipeline: Any = groundkit.load(device="cpu", local_files_only=True, **asked)
    assert pipeline.diffusion.pipeline.transformer.dtype == getattr(torch, of_model)
    assert pipeline.segmenter.dtype == pipeline.segmenter.model.vision_encoder.dtype == getattr(torch, of_segmenter)
    assert pipeline.segmenter.model.mask_decoder.upscale_conv1.weight.dtype == torch.float32


def test_a_dtype_for_a_segmenter_that_is_loaded_already_is_refused() -> None:
    loaded = groundkit.load(device="cpu", local_files_only=True).segmenter
    with pytest.raises(ConfigError, match="segmenter_dtype is for a segmenter that is loaded by name"):
        groundkit.load(device="cpu", local_files_only=True, segmenter=loaded, segmenter_dtype="bfloat16")


@pytest.mark.parametrize("option", ["dtype", "segmenter_dtype"])
def test_float16_on_a_cpu_works_and_is_told_to_be_slow(option: str) -> None:
    picture = Path(__file__).parents[2] / "samples" / "scene_1.png"
    exact = groundkit.load("vlsam", device="cpu", local_files_only=True)(picture, "the red cup")
    asked: dict[str, Any] = {option: "float16"}
    with pytest.warns(UserWarning, match="three times slower") as told:
        half = groundkit.load("vlsam", device="cpu", local_files_only=True, **asked)(picture, "the red cup")
    assert len({str(each.message) for each in told}) == 1
    assert mask_iou(exact.mask, half.mask) > 0.95


@pytest.mark.filterwarnings("ignore:float16 is about three times slower")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("pipeline", ["vlsam", "decaf"])
def test_nanos_vision_language_model_finds_in_half_precision_what_it_finds_in_float32(
    pipeline: str, dtype: str
) -> None:
    picture = Path(__file__).parents[2] / "samples" / "scene_1.png"
    exact, half = (
        groundkit.load(pipeline, device="cpu", dtype=kind)(picture, "the red cup") for kind in ("float32", dtype)
    )
    assert np.corrcoef(exact.heatmap.ravel(), half.heatmap.ravel())[0, 1] > 0.99
    assert mask_iou(exact.mask, half.mask) > 0.9


def test_the_embedded_models_stay_small_40_megabytes_for_refam_and_30_for_the_vision_language_model() -> None:
    def size(part: catalog.NanoPart) -> int:
        return sum(file.stat().st_size for file in catalog.nano_folder(part).rglob("*") if file.is_file())

    assert size("flux") + size("sam") < 40e6
    assert size("llava") < 30e6


def test_the_catalog_names_each_source_once_and_nano_is_on_disk() -> None:
    entries = catalog.entries()
    assert len({(entry.kind, entry.source, entry.embedded) for entry in entries}) == len(entries)
    for entry in entries:
        assert (entry.embedded is not None) == (entry.source == "nano")
        if entry.embedded:
            assert catalog.nano_folder(entry.embedded).is_dir()


@pytest.mark.parametrize(
    ("before", "environment", "expected"),
    [
        ("", {}, "1000"),
        ("", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("", {"OMP_WAIT_POLICY": "PASSIVE"}, "None"),
        ("sys.modules['torch'] = object(); ", {}, "None"),  # too late: it is read when torch is imported
    ],
)
def test_waiting_threads_are_bounded_before_torch_is_imported_unless_somebody_has_decided(
    before: str, environment: dict[str, str], expected: str
) -> None:
    theirs = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = f"import os, sys; {before}import groundkit; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", code], env={**theirs, **environment}, capture_output=True, text=True)
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("backend", ["flash", "flex", "no-such-backend"])
def test_another_attention_than_torchs_own_is_refused_in_one_line(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFUSERS_ATTN_BACKEND", backend)
    with pytest.raises(ConfigError, match=f"^DIFFUSERS_ATTN_BACKEND={backend}: attention can be read from torch's"):
        groundkit.load(device="cpu")


@pytest.mark.parametrize("pipeline", ["refam", "vlsam"])
def test_a_model_is_located_once(pipeline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[str] = []
    find = locate.find_file

    def counted(source: str | Path, name: str, revision: str | None, local: bool) -> object:
        looked_for.append(f"{source}/{name}")
        return find(source, name, revision, local)

    monkeypatch.setattr(locate, "find_file", counted)
    groundkit.load(pipeline, device="cpu", local_files_only=True)
    assert len(looked_for) == len(set(looked_for)) == 2  # the model and the segmenter


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "others"), [("refam", "groundkit.pipelines.vlsam"), ("vlsam", "diffusers"), ("decaf", "diffusers")]
)
def test_a_method_is_loaded_without_what_reads_models_of_another_kind(name: str, others: str) -> None:
    code = f"import sys, groundkit; groundkit.load({name!r}, device='cpu'); sys.exit({others!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
