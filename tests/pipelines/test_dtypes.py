"""Numbers that are no numbers are refused, and the user's default dtype changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundkit
from groundkit.errors import AttentionError

SCENE = Path(__file__).parents[2] / "samples" / "scene_1.png"
PIPELINES = ["refam", "cross-attention", "vlsam", "decaf", "ensemble"]


def load(pipeline: str, **options: Any) -> Any:
    model = "nano,nano" if pipeline == "ensemble" else "nano"
    return groundkit.load(pipeline, model=model, device="cpu", local_files_only=True, **options)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("pipeline", ["refam", "vlsam", "decaf"])
def test_attention_that_is_not_finite_becomes_an_error_and_no_mask(pipeline: str, dtype: str) -> None:
    loaded = load(pipeline, dtype=dtype)
    if pipeline == "refam":
        loaded.diffusion.pipeline.transformer.x_embedder.weight.data.fill_(torch.nan)
    else:
        loaded.vlm.model.get_decoder().layers[0].self_attn.k_proj.weight.data.fill_(torch.nan)
    remedy = "in float32: the model's weights are damaged" if dtype == "float32" else 'use dtype="bfloat16"'
    with pytest.raises(AttentionError, match=remedy):
        loaded(SCENE, "the red cup")


@pytest.fixture
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_default_dtype_of_the_user_changes_nothing(pipeline: str, request: pytest.FixtureRequest) -> None:
    expected = load(pipeline)(SCENE, "the red cup")
    request.getfixturevalue("float64_by_default")
    found = load(pipeline)(SCENE, "the red cup")
    np.testing.assert_array_equal(found.heatmap, expected.heatmap)
    np.testing.assert_array_equal(found.masks, expected.masks)
    assert found.heatmap.dtype == expected.heatmap.dtype


def test_discovery_does_not_mind_a_default_dtype_of_the_user(float64_by_default: None) -> None:
    found = load("vlsam", config={"crop_shares": (), "questions": "one"}).discover(SCENE)
    torch.set_default_dtype(torch.float32)
    expected = load("vlsam", config={"crop_shares": (), "questions": "one"}).discover(SCENE)
    assert found.labels == expected.labels
    np.testing.assert_array_equal(found.masks, expected.masks)
