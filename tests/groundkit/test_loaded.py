"""What is loaded already becomes a pipeline that finds what the one loaded by name finds; nothing is loaded again."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from transformers import AutoModelForImageTextToText, AutoProcessor

import groundkit
from groundkit.errors import ConfigError, ModelError
from groundkit.weights.catalog import nano_folder

SCENE = Path(__file__).parents[2] / "samples" / "scene_1.png"


def same(first: groundkit.Grounding, second: groundkit.Grounding) -> None:
    np.testing.assert_array_equal(first.heatmap, second.heatmap)
    np.testing.assert_array_equal(first.masks, second.masks)
    assert first.settings == second.settings


def test_a_pipeline_of_diffusers_is_read_with_the_settings_of_its_folder() -> None:
    named = groundkit.load("refam", device="cpu")
    own = FluxPipeline.from_pretrained(nano_folder("flux"), dtype=torch.float32)
    loaded = groundkit.load("refam", model=own, segmenter=named.segmenter)
    assert loaded.diffusion.pipeline is own
    assert loaded.segmenter is named.segmenter
    same(loaded(SCENE, "the red cup"), named(SCENE, "the red cup"))


@pytest.mark.parametrize("method", ["vlsam", "decaf"])
def test_a_model_of_transformers_and_its_processor_are_read_as_a_family(method: str) -> None:
    folder = nano_folder("llava")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    pair = (model, AutoProcessor.from_pretrained(folder))
    loaded = groundkit.load(method, model=pair, segmenter="nano")
    same(loaded(SCENE, "the red cup"), groundkit.load(method, device="cpu")(SCENE, "the red cup"))


def test_families_are_shared_by_pipelines_and_by_the_members_of_an_ensemble() -> None:
    refam, vlsam = groundkit.load("refam", device="cpu"), groundkit.load("vlsam", device="cpu")
    plain = groundkit.load("cross-attention", model=refam.diffusion, segmenter=refam.segmenter)
    assert plain.diffusion is refam.diffusion
    both = groundkit.load("ensemble", model=[refam.diffusion, vlsam.vlm], segmenter=refam.segmenter)
    same(both(SCENE, "the red cup"), groundkit.load("ensemble", model="nano,nano", device="cpu")(SCENE, "the red cup"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"device": "cpu"}, ConfigError, "^device is for models that are loaded by name; this one is loaded already"),
        ({"offload": True}, ConfigError, "^offload is for models"),
        ({"pipeline": "vlsam"}, ConfigError, "^vlsam reads a vision-language model, not a FluxModel$"),
        ({"config": {"layers": "90-99"}}, ConfigError, "^layers='90-99': use all"),
        ({"segmenter": 5}, ConfigError, "^segmenter is a name, a path or a segmenter, not int$"),
    ],
)
def test_what_does_not_fit_a_loaded_model_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = groundkit.load("refam", device="cpu").diffusion
    with pytest.raises(error, match=message):
        groundkit.load(**{"model": model, "segmenter": "nano", **arguments})


def test_a_pipeline_of_no_family_and_a_model_without_its_processor_are_refused() -> None:
    class Other(FluxPipeline):
        pass

    own = groundkit.load("refam", device="cpu").diffusion.pipeline
    with pytest.raises(ModelError, match="no family for pipelines of class Other"):
        groundkit.load(model=Other(**own.components), segmenter="nano")
    model = AutoModelForImageTextToText.from_pretrained(nano_folder("llava"))
    with pytest.raises(ConfigError, match=r"comes with its processor: model=\(model, processor\)"):
        groundkit.load("vlsam", model=model, segmenter="nano")


def test_what_was_loaded_is_told_to_the_logger_and_printed_nowhere(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, "groundkit"):
        pipeline = groundkit.load("refam", device="cpu", config={"max_peaks": 2})
    told = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "groundkit"]
    assert any(
        level == "INFO" and re.fullmatch(r"refam: loaded nano and segmenter nano on cpu in [\d.]+ s", text)
        for level, text in told
    )
    assert any(level == "DEBUG" and "'max_peaks': 2" in text for level, text in told)
    assert capfd.readouterr() == ("", "")
    assert repr(pipeline.diffusion) == "<FluxModel 'nano' on cpu, float32>"
