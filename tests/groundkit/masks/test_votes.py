"""Votes: masks on one place fused to one object, by hand-made views whose outcome can be counted."""

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.masks.candidates import Candidate
from groundkit.masks.packed import PackedMask
from groundkit.masks.votes import fuse_views
from groundkit.media.crops import Crop, crops

WHOLE, *CORNERS = crops(np.zeros((40, 60, 3), np.uint8), [0.5])


def square(x: int, y: int, side: int = 10) -> npt.NDArray[np.bool_]:
    mask = np.zeros((40, 60), np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


def claim(label: str, mask: npt.NDArray[np.bool_], score: float = 1.0, agreement: float = 1.0) -> Candidate:
    return Candidate(PackedMask.of(mask), score, np.array([[0, 0, 1]], np.float32), label, agreement)


def fuse(*views: tuple[Crop, list[Candidate]], least: float = 0.0, overlap: float = 0.3) -> list[Candidate]:
    return fuse_views(views, min_score=least, overlap=overlap)


def test_an_object_that_several_views_find_comes_once_with_the_mean_of_their_weights() -> None:
    found = fuse(
        (WHOLE, [claim("red cup", square(5, 5), 0.8, 0.5)]),
        (WHOLE, [claim("red cup", square(5, 5), 0.6)]),
        (WHOLE, []),
    )
    assert [each.label for each in found] == ["red cup"]
    assert found[0].score == pytest.approx((0.4 + 0.6 + 0) / 3)


def test_views_that_do_not_show_the_place_have_no_vote_to_miss() -> None:
    in_one_corner = claim("cup", square(5, 5), 0.6)
    over_two = claim("cup", square(25, 5), 0.6)
    assert fuse((WHOLE, [in_one_corner]), *((corner, []) for corner in CORNERS))[0].score == pytest.approx(0.3)
    assert fuse((WHOLE, [over_two]), *((corner, []) for corner in CORNERS))[0].score == pytest.approx(0.6)


def test_a_view_votes_once_however_often_it_names_the_place() -> None:
    twice = [claim("cup", square(5, 5), 0.6), claim("cup", square(5, 5), 0.2)]
    assert fuse((WHOLE, twice), (WHOLE, []))[0].score == pytest.approx(0.3)


def test_the_noun_and_its_label_with_most_weight_win_and_others_on_the_place_are_no_votes_for_it() -> None:
    place = square(5, 5)
    found = fuse(
        (WHOLE, [claim("red ball", place, 0.9)]),
        (WHOLE, [claim("blue cup", place, 0.4)]),
        (WHOLE, [claim("red cup", place, 0.7)]),
    )
    assert [each.label for each in found] == ["red cup"]
    assert found[0].score == pytest.approx((0.4 + 0.7) / 3)


def test_the_fused_mask_is_where_more_than_half_of_the_weight_lies() -> None:
    masks = [square(5, 5), square(6, 5), square(7, 5)]
    (found,) = fuse(*((WHOLE, [claim("cup", mask, score)]) for mask, score in zip(masks, (1, 0.9, 0.8), strict=True)))
    np.testing.assert_array_equal(found.mask.whole(), np.sum(masks, axis=0) >= 2)


def test_masks_apart_are_objects_apart_though_they_have_one_name() -> None:
    found = fuse((WHOLE, [claim("cup", square(5, 5), 0.5), claim("cup", square(30, 5), 0.9)]))
    assert [each.score for each in found] == pytest.approx([0.9, 0.5])
    np.testing.assert_array_equal(found[0].mask.whole(), square(30, 5))


@pytest.mark.parametrize(("overlap", "left"), [(0.2, 1), (0.3, 2)])
def test_of_objects_that_overlap_too_much_the_higher_one_stays(overlap: float, left: int) -> None:
    # Side by side by 10 of 16 columns: IoU 6 / 26 = 0.23 is no one object, and may be too much for two.
    mixed = [claim("cup", square(5, 5, 16), 0.5), claim("ball", square(15, 5, 16), 0.9)]
    found = fuse((WHOLE, mixed), overlap=overlap)
    assert [each.label for each in found] == ["ball", "cup"][:left]


def test_what_too_few_views_agree_on_is_left_out() -> None:
    views = [(WHOLE, [claim("cup", square(5, 5), 0.8)]), (WHOLE, []), (WHOLE, [])]
    assert fuse(*views, least=0.26)
    assert not fuse(*views, least=0.27)


@pytest.mark.parametrize("agreement", [0.0, -0.4])
def test_a_mask_that_its_heatmap_speaks_against_has_no_vote(agreement: float) -> None:
    assert not fuse((WHOLE, [claim("cup", square(5, 5), 0.8, agreement)]))


def test_the_higher_the_power_the_more_agreement_decides_which_mask_stands() -> None:
    sure, agreeing = claim("cup", square(5, 5), 1.0, 0.5), claim("cup", square(7, 5), 0.6, 0.8)
    for power, expected in ((1, sure), (3, agreeing)):
        (found,) = fuse_views([(WHOLE, [sure, agreeing])], min_score=0, overlap=0.3, power=power)
        assert found.score == pytest.approx(expected.score * expected.agreement**power)
        np.testing.assert_array_equal(found.mask.whole(), expected.mask.whole())


def test_nothing_found_fuses_to_nothing() -> None:
    assert not fuse((WHOLE, []))
