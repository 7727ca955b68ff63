"""What the service answers, typed: the schema at ``/openapi.json`` is made of it."""

from __future__ import annotations

import base64
from typing import Literal

from pydantic import BaseModel, Field

from groundkit.masks.rle import area
from groundkit.outputs.formats.png import encode_png, grey_of
from groundkit.results import Failure, Grounding

MaskKind = Literal["rle", "png", "none"]


class RunLengths(BaseModel):
    """A mask as COCO run-length encoding, as pycocotools reads it."""

    size: list[int] = Field(description="Height and width in pixels.")
    counts: str


class FoundObject(BaseModel):
    """One mask."""

    score: float = Field(description="The segmenter's own estimate of the mask, 0 to 1.")
    box: list[float] = Field(description="XYXY pixels, x2 and y2 exclusive.")
    area: int = Field(description="Pixels of the mask.")
    rle: RunLengths | None = Field(default=None, description="The mask, where mask=rle.")
    png: str | None = Field(default=None, description="The mask as a PNG file in base64, white on black: mask=png.")


class Result(BaseModel):
    """What became of one phrase."""

    phrase: str
    evidence: float | None = Field(default=None, description="That the object is in the picture at all, 0 to 1.")
    objects: list[FoundObject] = []
    points: list[list[float]] = Field(default=[], description="x, y in pixels, and 1 on or 0 off the object.")
    seconds: float | None = None
    error: str | None = Field(default=None, description="Why the phrase could not be grounded, in one line.")


class Answer(BaseModel):
    """What became of a picture."""

    width: int
    height: int
    pipeline: str
    model: str
    version: str
    results: list[Result]


class Health(BaseModel):
    """What runs here."""

    status: Literal["ok"] = "ok"
    pipeline: str
    model: str
    segmenter: str
    device: str
    version: str
    waiting: int = Field(description="Requests that wait for the model or run on it.")


class Refusal(BaseModel):
    """Why a request was refused, in one line."""

    error: str


def result_of(found: Grounding | Failure, kind: MaskKind) -> Result:
    """One outcome as it is answered."""
    if isinstance(found, Failure):
        return Result(phrase=found.phrase, error=str(found.error))
    each = zip(found.scores.tolist(), found.boxes.tolist(), found.run_lengths, found.masks, strict=True)
    return Result(
        phrase=found.phrase,
        evidence=None if found.evidence is None else found.evidence.score,
        objects=[
            FoundObject(
                score=score,
                box=box,
                area=area(rle),
                rle=RunLengths(**rle) if kind == "rle" else None,
                png=base64.b64encode(encode_png(grey_of(mask))).decode() if kind == "png" else None,
            )
            for score, box, rle, mask in each
        ],
        points=found.points.tolist(),
        seconds=found.seconds,
    )
