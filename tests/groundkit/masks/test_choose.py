import cv2
import numpy as np
import pytest

from groundkit.errors import ConfigError
from groundkit.language.direction import Direction
from groundkit.masks.choose import choose_mask, rank_masks
from groundkit.masks.geometry import agreement
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts

HEIGHT, WIDTH = 60, 80
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def blob(row: float, column: float, width: float) -> np.ndarray:
    return np.exp(-((ROWS - row) ** 2 + (COLUMNS - column) ** 2) / (2 * width**2))


SPECK = disc(30, 30, 1)
PART = disc(30, 30, 6)
WHOLE = disc(30, 34, 14)
ELSEWHERE = disc(12, 68, 9)
GROUND = ~disc(30, 34, 14)
EVERYTHING = np.ones((HEIGHT, WIDTH), dtype=bool)
NOTHING = np.zeros((HEIGHT, WIDTH), dtype=bool)
CANDIDATES = np.stack([SPECK, PART, WHOLE, ELSEWHERE, GROUND, EVERYTHING, NOTHING])


def proposals(masks: np.ndarray, scores: list[float] | None = None) -> MaskProposals:
    return MaskProposals(masks, np.array(scores or [0.9] * len(masks), dtype=np.float32))


def prompt(*xyl: tuple[float, float, int]) -> PointPrompts:
    return PointPrompts(np.array([p[:2] for p in xyl], dtype=np.float32), np.array([p[2] for p in xyl], dtype=np.int64))


def chosen(masks: np.ndarray, heatmap: np.ndarray, scores: list[float] | None = None, **options: object) -> int:
    return choose_mask(proposals(masks, scores), heatmap.astype(np.float32), **options)


@pytest.mark.parametrize("ground", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(
    ("heat", "target"),
    [
        (WHOLE * 1.0, WHOLE),
        (PART * 1.0, PART),
        (ELSEWHERE * 1.0, ELSEWHERE),
        # A peak on a part of an object that is warm as a whole.
        (0.7 * WHOLE + 0.3 * blob(30, 30, 3), WHOLE),
        # Smooth heat, as wide as the object or as the part.
        (blob(30, 34, 11), WHOLE),
        (blob(30, 30, 5), PART),
        # A weaker second object.
        (WHOLE + 0.4 * ELSEWHERE, WHOLE),
    ],
)
def test_agreement_takes_the_mask_that_the_heat_means(heat: np.ndarray, target: np.ndarray, ground: float) -> None:
    """On cold, warm and hot ground; neither the speck on the peak nor the whole picture ever wins."""
    noise = np.random.default_rng(0).normal(0, 0.03, heat.shape)
    heatmap = np.clip(ground + (1 - ground) * heat + noise, 0, 1)
    assert (CANDIDATES[chosen(CANDIDATES, heatmap)] == target).all()


def test_agreement_stands_where_the_usual_measures_fall() -> None:
    """Why it is the correlation: the same planted cases deceive a mean difference and a soft Dice."""

    def mean_difference(mask: np.ndarray, heat: np.ndarray) -> float:
        return heat[mask].mean() - heat[~mask].mean()

    def soft_dice(mask: np.ndarray, heat: np.ndarray) -> float:
        return 2 * heat[mask].sum() / (mask.sum() + heat.sum())

    almost_everything = EVERYTHING.copy()
    almost_everything[0, 0] = False
    masks = np.stack([SPECK, WHOLE, almost_everything])
    peaked, warm = blob(30, 32, 10), 0.5 + 0.5 * WHOLE
    assert np.argmax([mean_difference(mask, peaked) for mask in masks]) == 0
    assert np.argmax([soft_dice(mask, warm) for mask in masks]) == 2
    assert chosen(masks, peaked) == chosen(masks, warm) == 1


def test_agreement_is_the_pearson_correlation() -> None:
    rng = np.random.default_rng(1)
    heat = rng.random((HEIGHT, WIDTH)).astype(np.float32)
    for mask in (SPECK, WHOLE, GROUND, rng.random((HEIGHT, WIDTH)) > 0.5):
        expected = np.corrcoef(mask.ravel().astype(np.float64), heat.ravel().astype(np.float64))[0, 1]
        assert agreement(mask, heat) == pytest.approx(expected, abs=1e-12)


def test_no_threshold_agrees_more_than_otsu_does() -> None:
    grey = np.rint(255 * np.clip(blob(30, 34, 11) + 0.2 * blob(12, 68, 6), 0, 1)).astype(np.uint8)
    otsu, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    best = max(agreement(grey > level, grey.astype(np.float32)) for level in range(255))
    assert agreement(grey > otsu, grey.astype(np.float32)) == pytest.approx(best, abs=1e-12)


def test_agreement_does_not_change_with_scale_and_offset() -> None:
    heat = (blob(30, 34, 11)).astype(np.float32)
    assert agreement(WHOLE, 0.25 * heat + 0.5) == pytest.approx(agreement(WHOLE, heat), abs=1e-6)
    assert agreement(~WHOLE, heat) == pytest.approx(-agreement(WHOLE, heat), abs=1e-12)


@pytest.mark.parametrize("mask", [EVERYTHING, NOTHING])
def test_a_mask_of_everything_or_nothing_agrees_with_nothing(mask: np.ndarray) -> None:
    assert agreement(mask, blob(30, 34, 11).astype(np.float32)) == 0


def test_a_clean_outline_decides_between_masks_that_agree_alike() -> None:
    masks = np.stack([disc(30, 34, 13), disc(30, 34, 14), disc(30, 34, 15)])
    assert chosen(masks, blob(30, 34, 11), [0.5, 0.5, 0.95]) == 2


@pytest.mark.parametrize("heat", [np.zeros((HEIGHT, WIDTH)), np.full((HEIGHT, WIDTH), 0.7), blob(12, 10, 4)])
def test_where_the_heat_favours_no_mask_the_score_decides(heat: np.ndarray) -> None:
    """No heat at all, the same everywhere, or outside of every mask."""
    assert chosen(np.stack([PART, WHOLE, ELSEWHERE]), heat, [0.2, 0.1, 0.6]) == 2


def test_negative_scores_do_not_turn_the_order_round() -> None:
    """Multiplied as they are, the mask that agrees least would come out on top."""
    assert chosen(np.stack([PART, WHOLE]), WHOLE * 1.0, [-0.5, -0.4]) == 1


def test_the_other_rules_look_at_scores_and_areas_alone() -> None:
    masks, scores, heat = np.stack([WHOLE, SPECK, PART]), [0.5, 0.9, 0.7], ELSEWHERE * 1.0
    assert chosen(masks, heat, scores, rule="score") == 1
    assert chosen(masks, heat, scores, rule="largest") == 0
    assert chosen(masks, heat, scores, rule="middle") == 2
    assert chosen(masks[:2], heat, scores[:2], rule="middle") == 0
    assert chosen(masks[:1], heat, scores[:1], rule="middle") == 0


@pytest.mark.parametrize("rule", ["agreement", "score", "largest", "middle"])
def test_among_equals_the_score_decides(rule: str) -> None:
    assert chosen(np.stack([WHOLE] * 3), WHOLE * 1.0, [0.5, 0.8, 0.7], rule=rule) == 1


@pytest.mark.parametrize("rule", ["agreement", "score", "largest"])
def test_only_masks_that_fit_the_most_points_compete(rule: str) -> None:
    masks, heat = np.stack([WHOLE, PART, GROUND]), WHOLE * 1.0
    assert chosen(masks, heat, [0.9, 0.5, 0.95], rule=rule, points=prompt((30, 30, 1), (40, 30, 0))) == 1


def test_a_point_lies_in_the_pixel_around_it() -> None:
    """Pixel centres are at +0.5, so x = 5.9 is column 5; a point on the far edge belongs to the last pixel."""
    one = np.zeros((1, HEIGHT, WIDTH), dtype=bool)
    one[0, HEIGHT - 1, 5] = True
    masks = np.concatenate([np.roll(one, 1, axis=2), one])
    assert chosen(masks, WHOLE * 1.0, [0.9, 0.1], rule="score", points=prompt((5.9, HEIGHT, 1))) == 1


def test_what_cannot_be_chosen_from_is_refused() -> None:
    with pytest.raises(ConfigError) as failure:
        chosen(CANDIDATES, WHOLE * 1.0, rule="best")
    assert str(failure.value) == "no mask rule named 'best'; choose one of agreement, score, largest, middle"
    with pytest.raises(ValueError, match="no masks"):
        chosen(CANDIDATES[:0], WHOLE * 1.0)
    with pytest.raises(ValueError, match=r"heatmap must be \(60, 80\) like the masks, got \(4, 4\)"):
        chosen(CANDIDATES, np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (Direction.LEFT, [0, 1, 2, 3]),
        (Direction.RIGHT, [3, 2, 1, 0]),
        (Direction.TOP, [3, 2, 0, 1]),
        (Direction.BOTTOM, [1, 0, 2, 3]),
        (Direction.MIDDLE, [2, 1, 0, 3]),
        (Direction.LARGEST, [2, 0, 3, 1]),
        (Direction.SMALLEST, [1, 3, 0, 2]),
    ],
)
def test_masks_are_ordered_by_place_and_by_area(by: Direction, order: list[int]) -> None:
    masks = np.stack([disc(30, 12, 8), disc(40, 26, 2), disc(28, 44, 14), disc(9, 70, 6)])
    assert rank_masks(masks, by) == order


def test_no_masks_have_no_order() -> None:
    assert rank_masks(np.zeros((0, HEIGHT, WIDTH), np.bool_), Direction.LEFT) == []
