"""From the options of a command to what follows phrases through videos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit.cli.options import PipelineOptions

if TYPE_CHECKING:
    from groundkit.pipelines.refam_video import VideoConfig, VideoPipeline

TrackerOption = Annotated[
    str,
    typer.Option(metavar="ID", help="flow (optical flow, no weights), or a SAM 2 or EdgeTAM: Hub id or folder."),
]
KeyFrameOption = Annotated[
    str,
    typer.Option(
        help="Where the phrase is grounded first: first, middle, evidence, or auto: by evidence with a model for "
        "videos, else first."
    ),
]

GroundEveryOption = Annotated[int, typer.Option(min=0, help="Ground the phrase anew every so many frames; 0 never.")]


def video_pipeline(
    loaded: Any, chosen: PipelineOptions, tracker: str = "flow", config: VideoConfig | None = None
) -> VideoPipeline:
    """What follows through videos what ``loaded``, a pipeline with a segmenter, grounds."""
    from groundkit.pipelines.refam_video import VideoPipeline
    from groundkit.tracking.load import load_tracker

    follower = load_tracker(tracker, loaded.segmenter, device=chosen.device, local_files_only=chosen.offline)
    return VideoPipeline(loaded, follower, config)
