"""What groundkit has written is known as its own, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.outputs.formats.base import Source
from groundkit.outputs.formats.png import write_mask, write_png
from groundkit.outputs.ours import is_ours, resolve_sources
from groundkit.outputs.save import write_result
from groundkit.outputs.video.folders import IndexedFolder, MaskFolder
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.results import Grounding

PICTURE = np.zeros((16, 16, 3), np.uint8)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    Image.fromarray(PICTURE).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def names(arguments: list[Path | str], output: Path, **options: bool) -> list[str]:
    found = resolve_sources([str(each) for each in arguments], output, **options).found
    return [Path(item.name).name for item in found]


def test_pictures_masks_and_films_of_ours_are_told_from_others(tmp_path: Path, theirs: Path) -> None:
    mask = np.zeros((16, 16), np.bool_)
    ours = [
        write_png(tmp_path / "a.png", PICTURE),
        write_png(tmp_path / "b.png", np.zeros((16, 16, 4), np.uint8)),
        write_mask(tmp_path / "c.png", mask),
        write_mp4(tmp_path / "d.mp4", [PICTURE, PICTURE], rate=5),
    ]
    with MaskFolder(tmp_path, "clip", "cup") as masks, IndexedFolder(tmp_path, "other") as indexed:
        masks.add("00000", mask)
        indexed.add("00000", mask[None])
    assert all(map(is_ours, [*ours, tmp_path / "clip" / "cup", tmp_path / "other"]))
    for name in ("text.png", "text.mp4"):
        (tmp_path / name).write_text("tEXtSoftware")
    others = [theirs, tmp_path, tmp_path / "text.png", tmp_path / "text.mp4", tmp_path / "missing.png"]
    (tmp_path / "a.png").unlink(), (tmp_path / "b.png").unlink(), (tmp_path / "c.png").unlink()
    assert not any(map(is_ours, others))


def test_results_beside_the_inputs_never_become_inputs(tmp_path: Path, theirs: Path) -> None:
    write_png(tmp_path / "photo-cup.png", PICTURE)
    write_mp4(tmp_path / "clip-cup.mp4", [PICTURE, PICTURE], rate=5)
    for argument in (tmp_path, tmp_path / "*.png", tmp_path / "**" / "*"):
        assert names([argument], tmp_path, videos=True) == ["photo.png"]
    assert names([tmp_path, tmp_path / "photo-cup.png"], tmp_path, videos=True) == [
        "photo.png",
        "photo-cup.png",
    ]  # named
    theirs.unlink()
    ((_, error),) = resolve_sources([str(tmp_path)], tmp_path, videos=True).failed
    assert "is in the output folder" in str(error)


def test_an_output_folder_below_the_inputs_is_left_out_whoever_wrote_its_files(tmp_path: Path, theirs: Path) -> None:
    (tmp_path / "out").mkdir()
    Image.fromarray(PICTURE).save(tmp_path / "out" / "edited.png")
    assert names([tmp_path / "**" / "*.png"], tmp_path / "out") == ["photo.png"]


def test_masks_of_an_earlier_result_are_removed_and_other_files_stay(
    tmp_path: Path, make_grounding: Callable[..., Grounding]
) -> None:
    two, one, none = [(0, 0, 5, 5), (9, 9, 15, 15)], [(0, 0, 5, 5)], []
    for name in ("a-mask3.png", "a-mask.png", "a-mask1-old.png", "ab-mask1.png"):
        Image.fromarray(PICTURE).save(tmp_path / name)
    before = {path.name for path in tmp_path.iterdir()}
    for boxes, left in (
        (two, {"a-mask1.png", "a-mask2.png", "a-cutout-mask1.png", "a-cutout-mask2.png"}),
        (one, {"a.png", "a-cutout.png"}),
        (none, set()),
        (one, {"a.png", "a-cutout.png"}),
        (two, {"a-mask1.png", "a-mask2.png", "a-cutout-mask1.png", "a-cutout-mask2.png"}),
    ):
        write_result(make_grounding(*boxes), tmp_path, "a", ["png", "cutout"], Source())
        assert {path.name for path in tmp_path.iterdir()} == before | left


def test_frames_of_an_earlier_result_are_removed_and_other_files_stay(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.bool_)
    for places in ((0, 1, 2), (0, 2)):
        with MaskFolder(tmp_path, "clip", "cup") as folder:
            for place in places:
                folder.add(f"{place:05d}", mask)
        Image.fromarray(PICTURE).save(tmp_path / "clip" / "cup" / "mine.png")
    assert {path.name for path in (tmp_path / "clip" / "cup").iterdir()} == {"00000.png", "00002.png", "mine.png"}
