"""The settings for following a phrase through a video."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from groundkit.settings import Settings


class VideoConfig(Settings):
    """How a phrase is followed through a video. ``--set key=value`` sets any of them."""

    key_frame: Literal["auto", "first", "middle", "evidence"] = Field(
        "auto",
        description="where the phrase is grounded first; evidence takes the best of several (candidates), by evidence "
        "times the segmenter's score, or the strongest of the clip that a video model looks at; auto is evidence for "
        "such a model, else first",
    )
    candidates: int = Field(8, ge=1, description="evenly spaced frames among which the evidence decides")
    ground_every: int = Field(0, ge=0, description="ground the phrase again every N frames; 0: never")
    reground_lost: bool = Field(
        False,
        description="ground the phrase again where the tracker is unsure. Use it with a pipeline that can report that "
        "the object is absent: one that always answers may lead the tracker to another object",
    )
    least_score: float = Field(0.4, ge=0, le=1, description="tracker score below which it is unsure")
    patience: int = Field(4, ge=1, description="frames between two groundings while nothing sure is tracked")
    agreement: float = Field(0.5, ge=0, le=1, description="IoU from which a new mask and a tracked one are one object")


read_config = VideoConfig.read
