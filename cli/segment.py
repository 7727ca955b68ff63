"""groundkit segment: phrases and pictures or videos in, masks out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.arguments import split_arguments, split_unreadable
from groundkit.cli.console import progress, put
from groundkit.cli.options import (
    JsonOption,
    PhraseOption,
    PipelineOptions,
    RangeOption,
    ReportOption,
    listed_formats,
    with_pipeline_options,
)
from groundkit.cli.results import sum_up, tell
from groundkit.cli.videos import split_settings, tell_coco_of_videos, video_pipeline

if TYPE_CHECKING:
    from groundkit.run.phrases import Written


@with_pipeline_options()
def segment(
    chosen: PipelineOptions,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... PHRASE",
            help="Pictures, videos, folders, globs or - for stdin; then what to look for.",
        ),
    ],
    phrase: PhraseOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results, or a file for a single one.")
    ] = Path("groundkit-out"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"For pictures: {listed_formats()}. Repeatable; png and overlay by default.",
        ),
    ] = None,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    min_evidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Report nothing where the evidence is below this, 0 to 1; see --evidence."),
    ] = None,
    fail_on_empty: Annotated[
        bool, typer.Option("--fail-on-empty", help="Exit with 1 when a phrase is found nowhere in a picture.")
    ] = False,
    report: ReportOption = None,
) -> None:
    """Cut out what a phrase names.

    For example: groundkit segment photo.jpg "the red cup on the left"

    A video is followed as groundkit follow does it with its defaults, and gives a film with the masks over it, a mask a
    frame, and JSON lines. A folder gives the pictures and the videos in it, each by itself: groundkit follow takes a
    folder of numbered frames as one video.
    """
    inputs, phrases = split_arguments(arguments, phrase or [], command="segment")
    method, video = split_settings(chosen.config(min_evidence=min_evidence))

    from groundkit.outputs.ours import resolve_sources
    from groundkit.report.page import open_report
    from groundkit.run.follow import VideoRun, check_output
    from groundkit.run.phrases import BatchWriter, ground_files, refused

    resolved = resolve_sources(inputs, output, videos=True, range=value_range)
    formats = formats or (["json"] if output.suffix.lower() == ".json" else ["png", "overlay"])
    writer = BatchWriter(output, formats, resolved.found, phrases)
    found, unreadable = split_unreadable(resolved.found, follows=True)
    results: list[Written] = []
    with open_report(report) as page:
        for argument, error in [*resolved.failed, *unreadable]:
            page.add_failures(argument, phrases, error)
            for wanted in phrases:
                results.append(refused(argument, wanted, error))
                tell(results[-1], as_json, chosen.quiet)
        films = any(item.is_video for item in found)
        if films:
            check_output(output, resolved.found, phrases)
            if "coco" in formats and not chosen.quiet:
                tell_coco_of_videos()
        if found:
            loaded = chosen.load(method, output)
            run = None
            if films:
                pipeline = video_pipeline(loaded, chosen, config=video)
                run = VideoRun(pipeline, resolved.found, output, seed=chosen.seed, report=page)
            with progress("segment", len(found) * len(phrases), quiet=chosen.quiet) as bar:
                for item in found:
                    bar.at(item.name)
                    if run is not None and item.is_video:
                        for wanted in phrases:
                            results.append(run.follow(item, wanted))
                            tell(results[-1], as_json, chosen.quiet)
                            bar.advance()
                        continue
                    for _, wanted, outcome in ground_files(loaded, [item], phrases, seed=chosen.seed):
                        results.append(writer.write(item, wanted, outcome))
                        page.add_picture(item.name, wanted, outcome)
                        tell(results[-1], as_json, chosen.quiet)
                        bar.advance()
    if as_json:
        put(json.dumps([result.record for result in results], indent=2))
    for file in [*writer.finish(), *([report] if report else [])]:
        if not as_json:
            put(file)
    if not chosen.quiet:
        sum_up(results, output)
    if any(result.failed or (result.empty and fail_on_empty) for result in results):
        raise typer.Exit(1)
