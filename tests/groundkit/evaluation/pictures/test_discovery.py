"""Counting what was found, on squares whose matches are known."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from groundkit.errors import InputError
from groundkit.evaluation.pictures.discovery import Count, count_found, measure_discovery, read_discovery_cases
from groundkit.results import Discovery

Mask = npt.NDArray[np.bool_]


def square(x: int, side: int = 8) -> Mask:
    """A square at the top of a picture of 16 x 64 pixels."""
    mask = np.zeros((16, 64), np.bool_)
    mask[:side, x : x + side] = True
    return mask


def found(*claims: tuple[str, Mask]) -> Discovery:
    count = len(claims)
    return Discovery(
        image=np.zeros((16, 64, 3), np.uint8),
        labels=tuple(label for label, _ in claims),
        masks=np.array([mask for _, mask in claims], np.bool_).reshape(-1, 16, 64),
        scores=np.linspace(0.9, 0.1, count, dtype=np.float32),
        points=tuple(np.zeros((1, 3), np.float32) for _ in claims),
        answers=(),
        pipeline="vlsam",
        model="planted",
        seconds=0.0,
    )


NOUNS, TRUTHS = ["cup", "ball", "cup"], np.stack([square(0), square(20), square(40)])


@pytest.mark.parametrize(
    ("claims", "count"),
    [
        ([], 0),
        ([("cup", square(0))], 1),
        ([("red cup", square(0)), ("balls", square(20)), ("the small cup", square(40))], 3),
        ([("ball", square(0))], 0),  # a wrong noun
        ([("cup holder", square(0))], 0),
        ([("cup", square(4))], 0),  # IoU 1/3
        ([("cup", square(2))], 1),  # IoU 0.6
        ([("cup", square(0)), ("red cup", square(0))], 1),  # the same object twice
        ([("cup", square(40)), ("cup", square(0))], 2),  # each mask takes its own object
    ],
)
def test_an_object_is_found_by_half_of_its_mask_and_its_noun_once(claims: list[tuple[str, Mask]], count: int) -> None:
    assert count_found(found(*claims), NOUNS, TRUTHS) == Count(count, 3, len(claims))


def test_nouns_of_two_words_and_plural_ones_are_compared_whole() -> None:
    truths = np.stack([square(0), square(20)])
    claims = found(("brown teddy bear", square(0)), ("glasses", square(20)))
    assert count_found(claims, ["teddy bear", "glasses"], truths) == Count(2, 2, 2)
    assert count_found(found(("bear", square(0))), ["teddy bear", "glasses"], truths) == Count(0, 2, 1)


def test_recall_and_precision_are_sums_over_pictures_and_seeds() -> None:
    metrics = measure_discovery([[Count(1, 2, 1), Count(2, 2, 4)], [Count(0, 1, 0), Count(1, 1, 1)]])
    assert metrics["n"] == 2
    assert metrics["recall"]["value"] == pytest.approx(4 / 6)
    assert metrics["precision"]["value"] == pytest.approx(4 / 6)
    low, high = metrics["recall"]["low"], metrics["recall"]["high"]
    assert low is not None
    assert high is not None
    assert low <= 4 / 6 <= high


def test_without_any_claim_there_is_no_precision() -> None:
    metrics = measure_discovery([[Count(0, 2, 0)]])
    assert metrics["recall"]["value"] == 0
    assert metrics["precision"]["value"] is None


def test_cases_are_read_with_paths_relative_to_their_file(tmp_path: Path) -> None:
    Image.fromarray(square(3).astype(np.uint8) * 255).save(tmp_path / "m.png")
    line = {"image": "i.png", "objects": [{"noun": "cup", "colour": None, "mask": "m.png"}]}
    (tmp_path / "cases.jsonl").write_text(json.dumps(line) + "\n")
    (case,) = read_discovery_cases(tmp_path / "cases.jsonl")
    assert case.image == tmp_path / "i.png"
    assert case.objects[0].noun == "cup"
    np.testing.assert_array_equal(case.masks(16, 64), [square(3)])
    with pytest.raises(InputError, match="its picture 64x32"):
        case.masks(32, 64)


@pytest.mark.parametrize("line", ["no json", "[]", '{"image": "a.png"}', '{"image": "a.png", "objects": [{}]}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "cases.jsonl").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"cases.jsonl:1: not an image with objects"):
        read_discovery_cases(tmp_path / "cases.jsonl")


def test_a_missing_or_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_discovery_cases(tmp_path / "none.jsonl")
    (tmp_path / "cases.jsonl").write_text("")
    with pytest.raises(InputError, match="has no cases"):
        read_discovery_cases(tmp_path / "cases.jsonl")
