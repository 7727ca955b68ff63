"""Clips to evaluate on: what a seed promises holds for each of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.evaluation.videos.cases import read_true_masks, read_video_cases
from groundkit.media.videos import read_video
from groundkit.weights.training import clips
from groundkit.weights.training.clips import FRAMES, STYLE, Clip, ClipMaker, Motion
from groundkit.weights.training.vocabulary import EMOJI

SEEDS = range(6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and bars in place of the drawings."""
    folder = tmp_path_factory.mktemp("emoji")
    y, x = np.mgrid[:64, :64]
    for index, codes in enumerate(EMOJI.values()):
        solid = (x - 32) ** 2 + (y - 32) ** 2 < 28**2 if index % 2 else abs(y - 32) < 12
        pixels = np.dstack([x * 4, y * 4, np.full_like(x, 90), solid * 255]).astype(np.uint8)
        for code in codes:
            Image.fromarray(pixels).save(folder / f"{code}.webp", lossless=True)
    return folder


@pytest.fixture(scope="module")
def maker(folder: Path) -> ClipMaker:
    return ClipMaker(folder, None, None)


@pytest.fixture(scope="module")
def made(maker: ClipMaker) -> list[Clip]:
    return [maker.clip(seed, leaves=seed % 2 == 1) for seed in SEEDS]


def test_a_seed_gives_the_same_clip_again_and_another_seed_another(maker: ClipMaker, made: list[Clip]) -> None:
    again = maker.clip(0)
    np.testing.assert_array_equal(again.frames, made[0].frames)
    np.testing.assert_array_equal(again.masks, made[0].masks)
    assert not np.array_equal(made[2].frames, made[0].frames)


def test_masks_are_disjoint_and_every_object_is_there_on_the_first_frame(made: list[Clip]) -> None:
    for clip in made:
        assert clip.frames.shape == (FRAMES, STYLE.size, STYLE.size, 3)
        assert clip.masks.shape == (len(clip.objects), FRAMES, STYLE.size, STYLE.size)
        assert 2 <= len(clip.objects) <= 4
        assert clip.masks.sum(axis=0).max() == 1
        assert clip.masks[:, 0].sum(axis=(1, 2)).min() >= 300


def test_the_phrase_names_the_target_alone_by_what_stays_with_it(made: list[Clip]) -> None:
    for clip in made:
        words = clip.phrase.split()
        target = clip.objects[clip.target]
        others = [each for index, each in enumerate(clip.objects) if index != clip.target]
        assert clip.phrase.endswith(target.noun)
        assert not {"left", "right", "top", "bottom", "largest", "smallest"} & set(words)
        twins = [each for each in others if each.noun == target.noun]
        if target.colour in words:
            twins = [each for each in twins if each.colour == target.colour]
        assert not twins


def test_what_leaves_is_away_for_a_while_and_comes_back(made: list[Clip]) -> None:
    for clip in made:
        areas = clip.masks[clip.target].sum(axis=(1, 2))
        if clip.leaves:
            away = np.flatnonzero(areas == 0)
            assert len(away) >= 3
            assert areas[: away[0]].all()
            assert areas[away[-1] + 1 :].all()
            assert away[-1] + 1 < FRAMES


def test_a_mask_is_where_its_object_is_drawn(maker: ClipMaker) -> None:
    clip = maker.clip(0, first=("ball", "red"))
    assert (clip.target, clip.phrase) == (0, "the red ball")
    for frame, mask in zip(clip.frames, clip.masks[0], strict=True):
        red, green, blue = (
            frame[mask][:, channel].mean() if mask.any() else 255 - 255 * channel for channel in range(3)
        )
        assert red > 1.5 * max(green, blue)


def test_a_motion_is_a_bezier_curve_that_can_be_led_through_a_place() -> None:
    path = np.array([[0, 0], [10, 40], [30, 40], [40, 0]], float)
    motion = Motion(path, (1, 1), (0, 0))
    np.testing.assert_allclose(motion.place(0), path[0])
    np.testing.assert_allclose(motion.place(0.5), [20, 30])  # by hand: (0 + 3*10 + 3*30 + 40) / 8 and 240 / 8
    led = motion.through(np.array([5.0, 5.0]))
    np.testing.assert_allclose(led.place(0.5), [5, 5])
    np.testing.assert_allclose([led.place(0), led.place(1)], path[[0, 3]])


def test_the_command_writes_cases_that_the_evaluation_reads_and_a_film(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["clips", "--emoji", str(folder), "--output", str(tmp_path / "clips"), "--steps", "4"]
    monkeypatch.setattr(sys, "argv", command)
    clips.main()
    cases = read_video_cases(tmp_path / "clips" / "video_cases.jsonl")
    assert [case.phrase_type for case in cases] == ["stays"] * 3 + ["leaves and returns"]
    expected = ClipMaker(folder, None, None).clip(clips.FIRST_SEED + 3, leaves=True)
    np.testing.assert_array_equal(read_true_masks(cases[3]), expected.masks[expected.target])
    line = json.loads((tmp_path / "clips" / "video_cases.jsonl").read_text().splitlines()[3])
    assert line["phrase"] == expected.phrase

    monkeypatch.setattr(sys, "argv", [*command, "--film", str(tmp_path / "clip.mp4"), "--name", "red", "ball"])
    clips.main()
    frames = list(read_video(tmp_path / "clip.mp4").frames())
    wanted = ClipMaker(folder, None, None).clip(clips.FIRST_SEED, first=("ball", "red"))
    assert len(frames) == FRAMES
    assert np.abs(frames[5].image.astype(int) - wanted.frames[5]).mean() < 6
