"""Masks as COCO run-length encoding."""

from __future__ import annotations

import warnings
from typing import TypedDict

import numpy as np
import numpy.typing as npt


class RunLength(TypedDict):
    """COCO's compressed RLE: ``size`` is ``[height, width]``, ``counts`` are the column-major runs as ASCII text."""

    size: list[int]
    counts: str


def encode(mask: npt.NDArray[np.bool_]) -> RunLength:
    """Encode a mask, bool ``(height, width)``."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode(encoded: RunLength) -> npt.NDArray[np.bool_]:
    """Decode to a mask, bool ``(height, width)``."""
    from pycocotools import mask as coco_mask

    with warnings.catch_warnings():
        # pycocotools 2.0 is not adapted to NumPy 2's copy keyword and warns on every call.
        warnings.simplefilter("ignore", DeprecationWarning)
        decoded: npt.NDArray[np.uint8] = coco_mask.decode(encoded)
    return decoded.astype(np.bool_)


def area(encoded: RunLength) -> int:
    """Count a mask's pixels without decoding it."""
    from pycocotools import mask as coco_mask

    return int(coco_mask.area(encoded))


def box(encoded: RunLength) -> list[float]:
    """The tight box around a mask, XYWH pixels, without decoding it; all 0 for an empty one."""
    from pycocotools import mask as coco_mask

    return [float(side) for side in coco_mask.toBbox(encoded)]
