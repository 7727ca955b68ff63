import numpy as np
import pytest

from groundkit.language.direction import Direction
from groundkit.stages.places import minmax, spatial_ramp

L, R, T, B, M = Direction.LEFT, Direction.RIGHT, Direction.TOP, Direction.BOTTOM, Direction.MIDDLE


@pytest.mark.parametrize(
    ("directions", "highest", "lowest"),
    [
        ((L,), (slice(None), 0), (slice(None), -1)),
        ((R,), (slice(None), -1), (slice(None), 0)),
        ((T,), (0, slice(None)), (-1, slice(None))),
        ((B,), (-1, slice(None)), (0, slice(None))),
        ((T, L), (0, 0), (-1, -1)),
        ((B, R), (-1, -1), (0, 0)),
        ((M,), (4, 3), (0, 0)),
        ((T, M), (0, 3), (-1, 0)),
    ],
)
def test_the_ramp_is_one_where_the_words_say_and_the_floor_opposite(directions, highest, lowest) -> None:
    ramp = spatial_ramp(9, 7, directions, floor=0.2)
    assert ramp.shape == (9, 7)
    assert np.all(ramp[highest] == pytest.approx(1.0))
    assert np.all(ramp[lowest] == pytest.approx(0.2))
    assert ramp.min() >= 0.2
    assert ramp.max() <= 1.0


@pytest.mark.parametrize("directions", [(), (Direction.LARGEST,), (Direction.SMALLEST,)])
def test_without_a_place_word_there_is_no_ramp(directions) -> None:
    assert spatial_ramp(4, 4, directions, floor=0.2) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_a_single_row_or_column_has_a_finite_ramp(shape) -> None:
    for direction in (L, R, T, B, M):
        assert np.isfinite(spatial_ramp(*shape, (direction,), floor=0.0)).all()


def test_minmax_spans_zero_to_one_and_makes_a_constant_map_zero() -> None:
    scaled = minmax(np.array([[2.0, 4.0], [3.0, 2.0]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [[0, 1], [0.5, 0]])
    assert not minmax(np.full((3, 3), 7.0, dtype=np.float32)).any()
