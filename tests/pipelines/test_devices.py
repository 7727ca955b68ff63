"""Every pipeline and preset finds on a GPU what it finds on the CPU: bit for bit on a make-believe one.

nano runs through ``groundkit.load``, as it does for a user.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import Device

import groundkit
from groundkit.explain.diffusion import draw_explanation
from groundkit.masks.geometry import mask_iou

SCENE = Path(__file__).parents[2] / "samples" / "scene_2.png"
PHRASE = "the yellow dog on the left"
PIPELINES = {
    "refam": {"evidence": True},
    "cross-attention": {},
    "vlsam": {"evidence": True},
    "decaf": {},
    "ensemble": {"evidence": True},
}


def load(pipeline: str, device: str, dtype: str, **config: Any) -> Any:
    model = "nano,nano" if pipeline == "ensemble" else "nano"
    return groundkit.load(pipeline, model=model, device=device, dtype=dtype, local_files_only=True, config=config)


@pytest.mark.parametrize(
    ("pipeline", "dtype"),
    [*((name, "float32") for name in PIPELINES), ("refam", "bfloat16"), ("vlsam", "bfloat16"), ("vlsam", "float16")],
)
@pytest.mark.filterwarnings("ignore:float16 is about three times slower")
def test_a_pipeline_finds_on_the_device_what_it_finds_on_the_cpu(device: Device, pipeline: str, dtype: str) -> None:
    if device.name == "mps" and (dtype != "float32" or pipeline == "ensemble"):
        pytest.skip("an Apple device takes the same path; each family runs there in half precision")
    expected = load(pipeline, "cpu", dtype, **PIPELINES[pipeline])(SCENE, PHRASE)
    with device.used():
        actual = load(pipeline, device.name, dtype, **PIPELINES[pipeline])(SCENE, PHRASE)
    if device.real:
        assert mask_iou(actual.mask, expected.mask) > 0.9
        return
    exact = device.name == "cuda" or pipeline in ("vlsam", "decaf")  # FLUX counts positions in float32 on MPS
    device.assert_same(actual.heatmap, expected.heatmap, exact=exact)
    device.assert_same(actual.masks, expected.masks)
    device.assert_same(actual.points, expected.points)
    device.assert_same(actual.scores, expected.scores)
    if expected.evidence is not None:
        assert actual.evidence.score == pytest.approx(expected.evidence.score, rel=0 if exact else 1e-3)
    if exact:
        drawn, wanted = (draw_explanation(replace(each, seconds=0.0)) for each in (actual, expected))
        device.assert_same(drawn, wanted)


def test_discovery_names_on_the_device_what_it_names_on_the_cpu(device: Device) -> None:
    settings = {"crop_shares": (), "questions": "one", "min_verification": 0.1, "min_evidence": 0.01}
    expected = load("vlsam", "cpu", "float32", **settings).discover(SCENE)
    with device.used():
        actual = load("vlsam", device.name, "float32", **settings).discover(SCENE)
    assert actual.answers == expected.answers
    assert actual.labels == expected.labels
    assert len(actual.labels) > 1
    device.assert_same(actual.masks, expected.masks)
    device.assert_same(actual.scores, expected.scores)
    for one, other in zip(actual.points, expected.points, strict=True):
        device.assert_same(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("pipeline", ["refam", "vlsam", "ensemble"])
def test_a_pipeline_that_is_moved_to_the_device_finds_what_it_found_before(device: Device, pipeline: str) -> None:
    loaded = load(pipeline, "cpu", "float32")
    expected = loaded(SCENE, PHRASE)
    with device.used():
        moved = loaded.to(device.name)
        assert moved.device.type == device.name
        actual = moved(SCENE, PHRASE)
    assert actual.device.startswith(device.name)
    if device.real:
        assert mask_iou(actual.mask, expected.mask) > 0.9
    else:
        device.assert_same(actual.heatmap, expected.heatmap, exact=device.name == "cuda" or pipeline == "vlsam")
        device.assert_same(actual.masks, expected.masks)
