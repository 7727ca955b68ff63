"""Masks are chosen at a bounded size and made at the picture's; results keep little, and give what they always gave."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import groundkit
from groundkit.masks.geometry import boxes_of, mask_iou
from groundkit.media.crops import Window, crops
from groundkit.media.images import read_image

SCENE = read_image(Path(__file__).parents[2] / "samples" / "scene_1.png")
LARGE = np.asarray(Image.fromarray(SCENE).resize((1600, 1200), Image.Resampling.BICUBIC))
PHRASE = "the red cup"


@pytest.fixture(scope="module")
def load() -> Callable[[str], Any]:
    @functools.cache
    def load(name: str) -> Any:
        model = "nano,nano" if name == "ensemble" else "nano"
        return groundkit.load(name, model=model, segmenter="nano", device="cpu", dtype="float32")

    return load


@pytest.mark.parametrize("method", ["refam", "vlsam", "decaf", "ensemble"])
def test_a_bounded_size_changes_neither_heatmap_nor_object_and_results_have_the_size_of_the_picture(
    load: Callable[[str], Any], method: str
) -> None:
    full, bounded = (load(method)(SCENE, PHRASE, config={"max_mask_side": side}) for side in (0, 128))
    np.testing.assert_array_equal(bounded.heatmap, full.heatmap)
    assert bounded.masks.shape == full.masks.shape == (1, *SCENE.shape[:2])
    assert mask_iou(bounded.mask, full.mask) >= 0.95
    np.testing.assert_array_equal(bounded.boxes, boxes_of(bounded.masks))
    assert np.hypot(*(bounded.points - full.points)[0, :2]) < 16, "points are in pixels of the picture"
    assert bounded.evidence.score == pytest.approx(full.evidence.score, abs=0.03)


@pytest.mark.parametrize("suppression", ["same_name", "votes"])
def test_discovery_gives_masks_of_the_picture_from_votes_at_a_bounded_size(
    load: Callable[[str], Any], suppression: str
) -> None:
    settings = {"questions": "one", "crop_shares": (0.6,), "suppression": suppression}
    full, bounded = (load("vlsam").with_config(**settings, max_mask_side=side).discover(SCENE) for side in (0, 128))
    assert sorted(bounded.labels) == sorted(full.labels)
    assert len(full.labels) > 1
    for label, mask, points in zip(bounded.labels, bounded.masks, bounded.points, strict=True):
        others = [other for name, other in zip(full.labels, full.masks, strict=True) if name == label]
        assert max(mask_iou(mask, other) for other in others) >= 0.9, "the crops have 77 pixels"
        x, y = points[0, :2].astype(int)
        assert mask[y, x]


@pytest.mark.parametrize("method", ["refam", "vlsam"])
def test_a_result_keeps_a_hundredth_of_the_arrays_that_it_gives(load: Callable[[str], Any], method: str) -> None:
    found = load(method)(LARGE, PHRASE)
    kept = pickle.dumps({name: value for name, value in vars(found).items() if name != "image"})
    assert found.heatmap.nbytes == 4 * LARGE[..., 0].size
    assert len(kept) < (found.heatmap.nbytes + found.masks.nbytes) / 30
    again = pickle.loads(kept)
    np.testing.assert_array_equal(again["masks"].whole(), found.masks)


def test_a_replaced_result_keeps_as_little_and_no_array_of_it_can_be_written_to(load: Callable[[str], Any]) -> None:
    found = load("vlsam")(SCENE, PHRASE)
    other = replace(found, phrase="a cup")
    assert vars(other)["heatmap"] is vars(found)["heatmap"]
    assert vars(other)["masks"] == vars(found)["masks"]
    for name in ("masks", "heatmap"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(found, name)[:] = 0
    heat = np.zeros(SCENE.shape[:2], np.float32)
    masks = np.zeros((2, *SCENE.shape[:2]), np.bool_)
    masks[0, 3:9, 4:7] = True
    given = replace(found, heatmap=heat, masks=masks, scores=np.ones(2, np.float32), boxes=np.zeros((2, 4), np.float32))
    assert given.heatmap is heat
    np.testing.assert_array_equal(given.masks, masks)


def test_a_crop_keeps_the_borders_that_it_shares_with_the_picture_at_any_size() -> None:
    for size in ((37, 100), (1000, 999)):
        _, *corners = crops(np.zeros((*size, 3), np.uint8), (0.5, 0.61))
        for crop in corners:
            for scale in (0.1, 0.37, 1.0):
                height, width, tall, wide = (round(side * scale) for side in (*crop.shape, *size))
                small = crop.scaled((height, width), (tall, wide))
                assert (small.x == 0, small.y == 0) == (crop.x == 0, crop.y == 0)
                assert (small.x + width == wide) == (crop.x + crop.shape[1] == size[1])
                assert (small.y + height == tall) == (crop.y + crop.shape[0] == size[0])
                if scale == 1.0:
                    assert small == Window(crop.x, crop.y, crop.shape, crop.size)
