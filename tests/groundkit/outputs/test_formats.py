import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from groundkit.masks.rle import decode, encode
from groundkit.outputs.formats.base import Source
from groundkit.outputs.formats.coco import CocoDataset
from groundkit.outputs.formats.heatmap import colour_map, draw_heatmap, stretch
from groundkit.outputs.formats.png import write_png
from groundkit.outputs.record import full_record, record
from groundkit.outputs.save import write_result

# pycocotools, the oracle here, is not adapted to NumPy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BOXES = [(5, 6, 30, 20), (40, 10, 64, 48)]


def test_pictures_are_read_back_as_they_were(make_grounding, tmp_path):
    grounding = make_grounding(*BOXES)
    for picture in (grounding.image, grounding.cutout(0), grounding.image[..., 0]):
        with Image.open(write_png(tmp_path / "a.png", picture)) as read:
            np.testing.assert_array_equal(np.asarray(read), picture)


def test_run_length_encoding_survives_a_round_trip_and_json():
    mask = np.random.default_rng(0).random((37, 53)) > 0.5
    encoded = json.loads(json.dumps(encode(mask)))
    np.testing.assert_array_equal(decode(encoded), mask)
    np.testing.assert_array_equal(coco_mask.decode(encoded).astype(bool), mask)


def test_a_coco_file_is_read_by_pycocotools_with_masks_boxes_and_areas(make_grounding, tmp_path):
    dataset = CocoDataset()
    cup, ball, nothing = make_grounding(*BOXES), make_grounding(BOXES[0], phrase="球"), make_grounding(size=(10, 20))
    dataset.add(cup, "one.jpg")
    dataset.add(ball, "one.jpg")
    dataset.add(nothing, "two.jpg")
    coco = COCO(str(dataset.write(tmp_path / "coco.json")))

    assert sorted(coco.imgs) == [1, 2]
    assert (coco.imgs[2]["file_name"], coco.imgs[2]["width"], coco.imgs[2]["height"]) == ("two.jpg", 20, 10)
    assert {category["id"]: category["name"] for category in coco.cats.values()} == {1: "the red cup", 2: "球"}
    assert sorted(coco.anns) == [1, 2, 3]
    expected = [(cup, 0, 1), (cup, 1, 1), (ball, 0, 2)]
    for annotation, (grounding, index, category) in zip(coco.loadAnns([1, 2, 3]), expected, strict=True):
        x1, y1, x2, y2 = BOXES[index]
        assert annotation["bbox"] == [x1, y1, x2 - x1, y2 - y1]
        assert annotation["area"] == (x2 - x1) * (y2 - y1)
        assert (annotation["image_id"], annotation["category_id"]) == (1, category)
        assert isinstance(annotation["segmentation"]["counts"], str)
        np.testing.assert_array_equal(coco.annToMask(annotation).astype(bool), grounding.masks[index])
    assert len(coco.loadRes(coco.dataset["annotations"]).anns) == 3


def written_coco(make_grounding, folder):
    """The file of two pictures in ``folder``, which are there too: boxes in one, nothing in the other."""
    dataset = CocoDataset("groundkit segment")
    for name, boxes in (("one.png", BOXES), ("below/two.png", ())):
        grounding = make_grounding(*boxes)
        write_png(folder / name, grounding.image)
        dataset.add(grounding, str(folder / name))
    return dataset.write(folder / "out" / "coco.json")


def test_a_coco_file_says_what_made_it_and_names_pictures_below_their_common_folder(make_grounding, tmp_path):
    data = json.loads(written_coco(make_grounding, tmp_path).read_text())
    assert data["info"] == {
        "description": "groundkit segment",
        "version": "0.1.0",
        "pipeline": "refam",
        "model": "nano",
        "folder": tmp_path.as_posix(),
    }
    assert data["licenses"] == []
    assert [image["file_name"] for image in data["images"]] == ["one.png", "below/two.png"]


def test_a_coco_file_that_grows_names_each_pipeline_and_picture_once(make_grounding, tmp_path):
    for name in ("refam", "vlsam", "refam", "vlsam"):
        dataset = CocoDataset()
        for file_name in (f"/photos/{name}.png", "-"):
            dataset.add(make_grounding(*BOXES, pipeline=name), file_name)
        dataset.merge_into(tmp_path / "coco.json")
    written = json.loads((tmp_path / "coco.json").read_text())
    assert written["info"]["pipeline"] == "refam, vlsam"
    assert {each["file_name"] for each in written["images"]} == {"refam.png", "vlsam.png", "-"}
    assert len(written["images"]) == 3


def test_a_coco_file_scores_one_against_itself_in_cocoeval(make_grounding, tmp_path, capsys):
    coco = COCO(str(written_coco(make_grounding, tmp_path)))
    coco.info()
    for kind in ("segm", "bbox"):
        judge = COCOeval(coco, coco.loadRes(coco.dataset["annotations"]), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        assert judge.stats[0] == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_supervision_finds_the_pictures_and_masks_of_a_coco_file(make_grounding, tmp_path):
    supervision = pytest.importorskip("supervision")
    dataset = supervision.DetectionDataset.from_coco(
        images_directory_path=str(tmp_path), annotations_path=str(written_coco(make_grounding, tmp_path))
    )
    assert dataset.classes == ["the red cup"]
    found = {path: (image, detections) for path, image, detections in dataset}
    image, detections = found[str(tmp_path / "one.png")]
    assert image.shape == (48, 64, 3)
    np.testing.assert_array_equal(detections.mask, make_grounding(*BOXES).masks)
    assert len(found[str(tmp_path / "below" / "two.png")][1]) == 0


def test_one_grounding_as_coco_has_ids_from_one(make_grounding):
    dataset = make_grounding(BOXES[0]).to_coco("cup.jpg")
    assert [image["id"] for image in dataset["images"]] == [1]
    assert [annotation["id"] for annotation in dataset["annotations"]] == [1]
    assert dataset["images"][0]["file_name"] == "cup.jpg"


def test_a_record_has_the_documented_fields_and_plain_values(make_grounding, tmp_path):
    grounding = make_grounding(BOXES[0])
    assert json.loads(json.dumps(record(grounding, "in.jpg", [tmp_path / "m.png"]))) == {
        "input": "in.jpg",
        "phrase": "the red cup",
        "pipeline": "refam",
        "model": "nano",
        "segmenter": "",
        "version": "0.1.0",
        "device": "",
        "dtype": "",
        "masks": [str(tmp_path / "m.png")],
        "scores": [0.9],
        "boxes": [[5.0, 6.0, 30.0, 20.0]],
        "points": [[17.5, 13.0, 1], [0.5, 0.5, 0]],
        "seconds": 0.25,
    }
    np.testing.assert_array_equal(decode(full_record(grounding, "in.jpg")["rle"][0]), grounding.masks[0])


def test_every_format_writes_the_files_it_names(make_grounding, tmp_path):
    formats = ["png", "overlay", "cutout", "heatmap", "json", "coco", "yolo"]
    written = write_result(make_grounding(*BOXES), tmp_path, "a", formats, Source("in.jpg"))
    assert {name: [file.name for file in files] for name, files in written.items()} == {
        "png": ["a-mask1.png", "a-mask2.png"],
        "overlay": ["a-overlay.png"],
        "cutout": ["a-cutout-mask1.png", "a-cutout-mask2.png"],
        "heatmap": ["a-heatmap.png"],
        "json": ["a.json"],
        "coco": ["a-coco.json"],
        "yolo": ["a.txt"],
    }
    assert sorted(file for files in written.values() for file in files) == sorted(tmp_path.iterdir())
    assert json.loads((tmp_path / "a.json").read_text())["masks"] == [file.name for file in written["png"]]


def test_nothing_found_gives_no_mask_but_an_overlay_that_says_so(make_grounding, tmp_path):
    grounding = make_grounding(size=(100, 200), points=np.empty((0, 3), np.float32))
    written = write_result(grounding, tmp_path, "a", ["png", "overlay", "cutout"], Source())
    assert written == {"png": [], "overlay": [tmp_path / "a-overlay.png"], "cutout": []}
    assert (grounding.overlay() != grounding.image).any()


def test_hot_is_red_and_cold_is_blue_and_heat_of_another_size_is_stretched():
    cold, hot = colour_map(np.array([[0.1, 0.95]], np.float32))[0].astype(int)
    assert cold[2] > cold[0]
    assert hot[0] > hot[2]
    grey = np.full((40, 60, 3), 128, np.uint8)
    drawn = draw_heatmap(grey, np.array([[0, 1]], np.float32)).astype(int)
    assert drawn.shape == grey.shape
    assert drawn[20, 55, 0] > drawn[20, 5, 0]


def test_stretching_reaches_zero_and_one_and_leaves_a_flat_map_at_zero():
    np.testing.assert_allclose(stretch(np.array([[2, 3, 4]], np.float32)), [[0, 0.5, 1]])
    assert not stretch(np.full((3, 3), 7, np.float32)).any()
    assert not np.isnan(colour_map(np.full((2, 2), np.nan, np.float32))).any()
