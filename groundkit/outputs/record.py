"""One result as JSON-ready values: the lines of ``segment --json`` and the ``json`` format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundkit.results import Discovery, Grounding
from groundkit.version import __version__


def record(grounding: Grounding, source: str, mask_files: Sequence[Path | str] = ()) -> dict[str, Any]:
    """Describe a grounding.

    Args:
        grounding: the result.
        source: the input as the user named it.
        mask_files: where the masks were written, in their order; empty when no PNG masks were asked for.

    Returns:
        ``input``, ``phrase``, ``pipeline``, ``model``, ``segmenter``, ``version`` (of groundkit), ``device``,
        ``dtype``, ``settings`` (as they ran), ``origins`` (of those that have not their default), ``masks`` (files),
        ``scores``, ``boxes`` (XYXY pixels), ``points`` (``[x, y, label]``), ``seconds`` (left out where they are NaN),
        unless it is switched off ``evidence``, and of an ensemble ``decided_by``, the member that agrees best with the
        mask.
    """
    decided_by = getattr(grounding.steps, "decided_by", None)
    return {
        "input": source,
        "phrase": grounding.phrase,
        "pipeline": grounding.pipeline,
        "model": grounding.model,
        "segmenter": grounding.segmenter,
        **made_with(grounding),
        "masks": [str(path) for path in mask_files],
        "scores": [round(float(score), 6) for score in grounding.scores],
        "boxes": [[float(side) for side in box] for box in grounding.boxes],
        "points": [[float(x), float(y), int(label)] for x, y, label in grounding.points],
        **({} if math.isnan(grounding.seconds) else {"seconds": round(grounding.seconds, 3)}),
        **({} if grounding.evidence is None else {"evidence": round(grounding.evidence.score, 4)}),
        **({} if decided_by is None else {"decided_by": decided_by}),
    }


def discovery_record(discovery: Discovery, source: str) -> dict[str, Any]:
    """What was found, as values for JSON.

    Returns:
        ``input``, ``pipeline``, ``model``, ``segmenter``, ``version`` (of groundkit), ``device``, ``dtype`` and
        ``objects``, the best first: ``label``, ``mask`` (COCO run-length encoding), ``box`` (XYXY pixels), ``score``
        and ``points`` (``[x, y, label]``) each.
    """
    return {
        "input": source,
        "pipeline": discovery.pipeline,
        "model": discovery.model,
        "segmenter": discovery.segmenter,
        **made_with(discovery),
        "objects": [
            {
                "label": label,
                "mask": mask,
                "box": [float(side) for side in box],
                "score": round(float(score), 6),
                "points": [[float(x), float(y), int(positive)] for x, y, positive in points],
            }
            for label, mask, box, score, points in zip(
                discovery.labels,
                discovery.run_lengths,
                discovery.boxes,
                discovery.scores,
                discovery.points,
                strict=True,
            )
        ],
    }


def made_with(found: Grounding | Discovery) -> dict[str, Any]:
    """What a result depends on: the version of groundkit, the device, the dtype, and every setting with its origin."""
    settings = {"settings": dict(found.settings), "origins": dict(found.origins)} if found.settings else {}
    return {"version": __version__, "device": found.device, "dtype": found.dtype, **settings}


def full_record(grounding: Grounding, source: str, mask_files: Sequence[Path | str] = ()) -> dict[str, Any]:
    """The record with the masks themselves: ``rle`` holds one COCO run-length encoding a mask."""
    return {**record(grounding, source, mask_files), "rle": list(grounding.run_lengths)}


def failure(source: str, phrase: str | None, error: Exception) -> dict[str, Any]:
    """The record when an input or a phrase could not be grounded."""
    return {"input": source, "phrase": phrase, "error": str(error)}
