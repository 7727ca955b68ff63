"""A run's results as one COCO data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from groundkit.outputs.atomic import write_text
from groundkit.outputs.rle import encode
from groundkit.results import Grounding


class CocoDataset:
    """Collects groundings: pictures become images, phrases categories, masks annotations with a ``score``.

    All ids count from 1. Boxes are XYWH pixels around the mask, ``area`` is its number of pixels, ``segmentation`` is
    compressed RLE with ``counts`` as str. Pictures in which nothing was found are listed without annotations.
    """

    def __init__(self) -> None:
        self._images: dict[str, dict[str, Any]] = {}
        self._categories: dict[str, int] = {}
        self._annotations: list[dict[str, Any]] = []

    def add(self, grounding: Grounding, file_name: str) -> None:
        """Add one picture and phrase; the same ``file_name`` again means the same picture."""
        height, width = grounding.image.shape[:2]
        image = self._images.setdefault(
            file_name, {"id": len(self._images) + 1, "file_name": file_name, "width": width, "height": height}
        )
        category = self._categories.setdefault(grounding.phrase, len(self._categories) + 1)
        for mask, score in zip(grounding.masks, grounding.scores, strict=True):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "segmentation": encode(mask),
                    "bbox": [float(side) for side in cv2.boundingRect(mask.astype(np.uint8))],
                    "area": float(np.count_nonzero(mask)),
                    "iscrowd": 0,
                    "score": float(score),
                }
            )

    def to_dict(self) -> dict[str, Any]:
        """The data set as JSON-ready values."""
        return {
            "images": list(self._images.values()),
            "annotations": list(self._annotations),
            "categories": [{"id": number, "name": phrase} for phrase, number in self._categories.items()],
        }

    def write(self, path: Path) -> Path:
        """Write the data set, which ``pycocotools.coco.COCO(path)`` reads, and return ``path``."""
        return write_text(path, json.dumps(self.to_dict()))
