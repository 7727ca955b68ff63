"""From the options of a command to what follows phrases through videos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit.cli.options import PipelineOptions
from groundkit.errors import ConfigError

if TYPE_CHECKING:
    from groundkit.pipelines.video import VideoConfig, VideoPipeline
    from groundkit.settings import Given

TrackerOption = Annotated[
    str,
    typer.Option(metavar="ID", help="flow (optical flow, no weights), or a SAM 2 or EdgeTAM: Hub id or folder."),
]
KeyFrameOption = Annotated[
    str | None,
    typer.Option(
        help="Where the phrase is grounded first: first, middle, evidence, or auto (the default): by evidence with a "
        "model for videos, else first."
    ),
]

StrideOption = Annotated[int, typer.Option(min=1, help="Read every Nth frame of a video.")]
MaxFramesOption = Annotated[int | None, typer.Option(min=1, help="Read at most N frames of a video.")]
GroundEveryOption = Annotated[
    int | None, typer.Option(min=0, help="Ground the phrase again every N frames; 0, the default, never.")
]


def split_settings(config: Mapping[str, Any], **options: Any) -> tuple[Given, VideoConfig]:
    """The settings of the method, and those about videos with the ``options`` that are given over them.

    Raises:
        ConfigError: for a value that a setting about videos cannot take.
    """
    from groundkit.pipelines.video_config import VideoConfig
    from groundkit.settings import Given

    about_videos, method = Given(), Given()
    for key, value in config.items():
        kind = about_videos if key in VideoConfig.model_fields else method
        kind.add({key: value}, getattr(config, "origins", {}))
    for key, value in options.items():
        if value is not None:
            about_videos.add({key: value}, f"--{key.replace('_', '-')}")
    video = VideoConfig.read(about_videos)
    if video.key_frame == "evidence":
        if method.get("evidence") is False:
            raise ConfigError("--key-frame evidence needs the evidence that --no-evidence switches off")
        method.add({"evidence": True}, "--key-frame")
    return method, video


def video_pipeline(
    loaded: Any, chosen: PipelineOptions, tracker: str = "flow", config: VideoConfig | None = None
) -> VideoPipeline:
    """What follows through videos what ``loaded``, a pipeline with a segmenter, grounds."""
    from groundkit.pipelines.video import VideoPipeline
    from groundkit.tracking.load import load_tracker

    follower = load_tracker(tracker, loaded.segmenter, device=chosen.device, local_files_only=chosen.offline)
    return VideoPipeline(loaded, follower, config)
