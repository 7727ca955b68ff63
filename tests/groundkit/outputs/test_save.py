"""A result that is saved from Python never takes the place of another picture's without a word."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from groundkit.outputs import save
from groundkit.results import Discovery

BOX = (5, 6, 30, 20)


@pytest.fixture
def other(make_grounding):
    return make_grounding(BOX, image=np.full((50, 80, 3), 9, np.uint8))


@pytest.fixture
def another_process(monkeypatch):
    """What a process begins with."""
    return lambda: monkeypatch.setattr(save, "_saved", {})


def names(paths):
    return [path.name for path in paths]


def test_files_are_named_by_the_file_of_the_picture_and_the_phrase(make_grounding, tmp_path):
    found = replace(make_grounding(BOX), source="pictures/my photo.jpg")
    files = found.save(tmp_path, ["png", "json", "overlay"])
    assert names(files) == [f"my photo-the-red-cup{end}" for end in (".png", ".json", "-overlay.png")]
    assert json.loads(files[1].read_text())["input"] == "pictures/my photo.jpg"


@pytest.mark.parametrize("sources", [("", ""), ("a/photo.jpg", "b/photo.jpg"), ("photo.jpg", "Photo.png")])
def test_another_picture_of_the_same_name_gets_a_number_and_the_same_one_again_its_own_files(
    make_grounding, other, tmp_path, sources
):
    first, second = replace(make_grounding(BOX), source=sources[0]), replace(other, source=sources[1])
    stem = "photo-the-red-cup" if sources[0] else "the-red-cup"
    for _ in range(2):
        one, two = (each.save(tmp_path, ["overlay", "json"]) for each in (first, second))
        assert names(one) == [f"{stem}-overlay.png", f"{stem}.json"]
        assert [name.casefold() for name in names(two)] == [f"{stem}-2-overlay.png", f"{stem}-2.json"]
        for files, found in ((one, first), (two, second)):
            with Image.open(files[0]) as drawn:
                np.testing.assert_array_equal(np.asarray(drawn), found.overlay())


def test_a_phrase_that_ends_in_a_number_is_not_overwritten_by_another_picture(make_grounding, other, tmp_path):
    make_grounding(BOX, phrase="cup 2").save(tmp_path)
    make_grounding(BOX, phrase="cup").save(tmp_path)
    assert names(replace(other, phrase="cup").save(tmp_path)) == ["cup-3.png"]


@pytest.mark.parametrize("sources", [("", ""), ("a/photo.jpg", "b/photo.jpg")])
def test_a_later_process_uses_the_same_names_and_warns_where_a_png_is_of_another_picture(
    make_grounding, other, tmp_path, another_process, sources
):
    first, second = replace(make_grounding(BOX), source=sources[0]), replace(other, source=sources[1])
    written = first.save(tmp_path)
    another_process()
    assert first.save(tmp_path) == written  # without a warning, which would be an error here
    another_process()
    with pytest.warns(UserWarning, match=r"the-red-cup\.png was the result of another input, and is overwritten"):
        assert second.save(tmp_path) == written


def test_a_discovery_is_named_by_the_file_of_its_picture_and_one_of_another_picture_gets_a_number(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    masks = np.ones((1, 20, 30), np.bool_)
    points = (np.zeros((1, 3), np.float32),)
    found = Discovery(image, ("cup",), masks, np.ones(1, np.float32), points, (), "vlsam", "nano", 1.0)
    of_file = replace(found, source="photo.jpg")
    assert names(of_file.save(tmp_path, ["overlay", "png"])) == [
        "photo-discovery-overlay.png",
        "photo-discovery-cup.png",
    ]
    assert names(found.save(tmp_path)) == ["discovery-overlay.png"]
    assert names(replace(found, image=image + np.uint8(1)).save(tmp_path)) == ["discovery-2-overlay.png"]
    assert of_file.groundings()[0].source == "photo.jpg"


def test_a_file_name_is_written_over(make_grounding, other, tmp_path):
    path = tmp_path / "a.png"
    assert make_grounding(BOX).save(path) == other.save(path) == [path]
