"""Boxes as comma-separated values."""

from __future__ import annotations

from pathlib import Path

from groundkit.outputs.atomic import write_text
from groundkit.outputs.formats.base import Format, Source
from groundkit.results import Discovery, Grounding


class Boxes(Format):
    """One line per object: its label, x1, y1, x2 and y2 in pixels, and its score."""

    ending = "-boxes.csv"

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        labels = result.labels if isinstance(result, Discovery) else [result.phrase] * len(result.scores)
        lines = ["label,x1,y1,x2,y2,score"]
        for label, box, score in zip(labels, result.boxes, result.scores, strict=True):
            lines.append(",".join([label, *(f"{value:g}" for value in box), f"{score:.3f}"]))
        return [write_text(path, "\n".join(lines) + "\n")]


FORMAT = Boxes()
