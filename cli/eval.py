"""groundkit eval: how good a pipeline is on cases with known masks."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit.cli.options import PipelineOptions, with_pipeline_options
from groundkit.cli.progress import progress
from groundkit.cli.videos import GroundEveryOption, KeyFrameOption, TrackerOption, split_settings, video_pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groundkit.evaluation.evaluate import Failure, Report
    from groundkit.evaluation.metrics import Interval, Metrics
    from groundkit.evaluation.video_evaluate import VideoFailure, VideoReport
    from groundkit.evaluation.video_metrics import VideoMetrics

    Row = tuple[int, list[Interval]]  # number of cases, and what was measured


@with_pipeline_options
def evaluate(
    chosen: PipelineOptions,
    cases_file: Annotated[
        Path,
        typer.Argument(
            metavar="CASES",
            help="JSON lines, one case a line: image, phrase, mask; paths relative to the file. With --video: frames, "
            "phrase, masks, or the folder of Ref-DAVIS17, Ref-YouTube-VOS or MeViS.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
    contact_sheet: Annotated[
        Path | None,
        typer.Option("--contact-sheet", metavar="FILE", help="Save the worst and best cases as one PNG."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many cases.")] = None,
    video: Annotated[bool, typer.Option("--video", help="The cases are videos: print J, F and J&F.")] = False,
    split: Annotated[
        str | None, typer.Option("--split", help="With --video and a data set's folder: val, valid, valid_u, ...")
    ] = None,
    given_mask: Annotated[
        bool,
        typer.Option(
            "--given-mask", help="With --video: give the true mask of frame 0, and measure the tracker alone."
        ),
    ] = False,
    tracker: TrackerOption = "flow",
    key_frame: KeyFrameOption = "auto",
    ground_every: GroundEveryOption = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --video: write the masks found to VIDEO/EXPRESSION/FRAME.png in this folder, as the servers of "
            "Ref-YouTube-VOS and MeViS want them; cases whose truth they keep to themselves are written, too.",
        ),
    ] = None,
) -> None:
    """Measure how good a pipeline is on known masks.

    Prints oIoU, mIoU, P@0.5 and point accuracy with 95 % bootstrap intervals, next to three guesses that read no
    phrase. With --video: J, F and J&F, next to the mask of frame 0 on every frame and two guesses; --tracker,
    --key-frame and --ground-every are those of groundkit follow.
    """
    from groundkit.errors import ConfigError

    if contact_sheet is not None and (contact_sheet.is_dir() or contact_sheet.suffix.lower() != ".png"):
        raise ConfigError(f"{contact_sheet} must be a file name ending in .png")
    if video:
        config = {"key_frame": key_frame, "ground_every": ground_every}
        _videos(chosen, cases_file, as_json, contact_sheet, limit, split, given_mask, tracker, config, output)
        return
    if given_mask or split is not None or output is not None:
        raise typer.BadParameter("--given-mask, --split and --output are for --video")
    _pictures(chosen, cases_file, as_json, contact_sheet, limit)


def _pictures(
    chosen: PipelineOptions, cases_file: Path, as_json: bool, contact_sheet: Path | None, limit: int | None
) -> None:
    from groundkit.evaluation.cases import read_cases
    from groundkit.evaluation.contact_sheet import draw_contact_sheet
    from groundkit.evaluation.evaluate import evaluate as run_evaluation
    from groundkit.outputs.png import write_png

    cases = read_cases(cases_file, limit)
    loaded = chosen.load()
    with progress("eval", len(cases), quiet=chosen.quiet) as advance:
        report = run_evaluation(loaded, cases, seed=chosen.seed, advance=advance)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2))
    else:
        print_table(report)
    if contact_sheet is not None:
        write_png(contact_sheet, draw_contact_sheet(report))
    _finish(report.failures, contact_sheet, chosen.quiet)


def _videos(
    chosen: PipelineOptions,
    source: Path,
    as_json: bool,
    contact_sheet: Path | None,
    limit: int | None,
    split: str | None,
    given_mask: bool,
    tracker: str,
    options: Mapping[str, Any],
    output: Path | None,
) -> None:
    from groundkit.evaluation.video_contact_sheet import draw_video_contact_sheet
    from groundkit.evaluation.video_evaluate import PHRASE_CONTROLS, TRACKER_CONTROLS, evaluate_video
    from groundkit.evaluation.video_methods import follow_given_mask, follow_phrase, write_masks
    from groundkit.evaluation.video_sets import read_video_set
    from groundkit.outputs.png import write_png

    method, config = split_settings(chosen.config(), **options)
    cases = read_video_set(source, limit, split)
    pipeline = video_pipeline(chosen.load_method(method), chosen, tracker, config)
    grounding = pipeline.pipeline
    about = {"tracker": pipeline.tracker.name}
    if given_mask:
        predict, controls = follow_given_mask(pipeline.tracker), TRACKER_CONTROLS
    else:
        predict, controls = follow_phrase(pipeline, seed=chosen.seed), PHRASE_CONTROLS
        about = {"pipeline": grounding.name, "model": grounding.model} | about
    keep = None if output is None else partial(write_masks, output)
    with progress("eval", len(cases), quiet=chosen.quiet) as advance:
        report = evaluate_video(predict, cases, controls=controls, seed=chosen.seed, advance=advance, keep=keep)
    if as_json:
        typer.echo(json.dumps({**about, "given_mask": given_mask, **report.to_dict()}, indent=2))
    else:
        print_video_table(report, ", ".join(about.values()))
    if contact_sheet is not None:
        write_png(contact_sheet, draw_video_contact_sheet(report, ", ".join(about.values())))
    _finish(report.failures, contact_sheet, chosen.quiet)


def _finish(failures: Sequence[Failure] | Sequence[VideoFailure], contact_sheet: Path | None, quiet: bool) -> None:
    """Tell where the pictures are and what went wrong, and exit with 1 if anything did."""
    if contact_sheet is not None and not quiet:
        typer.echo(f"groundkit: worst and best cases are in {contact_sheet}", err=True)
    for failed in failures:
        fate = "counted as a miss" if failed.counted else "left out"
        typer.echo(f"groundkit: error: case {failed.case.id}: {failed.error} ({fate})", err=True)
    if failures:
        raise typer.Exit(1)


def print_table(report: Report) -> None:
    """Print one row for all cases, one a phrase type, one a control."""

    def values(metrics: Metrics) -> list[Interval]:
        return [metrics["oiou"], metrics["miou"], metrics["p50"], metrics["point_accuracy"]]

    _print(
        f"{report.pipeline}, {report.model}",
        ("oIoU", "mIoU", "P@0.5", "point accuracy"),
        (report.metrics["n"], values(report.metrics)),
        {kind: (metrics["n"], values(metrics)) for kind, metrics in report.by_type.items()},
        {name: (metrics["n"], values(metrics)) for name, metrics in report.controls.items()},
    )


def print_video_table(report: VideoReport, title: str) -> None:
    """The same for videos."""

    def values(metrics: VideoMetrics) -> list[Interval]:
        return [metrics["j"], metrics["f"], metrics["j_and_f"]]

    _print(
        title,
        ("J", "F", "J&F"),
        (report.metrics["n"], values(report.metrics)),
        {kind: (metrics["n"], values(metrics)) for kind, metrics in report.by_type.items()},
        {name: (metrics["n"], values(metrics)) for name, metrics in report.controls.items()},
    )


def _print(
    title: str, headings: tuple[str, ...], whole: Row, kinds: Mapping[str, Row], controls: Mapping[str, Row]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from groundkit.evaluation.metrics import format_interval

    table = Table(title=title, caption="value [95 % bootstrap interval]")
    table.add_column("")
    for heading in ("n", *headings):
        table.add_column(heading, justify="right", no_wrap=True)

    def add(name: str, row: Row) -> None:
        count, intervals = row
        table.add_row(Text(name), str(count), *(Text(format_interval(each)) for each in intervals))

    add("all cases", whole)
    for kind, row in kinds.items():
        add(f"  {kind}", row)
    table.add_section()
    for name, row in controls.items():
        add(f"guess: {name.replace('_', ' ')}", row)
    # A pipe has no width; a table cut to 80 columns would lose its numbers.
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
