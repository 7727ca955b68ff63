"""Every pipeline is called, changed, moved and closed in one way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import groundkit
from groundkit.errors import CancelledError, ConfigError, GroundkitError, ImageError, PhraseError
from groundkit.results import Failure

SCENE = Path(__file__).parents[2] / "samples" / "scene_1.png"
METHODS = ["refam", "vlsam", "decaf", "ensemble"]


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    """Each method, on two models and one segmenter."""
    refam, vlsam = groundkit.load("refam", device="cpu"), groundkit.load("vlsam", device="cpu")
    shared: dict[str, Any] = {"segmenter": refam.segmenter}
    return {
        "refam": refam,
        "vlsam": vlsam,
        "decaf": groundkit.load("decaf", model=vlsam.vlm, **shared),
        "ensemble": groundkit.load("ensemble", model=[refam.diffusion, vlsam.vlm], **shared),
    }


@pytest.mark.parametrize("method", METHODS)
def test_other_settings_are_those_of_a_pipeline_loaded_with_them_and_nothing_is_loaded(
    loaded: dict[str, Any], method: str
) -> None:
    pipeline = loaded[method]
    changed = pipeline.with_config(min_evidence=0.9)
    assert changed.families == pipeline.families
    assert changed.segmenter is pipeline.segmenter
    assert (changed.config.min_evidence, pipeline.config.min_evidence) == (0.9, 0.0)
    again = pipeline(SCENE, "the red cup", config={"min_evidence": 0.9})
    assert again.settings == changed(SCENE, "the red cup").settings
    assert again.settings["min_evidence"] == 0.9
    assert again.origins["min_evidence"] == "given"
    kept = {name: value for name, value in again.settings.items() if name != "min_evidence"}
    assert kept.items() <= pipeline(SCENE, "the red cup").settings.items()


def test_a_setting_for_one_call_is_that_of_loading_with_it(loaded: dict[str, Any]) -> None:
    config = {"noise_level": 0.6}
    once = loaded["refam"](SCENE, "the red cup", config=config)
    always = groundkit.load("refam", device="cpu", config=config)(SCENE, "the red cup")
    np.testing.assert_array_equal(once.heatmap, always.heatmap)
    assert not np.array_equal(once.heatmap, loaded["refam"](SCENE, "the red cup").heatmap)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("refam", {"noise_levle": 0.6}, "did you mean noise_level"),
        ("refam", {"layers": "90-99"}, "layers='90-99': use all"),
        ("vlsam", {"layers": "90-99"}, "layers='90-99': use all"),
        ("ensemble", {"members": ("refam", "decaf")}, "members: other members are other models; load them"),
    ],
)
def test_a_change_that_cannot_be_is_refused_at_once(
    loaded: dict[str, Any], method: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded[method].with_config(**changes)


def test_an_ensemble_without_evidence_has_members_that_measure_none(loaded: dict[str, Any]) -> None:
    found = loaded["ensemble"](SCENE, "the red cup", config={"evidence": False})
    assert found.evidence is None
    assert not any(member.config.evidence for member in loaded["ensemble"].with_config(evidence=False).members)


def test_attention_is_of_one_type_and_of_an_ensemble_that_of_each_member(loaded: dict[str, Any]) -> None:
    maps = {method: loaded[method].attention(SCENE, "the red cup") for method in METHODS}
    for each in (maps["refam"], maps["vlsam"], maps["decaf"], *maps["ensemble"]):
        assert isinstance(each, groundkit.AttentionMaps)
        assert each["cup"].numpy().shape[2:4] == (1, each.grids[0].shape[-2])
    assert [each.layers for each in maps["ensemble"]] == [maps["refam"].layers, maps["vlsam"].layers]
    torch.testing.assert_close(maps["ensemble"][0].values, maps["refam"].values, atol=0, rtol=0)


@pytest.mark.parametrize("preset", [{}, {"preset": "tuned"}])
def test_a_cup_that_is_not_red_is_found_beside_the_red_one(preset: dict[str, str]) -> None:
    pipeline = groundkit.load("refam", device="cpu", config={"evidence": False, **preset})
    red, other = pipeline(SCENE, ["the red cup", "the cup that is not red"])
    assert (len(red.masks), len(other.masks)) == (1, 1)
    assert not (red.mask & other.mask).any()


def test_failures_stand_in_the_place_of_results_and_the_others_are_there(loaded: dict[str, Any]) -> None:
    phrases = ["the red cup", "the of", "the bear"]
    rows = loaded["refam"]([SCENE, "lost.png"], phrases, on_error="return")
    assert [[isinstance(each, Failure) for each in row] for row in rows] == [[False, True, False], [True] * 3]
    assert [each.phrase for row in rows for each in row] == phrases * 2
    assert isinstance(rows[0][1].error, PhraseError)
    assert isinstance(rows[1][0].error, ImageError)
    assert isinstance(loaded["refam"]("lost.png", "the red cup", on_error="return"), Failure)
    for image, phrase, error in ((SCENE, "the of", PhraseError), ("lost.png", "the cup", ImageError)):
        with pytest.raises(error):
            loaded["refam"](image, phrase)
    with pytest.raises(ConfigError, match="no on_error named 'ignore': use one of raise, return"):
        loaded["refam"](SCENE, "the red cup", on_error="ignore")


def test_progress_counts_phrases_and_cancel_stops_between_two_of_them(loaded: dict[str, Any]) -> None:
    told: list[tuple[int, int | None]] = []
    event = threading.Event()

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))
        if done == 2:
            event.set()

    with pytest.raises(CancelledError, match="cancelled after 2 of 6 steps"):
        loaded["refam"]([SCENE, SCENE], ["the red cup", "the bear", "the hat"], progress=progress, cancel=event)
    assert told == [(1, 6), (2, 6)]
    with pytest.raises(CancelledError, match="cancelled after 0 of 1 steps"):
        loaded["refam"](SCENE, "the red cup", cancel=lambda: True, on_error="return")


def test_discover_counts_views_and_cancel_stops_between_two_of_them(loaded: dict[str, Any]) -> None:
    told: list[tuple[int, int | None]] = []
    pipeline = loaded["vlsam"].with_config(crop_shares=(0.6,), min_verification=0)
    pipeline.discover(SCENE, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    with pytest.raises(CancelledError, match="cancelled after 1 of 5 steps"):
        pipeline.discover(SCENE, progress=lambda done, total: told.append((done, total)), cancel=lambda: len(told) > 5)
    assert len(told) == 6


@pytest.mark.parametrize("method", ["refam", "ensemble"])
def test_a_method_that_needs_a_phrase_says_which_one_discovers(loaded: dict[str, Any], method: str) -> None:
    with pytest.raises(
        AttributeError, match=rf"^{method} looks for a given phrase: discover with groundkit\.load\('vlsam'"
    ):
        loaded[method].discover(SCENE)


def test_a_bar_is_drawn_on_stderr_alone(loaded: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    loaded["refam"](SCENE, ["the red cup", "the bear"], progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2/2" in printed.err


def test_a_closed_pipeline_says_so_and_leaves_the_models_to_those_that_share_them() -> None:
    with groundkit.load("refam", device="cpu") as pipeline:
        other = pipeline.with_config(evidence=False)
        assert repr(pipeline) == "<RefAM 'refam': nano, on cpu>"
    assert repr(pipeline) == "<RefAM 'refam': nano, closed>"
    with pytest.raises(GroundkitError, match=r"^this pipeline is closed: load it again$"):
        pipeline(SCENE, "the red cup")
    pipeline.close()
    assert len(other(SCENE, "the red cup").masks) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_pipeline_moves_with_its_segmenter_and_finds_the_same(loaded: dict[str, Any], method: str) -> None:
    pipeline = loaded[method]
    before = pipeline(SCENE, "the red cup")
    assert pipeline.to("cpu") is pipeline
    assert pipeline.device == torch.device("cpu")
    np.testing.assert_array_equal(pipeline(SCENE, "the red cup").masks, before.masks)
    with pytest.raises(ConfigError, match="device 'cuda:7' is not on this machine"):
        pipeline.to("cuda:7")


def test_a_model_that_is_offloaded_is_not_moved(loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded["refam"].diffusion, "offload", True)
    with pytest.raises(ConfigError, match="with offload=True parts move by themselves"):
        loaded["refam"].to("cpu")
