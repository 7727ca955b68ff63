"""No pipeline touches the random numbers of the program that calls it, and a seed gives the same result each time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundkit

SCENE = Path(__file__).parents[2] / "samples" / "scene_2.png"
ONE_LOOK = {"questions": "one", "crop_shares": (), "min_verification": 0.0}


def states() -> list[Any]:
    kind, keys, *rest = np.random.get_state()
    return [torch.get_rng_state().tolist(), kind, np.asarray(keys).tolist(), rest, random.getstate()]


def load(pipeline: str, **config: object) -> Any:
    model = "nano,nano" if pipeline == "ensemble" else "nano"
    return groundkit.load(pipeline, model=model, device="cpu", dtype="float32", local_files_only=True, config=config)


@pytest.mark.parametrize("name", ["refam", "cross-attention", "vlsam", "decaf", "ensemble"])
def test_a_phrase_leaves_the_callers_random_numbers_as_they_were(name: str) -> None:
    before = states()
    pipeline = load(name)
    found = pipeline(SCENE, "the red cup", seed=3)
    assert states() == before
    torch.manual_seed(99)
    again = pipeline(SCENE, "the red cup", seed=3)
    np.testing.assert_array_equal(again.heatmap, found.heatmap)
    np.testing.assert_array_equal(again.masks, found.masks)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_discovery_leaves_them_too_also_where_it_samples(temperature: float) -> None:
    pipeline = load("vlsam", temperature=temperature, max_tokens=24, **ONE_LOOK)
    before = states()
    found = pipeline.discover(SCENE, seed=3)
    assert states() == before
    torch.manual_seed(99)
    again = pipeline.discover(SCENE, seed=3)
    assert again.answers == found.answers
    np.testing.assert_array_equal(again.masks, found.masks)
    other = pipeline.discover(SCENE, seed=4)
    assert (other.answers != found.answers) == (temperature > 0)
