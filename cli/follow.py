"""groundkit follow: a phrase and a video in, a mask a frame out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.arguments import split_arguments, split_unreadable
from groundkit.cli.console import progress, put
from groundkit.cli.options import JsonOption, OutputOption, PipelineOptions, ReportOption, with_pipeline_options
from groundkit.cli.results import sum_up, tell
from groundkit.cli.videos import (
    GroundEveryOption,
    KeyFrameOption,
    MaxFramesOption,
    StrideOption,
    TrackerOption,
    split_settings,
    steps_of,
    video_pipeline,
)

if TYPE_CHECKING:
    from groundkit.run.phrases import Written


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
    method, config = split_settings(chosen.config(), key_frame=key_frame, ground_every=ground_every)

    from groundkit.outputs.ours import resolve_sources
    from groundkit.report.page import open_report
    from groundkit.run.follow import VideoRun, check_output
    from groundkit.run.phrases import refused

    resolved = resolve_sources(inputs, output, videos=True, frame_folders=True, pictures=False)
    found, unreadable = split_unreadable(resolved.found, follows=True)
    results: list[Written] = []
    with open_report(report) as page:
        for name, error in [*resolved.failed, *unreadable]:
            page.add_failures(name, phrases, error)
            for wanted in phrases:
                results.append(refused(name, wanted, error))
                tell(results[-1], as_json, chosen.quiet)
        if found:
            check_output(output, resolved.found, phrases, indexed=indexed)
            pipeline = video_pipeline(chosen.load(method, output), chosen, tracker, config)
            run = VideoRun(
                pipeline,
                resolved.found,
                output,
                seed=chosen.seed,
                stride=stride,
                max_frames=max_frames,
                indexed=indexed,
                report=page,
            )
            for item in found:
                for wanted in phrases:
                    with progress("follow", steps_of(item, stride, max_frames), quiet=chosen.quiet) as bar:
                        bar.at(item.name)
                        results.append(run.follow(item, wanted, bar.advance))
                        tell(results[-1], as_json, chosen.quiet)
                for folder in run.finish(item):
                    if not as_json:
                        put(folder)
    if as_json:
        put(json.dumps([result.record for result in results], indent=2))
    elif report:
        put(report)
    if not chosen.quiet:
        sum_up(results, output)
    if any(result.failed for result in results):
        raise typer.Exit(1)
