"""groundkit segment: phrases and pictures or videos in, masks out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundkit.cli.arguments import split_arguments
from groundkit.cli.filters import (
    ClassesOption,
    CleanOption,
    MaxAreaOption,
    MinAreaOption,
    MinScoreOption,
    SmoothOption,
    checked,
    parted,
    read_classes,
)
from groundkit.cli.options import (
    FailOnEmptyOption,
    FormatOption,
    JsonOption,
    LabelledPhraseOption,
    MinEvidenceOption,
    PipelineOptions,
    RangeOption,
    ReportOption,
    with_pipeline_options,
)
from groundkit.cli.videos import split_settings


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
    phrase: LabelledPhraseOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results, or a file for a single one.")
    ] = Path("groundkit-out"),
    formats: FormatOption = None,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    classes: ClassesOption = None,
    min_evidence: MinEvidenceOption = None,
    min_score: MinScoreOption = 0.0,
    min_area: MinAreaOption = 0.0,
    max_area: MaxAreaOption = None,
    clean: CleanOption = 0.0,
    smooth: SmoothOption = 0.0,
    fail_on_empty: FailOnEmptyOption = False,
    report: ReportOption = None,
) -> None:
    """Cut out what a phrase names.

    For example: groundkit segment photo.jpg "the red cup on the left"

    A video is followed as groundkit follow does it with its defaults: the results are a film with the masks over it,
    one mask per frame, and JSON lines. A folder gives the pictures and the videos in it, each by itself: groundkit
    follow takes a folder of numbered frames as one video.
    """
    texts, labels = parted(phrase or [])
    inputs, phrases = split_arguments(arguments, texts, command="segment")
    names = read_classes(classes)
    labels = checked(labels, names)
    method, video = split_settings(chosen.config(min_evidence=min_evidence))

    from groundkit.cli.running import Display, sum_up
    from groundkit.masks.cleaning import Cleaning
    from groundkit.outputs.formats import check_formats
    from groundkit.run.plan import make_plan
    from groundkit.run.runner import RunSettings

    kinds = check_formats(formats or (["json"] if output.suffix.lower() == ".json" else ["png", "overlay"]))
    plan = make_plan([(each, phrases) for each in inputs], output, stdin=True, range=value_range)
    display = Display("segment", chosen, output, as_json=as_json)
    cleaning = Cleaning(min_score, min_area, max_area, clean, smooth)
    job = display.job(method, kinds, cleaning=cleaning, **display.following(video))
    summary = display.run(RunSettings(plan, job, display.engine, report=report, categories=names, labels=labels))
    sum_up(summary, chosen, output, fail_on_empty=fail_on_empty)
