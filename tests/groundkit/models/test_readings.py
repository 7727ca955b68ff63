"""What a checkpoint and its family say of themselves, and that the published table fits the real models."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler

import groundkit
from groundkit.errors import ConfigError, ModelError
from groundkit.models.diffusion.base import select_layers
from groundkit.models.readings import FILE, Reading, published, readings_of
from groundkit.pipelines.resolve import PRESETS, readings_for, resolve
from groundkit.weights.catalog import nano_folder

CHECKPOINTS = os.environ.get("GROUNDKIT_CHECKPOINTS")
needs_checkpoints = pytest.mark.skipif(not CHECKPOINTS, reason="needs GROUNDKIT_CHECKPOINTS")
OWN = {"methods": ["refam"], "source": "measured here", "settings": {"noise_level": 0.4}}


@pytest.fixture
def flux(tmp_path: Path) -> Path:
    """The configuration of FLUX.1 in a folder, without weights."""
    (tmp_path / "transformer").mkdir()
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (tmp_path / "transformer" / "config.json").write_text('{"num_layers": 19, "num_single_layers": 38}')
    return tmp_path


def write(folder: Path, *readings: dict[str, Any]) -> None:
    (folder / FILE).write_text(json.dumps({"readings": readings}))


def test_every_published_reading_names_a_source_and_holds_settings_that_its_methods_take() -> None:
    for reading in published():
        assert reading.source
        assert reading.models
        for method in reading.methods:
            resolve(method, reading.settings)


@needs_checkpoints
@pytest.mark.parametrize(
    ("name", "file", "method", "layers"),
    [
        ("FLUX.1-schnell", "model_index.json", "refam", ["double_15", "double_18", 4]),
        ("Qwen2.5-VL-7B-Instruct", "config.json", "decaf", ["14", "27", 14]),
    ],
)
def test_the_layers_of_a_published_reading_exist_in_the_real_model(
    name: str, file: str, method: str, layers: list[Any]
) -> None:
    folder = Path(str(CHECKPOINTS)) / name
    (reading,) = readings_of(folder, method, file).family
    if method == "refam":
        config = json.loads((folder / "transformer" / "config.json").read_text())
        names = [f"double_{i}" for i in range(config["num_layers"])]
        names += [f"single_{i}" for i in range(config["num_single_layers"])]
    else:
        names = [str(i) for i in range(json.loads((folder / file).read_text())["num_hidden_layers"])]
    chosen = select_layers(names, reading.settings["layers"])
    assert [chosen[0], chosen[-1], len(chosen)] == layers


def test_layers_of_a_published_reading_lie_within_the_sizes_that_it_is_for() -> None:
    for reading in published():
        if "layers" in reading.settings:
            last = int(reading.settings["layers"].split("-")[1])
            assert last < sum(reading.sizes.values())


def test_seg4diffs_noise_level_is_that_of_its_schedule() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(28)
    (reading,) = (each for each in published() if "StableDiffusion3Pipeline" in each.models)
    assert reading.settings["noise_level"] == pytest.approx(float(scheduler.timesteps[-8]) / 1000, abs=1e-3)


def test_hunyuan_videos_guidance_is_the_default_of_its_pipeline() -> None:
    (reading,) = (each for each in published() if "HunyuanVideoPipeline" in each.models)
    default = inspect.signature(diffusers.HunyuanVideoPipeline.__call__).parameters["guidance_scale"].default
    assert reading.settings == {"guidance": default}


def test_a_family_of_another_size_takes_nothing_from_the_table(flux: Path) -> None:
    assert readings_of(flux, "refam", "model_index.json").family
    (flux / "transformer" / "config.json").write_text('{"num_layers": 2, "num_single_layers": 2}')
    assert not readings_of(flux, "refam", "model_index.json").family


def test_each_layer_of_settings_goes_over_the_one_before(flux: Path) -> None:
    def noise_level(given: dict[str, Any] | None = None) -> tuple[float, str]:
        config = resolve("refam", given, readings_for("refam", flux))
        return config.reading.noise_level, config.origins.get("noise_level", "default")  # type: ignore[attr-defined]

    assert resolve("refam").flat()["noise_level"] == 0.3
    assert noise_level() == (0.5, "family, a guess")
    write(flux, OWN, {**OWN, "preset": "sharp", "settings": {"noise_level": 0.2}})
    assert noise_level() == (0.4, "checkpoint")
    assert noise_level({"preset": "sharp"}) == (0.2, "preset sharp")
    assert noise_level({"preset": "sharp", "noise_level": 0.1}) == (0.1, "given")
    with pytest.raises(ConfigError, match="no preset named 'shrap', did you mean sharp"):
        noise_level({"preset": "shrap"})
    with pytest.raises(ConfigError, match="preset=sharp: this model has none for this method"):
        resolve("vlsam", {"preset": "sharp"}, readings_for("vlsam", flux))


def test_the_settings_in_a_folder_are_used_whatever_its_name(tmp_path: Path) -> None:
    folder = shutil.copytree(nano_folder("flux"), tmp_path / "mine")
    write(folder, {**OWN, "settings": {"layers": "1-2", "noise_level": 0.4}})
    pipeline = groundkit.load(model=folder, segmenter="nano", device="cpu", dtype="float32")
    reading = pipeline.config.reading
    assert (reading.layers, reading.noise_level, reading.heads) == ("1-2", 0.4, None)


def test_methods_that_a_file_does_not_name_run_as_without_it(flux: Path) -> None:
    write(flux, OWN)
    assert readings_for("cross-attention", flux).own == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "groundkit.json cannot be read"),
        ("[]", "groundkit.json must hold one JSON object"),
        ("{}", "groundkit.json is not valid"),
        ('{"readings": [{"methods": ["refam"]}]}', "groundkit.json is not valid"),
        ('{"readings": [{"method": "refam"}]}', "groundkit.json is not valid"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(flux: Path, content: str, reason: str) -> None:
    (flux / FILE).write_text(content)
    with pytest.raises(ModelError) as refused:
        readings_for("refam", flux)
    assert str(refused.value).startswith(f"{flux}: {reason}")
    assert "\n" not in str(refused.value)


def test_a_setting_of_a_checkpoint_that_does_not_exist_is_refused_with_the_file_in_the_message(flux: Path) -> None:
    write(flux, {**OWN, "settings": {"noise_levl": 0.4}})
    with pytest.raises(ModelError, match=r"groundkit.json: no setting named 'noise_levl', did you mean noise_level"):
        resolve("refam", None, readings_for("refam", flux))


def test_a_hub_id_is_read_from_the_cache_and_a_missing_one_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, flux: Path
) -> None:
    asked: list[str] = []

    def from_cache(source: str, name: str, revision: str | None = None) -> object:
        asked.append(name)
        if name == FILE:
            return object()  # known to be missing on the Hub
        return str(flux / name)

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", from_cache)
    monkeypatch.setattr("groundkit.models.locate.find_file", lambda *_: pytest.fail("the Hub was asked"))
    found = readings_of("some/model", "refam", "model_index.json")
    assert (len(found.family), found.own, found.found) == (1, (), True)
    assert asked == ["model_index.json", "transformer/config.json", FILE]


def test_with_local_files_only_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundkit.models.locate.find_file", lambda *_: pytest.fail("the Hub was asked"))
    assert not readings_of("some/model", "refam", "model_index.json", local_files_only=True).found


def test_the_embedded_checkpoints_hold_settings_of_the_methods_that_read_them() -> None:
    for method in PRESETS:
        for reading in readings_for(method, "nano").own:
            assert isinstance(reading, Reading)
            resolve(method, reading.settings)
