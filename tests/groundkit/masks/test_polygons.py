import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from groundkit.masks.polygons import polygons, rasterised

# pycocotools, an oracle here, is not adapted to NumPy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def masks():
    noise = np.random.default_rng(0).random((40, 60)) > 0.6
    ring = np.zeros((40, 60), np.uint8)
    cv2.circle(ring, (30, 20), 15, 1, -1)
    cv2.circle(ring, (30, 20), 7, 0, -1)
    cv2.circle(ring, (30, 20), 3, 1, -1)
    parts = np.zeros((40, 60), bool)
    parts[2:10, 3:9] = parts[20:35, 40:59] = parts[39, 0] = True
    diagonal = np.eye(40, 60, dtype=bool)
    return {"noise": noise, "ring": ring > 0, "parts": parts, "diagonal": diagonal, "all": np.ones((40, 60), bool)}


@pytest.mark.parametrize("kind", masks())
def test_exact_polygons_filled_by_the_even_odd_rule_are_the_mask(kind):
    mask = masks()[kind]
    outlines = polygons(mask)
    np.testing.assert_array_equal(rasterised(outlines, mask.shape), mask)
    # Pillow fills with the outline: drawn at 16 times the size and looked at in the middle of each pixel.
    drawn = np.zeros(mask.shape, bool)
    for outline in outlines:
        picture = Image.new("1", (60 * 16, 40 * 16))
        ImageDraw.Draw(picture).polygon([(int(x) * 16, int(y) * 16) for x, y in outline], fill=1)
        drawn ^= np.asarray(picture)[8::16, 8::16]
    np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize("kind", ["ring", "parts", "all"])
def test_pycocotools_draws_exact_polygons_as_the_mask(kind):
    mask = masks()[kind]
    flat = [outline.ravel().astype(float).tolist() for outline in polygons(mask)]
    np.testing.assert_array_equal(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, 40, 60))), mask)


def test_a_tolerance_gives_fewer_corners_and_stays_close():
    disc = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 80, 1, -1) > 0
    ((exact,), (simple,)) = polygons(disc), polygons(disc, 1.5)
    assert len(simple) < len(exact) / 4
    again = rasterised([simple], disc.shape)
    assert (again & disc).sum() / (again | disc).sum() > 0.97


def test_parts_that_a_tolerance_would_take_away_stay_and_an_empty_mask_has_none():
    dot = np.zeros((20, 20), bool)
    dot[5, 5] = dot[10:18, 10:18] = True
    assert rasterised(polygons(dot, 3.0), dot.shape)[5, 5]
    assert polygons(np.zeros((5, 5), bool)) == []


def test_polygons_between_pixels_are_drawn_by_the_centres_of_pixels():
    expected = np.zeros((10, 12), bool)
    expected[2:5, 3:8] = True
    np.testing.assert_array_equal(rasterised([[(2.6, 1.7), (8.4, 1.7), (8.4, 5.3), (2.6, 5.3)]], (10, 12)), expected)
