"""groundkit follow: a phrase and a video in, a mask per frame out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundkit.cli.arguments import split_arguments
from groundkit.cli.options import (
    JsonOption,
    OutputOption,
    PipelineOptions,
    ReportOption,
    listed_formats,
    with_pipeline_options,
)
from groundkit.cli.videos import (
    GroundEveryOption,
    KeyFrameOption,
    MaxFramesOption,
    StrideOption,
    TrackerOption,
    split_settings,
)


@with_pipeline_options()
def follow(
    chosen: PipelineOptions,
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="VIDEO... PHRASE", help="Videos or folders of numbered frames; then what to look for."),
    ],
    phrase: Annotated[
        list[str] | None,
        typer.Option("--phrase", "-p", help="What to look for; then all arguments are videos. Repeatable."),
    ] = None,
    output: OutputOption = Path("groundkit-out"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"Also write the key frame, where the phrase was grounded: {listed_formats()}. Repeatable.",
        ),
    ] = None,
    tracker: TrackerOption = "flow",
    key_frame: KeyFrameOption = None,
    ground_every: GroundEveryOption = None,
    stride: StrideOption = 1,
    max_frames: MaxFramesOption = None,
    indexed: Annotated[
        bool,
        typer.Option(
            "--indexed", help="Also write VIDEO/FRAME.png with DAVIS's palette, number n on what the n-th phrase names."
        ),
    ] = False,
    as_json: JsonOption = False,
    report: ReportOption = None,
) -> None:
    """Follow what a phrase names through a video.

    For example: groundkit follow clip.mp4 "the red ball" -o out
    """
    inputs, phrases = split_arguments(arguments, phrase or [], command="follow", example="clip.mp4")
    method, video = split_settings(chosen.config(), key_frame=key_frame, ground_every=ground_every)

    from groundkit.cli.running import Display, sum_up
    from groundkit.outputs.formats import check_formats
    from groundkit.run.plan import make_plan
    from groundkit.run.runner import RunSettings

    kinds = check_formats(formats or [])
    plan = make_plan([(each, phrases) for each in inputs], output, pictures=False, frame_folders=True, stdin=True)
    display = Display("follow", chosen, output, as_json=as_json)
    job = display.job(method, kinds, **display.following(video, tracker), stride=stride, max_frames=max_frames)
    summary = display.run(RunSettings(plan, job, engine=display.engine, report=report, indexed=indexed))
    sum_up(summary, chosen, output, fail_on_empty=False)
