"""A run's results as one COCO data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundkit.outputs.atomic import write_text
from groundkit.outputs.rle import RunLength, area, box, encode
from groundkit.results import Grounding


class CocoDataset:
    """Collects groundings: pictures become images, phrases categories, masks annotations with a ``score``.

    All ids count from 1. Boxes are XYWH pixels around the mask, ``area`` is its number of pixels, ``segmentation`` is
    compressed RLE with ``counts`` as str. Pictures in which nothing was found are listed without annotations.

    Args:
        categories: those that are known before, numbered in their order; further ones follow as they come.
    """

    def __init__(self, categories: Sequence[str] = ()) -> None:
        self._images: dict[str, dict[str, Any]] = {}
        self._categories: dict[str, int] = {name: number for number, name in enumerate(categories, start=1)}
        self._annotations: list[dict[str, Any]] = []

    def add(self, grounding: Grounding, file_name: str) -> None:
        """Add one picture and phrase; the same ``file_name`` again means the same picture."""
        height, width = grounding.image.shape[:2]
        masks = [encode(mask) for mask in grounding.masks]
        self.add_masks(
            file_name, (height, width), grounding.phrase, masks, [float(score) for score in grounding.scores]
        )

    def add_masks(
        self, file_name: str, size: tuple[int, int], phrase: str, masks: Sequence[RunLength], scores: Sequence[float]
    ) -> None:
        """Add one picture, its ``(height, width)``, and phrase, whose masks are encoded already."""
        image = self.add_picture(file_name, size)
        category = self._categories.setdefault(phrase, len(self._categories) + 1)
        for mask, score in zip(masks, scores, strict=True):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "segmentation": mask,
                    "bbox": box(mask),
                    "area": float(area(mask)),
                    "iscrowd": 0,
                    "score": score,
                }
            )

    def add_picture(self, file_name: str, size: tuple[int, int]) -> dict[str, Any]:
        """Add one picture, its ``(height, width)``, and return its entry."""
        entry = {"id": len(self._images) + 1, "file_name": file_name, "width": size[1], "height": size[0]}
        return self._images.setdefault(file_name, entry)

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
