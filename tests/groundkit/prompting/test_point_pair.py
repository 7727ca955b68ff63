"""Which part of a map is the positive area, against maps whose parts are known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from groundkit.errors import ConfigError
from groundkit.prompting.point_pair import positive_area


def two_parts() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A large warm part, a small hot one, on a cold ground; and where each is."""
    large, small = np.zeros((40, 60), np.bool_), np.zeros((40, 60), np.bool_)
    large[5:25, 5:30], small[28:34, 45:52] = True, True
    return (0.8 * large + 1.0 * small).astype(np.float32), large, small


@pytest.mark.parametrize("threshold", ["otsu", 0.5])
def test_the_largest_part_is_the_area_or_that_of_the_hottest_place(threshold: str | float) -> None:
    heat, large, small = two_parts()
    np.testing.assert_array_equal(positive_area(heat, threshold), large)
    np.testing.assert_array_equal(positive_area(heat, threshold, "hottest"), small)


def test_the_level_of_otsu_is_opencv_s_and_a_share_is_of_the_way_from_cold_to_hot() -> None:
    heat = cv2.GaussianBlur(two_parts()[0], (0, 0), 2) + 7
    scaled = np.round(255 * (heat - heat.min()) / (heat.max() - heat.min())).astype(np.uint8)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    assert not (positive_area(heat) & (scaled <= level)).any()
    assert not (positive_area(heat, 0.75) & (scaled <= 191)).any()


@pytest.mark.parametrize("part", ["largest", "hottest"])
def test_a_constant_map_has_no_positive_area(part: str) -> None:
    assert not positive_area(np.full((8, 8), 3, np.float32), "otsu", part).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", ["mean", 0.0, 1.5])
def test_another_threshold_is_refused(threshold: str | float) -> None:
    with pytest.raises(ConfigError, match="use otsu or a number between 0 and 1"):
        positive_area(np.eye(4, dtype=np.float32), threshold)
