"""Points that are drawn again inside their masks, and objects planted in a map, of which a selection is taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.language.direction import Direction
from groundkit.language.selection import Selection
from groundkit.masks.candidates import Candidate
from groundkit.masks.rim import deepest_point
from groundkit.prompting.base import Heatmap
from groundkit.prompting.objects import Objects, summits
from groundkit.prompting.peaks import Peaks
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts


def ring() -> npt.NDArray[np.bool_]:
    """A ring of 8 pixels width around the middle of 64 x 64 pixels."""
    rows, columns = np.mgrid[:64, :64] - 31.5
    distance = np.hypot(rows, columns)
    return np.asarray((distance > 12) & (distance < 20))


class AlwaysTheRing:
    def __init__(self) -> None:
        self.asked: list[npt.NDArray[np.float32]] = []

    def __call__(self, prompts: PointPrompts, **_: object) -> MaskProposals:
        self.asked.append(prompts.xy[0])
        return MaskProposals(ring()[None], np.ones(1, np.float32))


def warm_hole() -> npt.NDArray[np.float32]:
    """Heat that is highest in the hole, and higher on the right than on the left."""
    rows, columns = np.mgrid[:64, :64] - 31.5
    return np.exp(-((columns - 4) ** 2 + rows**2) / 400).astype(np.float32)


def test_the_deepest_point_is_the_one_of_highest_heat_times_distance_to_the_rim() -> None:
    mask, heat = ring(), warm_hole()
    rim = np.argwhere(~mask)
    worth = np.zeros(mask.shape)
    for row, column in np.argwhere(mask):
        worth[row, column] = heat[row, column] * np.hypot(*(rim - (row, column)).T).min()
    x, y = deepest_point(heat, mask).xy[0]
    assert worth[int(y), int(x)] > 0.97 * worth.max()  # OpenCV's distances are right to a few percent
    assert x > 44  # on the warmer side


def test_a_mask_that_reaches_the_picture_s_border_has_its_rim_there() -> None:
    x, y = deepest_point(np.ones((32, 32), np.float32), np.ones((32, 32), np.bool_)).xy[0]
    assert 14 < x < 18
    assert 14 < y < 18


@pytest.mark.parametrize("redraw", [False, True])
def test_a_point_in_a_hole_is_drawn_again_on_the_object_where_asked_to(redraw: bool) -> None:
    segmenter = AlwaysTheRing()
    (found,) = Peaks(refine_point=redraw)(Heatmap(warm_hole(), warm_hole()), segmenter)
    x, y, _ = found.points[0]
    assert bool(ring()[int(y), int(x)]) == redraw
    assert len(segmenter.asked) == 1 + redraw


# Centre and radius of discs that are warm in the map, by height.
DISCS = {"small": (20, 26, 6), "large": (60, 90, 14), "middle": (70, 30, 9), "far": (24, 130, 10)}
HEATS = {"small": 0.7, "large": 0.9, "middle": 1.0, "far": 0.6}


def disc(name: str, grow: float = 0) -> npt.NDArray[np.bool_]:
    row, column, radius = DISCS[name]
    rows, columns = np.mgrid[:96, :160]
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= (radius + grow) ** 2)


def planted() -> npt.NDArray[np.float32]:
    """A map in which each disc is warm beyond its edge, hotter towards its middle, over a lukewarm ground."""
    rows, columns = np.mgrid[:96, :160]
    heat = np.full((96, 160), 0.05)
    for name, (row, column, radius) in DISCS.items():
        distance = np.hypot(rows - row, columns - column)
        heat = np.maximum(heat, HEATS[name] * np.exp(-((distance / (1.5 * radius)) ** 2)))
    return heat.astype(np.float32)


class Discs:
    """Answers a point with the disc under it, its middle part, and everything at once, as SAM does."""

    def __call__(self, prompts: PointPrompts, **_: object) -> MaskProposals:
        x, y = prompts.xy[0].astype(int)
        name = next((each for each in DISCS if disc(each, 3)[y, x]), None)
        if name is None:
            return MaskProposals(np.zeros((1, 96, 160), np.bool_), np.ones(1, np.float32))
        group = np.logical_or.reduce([disc(each) for each in DISCS])
        masks = np.stack([disc(name), disc(name, -DISCS[name][2] / 2), group])
        return MaskProposals(masks, np.array([0.8, 0.8, 0.9], np.float32))


def select(heat: npt.NDArray[np.float32], selection: Selection, threshold: float = 0.5) -> list[Candidate]:
    return Objects(selection=selection, peaks=Peaks(min_peak_height=threshold))(Heatmap(heat, heat), Discs())


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(1, 1, Direction.SMALLEST), "small"),
        (Selection(1, 1, Direction.LARGEST), "large"),
        (Selection(1, 2, Direction.LARGEST), "far"),
        (Selection(1, 1, Direction.LEFT), "small"),
        (Selection(1, 3, Direction.LEFT), "large"),
        (Selection(1, 2, Direction.RIGHT), "large"),
        (Selection(1, -1, Direction.LEFT), "far"),
        (Selection(1, 2, Direction.TOP), "far"),
        (Selection(2, 1, Direction.BOTTOM), "middle large"),
        (Selection(2), "middle large"),
        (Selection(3), "middle large small"),
        (Selection(None), "middle large small far"),
        (Selection(9), "middle large small far"),
        (Selection(1, 5, Direction.LEFT), ""),
    ],
    ids=str,
)
def test_of_planted_objects_those_are_taken_that_a_selection_means(selection: Selection, names: str) -> None:
    found = select(planted(), selection)
    assert len(found) == len(names.split())
    for each, name in zip(found, names.split(), strict=True):
        np.testing.assert_array_equal(each.mask.whole(), disc(name))


def test_all_means_those_above_the_threshold() -> None:
    found = select(planted(), Selection(None), threshold=0.8)
    assert [each.mask.area for each in found] == [disc("middle").sum(), disc("large").sum()]


def test_a_plateau_in_the_corner_is_one_summit_and_hides_no_other() -> None:
    heat = np.zeros((96, 160), np.float32)
    heat[:12, :12] = 1.0  # as a patch that is enlarged 24 times
    heat[60, 100] = 0.9
    heat[70, 20] = 0.8
    assert summits(heat, 0.5) == [(0, 0), (60, 100), (70, 20)]


def test_a_map_of_nothing_shows_nothing() -> None:
    nothing = np.zeros((96, 160), np.float32)
    assert Peaks()(Heatmap(nothing, nothing), Discs()) == []
    assert select(nothing, Selection(None)) == []
