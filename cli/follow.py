"""groundkit follow: a phrase and a video in, a mask a frame out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from groundkit.cli.options import JsonOption, OutputOption, PipelineOptions, ReportOption, with_pipeline_options
from groundkit.cli.progress import progress
from groundkit.cli.segment import split_arguments, tell
from groundkit.cli.videos import (
    GroundEveryOption,
    KeyFrameOption,
    MaxFramesOption,
    StrideOption,
    TrackerOption,
    split_settings,
    video_pipeline,
)


@with_pipeline_options
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
    key_frame: KeyFrameOption = "auto",
    ground_every: GroundEveryOption = 0,
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
    from groundkit.batch import refused
    from groundkit.follow import VideoRun, check_output
    from groundkit.outputs.ours import resolve_sources
    from groundkit.outputs.report import open_report

    inputs, phrases = split_arguments(arguments, phrase or [])
    method, config = split_settings(chosen.config(), key_frame=key_frame, ground_every=ground_every)
    resolved = resolve_sources(inputs, output, videos=True, pictures=False)
    results = [refused(name, wanted, error) for name, error in resolved.failed for wanted in phrases]
    with open_report(report) as page:
        for result in results:
            tell(result, as_json, chosen.quiet)
        for name, error in resolved.failed:
            page.add_failures(name, phrases, error)
        if resolved.found:
            check_output(output, resolved.found, phrases, indexed=indexed)
            pipeline = video_pipeline(chosen.load_method(method), chosen, tracker, config)
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
            for item in resolved.found:
                for wanted in phrases:
                    with progress(f"follow {item.name}", None, quiet=chosen.quiet) as advance:
                        results.append(run.follow(item, wanted, advance))
                    tell(results[-1], as_json, chosen.quiet)
                for folder in run.finish(item):
                    if not as_json:
                        typer.echo(folder)
    if as_json:
        typer.echo(json.dumps([result.record for result in results], indent=2))
    elif report:
        typer.echo(report)
    if any(result.failed for result in results):
        raise typer.Exit(1)
