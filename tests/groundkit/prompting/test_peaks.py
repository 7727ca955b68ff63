import numpy as np
import pytest

from groundkit.prompting.peaks import find_peaks, upsample
from groundkit.segmenters.points import PointPrompts


def heat_with(*peaks: tuple[int, int, float], shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    heat = np.zeros(shape, dtype=np.float32)
    for y, x, height in peaks:
        heat = np.maximum(heat, height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18))
    return heat.astype(np.float32)


def test_the_first_peak_is_the_argmax_at_its_pixels_centre() -> None:
    (peak,) = find_peaks(heat_with((10, 50, 1.0), (30, 5, 0.9)))
    assert peak.xy.tolist() == [[50.5, 10.5]]
    assert peak.labels.tolist() == [1]


def test_a_point_moves_to_the_centre_of_the_heat_around_its_peak_and_no_farther() -> None:
    heat = heat_with((30, 5, 0.9))
    heat[10, 50:55] = (1.0, 0.8, 0.8, 0.8, 0.8)  # the peak is the left end
    (peak,) = find_peaks(heat, centre=3)
    mass = np.array([1.0, 0.8, 0.8, 0.8]) ** 3
    np.testing.assert_allclose(peak.xy, [[(mass * np.arange(50, 54)).sum() / mass.sum() + 0.5, 10.5]], rtol=1e-6)
    peaks = find_peaks(heat_with((10, 50, 1.0), (30, 5, 0.8)), count=2, centre=4)
    np.testing.assert_allclose([peak.xy[0] for peak in peaks], [[50.5, 10.5], [5.5, 30.5]], atol=1e-4)


def test_a_flat_map_has_a_point_in_the_picture_also_with_a_centre() -> None:
    (peak,) = find_peaks(np.zeros((8, 8), dtype=np.float32), centre=2)
    assert peak.xy.tolist() == [[0.5, 0.5]]


def test_several_peaks_come_highest_first_and_lie_apart() -> None:
    heat = heat_with((10, 50, 1.0), (30, 5, 0.8), (12, 52, 0.95), (35, 45, 0.3))
    peaks = find_peaks(heat, count=5, separation=0.2, threshold=0.5)
    assert [peak.xy[0].tolist() for peak in peaks] == [[50.5, 10.5], [5.5, 30.5]]


def test_a_flat_map_gives_one_peak() -> None:
    assert len(find_peaks(np.zeros((8, 8), dtype=np.float32), count=1)) == 1


@pytest.mark.parametrize("patch", [(0, 0), (0, 5), (3, 2), (7, 5)])
def test_upsampling_keeps_a_patch_where_it_is(patch: tuple[int, int]) -> None:
    coarse = np.zeros((8, 6), dtype=np.float32)
    coarse[patch] = 1.0
    y, x = np.unravel_index(upsample(coarse, 80, 90).argmax(), (80, 90))
    assert (y // 10, x // 15) == patch


def test_upsampling_never_goes_below_zero() -> None:
    assert upsample(heat_with((3, 3, 1.0), shape=(8, 8)), 100, 50).min() >= 0


@pytest.mark.parametrize(("xy", "labels"), [((2,), (1,)), ((2, 3), (2,)), ((2, 2), (3,))])
def test_points_of_other_shapes_are_refused(xy: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        PointPrompts(np.zeros(xy, dtype=np.float32), np.ones(labels, dtype=np.int64))
