"""Pictures are drawn in uint8 as the formulas in floats say."""

import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from groundkit.outputs.drawing import tint
from groundkit.outputs.formats.cutout import cut_out
from groundkit.outputs.formats.heatmap import draw_heatmap
from groundkit.outputs.formats.overlay import draw_overlay
from groundkit.outputs.formats.png import write_png

HEIGHT, WIDTH = 150, 203  # not a whole number of the strips that a heatmap is drawn in


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(1).random((HEIGHT, WIDTH)) > 0.6


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("colour", "opacity"), [((255, 64, 129), 0.45), ((0, 176, 255), 0.3)])
def test_a_tint_is_the_blend_in_floats_rounded(picture, mask, colour, opacity, order):
    blended = np.rint(picture * (1 - opacity) + np.array(colour) * opacity)
    expected = np.where(mask[..., None], blended, picture)
    tinted = picture.copy()
    tint(tinted, np.asarray(mask, order=order), colour, opacity)
    np.testing.assert_array_equal(tinted, expected)


def test_an_empty_mask_tints_nothing(picture):
    tinted = picture.copy()
    tint(tinted, np.zeros((HEIGHT, WIDTH), np.bool_), (255, 0, 0))
    np.testing.assert_array_equal(tinted, picture)


def test_a_heatmap_is_the_blend_in_floats_to_one_level(picture):
    heat = np.random.default_rng(2).random((HEIGHT, WIDTH), np.float32) * 1.2 - 0.1
    heat[:9, :9] = np.nan
    clipped = np.clip(np.nan_to_num(heat.astype(np.float64)), 0, 1)
    levels = np.rint(clipped * 255).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    cover = (0.35 + 0.45 * clipped)[..., None]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    difference = np.abs(draw_heatmap(picture, heat) - (colour * cover + grey * (1 - cover)))
    assert difference.max() <= 1
    assert difference.mean() < 0.3  # rounding alone is 0.25


def test_a_cutout_is_the_picture_with_the_mask_as_alpha(picture, mask):
    mask[:, :20] = mask[140:] = False
    whole = cut_out(picture, mask, crop=False)
    np.testing.assert_array_equal(whole[..., :3], picture)
    np.testing.assert_array_equal(whole[..., 3], np.where(mask, 255, 0))
    np.testing.assert_array_equal(cut_out(picture, mask), whole[:140, 20:])


def test_colours_under_transparent_pixels_are_in_the_file(picture, mask, tmp_path):
    drawn = cut_out(picture, mask)
    with Image.open(write_png(tmp_path / "a.png", drawn)) as read:
        np.testing.assert_array_equal(np.asarray(read), drawn)


def test_a_label_changes_no_pixel_far_from_it(picture):
    masks = np.zeros((1, HEIGHT, WIDTH), np.bool_)
    masks[0, 60:70, 60:70] = True
    none = np.zeros((0, 3), np.float32)
    changed = (draw_overlay(picture, masks, none, "cup") != draw_overlay(picture, masks, none)).any(axis=2)
    assert changed[43:60, 60:80].all()
    assert not changed[:40].any()
    assert not changed[61:].any()


@pytest.mark.parametrize("kind", ["overlay", "heatmap", "cutout"])
def test_drawing_takes_less_memory_than_two_pictures(kind):
    picture = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    masks = np.zeros((1, 1000, 1000), np.bool_)
    masks[0, 100:900, 100:900] = True
    heat = np.random.default_rng(0).random((1000, 1000), np.float32)
    draw = {
        "overlay": lambda: draw_overlay(picture, masks, np.ones((3, 3), np.float32), "cup"),
        "heatmap": lambda: draw_heatmap(picture, heat),
        "cutout": lambda: cut_out(picture, masks[0], crop=False),
    }[kind]
    draw()  # fonts and tables stay
    tracemalloc.start()
    try:
        draw()
        assert tracemalloc.get_traced_memory()[1] < 2 * picture.nbytes
    finally:
        tracemalloc.stop()
