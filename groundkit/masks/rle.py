"""Masks as COCO run-length encoding."""

from __future__ import annotations

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
    """Decode to a mask, bool ``(height, width)``, the same as pycocotools.

    pycocotools' own decoder makes NumPy 2 warn on every call, which cannot be silenced in one thread alone.

    Raises:
        ValueError: when the runs do not fill the picture.
    """
    height, width = encoded["size"]
    # A number is one or more characters with five bits each, the lowest first; bit 6 says that another follows.
    codes = np.frombuffer(encoded["counts"].encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes < 0x20)
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    digits = ends - starts + 1
    places = np.arange(len(codes)) - np.repeat(starts, digits)
    runs = np.add.reduceat((codes & 0x1F) << 5 * places, starts) if len(ends) else ends
    runs -= (codes[ends] >> 4 & 1) << 5 * digits  # two's complement
    # From the fourth on, a number is the difference of its run to the one two before.
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    if runs.sum() != height * width:
        raise ValueError(f"the runs of a mask of {width}x{height} pixels have {runs.sum()}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def area(encoded: RunLength) -> int:
    """Count a mask's pixels without decoding it."""
    from pycocotools import mask as coco_mask

    return int(coco_mask.area(encoded))


def box(encoded: RunLength) -> list[float]:
    """The tight box around a mask, XYWH pixels, without decoding it; all 0 for an empty one."""
    from pycocotools import mask as coco_mask

    return [float(side) for side in coco_mask.toBbox(encoded)]
