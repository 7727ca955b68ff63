"""The masks of a video as JSON lines of run lengths, one line per frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from groundkit.masks.geometry import boxes_of
from groundkit.masks.rle import encode
from groundkit.outputs.atomic import atomic_path


@contextmanager
def open_rle_lines(path: Path) -> Iterator[RleLines]:
    """Begin a file of JSON lines, one per frame; see ``RleLines.add``.

    Raises:
        InputError: when the place cannot be written to.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield RleLines(file)


class RleLines:
    """Takes the masks of a video for JSON lines; made by ``open_rle_lines``."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(
        self,
        name: str,
        seconds: Fraction | float,
        masks: npt.NDArray[np.bool_],
        scores: npt.NDArray[np.float32],
        ids: Sequence[int] | None = None,
    ) -> None:
        """Write ``{"frame", "seconds", "objects": [{"id", "rle", "box", "score"}]}`` for the next frame.

        Args:
            name: what the frame is called, as in ``Frame.name``.
            seconds: when it is shown; written as a float.
            masks: bool ``(K, height, width)``, one an object. Empty ones are left out of ``objects``.
            scores: float32 ``(K,)``.
            ids: the objects' ids, 1 to K unless given.

        ``rle`` is COCO's compressed encoding, and ``box`` is XYXY pixels, x2 and y2 exclusive.
        """
        numbers = ids or range(1, len(masks) + 1)
        objects = [
            {
                "id": number,
                "rle": encode(mask),
                "box": [float(side) for side in box],
                "score": round(float(score), 6),
            }
            for number, mask, box, score in zip(numbers, masks, boxes_of(masks), scores, strict=True)
            if mask.any()
        ]
        line = {"frame": name, "seconds": float(seconds), "objects": objects}
        self._file.write(json.dumps(line) + "\n")
