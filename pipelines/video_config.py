"""The settings for following a phrase through a video."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from groundkit.settings import Settings


class VideoConfig(Settings):
    """How a phrase is followed through a video. ``--set key=value`` sets any of them."""

    key_frame: Literal["auto", "first", "middle", "evidence"] = Field(
        "auto",
        description="frame that is grounded first: the first, the middle one, or the best of several by evidence times "
        "the segmenter's score (evidence); for a video model, evidence takes the frame where the map of the clip is "
        "strongest; auto is evidence for a video model, else first",
    )
    candidate_frames: int = Field(8, ge=1, description="number of evenly spaced frames that evidence compares")
    ground_every: int = Field(0, ge=0, description="ground the phrase again every N frames; 0: never")
    reground_lost: bool = Field(
        False,
        description="ground the phrase again where the tracker is unsure. Use it with a pipeline that can report that "
        "the object is absent: one that always answers may lead the tracker to another object",
    )
    min_tracking_score: float = Field(0.4, ge=0, le=1, description="minimum tracker score; below it, it is unsure")
    lost_interval: int = Field(4, ge=1, description="minimum number of frames between two groundings while it is lost")
    min_track_iou: float = Field(
        0.5, ge=0, le=1, description="minimum IoU of a new mask and a tracked one that show the same object"
    )


read_config = VideoConfig.read
