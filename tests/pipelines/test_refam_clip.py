"""RefAM on clips: planted attention must come out on the right frame, and a video model's folder be followed by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fakes import SquareSegmenter
from planted import PlantedModel

from groundkit.cli.main import run
from groundkit.errors import InputError, ModelError, PhraseError
from groundkit.media.videos import Frame
from groundkit.models.diffusion.families import diffusion_family
from groundkit.models.diffusion.mochi import MochiModel
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.pipelines.refam import RefAM
from groundkit.pipelines.refam_config import read_config
from groundkit.pipelines.video import VideoPipeline
from groundkit.pipelines.video import read_config as read_video_config
from groundkit.tracking.base import Mask, Pixels, Tracked

SIDE, CELL = 6, 10


class Stays:
    """A tracker to which nothing ever moves."""

    name = "stays"

    def start(self, image: Pixels, mask: Mask) -> Stays.Path:
        return self.Path(mask)

    class Path:
        def __init__(self, mask: Mask) -> None:
            self.mask = mask

        def follow(self, image: Pixels) -> Tracked:
            return Tracked(self.mask, 0.9)


def planted_model(places: dict[str, tuple[int, ...]], faint: dict[str, tuple[int, ...]] | None = None) -> PlantedModel:
    return PlantedModel(places, faint, side=SIDE, clips=True)


def frames(count: int) -> list[npt.NDArray[np.uint8]]:
    return [np.full((SIDE * CELL, SIDE * CELL, 3), index, np.uint8) for index in range(count)]


def pipeline(model: PlantedModel, **settings: Any) -> RefAM:
    return RefAM(model, SquareSegmenter(half=CELL // 2, score=0.9), read_config(settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "frame", "point"), [("strongest", 5, (35, 25)), ("first", 0, (15, 45)), ("middle", 5, (35, 25))]
)
def test_the_chosen_slice_points_where_the_words_look_and_its_middle_frame_is_the_key(
    key: Any, frame: int, point: tuple[int, int]
) -> None:
    model = planted_model({"cup": (2, 2, 3)}, {"cup": (0, 4, 1)})
    found, grounding = pipeline(model).ground_clip(frames(10), "the cup", key=key)
    assert found == frame
    assert grounding.image[0, 0, 0] == frame
    assert tuple(grounding.points[0, :2] // CELL) == (point[0] // CELL, point[1] // CELL)
    assert grounding.mask[point[1], point[0]]
    assert all(step.maps.grids[0].shape == (SIDE, SIDE) for step in grounding.steps.steps)


def test_direction_words_decide_between_slices() -> None:
    model = planted_model({"cup": (1, 3, 0)})
    other = planted_model({"cup": (1, 3, 0), "cups": (2, 3, 5)})
    assert pipeline(model).ground_clip(frames(10), "the cup on the left")[0] == 2
    assert pipeline(other).ground_clip(frames(10), "the cup on the left")[0] == 2


def test_frames_are_sampled_evenly_as_many_as_fill_whole_slices() -> None:
    steps = pipeline(planted_model({}), max_frames=12)
    assert steps.places(1) == [0]
    assert steps.places(5) == [0, 1, 2, 3, 4]
    assert steps.places(100) == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]


def test_a_video_is_followed_from_the_frame_that_the_clip_points_at() -> None:
    model = planted_model({"cup": (2, 2, 3)})

    def video() -> Iterator[Frame]:
        return (Frame(i, Fraction(i, 24), f"{i:05d}", image) for i, image in enumerate(frames(28)))

    settings = pipeline(model, max_frames=10)
    found = VideoPipeline(settings, Stays()).ground(video, "the cup")
    assert model.seen == [10]  # the clip, and no frame on its own
    assert found.key_frame == 15  # the 6th of 0, 3, ..., 27
    assert [frame.grounded for frame in found.frames] == [index == 15 for index in range(28)]
    assert all(frame.mask[25, 35] for frame in found.frames)
    first = VideoPipeline(settings, Stays(), read_video_config({"key_frame": "first"})).ground(video, "the cup")
    assert first.key_frame == 0
    with pytest.raises(PhraseError):
        VideoPipeline(settings, Stays()).ground(video, "...")
    with pytest.raises(InputError, match="no frame"):
        VideoPipeline(settings, Stays()).ground(lambda: iter(()), "the cup")


def test_evidence_is_weighed_against_a_phrase_that_names_nothing() -> None:
    planted = pipeline(planted_model({"cup": (2, 2, 3)}), evidence=True)
    _, grounding = planted.ground_clip(frames(10), "the cup")
    assert grounding.evidence is not None
    assert grounding.evidence.contrast > 0.3
    (picture,) = planted.ground(frames(1)[0], ["the cup"])
    assert picture.evidence is not None  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def mochi_folder(save_tiny: Callable[[str], Path]) -> Path:
    return save_tiny("mochi")


def test_a_folder_of_a_video_model_is_followed_by_the_clip_way(
    mochi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MochiModel, "native_size", lambda self: (48, 80))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_mp4(tmp_path / "clip.mp4", [rng.integers(0, 256, (48, 80, 3), dtype=np.uint8) for _ in range(9)], rate=12)
    arguments = [
        "--model",
        str(mochi_folder),
        "--segmenter",
        "nano",
        "--set",
        "max_frames=7",
        "-o",
        "out",
        "--json",
        "--quiet",
    ]
    assert run(["follow", "clip.mp4", "the red cup", *arguments]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["pipeline"], record["model"], record["frames"]) == ("refam", str(mochi_folder), 9)
    # Of 0, 1, 3, 4, 5, 7, 8 the first slice shows the first, the second the other six.
    assert record["key_frame"] in (0, 5)


def test_the_family_is_told_by_the_class_that_the_folder_names(mochi_folder: Path, tmp_path: Path) -> None:
    assert diffusion_family(mochi_folder) is MochiModel
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "KolorsPipeline"}))
    with pytest.raises(
        ModelError, match=r"no family for pipelines of class KolorsPipeline; there are CogVideoXPipeline, FluxPipeline"
    ):
        diffusion_family(tmp_path)
    for other in ("FluxFillPipeline", "Flux2Pipeline"):  # other inputs, other layers
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": other}))
        with pytest.raises(ModelError, match=f"no family for pipelines of class {other}"):
            diffusion_family(tmp_path)
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        diffusion_family(tmp_path / ".." / tmp_path.name / "..")
