"""Two stand-in members whose heatmaps are known, and a segmenter that answers with a square."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakes import SquareSegmenter

import groundkit
from groundkit.errors import ConfigError, PhraseError
from groundkit.masks.evidence import Evidence
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.ensemble import EmbeddedOnce, Ensemble, read_config
from groundkit.results import Failure, Grounding
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts

IMAGE = np.zeros((60, 80, 3), np.uint8)
MakeGrounding = Callable[..., Grounding]


class Member(Pipeline):
    """Sees a blob of some strength at each of several places."""

    def __init__(self, name: str, make: MakeGrounding, segmenter: EmbeddedOnce, *blobs: tuple[int, int, float]) -> None:
        self.name, self.model = name, f"{name}'s model"
        self.make, self.segmenter, self.blobs = make, segmenter, blobs

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        self.segmenter.embed(image)
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        heat = sum(h * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 50) for x, y, h in self.blobs)
        for phrase in phrases:
            if phrase == "bad":
                yield Failure(phrase, PhraseError("the phrase is bad"))
            else:
                yield self.make(
                    (1, 1, 3, 3), image=image, phrase=phrase, pipeline=self.name, heatmap=heat.astype(np.float32)
                )


def ensemble(make: MakeGrounding, **settings: object) -> tuple[Ensemble, SquareSegmenter]:
    square = SquareSegmenter()
    shared = EmbeddedOnce(square)
    first = Member("refam", make, shared, (20, 30, 1.0), (60, 30, 0.8))
    second = Member("vlsam", make, shared, (60, 30, 1.0), (40, 10, 0.9))
    return Ensemble([first, second], shared, read_config(settings)), square


@pytest.mark.parametrize("fusion", ["mean", "product"])
def test_the_point_lies_where_both_members_see_something(make_grounding: MakeGrounding, fusion: str) -> None:
    fused, _ = ensemble(make_grounding, fusion=fusion)
    result = fused(IMAGE, "the cup")
    np.testing.assert_allclose(result.points[0, :2], (60.5, 30.5), atol=1)
    assert result.mask[30, 60]
    assert result.pipeline == "ensemble"
    assert result.model == "refam's model + vlsam's model"


@pytest.mark.parametrize(("phrase", "x"), [("the largest cup", 60), ("the smallest cup", 20)])
def test_sizes_compare_the_masks_at_the_peaks_of_the_fused_map(
    make_grounding: MakeGrounding, phrase: str, x: int
) -> None:
    class Growing(SquareSegmenter):
        """The farther to the right, the larger."""

        def segment(self, embedding: tuple[int, int], prompts: PointPrompts, **_: object) -> MaskProposals:
            mask = np.zeros((1, *embedding), np.bool_)
            x, y = prompts.xy[0].astype(int)
            mask[0, max(0, y - x // 8) : y + x // 8, max(0, x - x // 8) : x + x // 8] = True
            return MaskProposals(mask, np.array([0.8], np.float32))

    shared = EmbeddedOnce(Growing())
    members = [Member(name, make_grounding, shared, (20, 30, 1.0), (60, 30, 0.8)) for name in ("refam", "vlsam")]
    result = Ensemble(members, shared, read_config({}))(IMAGE, phrase)
    np.testing.assert_allclose(result.points[0, :2], (x + 0.5, 30.5), atol=1)


def test_evidence_is_the_members_mean_and_with_less_than_the_least_nothing_is_found(
    make_grounding: MakeGrounding,
) -> None:
    class Sure(Member):
        def outcomes(self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0) -> Any:
            for found in super().outcomes(image, phrases, seed=seed):
                yield replace(found, evidence=Evidence(*self.parts)) if isinstance(found, Grounding) else found

        parts: tuple[float, float, float]

    def fused(**settings: object) -> Grounding:
        shared = EmbeddedOnce(SquareSegmenter())
        members = [Sure(name, make_grounding, shared, (20, 30, 1.0)) for name in ("refam", "vlsam")]
        members[0].parts, members[1].parts = (0.2, 0.4, 0.6), (0.4, 0.8, 0.0)
        result = Ensemble(members, shared, read_config(settings))(IMAGE, "the cup")
        assert isinstance(result, Grounding)
        return result

    found = fused(evidence=True, weights=(3, 1)).evidence
    assert found is not None
    assert (found.contrast, found.focus, found.agreement) == pytest.approx((0.25, 0.5, 0.45))
    assert fused(evidence=False).evidence is None
    assert len(fused(min_evidence=0.5).masks) == 1
    assert len(fused(min_evidence=0.9).masks) == 0


def test_it_says_which_member_s_map_agrees_best_with_the_mask(make_grounding: MakeGrounding) -> None:
    assert ensemble(make_grounding)[0](IMAGE, "the cup").steps.decided_by == "vlsam"
    assert ensemble(make_grounding, weights=(9, 1))[0](IMAGE, "the cup").steps.decided_by == "refam"


def test_the_picture_is_embedded_once_for_all_members_and_phrases(make_grounding: MakeGrounding) -> None:
    fused, square = ensemble(make_grounding)
    fused(IMAGE, ["the cup", "the ball"])
    assert square.images_embedded == 1


def test_a_phrase_that_a_member_refuses_yields_its_error_alone(make_grounding: MakeGrounding) -> None:
    outcomes = list(ensemble(make_grounding)[0].ground_each(IMAGE, ["the cup", "bad", "the ball"]))
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False, True, False]


def test_weights_must_be_as_many_as_members() -> None:
    with pytest.raises(ConfigError, match="one for each of the 2 members"):
        read_config({"weights": (1,)})


def test_members_have_settings_of_their_own_by_name_from_load_to_result() -> None:
    options = {"model": "nano,nano", "device": "cpu", "dtype": "float32", "local_files_only": True}
    settings = {"refam.noise_level": 0.5, "vlsam": {"evidence": False}, "fusion": "product"}
    loaded = groundkit.load("ensemble", config=settings, **options)  # type: ignore[call-overload]
    assert isinstance(loaded, Ensemble)
    refam, vlsam = (member.config.flat() for member in loaded.members)
    assert (refam["noise_level"], vlsam["evidence"]) == (0.5, False)
    told = loaded.config.flat()
    assert (told["refam.noise_level"], told["vlsam.evidence"], told["fusion"]) == (0.5, False, "product")
    changed = loaded.with_config(**{"refam.noise_level": 0.7})
    assert changed.members[0].config.flat()["noise_level"] == 0.7
    assert loaded.members[0].config.flat()["noise_level"] == 0.5
    for wrong, told_of in (("decaf.layers", "no member named 'decaf'"), ("refam.noize", "no setting named 'noize'")):
        with pytest.raises(ConfigError, match=told_of):
            groundkit.load("ensemble", config={wrong: 1}, **options)  # type: ignore[call-overload]


def test_an_ensemble_cannot_be_a_member_and_the_message_says_so() -> None:
    with pytest.raises(ConfigError, match="members: ensemble joins other pipelines and cannot be a member itself"):
        read_config({"members": ("refam", "ensemble")})
