"""Run lengths are those of pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from groundkit.masks.rle import decode, encode

# pycocotools, the oracle here, is not adapted to NumPy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("block", [1, 9, 400])
def test_masks_are_decoded_as_by_pycocotools(share, block):
    random = np.random.default_rng(0)
    for height, width in [(1, 1), (1, 70), (70, 1), (37, 53), (500, 300)]:
        cells = random.random((height // block + 1, width // block + 1)) < share
        mask = np.kron(cells, np.ones((block, block), np.bool_))[:height, :width]
        np.testing.assert_array_equal(decode(encode(mask)), mask)
        np.testing.assert_array_equal(decode(encode(mask)), coco_mask.decode(encode(mask)).astype(np.bool_))


@pytest.mark.parametrize("counts", ["", "0", "05", "zzzz", "PPP", "0P", "1O4", "nooooooooo0"])
def test_runs_that_do_not_fill_the_picture_are_refused(counts):
    with pytest.raises(ValueError, match=r".+"):
        decode({"size": [3, 4], "counts": counts})
