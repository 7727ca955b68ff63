"""Files of a run of discoveries: no two of them under the same name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from groundkit.errors import ConfigError
from groundkit.media.inputs import Input
from groundkit.outputs.discovery import DiscoveryWriter
from groundkit.report.page import picture_entry
from groundkit.results import Discovery

FORMATS = ("overlay", "png", "cutout", "json", "coco")


def found(*labels: str, grey: int = 0) -> Discovery:
    """A picture of 8 x 8 pixels; each label has one pixel, in the row of its own number."""
    masks = np.zeros((len(labels), 8, 8), np.bool_)
    for row, mask in enumerate(masks):
        mask[row, row] = True
    return Discovery(
        image=np.full((8, 8, 3), grey, np.uint8),
        labels=labels,
        masks=masks,
        scores=np.linspace(0.9, 0.5, len(labels), dtype=np.float32),
        points=tuple(np.zeros((1, 3), np.float32) for _ in labels),
        answers=(),
        pipeline="vlsam",
        model="planted",
        seconds=0.0,
    )


def written(folder: Path, formats: tuple[str, ...], pictures: dict[str, Discovery]) -> list[Path]:
    inputs = [Input(name, folder / name) for name in pictures]
    writer = DiscoveryWriter(folder / "out", formats, inputs)
    files: list[Path] = []
    for item, discovery in zip(inputs, pictures.values(), strict=True):
        files += writer.write(item, discovery)
    return files + writer.finish()


@pytest.mark.parametrize(
    "pictures",
    [
        {"a.png": found("red cup"), "a-red.png": found("cup")},
        {"a-red.png": found("cup"), "a.png": found("red cup")},
        {"a.png": found("b"), "a-b.png": found("c")},
        {"a.png": found("overlay", "cutout"), "A-Overlay.png": found("x")},
        {"a.png": found("cup 2", "cup", "cup!"), "a-cup.png": found("2")},
        {"coco.png": found("cup"), "b.png": found("cup")},
    ],
)
def test_no_file_is_written_twice_whatever_pictures_and_labels_are_called(
    tmp_path: Path, pictures: dict[str, Discovery]
) -> None:
    files = written(tmp_path, FORMATS, pictures)
    names = [file.name.casefold() for file in files]
    assert len(set(names)) == len(names)
    there = [file.name.casefold() for file in (tmp_path / "out").iterdir() if not file.name.startswith(".")]
    assert sorted(names) == sorted(there)
    labels = sum(len(discovery.labels) for discovery in pictures.values())
    assert len(files) == 2 * len(pictures) + 2 * labels + 1


def test_each_file_holds_its_own_picture_s_object(tmp_path: Path) -> None:
    files = written(tmp_path, ("png",), {"a.png": found("x", "red cup"), "a-red.png": found("cup")})
    rows = [int(np.asarray(Image.open(file)).nonzero()[0][0]) for file in files]
    assert rows == [0, 1, 0]


def test_a_picture_keeps_its_own_name_where_an_earlier_one_s_label_would_take_it(tmp_path: Path) -> None:
    files = written(tmp_path, ("json", "png"), {"a.png": found("b"), "a-b.png": found("c")})
    assert [file.name for file in files] == ["a.json", "a-b-2.png", "a-b.json", "a-b-c.png"]
    assert json.loads(files[2].read_text())["input"] == "a-b.png"


def test_long_names_of_pictures_stay_possible_file_names(tmp_path: Path) -> None:
    files = written(tmp_path, FORMATS, {f"{'ü' * 100}.png": found("cup " * 60)})
    assert all(len(file.name.encode()) < 255 for file in files)


def test_coco_covers_the_run_with_a_category_a_name(tmp_path: Path) -> None:
    files = written(tmp_path, ("coco",), {"a.png": found("cup", "ball"), "b.png": found("cup")})
    assert [file.name for file in files] == ["coco.json"]
    coco = COCO(str(files[0]))
    assert sorted(each["name"] for each in coco.loadCats(coco.getCatIds())) == ["ball", "cup"]
    assert len(coco.getAnnIds()) == 3


def test_a_picture_that_is_discovered_again_replaces_all_its_objects_and_no_others(tmp_path: Path) -> None:
    written(tmp_path, ("coco",), {"a.png": found("cup", "ball"), "b.png": found("cup")})
    written(tmp_path, ("coco",), {"a.png": found("hat"), "c.png": found("cup")})
    coco = COCO(str(tmp_path / "out" / "coco.json"))
    names = {image["id"]: image["file_name"] for image in coco.imgs.values()}
    objects = {(names[each["image_id"]], coco.cats[each["category_id"]]["name"]) for each in coco.anns.values()}
    assert objects == {("a.png", "hat"), ("b.png", "cup"), ("c.png", "cup")}
    assert len(coco.anns) == 3


def test_the_heatmap_of_a_discovery_is_refused_and_not_drawn_as_if_nothing_was_hot(tmp_path: Path) -> None:
    (grounding,) = found("cup").groundings()
    with pytest.raises(ConfigError, match="heatmap: discovered objects have no heatmap"):
        grounding.save(tmp_path, ["heatmap"])
    assert list(tmp_path.iterdir()) == []
    assert 'class="heat"' not in picture_entry("a.png", "cup", grounding)


def test_objects_that_are_not_found_any_more_are_removed_and_those_of_other_pictures_stay(tmp_path: Path) -> None:
    written(tmp_path, ("png", "cutout"), {"a.png": found("cup", "ball"), "a-b.png": found("cup")})
    written(tmp_path, ("cutout",), {"a.png": found("ball", "hat")})
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("a-b-cup-cutout.png", "a-b-cup.png", "a-ball-cutout.png", "a-ball.png"),
        *("a-cup.png", "a-hat-cutout.png"),
    ]


def test_a_picture_of_the_same_name_is_told_before_it_takes_another_s_place(tmp_path: Path) -> None:
    written(tmp_path, ("overlay",), {"a.png": found("cup")})
    with pytest.warns(UserWarning, match=r"a-overlay\.png was the result of another input, and is overwritten"):
        written(tmp_path, ("overlay",), {"a.jpg": found("cup")})


def test_the_name_of_a_file_is_no_place_for_a_discovery(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cup\.png is one file, and discovery writes several: give a folder"):
        DiscoveryWriter(tmp_path / "cup.png", ("overlay",), [])
    assert list(tmp_path.iterdir()) == []
