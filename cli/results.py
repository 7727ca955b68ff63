"""What commands say of a result: what was found, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundkit.wording import count_of


def describe(record: Mapping[str, Any]) -> str:
    """One result in a line: ``photo.jpg: 'the red cup': found 0.57, mask 0.98``.

    The first number is the evidence that the object is in the picture at all. The second is the segmenter's own
    estimate of how good the mask is, whatever it shows.
    """
    if "objects" in record:
        return f"{record['input']}: {_objects(record)}"
    evidence = f" {record['evidence']:.2f}" if "evidence" in record else ""
    about = f"{record['input']}: {record['phrase']!r}"
    if not record.get("scores", record.get("seen")):
        filtered = record.get("filtered", 0)
        what = f"{count_of(filtered, 'mask')} filtered out" if filtered else "nothing found"
        return f"{about}: {what}{f' (evidence{evidence})' if evidence else ''}"
    if "seen" in record:
        mask = f", mask {record['mask_score']:.2f}" if "mask_score" in record else ""
        return f"{about}: found{evidence}{mask}, seen on {record['seen']} of {count_of(record['frames'], 'frame')}"
    scores = record["scores"]
    masks = f"mask {scores[0]:.2f}" if len(scores) == 1 else f"{len(scores)} masks, the best {max(scores):.2f}"
    return f"{about}: found{evidence}, {masks}"


def _objects(record: Mapping[str, Any]) -> str:
    """``3 objects: 2 yellow dog (0.61, 0.55), red hat (0.40)``."""
    scores: dict[str, list[str]] = {}
    for each in record["objects"]:
        scores.setdefault(each["label"], []).append(f"{each['score']:.2f}")
    names = [f"{f'{len(each)} ' if len(each) > 1 else ''}{label} ({', '.join(each)})" for label, each in scores.items()]
    return f"{count_of(len(record['objects']), 'object')}: {', '.join(names)}" if names else "nothing found"
