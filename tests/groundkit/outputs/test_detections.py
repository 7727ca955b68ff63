import numpy as np
import pytest

from groundkit.errors import ConfigError
from groundkit.results import Discovery

BOXES = [(5, 6, 30, 20), (40, 10, 64, 48), (0, 30, 20, 40)]


@pytest.fixture
def discovery(make_grounding):
    found = make_grounding(*BOXES)
    return Discovery(
        image=found.image,
        labels=("cup", "ball", "cup"),
        masks=found.masks,
        scores=np.array([0.9, 0.7, 0.5], np.float32),
        points=tuple(np.full((1, 3), number, np.float32) for number in range(3)),
        answers=("cup, ball",),
        pipeline="vlsam",
        model="fake",
        seconds=1.0,
    )


@pytest.mark.parametrize("rows", [np.array([True, False, True]), [2, 0], slice(1, None), 1, np.array([False] * 3)])
def test_slicing_takes_rows_of_everything_as_numpy_does(rows, discovery, make_grounding):
    found = make_grounding(*BOXES)
    for each in (found, discovery):
        kept, numbers = each[rows], np.atleast_1d(np.arange(3)[rows])
        for name in ("masks", "scores", "boxes"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(each, name)[numbers])
    assert discovery[rows].labels == tuple(np.atleast_1d(np.array(discovery.labels)[rows]))
    assert [int(points[0, 0]) for points in discovery[rows].points] == list(np.atleast_1d(np.arange(3)[rows]))


def test_supervision_gets_the_numbers_of_classes_and_draws_them(discovery, make_grounding):
    supervision = pytest.importorskip("supervision")
    assert list(discovery.to_supervision().class_id) == [0, 1, 0]
    found = discovery.to_supervision(["hat", "ball", "cup"])
    assert list(found.class_id) == [2, 1, 2]
    assert list(found.data["class_name"]) == ["cup", "ball", "cup"]
    assert list(make_grounding(BOXES[0]).to_supervision(["hat", "the red cup"]).class_id) == [1]
    np.testing.assert_array_equal(found[found.class_id == 2].mask, discovery.masks[[0, 2]])
    drawn = supervision.MaskAnnotator().annotate(discovery.image.copy(), found)
    assert (drawn != discovery.image).any(axis=2)[discovery.masks.any(axis=0)].any()
    with pytest.raises(ConfigError, match="no class named 'cup'"):
        discovery.to_supervision(["ball"])
