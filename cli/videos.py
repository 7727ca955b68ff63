"""From the options of a command to what follows phrases through videos."""

from __future__ import annotations

from collections.abc import Mapping
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

StrideOption = Annotated[int, typer.Option(min=1, help="Read every so many-th frame of a video.")]
MaxFramesOption = Annotated[int | None, typer.Option(min=1, help="Read no more frames of a video.")]
GroundEveryOption = Annotated[int, typer.Option(min=0, help="Ground the phrase anew every so many frames; 0 never.")]


def split_settings(config: Mapping[str, Any], **options: Any) -> tuple[dict[str, Any], VideoConfig]:
    """The settings of the method, and those among them that are about videos with ``options`` over them.

    Raises:
        ConfigError: for a value that a setting about videos cannot take.
    """
    from groundkit.pipelines.video_config import VideoConfig, read_config

    about_videos = {key: value for key, value in config.items() if key in VideoConfig.model_fields}
    method = {key: value for key, value in config.items() if key not in about_videos}
    video = read_config({**about_videos, **options})
    return method | ({"evidence": True} if video.key_frame == "evidence" else {}), video


def tell_coco_of_videos() -> None:
    """COCO knows pictures alone, and says so to those who ask for it where there are videos."""
    told = "coco.json holds pictures alone; the masks of a video are in its .jsonl, as the same run lengths"
    typer.echo(f"groundkit: {told}", err=True)


def video_pipeline(
    loaded: Any, chosen: PipelineOptions, tracker: str = "flow", config: VideoConfig | None = None
) -> VideoPipeline:
    """What follows through videos what ``loaded``, a pipeline with a segmenter, grounds."""
    from groundkit.pipelines.refam_video import VideoPipeline
    from groundkit.tracking.load import load_tracker

    follower = load_tracker(tracker, loaded.segmenter, device=chosen.device, local_files_only=chosen.offline)
    return VideoPipeline(loaded, follower, config)
