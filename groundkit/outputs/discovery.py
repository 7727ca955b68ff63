"""Everything found in a picture, as JSON-ready values and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundkit.errors import ConfigError
from groundkit.outputs.atomic import write_text
from groundkit.outputs.names import UniqueNames, slug
from groundkit.outputs.png import write_png
from groundkit.outputs.rle import encode
from groundkit.outputs.save import file_names, write_files
from groundkit.results import Discovery

# "coco" covers a whole run and is written by its caller.
DISCOVERY_FORMATS = ("overlay", "png", "cutout", "json", "coco")


def discovery_record(discovery: Discovery, source: str) -> dict[str, Any]:
    """``input`` and ``objects``: ``label``, ``mask`` (COCO run-length encoding), ``box`` (XYXY pixels), ``score`` and
    ``points`` (``[x, y, label]``) each, the best first."""
    return {
        "input": source,
        "objects": [
            {
                "label": label,
                "mask": encode(mask),
                "box": [float(side) for side in box],
                "score": round(float(score), 6),
                "points": [[float(x), float(y), int(positive)] for x, y, positive in points],
            }
            for label, mask, box, score, points in zip(
                discovery.labels, discovery.masks, discovery.boxes, discovery.scores, discovery.points, strict=True
            )
        ],
    }


def check_discovery_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats without repeats; ConfigError with the list of those there are for another."""
    for name in formats:
        if name not in DISCOVERY_FORMATS:
            raise ConfigError(f"unknown format {name!r}: choose from {', '.join(DISCOVERY_FORMATS)}")
    return tuple(dict.fromkeys(formats))


def write_discovery(
    discovery: Discovery, folder: Path, stem: str, formats: Sequence[str], record: Mapping[str, Any]
) -> list[Path]:
    """Write one picture's objects: ``<stem>-overlay.png``, ``<stem>.json``, ``<stem>-<label>.png`` and so on.

    ``record`` is its ``discovery_record``.

    Raises:
        InputError: when the place cannot be written to.
    """
    written = []
    if "overlay" in formats:
        written.append(write_png(folder / f"{stem}-overlay.png", discovery.overlay()))
    if "json" in formats:
        written.append(write_text(folder / f"{stem}.json", json.dumps(record, indent=2) + "\n"))
    single = [name for name in formats if name in ("png", "cutout")]
    names = UniqueNames()
    for grounding in discovery.groundings():
        base = names.take(f"{stem}-{slug(grounding.phrase)}")
        files = write_files(grounding, file_names(folder, base, single))
        written += [file for each in files.values() for file in each]
    return written
