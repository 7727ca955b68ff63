"""groundkit segment: phrases and pictures or videos in, masks out."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.errors import tell_error
from groundkit.cli.options import (
    JsonOption,
    PhraseOption,
    PipelineOptions,
    RangeOption,
    ReportOption,
    with_pipeline_options,
)
from groundkit.cli.progress import progress
from groundkit.cli.videos import split_settings, tell_coco_of_videos, video_pipeline

if TYPE_CHECKING:
    from groundkit.batch import Written


@with_pipeline_options
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
            help="For pictures: png, overlay, cutout, heatmap, json or coco. Repeatable; png and overlay by default.",
        ),
    ] = None,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    min_evidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Find nothing where less than this speaks for the phrase; see --json."),
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
    from groundkit.batch import BatchWriter, ground_files, refused
    from groundkit.follow import VideoRun, check_output
    from groundkit.outputs.ours import resolve_sources
    from groundkit.outputs.report import open_report

    inputs, phrases = split_arguments(arguments, phrase or [])
    resolved = resolve_sources(inputs, output, videos=True, frame_folders=False, range=value_range)
    formats = formats or (["json"] if output.suffix.lower() == ".json" else ["png", "overlay"])
    writer = BatchWriter(output, formats, resolved.found, phrases)
    results = [refused(argument, wanted, error) for argument, error in resolved.failed for wanted in phrases]
    with open_report(report) as page:
        for result in results:
            tell(result, as_json, chosen.quiet)
        for argument, error in resolved.failed:
            page.add_failures(argument, phrases, error)
        films = any(item.is_video for item in resolved.found)
        if films:
            check_output(output, resolved.found, phrases)
            if "coco" in formats and not chosen.quiet:
                tell_coco_of_videos()
        if resolved.found:
            evidence = {} if min_evidence is None else {"evidence": True, "min_evidence": min_evidence}
            method, video = split_settings(chosen.config(evidence)) if films else (chosen.config(evidence), None)
            loaded = chosen.load_method(method)
            run = None
            if films:
                pipeline = video_pipeline(loaded, chosen, config=video)
                run = VideoRun(pipeline, resolved.found, output, seed=chosen.seed, report=page)
            # The frames of a video are not counted before they are read.
            total = None if films else len(resolved.found) * len(phrases)
            with progress("segment", total, quiet=chosen.quiet) as advance:
                for item in resolved.found:
                    if run is not None and item.is_video:
                        for wanted in phrases:
                            results.append(run.follow(item, wanted, advance))
                            tell(results[-1], as_json, chosen.quiet)
                        continue
                    for _, wanted, outcome in ground_files(loaded, [item], phrases, seed=chosen.seed):
                        results.append(writer.write(item, wanted, outcome))
                        page.add_picture(item.name, wanted, outcome)
                        tell(results[-1], as_json, chosen.quiet)
                        advance(1)
    if as_json:
        typer.echo(json.dumps([result.record for result in results], indent=2))
    for file in [*writer.finish(), *([report] if report else [])]:
        if not as_json:
            typer.echo(file)
    if any(result.failed or (result.empty and fail_on_empty) for result in results):
        raise typer.Exit(1)


def tell(result: Written, as_json: bool, quiet: bool) -> None:
    """Print what was written at once, so that a long run can be followed and piped on."""
    name, phrase = result.record["input"], result.record["phrase"]
    if result.failed:
        tell_error(name, result.record["error"])
    elif result.empty and not quiet:
        typer.echo(f"groundkit: nothing found for {phrase!r} in {name}", err=True)
    if not as_json:
        for file in result.files:
            typer.echo(file)


def split_arguments(arguments: list[str], phrases: list[str]) -> tuple[list[str], list[str]]:
    """Tell inputs from the phrase: without ``-p`` the phrase is the last argument. A phrase counts once."""
    for phrase in [phrase for phrase, times in Counter(phrases).items() if times > 1]:
        warnings.warn(f"{phrase!r} is given several times and counts once", stacklevel=2)
    if phrases:
        return arguments, list(dict.fromkeys(phrases))
    if len(arguments) < 2:
        raise typer.BadParameter('give a picture and a phrase: groundkit segment photo.jpg "the red cup"')
    *inputs, last = arguments
    if last and os.path.exists(last):  # noqa: PTH110 - a Path raises where a phrase is too long for a file's name
        raise typer.BadParameter(
            f"the phrase comes last, but {last} is a file; with -p PHRASE all arguments are inputs"
        )
    return inputs, [last]
