"""Masks as COCO run-length encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt


class RunLength(TypedDict):
    """COCO's compressed RLE: ``size`` is ``[height, width]``, ``counts`` are the column-major runs as ASCII text."""

    size: list[int]
    counts: str


def encode(mask: npt.NDArray[np.bool_]) -> RunLength:
    """Encode a mask, bool ``(height, width)``."""
    from pycocotools import mask as coco_mask

    columns = cv2.transpose(mask.view(np.uint8))  # of a large mask many times as fast as NumPy
    encoded = coco_mask.encode(columns.T)
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
    columns = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs).reshape(width, height)
    return np.asarray(cv2.transpose(columns)).view(np.bool_)


def area(encoded: RunLength) -> int:
    """Count a mask's pixels without decoding it."""
    from pycocotools import mask as coco_mask

    return int(coco_mask.area(encoded))


def box(encoded: RunLength) -> list[float]:
    """The tight box around a mask, XYWH pixels, without decoding it; all 0 for an empty one."""
    from pycocotools import mask as coco_mask

    return [float(side) for side in coco_mask.toBbox(encoded)]


@dataclass(frozen=True)
class RunLengths:
    """The masks of one result.

    Attributes:
        size: (height, width) of each.
        masks: K masks, run-length encoded.
    """

    size: tuple[int, int]
    masks: tuple[RunLength, ...]

    @classmethod
    def of(cls, masks: Iterable[npt.NDArray[np.bool_]], size: tuple[int, int]) -> RunLengths:
        """Encode masks, bool ``size`` each."""
        return cls(size, tuple(encode(mask) for mask in masks))

    def rows(self, indices: Sequence[int]) -> RunLengths:
        """Some of the masks."""
        return RunLengths(self.size, tuple(self.masks[index] for index in indices))

    def whole(self) -> npt.NDArray[np.bool_]:
        """Bool ``(K, height, width)``."""
        masks = np.empty((len(self.masks), *self.size), np.bool_)
        for mask, encoded in zip(masks, self.masks, strict=True):
            mask[:] = decode(encoded)
        return masks

    def boxes(self) -> npt.NDArray[np.float32]:
        """Float32 ``(K, 4)``, XYXY pixels, tight around each mask, x2 and y2 exclusive; all 0 for an empty one."""
        boxes = np.array([box(mask) for mask in self.masks], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes
