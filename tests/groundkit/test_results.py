import builtins
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from groundkit.errors import ConfigError, GroundkitError
from groundkit.masks.geometry import boxes_of

BOXES = [(5, 6, 30, 20), (40, 10, 64, 48)]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image", np.zeros((48, 64), np.uint8), r"image must be uint8 \(48, 64, 3\), got uint8 \(48, 64\)"),
        ("image", np.zeros((48, 64, 3), np.float32), r"image must be uint8 .*, got float32"),
        ("masks", np.zeros((2, 64, 48), np.bool_), r"masks must be bool \(2, 48, 64\), got bool \(2, 64, 48\)"),
        ("masks", np.zeros((2, 48, 64), np.uint8), r"masks must be bool .*, got uint8"),
        ("scores", np.zeros(3, np.float32), r"scores must be float32 \(2,\), got float32 \(3,\)"),
        ("scores", np.zeros(2), r"scores must be float32 .*, got float64"),
        ("boxes", np.zeros((2, 5), np.float32), r"boxes must be float32 \(2, 4\)"),
        ("points", np.zeros((1, 2), np.float32), r"points must be float32 \(1, 3\)"),
        ("heatmap", np.zeros((4, 4), np.float32), r"heatmap must be float32 \(48, 64\)"),
    ],
)
def test_a_wrong_shape_or_dtype_is_refused_with_expected_and_actual(make_grounding, field, value, message):
    with pytest.raises(ValueError, match=message):
        make_grounding(*BOXES, size=(48, 64), **{field: value})


def test_boxes_are_tight_with_exclusive_ends_and_zero_for_an_empty_mask(make_grounding):
    masks = make_grounding(*BOXES, (0, 0, 0, 0)).masks
    np.testing.assert_array_equal(boxes_of(masks), np.array([*BOXES, (0, 0, 0, 0)], np.float32))
    # pycocotools counts the same box as XYWH.
    x, y, width, height = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(masks[0].astype(np.uint8))))
    np.testing.assert_array_equal(boxes_of(masks)[0], [x, y, x + width, y + height])


def test_the_union_mask_of_nothing_is_empty(make_grounding):
    assert make_grounding().mask.shape == (48, 64)
    assert not make_grounding().mask.any()
    grounding = make_grounding(*BOXES)
    np.testing.assert_array_equal(grounding.mask, grounding.masks[0] | grounding.masks[1])


def test_scores_that_a_segmenter_puts_outside_0_to_1_are_clipped(make_grounding):
    found = make_grounding(*BOXES[:1], scores=np.array([-0.59], np.float32))
    np.testing.assert_array_equal(found.scores, np.zeros(1, np.float32))
    found = make_grounding(*BOXES[:1], scores=np.array([1.01], np.float32))
    np.testing.assert_array_equal(found.scores, np.ones(1, np.float32))


def test_an_overlay_changes_the_object_and_leaves_distant_pixels(make_grounding):
    grounding = make_grounding((100, 100, 160, 150), size=(200, 300), points=np.empty((0, 3), np.float32), phrase="")
    overlay = grounding.overlay()
    assert overlay.shape == grounding.image.shape
    assert overlay.dtype == np.uint8
    assert (overlay != grounding.image).any(axis=2)[grounding.masks[0]].mean() > 0.95
    np.testing.assert_array_equal(overlay[:90], grounding.image[:90])


@pytest.mark.filterwarnings("ignore:no installed font has the letters")
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (20, 20)])
@pytest.mark.parametrize("phrase", ["", "the red cup " * 2000, "红色的杯子", "🧸", "كوب أحمر"])
def test_an_overlay_of_any_picture_and_phrase_can_be_drawn(make_grounding, size, phrase):
    for boxes in ([], [(0, 0, 1, 1)], [(0, 0, 0, 0)]):
        assert make_grounding(*boxes, size=size, phrase=phrase).overlay().shape == (*size, 3)


def test_a_cutout_has_the_mask_as_alpha_and_the_pictures_colours(make_grounding):
    grounding = make_grounding(*BOXES)
    x1, y1, x2, y2 = BOXES[1]
    cropped, whole = grounding.cutout(1), grounding.cutout(1, crop=False)
    np.testing.assert_array_equal(cropped[..., :3], grounding.image[y1:y2, x1:x2])
    assert (cropped[..., 3] == 255).all()
    np.testing.assert_array_equal(whole[..., 3] == 255, grounding.masks[1])
    np.testing.assert_array_equal(whole[..., :3], grounding.image)
    with pytest.raises(IndexError):
        make_grounding().cutout()


def test_save_writes_into_a_folder_under_the_phrase(make_grounding, tmp_path):
    grounding = make_grounding(BOXES[0])
    (path,) = grounding.save(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "the-red-cup.png"
    with Image.open(path) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), np.where(grounding.masks[0], 255, 0))


def test_save_takes_a_file_name_as_it_is_for_one_format(make_grounding, tmp_path):
    assert make_grounding(BOXES[0]).save(str(tmp_path / "a.png"), ["overlay"]) == [tmp_path / "a.png"]
    assert make_grounding(BOXES[0]).save(tmp_path / "a.json", ["coco"]) == [tmp_path / "a.json"]


def test_save_takes_a_file_name_as_base_for_several_files(make_grounding, tmp_path):
    saved = make_grounding(*BOXES).save(tmp_path / "a.png", ["png", "overlay", "json"])
    names = ["a-mask1.png", "a-mask2.png", "a-overlay.png", "a.json"]
    assert saved == [tmp_path / name for name in names]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)


def test_save_refuses_what_it_cannot_write(make_grounding, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"^no format named 'gif': use one of coco, csv, cutout, .*, yolo, yolo_box$",
    ):
        make_grounding().save(tmp_path, ["gif"])
    with pytest.raises(ConfigError, match=r"a\.jpg cannot hold png: give a folder, or a name in \.png$"):
        make_grounding().save(tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_detections_of_supervision_carry_masks_boxes_scores_and_the_phrase(make_grounding):
    pytest.importorskip("supervision")
    grounding = make_grounding(*BOXES)
    detections = grounding.to_supervision()
    assert len(detections) == 2
    np.testing.assert_array_equal(detections.xyxy, grounding.boxes)
    np.testing.assert_array_equal(detections.mask, grounding.masks)
    np.testing.assert_array_equal(detections.confidence, grounding.scores)
    assert list(detections.data["class_name"]) == ["the red cup", "the red cup"]
    assert len(make_grounding().to_supervision()) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("boxes", [BOXES, []])
@pytest.mark.parametrize("name", ["Mask", "Polygon", "Box", "Label", "Halo", "Color", "RoundBox"])
def test_annotators_of_supervision_draw_what_was_found(make_grounding, name, boxes):
    supervision = pytest.importorskip("supervision")
    grounding = make_grounding(*boxes, size=(96, 128))
    annotator = getattr(supervision, f"{name}Annotator")()
    drawn = annotator.annotate(grounding.image.copy(), grounding.to_supervision())
    assert (drawn != grounding.image).any() == bool(boxes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_detections_of_supervision_can_be_thinned_and_merged_by_class(make_grounding):
    supervision = pytest.importorskip("supervision")
    detections = make_grounding(BOXES[0], BOXES[0], BOXES[1]).to_supervision()
    assert len(detections.with_nms(threshold=0.5)) == 2
    assert list(supervision.Detections.merge([detections, detections]).class_id) == [0] * 6


def test_without_supervision_the_message_says_how_to_install_it(make_grounding, monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "supervision":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "supervision", raising=False)
    with pytest.raises(GroundkitError, match=r'pip install "groundkit-vision\[supervision\]"$'):
        make_grounding().to_supervision()
