"""A textured object under known shifts, turns and scales."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from groundkit.tracking.template import Template

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def texture(height: int, width: int, seed: int, low: int, high: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(low, high, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def scene(
    x: float, y: float, scale: float = 1.0, degrees: float = 0.0, size: tuple[int, int] = (120, 160), side: int = 30
) -> tuple[Pixels, Mask]:
    """A bright square of 30 pixels with its middle at (x, y) over a dark ground, and its mask."""
    image = texture(*size, 1, 0, 110)
    square = texture(side, side, 2, 130, 256)
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, scale)
    matrix[:, 2] += (x - (side - 1) / 2, y - (side - 1) / 2)
    moved = cv2.warpAffine(square, matrix, size[::-1])
    mask: Mask = cv2.warpAffine(np.ones((side, side), np.float32), matrix, size[::-1]) > 0.5
    image[mask] = moved[mask]
    return image, mask


def iou(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    ("x", "y", "scale", "degrees"),
    [(60, 50, 1, 0), (71, 44, 1, 0), (64, 53, 1.08, 0), (60, 50, 1, 8), (66, 47, 0.94, -6)],
)
def test_a_known_motion_is_found_and_its_outline_is_the_true_mask(
    x: float, y: float, scale: float, degrees: float
) -> None:
    template = Template(*scene(60, 50))
    image, truth = scene(x, y, scale, degrees)
    match = template.find(template.prepare(image), template.pose, reach=15)
    np.testing.assert_allclose(match.pose[:2] - template.pose[:2], [x - 60, y - 50], atol=1)
    assert match.pose[2] == pytest.approx(scale, abs=0.03)
    assert np.degrees(match.pose[3]) == pytest.approx(-degrees, abs=2)  # y goes down
    assert match.seen > 0.9
    assert iou(template.outline(match.pose), truth) > 0.87
    assert iou(template.visible(image, match.pose), truth) > 0.87


def test_what_is_hidden_is_left_out() -> None:
    template = Template(*scene(60, 50))
    image, truth = scene(63, 50)
    image[:, 66:] = 60
    truth[:, 66:] = False
    match = template.find(template.prepare(image), template.pose, reach=12)
    assert 0.4 < match.seen < 0.8
    assert iou(template.visible(image, match.pose), truth) > 0.85


def test_a_lost_object_is_found_far_away_and_not_where_it_is_not() -> None:
    template = Template(*scene(30, 30))
    there = template.find_anywhere(template.prepare(scene(130, 90)[0]), template.pose)
    np.testing.assert_allclose(there.pose[:2] - template.pose[:2], [100, 60], atol=1)
    gone = template.find_anywhere(template.prepare(texture(120, 160, 1, 0, 110)), template.pose)
    assert there.value > 0.9 > 0.5 > gone.value


def test_an_object_of_one_colour_is_not_found_inside_a_larger_thing_of_that_colour() -> None:
    image, mask = np.full((120, 160, 3), 40, np.uint8), np.zeros((120, 160), np.bool_)
    mask[20:40, 20:40] = True
    image[mask] = (200, 30, 30)
    template = Template(image, mask)
    after = np.full_like(image, 40)
    after[60:120, 60:160] = (200, 30, 30)  # the larger thing
    after[22:42, 24:44] = (200, 30, 30)
    match = template.find_anywhere(template.prepare(after), template.pose)
    np.testing.assert_allclose(match.pose[:2] - template.pose[:2], [4, 2], atol=1)


def test_large_pictures_are_compared_small_and_masks_have_their_full_size() -> None:
    template = Template(*scene(200, 200, size=(600, 900), side=90))
    image, truth = scene(230, 170, size=(600, 900), side=90)
    assert max(template.prepare(image).shape) == 320
    match = template.find(template.prepare(image), template.pose, reach=15)
    assert iou(template.outline(match.pose), truth) > 0.93


@pytest.mark.parametrize("shift", [(0, 0), (7.3, -4.6), (-48, 12), (85, 60), (-400, 0)])
def test_computing_around_the_outline_alone_gives_what_the_whole_picture_gives(
    shift: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = Template(*scene(60, 50))
    image, _ = scene(63, 50)
    image[40:60, 70:] = 60
    pose = template.pose + np.array([*shift, 0.1, 0.2])
    near = template.outline(pose), template.visible(image, pose)
    monkeypatch.setattr("groundkit.tracking.template._MARGIN", 10_000)
    for found, expected in zip(near, (template.outline(pose), template.visible(image, pose)), strict=True):
        assert found.shape == expected.shape
        assert np.count_nonzero(found != expected) <= 2  # places are rounded to a 32nd of a pixel
