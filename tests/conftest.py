"""Results made by hand, for tests of what comes after the pipelines."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.results import Grounding, boxes_of

MakeGrounding = Callable[..., Grounding]


@pytest.fixture
def make_grounding() -> MakeGrounding:
    """A function that makes a picture of noise in which rectangles ``(x1, y1, x2, y2)`` were found."""

    def make(
        *boxes: tuple[int, int, int, int],
        size: tuple[int, int] = (48, 64),
        phrase: str = "the red cup",
        image: npt.NDArray[np.uint8] | None = None,
        **fields: Any,
    ) -> Grounding:
        generator = np.random.default_rng(0)
        if image is None:
            image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        height, width = image.shape[:2]
        masks = np.zeros((len(boxes), height, width), dtype=np.bool_)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1:y2, x1:x2] = True
        points = [((x1 + x2) / 2, (y1 + y2) / 2, 1) for x1, y1, x2, y2 in boxes] + [(0.5, 0.5, 0)]
        values: dict[str, Any] = {
            "image": image,
            "phrase": phrase,
            "masks": masks,
            "scores": np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
            "boxes": boxes_of(masks),
            "points": np.array(points, dtype=np.float32),
            "heatmap": generator.random((height, width), dtype=np.float32),
            "pipeline": "refam",
            "model": "nano",
            "seconds": 0.25,
        }
        return Grounding(**{**values, **fields})

    return make
