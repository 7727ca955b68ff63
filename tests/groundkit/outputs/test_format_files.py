"""A format is one file: found by its name, listed by it, and taken by results and runs."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError
from groundkit.language import parse_phrase
from groundkit.language.tokens import Token
from groundkit.language.words import Role
from groundkit.outputs import formats, names
from groundkit.outputs.atomic import write_text
from groundkit.outputs.formats.base import Format, Source
from groundkit.outputs.formats.yolo import YoloRun, label_lines, polygon
from groundkit.outputs.names import UniqueNames, slug
from groundkit.outputs.save import RunFiles
from groundkit.stages.trace import Step, Trace


class Count(Format):
    """How many objects were found."""

    ending = "-count.txt"

    def write(self, result, path, source):
        return [write_text(path, f"{source.name}: {len(result.masks)}\n")]


@pytest.fixture
def count_format(monkeypatch):
    """The format of a plug-in that is installed while the test runs."""
    entry = importlib.metadata.EntryPoint("count", f"{__name__}:FORMAT", formats.__name__)
    monkeypatch.setitem(sys.modules[__name__].__dict__, "FORMAT", Count())
    monkeypatch.setattr(
        "groundkit.plugins.plugins", lambda group: {"count": entry} if group == "groundkit.formats" else {}
    )
    caches = (formats.load_format, names._ending)
    for each in caches:
        each.cache_clear()
    yield
    monkeypatch.undo()
    for each in caches:
        each.cache_clear()


def test_the_formats_are_the_files_of_their_folder():
    folder = Path(formats.__file__).parent
    assert sorted(formats.NAMES) == sorted({path.stem for path in folder.glob("*.py")} - {"__init__", "base"})
    assert formats.known_formats()[: len(formats.NAMES)] == formats.NAMES
    assert len({formats.load_format(name).ending for name in formats.NAMES}) == len(formats.NAMES)


def test_a_format_from_outside_is_saved_listed_and_kept_apart_in_names(count_format, make_grounding, tmp_path):
    (path,) = make_grounding((0, 0, 5, 5)).save(tmp_path, "count")
    assert path.name == "the-red-cup-count.txt"
    assert path.read_text() == ": 1\n"
    with pytest.raises(ConfigError, match=r"yolo_box, count$"):
        make_grounding().save(tmp_path, "gif")
    assert slug("the cup count") != "the-cup-count"
    taken = UniqueNames()
    assert taken.take("a-count") != taken.take("a") != "a"


def test_formats_are_listed_without_numpy():
    script = "import sys, groundkit.outputs.formats as f; assert f.NAMES; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def masks():
    noise = np.random.default_rng(0).random((40, 60)) > 0.7
    ring = np.zeros((40, 60), np.uint8)
    cv2.circle(ring, (30, 20), 15, 1, -1)
    cv2.circle(ring, (30, 20), 7, 0, -1)
    parts = np.zeros((40, 60), bool)
    parts[2:10, 3:9] = parts[20:35, 40:59] = parts[39, 0] = True
    line = np.zeros((40, 60), bool)
    line[7, 5:50] = True
    return {"noise": noise, "ring": ring > 0, "parts": parts, "line": line, "all": np.ones((40, 60), bool)}


@pytest.mark.parametrize("kind", masks())
def test_a_polygon_that_is_filled_is_the_mask_with_its_parts_and_holes(kind):
    mask = masks()[kind]
    drawn = np.zeros(mask.shape, np.uint8)
    corners = polygon(mask)
    cv2.fillPoly(drawn, [corners], 1)
    assert len(corners) >= 3
    assert (drawn > 0)[mask].all()
    # Only bridges between parts, one pixel wide, and holes of one pixel, filled by their own outline, are added.
    added = ((drawn > 0) & ~mask).astype(np.uint8)
    assert not cv2.erode(added, np.ones((2, 2), np.uint8), borderValue=0).any() or kind == "noise"
    if kind in ("line", "all"):
        np.testing.assert_array_equal(drawn > 0, mask)


def test_an_empty_mask_has_no_label():
    assert label_lines([np.zeros((4, 4), bool)], 3) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_supervision_reads_the_labels_of_a_run_as_the_masks_they_were(make_grounding, tmp_path):
    supervision = pytest.importorskip("supervision")
    cup = make_grounding((5, 6, 30, 20), (40, 10, 64, 48))
    ball = make_grounding((0, 0, 9, 9), phrase="the ball", image=cup.image)
    run = YoloRun("groundkit segment")
    for grounding in (cup, ball, make_grounding(phrase="nothing", image=cup.image)):
        run.add(grounding, Source("in/photo.png", stem="photo"))
    assert run.finish(tmp_path / "yolo") == [tmp_path / "yolo"]
    (tmp_path / "images").mkdir()
    assert cv2.imwrite(str(tmp_path / "images" / "photo.png"), cup.image)
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(tmp_path / "images"),
        annotations_directory_path=str(tmp_path / "yolo" / "labels" / "train"),
        data_yaml_path=str(tmp_path / "yolo" / "data.yaml"),
        force_masks=True,
    )
    assert dataset.classes == ["the red cup", "the ball", "nothing"]
    ((_, _, detections),) = list(dataset)
    assert list(detections.class_id) == [0, 0, 1]
    np.testing.assert_array_equal(detections.mask, [*cup.masks, *ball.masks])


def test_a_second_run_keeps_the_classes_and_labels_of_the_first(make_grounding, tmp_path):
    def labels(phrase, *boxes, command="groundkit segment", stem="a"):
        files = RunFiles(tmp_path, ["yolo", "png"], command)
        files.add(make_grounding(*boxes, phrase=phrase), Source(stem=stem))
        files.finish()
        return [
            line.split()[0]
            for line in (tmp_path / "yolo" / "labels" / "train" / f"{stem}.txt").read_text().splitlines()
        ]

    assert labels("cup", (0, 0, 5, 5)) == ["0"]
    assert labels("ball", (9, 9, 15, 15), (20, 20, 25, 25)) == ["0", "1", "1"]
    assert labels("cup", (0, 0, 5, 5), (9, 9, 12, 12)) == ["1", "1", "0", "0"]
    assert labels("cup") == ["1", "1"]
    assert labels("hat", (0, 0, 3, 3), stem="b") == ["2"]
    with pytest.raises(ConfigError, match=r"yolo was not written by groundkit batch: give another --output"):
        RunFiles(tmp_path, ["yolo"], "groundkit batch")


def test_npz_holds_the_maps_of_the_reading_and_is_refused_where_a_result_keeps_none(make_grounding, tmp_path):
    token = Token(3, "cup", "cup", Role.CONTENT, "cup")
    values = torch.rand(1, 1, 1, 12, generator=torch.Generator().manual_seed(0))
    maps = AttentionMaps(values, ("mean",), ("mean",), (token,), (TokenGrid((3, 4)),))
    kept = make_grounding(steps=Trace(parse_phrase("the red cup"), (Step("read", maps),)))
    (path,) = kept.save(tmp_path, "npz")
    assert path.name == "the-red-cup.npz"
    assert torch.equal(AttentionMaps.load(path).values, values)
    with pytest.raises(ConfigError, match=r"npz: this result keeps no attention maps"):
        make_grounding().save(tmp_path, "npz")
    assert not formats.load_format("npz").takes_discoveries


def test_a_format_that_cannot_be_loaded_stops_those_who_ask_for_it_alone(tmp_path, monkeypatch, make_grounding):
    broken = {"bad": importlib.metadata.EntryPoint("bad", "no_such_package:FORMAT", "groundkit.formats")}
    monkeypatch.setattr("groundkit.plugins.plugins", lambda group: broken if group == "groundkit.formats" else {})
    with pytest.raises(ConfigError, match="the format 'bad' cannot be loaded: No module named 'no_such_package'"):
        formats.check_formats("bad")
    assert "bad" in formats.known_formats()
    assert "bad" not in formats.working_formats()
    assert make_grounding((4, 4, 20, 20)).save(tmp_path, "png") == [tmp_path / "the-red-cup.png"]
