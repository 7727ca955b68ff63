"""Formats for training and annotating, read back by what is none of ours."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from groundkit.errors import ConfigError
from groundkit.outputs.data_set import Layout
from groundkit.outputs.formats.base import Source
from groundkit.outputs.save import RunFiles

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
FOLDERS = ["csv", "cvat", "indexed", "labelme", "labelstudio", "parquet", "voc", "yolo", "yolo_box"]
BOXES = [(5, 6, 30, 20), (40, 10, 64, 48)]


@pytest.fixture
def write(make_grounding, tmp_path):
    """Write two cups and a ball in photo.png, and nothing in empty.png; return the objects of the first."""

    def make(name, layout=None, output=tmp_path / "out"):
        cups, ball = make_grounding(*BOXES), make_grounding((0, 30, 20, 40), phrase="ball")
        files = RunFiles(output, [name], "groundkit batch", whole=True, layout=layout)
        for stem in ("photo", "empty"):
            Image.fromarray(cups.image).save(tmp_path / f"{stem}.png")
        files.add(cups, Source("photo.png", str(tmp_path / "photo.png"), "photo", label="cup"))
        files.add(ball, Source("photo.png", str(tmp_path / "photo.png"), "photo"))
        files.add(make_grounding(phrase="ball"), Source("empty.png", str(tmp_path / "empty.png"), "empty"))
        files.finish()
        return [("cup", cups.masks[0]), ("cup", cups.masks[1]), ("ball", ball.masks[0])]

    return make


def filled(points, size):
    """A polygon with whole corners, as Pillow fills it."""
    picture = Image.new("1", (size[1] * 16, size[0] * 16))
    ImageDraw.Draw(picture).polygon([(round(x * 16), round(y * 16)) for x, y in points], fill=1)
    return np.asarray(picture)[8::16, 8::16]


def test_voc_has_boxes_from_one_classes_objects_and_lists(write, tmp_path):
    objects = write("voc", Layout(held_out=0.5))
    folder = tmp_path / "out" / "voc"
    root = Xml.parse(folder / "Annotations" / "photo.xml").getroot()
    told = [(o.findtext("name"), *(int(o.findtext(f"bndbox/{c}")) for c in ("xmin", "ymin", "xmax", "ymax")))
            for o in root.iter("object")]  # fmt: skip
    assert told == [("cup", 6, 7, 30, 20), ("cup", 41, 11, 64, 48), ("ball", 1, 31, 20, 40)]
    height, width = objects[0][1].shape
    assert [int(root.findtext(f"size/{side}")) for side in ("width", "height")] == [width, height]
    with Image.open(folder / "SegmentationObject" / "photo.png") as picture:
        assert picture.mode == "P"
        numbers = np.asarray(picture)
    with Image.open(folder / "SegmentationClass" / "photo.png") as picture:
        classes = np.asarray(picture)
    for number, (label, mask) in enumerate(objects, start=1):
        np.testing.assert_array_equal(numbers == number, mask)
        assert set(classes[mask]) == {1 if label == "cup" else 2}
    assert list(Xml.parse(folder / "Annotations" / "empty.xml").getroot().iter("object")) == []
    parts = [(folder / "ImageSets" / "Main" / f"{part}.txt").read_text().split() for part in ("train", "val")]
    assert sorted([*parts[0], *parts[1]]) == ["empty", "photo"]
    assert all(parts)
    with Image.open(folder / "JPEGImages" / root.findtext("filename")) as picture:
        assert picture.size == (width, height)


def test_cvat_masks_are_runs_along_the_rows_of_their_boxes(write, tmp_path):
    objects = write("cvat")
    root = Xml.parse(tmp_path / "out" / "cvat" / "annotations.xml").getroot()
    assert [each.text for each in root.findall("meta/task/labels/label/name")] == ["cup", "ball"]
    photo, empty = root.findall("image")
    assert len(empty) == 0
    for told, (label, mask) in zip(photo, objects, strict=True):
        left, top, width, height = (int(told.get(side)) for side in ("left", "top", "width", "height"))
        pixels = [n % 2 for n, run in enumerate(map(int, told.get("rle").split(","))) for _ in range(run)]
        drawn = np.zeros(mask.shape, bool)
        drawn[top : top + height, left : left + width] = np.reshape(pixels, (height, width))
        assert told.get("label") == label
        np.testing.assert_array_equal(drawn, mask)


def test_labelme_polygons_are_the_masks_and_stand_beside_the_picture(write, tmp_path):
    objects = write("labelme", Layout(tolerance=0))
    folder = tmp_path / "out" / "labelme"
    told = json.loads((folder / "photo.json").read_text())
    assert [each["label"] for each in told["shapes"]] == [label for label, _ in objects]
    for each, (_, mask) in zip(told["shapes"], objects, strict=True):
        np.testing.assert_array_equal(filled(each["points"], mask.shape), mask)
    assert [each["description"] for each in told["shapes"]] == ["the red cup", "the red cup", ""]
    assert (folder / told["imagePath"]).is_file()
    assert json.loads((folder / "empty.json").read_text())["shapes"] == []


def test_label_studio_corners_are_percentages_and_the_configuration_names_every_class(write, tmp_path):
    objects = write("labelstudio", Layout(tolerance=0))
    folder = tmp_path / "out" / "labelstudio"
    photo, _ = json.loads((folder / "tasks.json").read_text())
    results = photo["predictions"][0]["result"]
    for each, (label, mask) in zip(results, objects, strict=True):
        assert each["value"]["polygonlabels"] == [label]
        height, width = mask.shape
        assert (each["original_width"], each["original_height"]) == (width, height)
        points = [(x * width / 100, y * height / 100) for x, y in each["value"]["points"]]
        np.testing.assert_array_equal(filled(points, mask.shape), mask)
    view = Xml.parse(folder / "config.xml").getroot()
    assert [each.get("value") for each in view.iter("Label")] == ["cup", "ball"]
    assert (folder / "images" / "photo.png").is_file()


def test_indexed_pictures_hold_the_numbers_of_classes(write, tmp_path):
    objects = write("indexed")
    with Image.open(tmp_path / "out" / "indexed" / "photo.png") as picture:
        numbers = np.asarray(picture)
    names = json.loads((tmp_path / "out" / "indexed" / "classes.json").read_text())
    assert names == {"0": "background", "1": "cup", "2": "ball"}
    np.testing.assert_array_equal(numbers == 1, objects[0][1] | objects[1][1])
    np.testing.assert_array_equal(numbers == 2, objects[2][1])


def test_tables_have_a_row_per_object_and_one_for_what_was_not_found(write, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    objects = write("csv")
    write("parquet")
    with (tmp_path / "out" / "csv" / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["area"] and int(row["area"])) for row in rows] == [
        *((label, int(mask.sum())) for label, mask in objects), ("", "")]  # fmt: skip
    table = pandas.read_parquet(tmp_path / "out" / "parquet" / "objects.parquet")
    assert list(table["phrase"]) == [row["phrase"] for row in rows]
    assert list(table["x2"].dropna()) == [30, 64, 20]


def test_boxes_of_yolo_are_centres_and_sizes_in_shares(write, tmp_path):
    objects = write("yolo_box")
    height, width = objects[0][1].shape
    lines = (tmp_path / "out" / "yolo_box" / "labels" / "train" / "photo.txt").read_text().splitlines()
    for line, box in zip(lines, [*BOXES, (0, 30, 20, 40)], strict=True):
        x, y, w, h = (float(value) for value in line.split()[1:])
        corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        np.testing.assert_allclose(corners, box, atol=1e-3)
    assert [line.split()[0] for line in lines] == ["0", "0", "1"]
    assert (tmp_path / "out" / "yolo_box" / "labels" / "train" / "empty.txt").read_text() == ""


@pytest.mark.parametrize("kind", ["yolo", "yolo_box"])
def test_every_yolo_picture_has_its_labels_where_ultralytics_looks(write, tmp_path, kind):
    yaml = pytest.importorskip("yaml")
    write(kind, Layout(held_out=0.5))
    told = yaml.safe_load((tmp_path / "out" / kind / "data.yaml").read_text())
    assert told["names"] == ["cup", "ball"]
    seen = []
    for part in ("train", "val"):
        for picture in sorted((tmp_path / "out" / kind / told[part]).iterdir()):
            labels = Path(str(picture).replace("/images/", "/labels/")).with_suffix(".txt")
            seen.append((picture.stem, len(labels.read_text().splitlines())))
            Image.open(picture).close()
    assert sorted(seen) == [("empty", 0), ("photo", 3)]


def test_the_split_depends_on_the_seed_and_not_on_the_order(make_grounding, tmp_path):
    def held_out(name, stems, seed):
        files = RunFiles(tmp_path / name, ["yolo"], "groundkit batch", whole=True, layout=Layout(0.3, seed))
        for stem in stems:
            files.add(make_grounding((0, 0, 5, 5)), Source(stem, f"/none/{stem}.png", stem))
        files.finish()
        return {file.stem for file in (tmp_path / name / "yolo" / "labels" / "val").iterdir()}

    stems = [f"picture{number}" for number in range(20)]
    first = held_out("a", stems, 0)
    assert len(first) == 6
    assert held_out("b", stems[::-1], 0) == first
    assert held_out("c", stems, 1) != first


def test_coco_polygons_are_drawn_by_pycocotools_as_the_masks(write, tmp_path):
    objects = write("coco", Layout(polygons=True, tolerance=0))
    coco = COCO(str(tmp_path / "out" / "coco.json"))
    assert [each["name"] for each in coco.cats.values()] == ["cup", "ball"]
    for annotation, (label, mask) in zip(coco.anns.values(), objects, strict=True):
        assert coco.cats[annotation["category_id"]]["name"] == label
        assert isinstance(annotation["segmentation"], list)
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
        assert coco_mask.area(coco.annToRLE(annotation)) == annotation["area"]


def test_two_phrases_of_one_class_stay_two_in_coco_over_several_runs(make_grounding, tmp_path):
    for phrase, box in (("the red cup", BOXES[0]), ("the blue cup", BOXES[1])):
        files = RunFiles(tmp_path, ["coco", "yolo"], "groundkit segment")
        files.add(make_grounding(box, phrase=phrase), Source("a.png", "/none/a.png", "a", label="cup"))
        files.finish()
    told = json.loads((tmp_path / "coco.json").read_text())
    assert [each["name"] for each in told["categories"]] == ["cup"]
    assert [each["phrase"] for each in told["annotations"]] == ["the red cup", "the blue cup"]
    assert (tmp_path / "yolo" / "labels" / "train" / "a.txt").read_text().split("\n")[1].startswith("0 ")


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_data_set_is_replaced_as_a_whole_and_files_of_others_stay(write, tmp_path, kind, make_grounding):
    write(kind)
    folder = tmp_path / "out" / kind
    (folder / "mine.md").write_text("mine")
    files = RunFiles(tmp_path / "out", [kind], "groundkit batch", whole=True)
    files.add(make_grounding(phrase="hat"), Source("c.png", "/none/c.png", "c"))
    files.finish()
    assert (folder / "mine.md").read_text() == "mine"
    left = [path.name for path in folder.rglob("*") if path.is_file() and path.stem in ("photo", "empty")]
    assert left == []
    with pytest.raises(ConfigError, match=f"{kind} was not written by groundkit segment"):
        RunFiles(tmp_path / "out", [kind], "groundkit segment")


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_others_is_never_written_into(make_grounding, tmp_path, kind):
    (tmp_path / kind).mkdir()
    (tmp_path / kind / "mine").touch()
    with pytest.raises(ConfigError, match=f"{kind} was not written by"):
        RunFiles(tmp_path, [kind], "groundkit batch")


@pytest.mark.parametrize("kind", FOLDERS)
def test_one_result_is_one_file(make_grounding, tmp_path, kind):
    files = make_grounding(*BOXES).save(tmp_path, kind)
    assert len(files) == 1
    assert files[0].stat().st_size > 0
