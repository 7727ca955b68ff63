"""A look asks the segmenter about several objects at once, with what each of them alone would get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundkit.attention.maps import AttentionMaps
from groundkit.language import Phrase
from groundkit.media.images import read_image
from groundkit.models.look import Asked, Look
from groundkit.prompting.base import Heatmap
from groundkit.prompting.hot_cells import HotCells
from groundkit.prompting.peaks import Peaks
from groundkit.segmenters.load import load_segmenter
from groundkit.segmenters.points import PointPrompts
from groundkit.weights.catalog import nano_folder

SCENE = Path(__file__).parents[3] / "samples" / "scene_1.png"


class PlainLook(Look):
    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        raise NotImplementedError


class OneByOne:
    """A segmenter without a method for several objects."""

    name = "one by one"

    def __init__(self, segmenter: Any) -> None:
        self.segmenter = segmenter

    def embed(self, image: Any) -> Any:
        return self.segmenter.embed(image)

    def segment(self, embedding: Any, prompts: PointPrompts, **prompt: Any) -> Any:
        return self.segmenter.segment(embedding, prompts, **prompt)


@pytest.fixture(scope="module")
def sam() -> Any:
    return load_segmenter(nano_folder("sam"))


def look(segmenter: Any, scale: float = 1.0) -> PlainLook:
    opened = PlainLook(read_image(SCENE), segmenter)
    opened.mask_scale = scale
    return opened


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("with_method", [True, False])
def test_several_objects_get_at_the_working_size_what_each_gets_alone(
    sam: Any, scale: float, with_method: bool
) -> None:
    opened = look(sam if with_method else OneByOne(sam), scale)
    xy = np.random.default_rng(0).uniform(5, 100, (6, 1, 2)).astype(np.float32)
    prompts = [PointPrompts(each, np.ones(1, np.int64)) for each in xy]
    for each, prompt in zip(opened.propose_each(prompts), prompts, strict=True):
        alone = opened.propose(prompt)
        assert each.masks.shape[1:] == opened.working_size
        np.testing.assert_array_equal(each.masks, alone.masks)
        np.testing.assert_allclose(each.scores, alone.scores, atol=1e-5)


@pytest.mark.parametrize("prompter", [HotCells(min_cell_heat=0.5), Peaks(max_peaks=5)])
def test_prompters_ask_about_all_their_points_in_one_call_and_find_the_same(
    sam: Any, prompter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heat = np.random.default_rng(1).random((16, 16)).astype(np.float32)
    pixels = np.kron(heat, np.ones((16, 16), np.float32))
    heatmap, opened, calls = Heatmap(pixels, heat), look(sam), []
    expected = prompter(heatmap, opened.propose)
    each = opened.propose_each
    monkeypatch.setattr(opened, "propose_each", lambda prompts: calls.append(len(prompts)) or each(prompts))
    monkeypatch.setattr(opened, "propose", None)
    found = prompter(heatmap, Asked(opened))
    assert max(calls) > 1
    assert max(calls) <= 16
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.mask.whole(), other.mask.whole())
        np.testing.assert_array_equal(one.points, other.points)
        assert one.score == pytest.approx(other.score, abs=1e-5)
