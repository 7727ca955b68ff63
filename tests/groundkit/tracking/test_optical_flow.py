"""The weightless tracker on textured squares that move by known steps."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts
from groundkit.tracking.optical_flow import OpticalFlowSettings, OpticalFlowTracker

Pixels = npt.NDArray[np.uint8]


def texture(height: int, width: int) -> Pixels:
    coarse = np.random.default_rng(height).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


GROUND, OBJECT = texture(120, 160), texture(36, 44)


def frame(x: int, y: int, shown: bool = True) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """The object's top left corner at (x, y), and its true mask."""
    image, mask = GROUND.copy(), np.zeros(GROUND.shape[:2], np.bool_)
    if shown:
        image[y : y + 36, x : x + 44] = OBJECT
        mask[y : y + 36, x : x + 44] = True
    return image, mask


def iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


@pytest.mark.parametrize("step", [(0, 0), (3, 0), (0, -2), (-2, 2)])
def test_a_mask_follows_an_object_that_moves_by_a_known_step(step: tuple[int, int]) -> None:
    x, y = 60, 40
    track = OpticalFlowTracker().start(*frame(x, y))
    for _ in range(10):
        x, y = x + step[0], y + step[1]
        image, truth = frame(x, y)
        found = track.follow(image)
        assert iou(found.mask, truth) > 0.85
        assert found.score > 0.5


def bent(by: float) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """The frame with the object at (60, 40), its columns shifted by a wave of so many pixels, and its true mask."""
    image, mask = frame(60, 40)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    places = columns + by * np.sin(rows / 6), rows
    after = cv2.remap(image, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(after, np.uint8), cv2.remap(mask.astype(np.uint8), *places, cv2.INTER_NEAREST) > 0


def test_an_object_that_bends_is_warped_where_no_one_motion_explains_it() -> None:
    image, mask = frame(60, 40)
    after, truth = bent(4)
    found = OpticalFlowTracker().start(image, mask).follow(after)
    assert iou(found.mask, truth) > 0.9 > iou(mask, truth)


def test_an_object_that_disappears_is_lost_and_found_again_where_it_was() -> None:
    track = OpticalFlowTracker().start(*frame(60, 40))
    gone = track.follow(frame(60, 40, shown=False)[0])
    assert gone.score < 0.5
    image, truth = frame(60, 40)
    assert iou(track.follow(image).mask, truth) > 0.7


def test_what_passes_in_front_is_left_out_of_the_mask_and_the_object_is_whole_again_behind_it() -> None:
    track = OpticalFlowTracker().start(*frame(60, 40))
    overlaps = []
    for step in range(1, 13):
        image, truth = frame(60 + step, 40)
        bar = np.s_[:, 120 - 8 * step : 134 - 8 * step]
        image[bar], truth[bar] = 60, False
        overlaps.append(iou(track.follow(image).mask, truth))
    assert min(overlaps) > 0.8
    assert overlaps[-1] > 0.95


def test_an_object_that_leaves_is_found_where_it_comes_back() -> None:
    track = OpticalFlowTracker().start(*frame(60, 40))
    track.follow(frame(62, 40)[0])
    found = [track.follow(frame(62, 40, shown=False)[0]) for _ in range(5)]
    assert not any(each.mask.any() or each.score for each in found)
    image, truth = frame(100, 76)
    assert iou(track.follow(image).mask, truth) > 0.9


def test_what_a_track_holds_does_not_grow_with_the_frames() -> None:
    def size(track: object) -> int:
        return sum(value.nbytes for value in vars(track).values() if isinstance(value, np.ndarray))

    track = OpticalFlowTracker().start(*frame(60, 40))
    sizes = []
    for step in range(20):
        track.follow(frame(60 + step % 3, 40)[0])
        sizes.append(size(track))
    assert sizes[0] == sizes[-1]


class Exact:
    """Answers with the true mask, and counts how often it is asked."""

    name = "exact"

    def __init__(self) -> None:
        self.truth = frame(60, 40)[1]
        self.asked: list[PointPrompts] = []

    def embed(self, image: Pixels) -> Pixels:
        return image

    def segment(self, embedding: Pixels, prompts: PointPrompts, **_: object) -> MaskProposals:
        self.asked.append(prompts)
        return MaskProposals(np.stack([~self.truth, self.truth]), np.array([0.9, 0.5], np.float32))


def test_the_segmenter_s_mask_is_taken_where_it_overlaps_the_warped_one() -> None:
    segmenter = Exact()
    track = OpticalFlowTracker(segmenter).start(*frame(60, 40))
    for by in (4, 3.5, 3):
        image, segmenter.truth = bent(by)
        np.testing.assert_array_equal(track.follow(image).mask, segmenter.truth)
    assert len(segmenter.asked) == 3
    for x, y in segmenter.asked[-1].xy:
        assert segmenter.truth[int(y), int(x)]


def test_a_segmenter_that_sees_something_else_is_not_believed_and_asked_half_as_often_each_time() -> None:
    segmenter = Exact()
    segmenter.truth = frame(10, 70)[1]
    track = OpticalFlowTracker(segmenter).start(*frame(60, 40))
    asked = []
    for step in range(1, 25):
        image, truth = bent(4 + 0.1 * (step % 2))
        before = len(segmenter.asked)
        assert iou(track.follow(image).mask, truth) > 0.85
        if len(segmenter.asked) > before:
            asked.append(step)
    assert asked == [1, 3, 7, 15, 23]


def test_an_object_that_keeps_its_look_needs_no_segmenter() -> None:
    segmenter = Exact()
    track = OpticalFlowTracker(segmenter).start(*frame(60, 40))
    for step in range(1, 6):
        image, truth = frame(60 + 2 * step, 40)
        assert iou(track.follow(image).mask, truth) > 0.95
    assert segmenter.asked == []


def test_with_redraw_1_the_segmenter_is_never_asked() -> None:
    segmenter = Exact()
    OpticalFlowTracker(segmenter, OpticalFlowSettings(redraw=1)).start(*frame(60, 40)).follow(bent(4)[0])
    assert segmenter.asked == []


def test_an_empty_mask_stays_empty() -> None:
    image, mask = frame(60, 40)
    found = OpticalFlowTracker().start(image, np.zeros_like(mask)).follow(image)
    assert not found.mask.any()
    assert found.score == 0
