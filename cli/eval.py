"""groundkit eval: how good a pipeline is on cases with known masks."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit.cli.console import progress, put, say
from groundkit.cli.errors import tell_error
from groundkit.cli.options import PipelineOptions, with_pipeline_options
from groundkit.cli.videos import GroundEveryOption, KeyFrameOption, TrackerOption, split_settings, video_pipeline
from groundkit.errors import ConfigError
from groundkit.outputs.atomic import prepare_folder
from groundkit.wording import count_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groundkit.evaluation.metrics import Interval, Metrics
    from groundkit.evaluation.pictures.evaluate import CaseFailure, Report
    from groundkit.evaluation.videos.evaluate import VideoFailure, VideoReport
    from groundkit.evaluation.videos.metrics import VideoMetrics

    Row = tuple[int, list[Interval]]  # number of cases, and what was measured


@with_pipeline_options(without=("pipeline", "model"))
def evaluate(
    chosen: PipelineOptions,
    cases_file: Annotated[
        Path,
        typer.Argument(
            metavar="CASES",
            help="JSON lines, one case per line: image, phrase, mask; paths are relative to the file. With --video: "
            "frames, phrase, masks, or the folder of Ref-DAVIS17, Ref-YouTube-VOS or MeViS.",
        ),
    ],
    pipelines: Annotated[
        list[str] | None,
        typer.Option(
            "--pipeline",
            metavar="NAME",
            help="Method: refam (the default), cross-attention, vlsam, decaf or ensemble. Repeatable: each is measured "
            "on the same cases.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="ID",
            help="Model to read: a Hub id, a folder, or nano (the default). Repeatable: one for each --pipeline.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON instead of a table: one report, or a list with several --pipeline."),
    ] = False,
    contact_sheet: Annotated[
        Path | None,
        typer.Option("--contact-sheet", metavar="FILE", help="Save the worst and best cases as one PNG."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N cases.")] = None,
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
    key_frame: KeyFrameOption = None,
    ground_every: GroundEveryOption = None,
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
    if contact_sheet is not None and (contact_sheet.is_dir() or contact_sheet.suffix.lower() != ".png"):
        raise ConfigError(f"{contact_sheet} must be a file name ending in .png")
    methods = _methods(chosen, pipelines or ["refam"], models or ["nano"])
    if contact_sheet is not None:
        prepare_folder(contact_sheet.parent)
    if video:
        if len(methods) > 1:
            raise ConfigError("--video measures one --pipeline at a time")
        config = {"key_frame": key_frame, "ground_every": ground_every}
        _videos(methods[0], cases_file, as_json, contact_sheet, limit, split, given_mask, tracker, config, output)
        return
    if given_mask or split is not None or output is not None:
        raise typer.BadParameter("--given-mask, --split and --output are for --video")
    _pictures(methods, cases_file, as_json, contact_sheet, limit)


def _methods(chosen: PipelineOptions, pipelines: list[str], models: list[str]) -> list[PipelineOptions]:
    """The options of each pipeline that is measured."""
    if len(models) not in (1, len(pipelines)):
        raise ConfigError(f"give one --model, or one for each of the {count_of(len(pipelines), 'pipeline')}")
    models = models * len(pipelines) if len(models) == 1 else models
    return [replace(chosen, pipeline=name, model=model) for name, model in zip(pipelines, models, strict=True)]


def _pictures(
    methods: list[PipelineOptions], cases_file: Path, as_json: bool, contact_sheet: Path | None, limit: int | None
) -> None:
    configs = [chosen.config() for chosen in methods]

    from groundkit.evaluation.pictures.cases import read_cases

    cases = read_cases(cases_file, limit)

    from groundkit.evaluation.pictures.contact_sheet import draw_contact_sheet
    from groundkit.evaluation.pictures.evaluate import evaluate as run_evaluation
    from groundkit.outputs.formats.png import write_png

    reports = []
    for chosen, config in zip(methods, configs, strict=True):
        loaded = chosen.load(chosen.loader(config))
        with progress(f"eval {chosen.pipeline}", len(cases), quiet=chosen.quiet) as bar:
            report = run_evaluation(loaded, cases, seed=chosen.seed, advance=bar.advance, at=bar.at)
        reports.append(report)
        if contact_sheet is not None:
            sheet = contact_sheet
            if len(methods) > 1:
                sheet = sheet.with_name(f"{sheet.stem}-{len(reports)}-{chosen.pipeline}.png")
            write_png(sheet, draw_contact_sheet(report))
            if not chosen.quiet:
                say(f"worst and best cases are in {sheet}")
    if as_json:
        found = [
            {**report.to_dict(), "seed": chosen.seed, **_settings(chosen, config)}
            for report, chosen, config in zip(reports, methods, configs, strict=True)
        ]
        put(json.dumps(found if len(found) > 1 else found[0], indent=2))
    else:
        print_table(reports)
    for report in reports:
        if report.evidence is not None and not methods[0].quiet:
            say(f"{report.pipeline}, {report.model}: mean evidence {report.evidence:.2f}")
    _finish([failure for report in reports for failure in report.failures])


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
    method, config = split_settings(chosen.config(), **options)

    from groundkit.evaluation.videos.contact_sheet import draw_video_contact_sheet
    from groundkit.evaluation.videos.evaluate import PHRASE_CONTROLS, TRACKER_CONTROLS, evaluate_video
    from groundkit.evaluation.videos.methods import follow_given_mask, follow_phrase, write_masks
    from groundkit.evaluation.videos.sets import read_video_set
    from groundkit.outputs.formats.png import write_png

    cases = read_video_set(source, limit, split)
    pipeline = video_pipeline(chosen.load(chosen.loader(method, output)), chosen, tracker, config)
    grounding = pipeline.pipeline
    about = {"tracker": pipeline.tracker.name}
    if given_mask:
        predict, controls = follow_given_mask(pipeline.tracker), TRACKER_CONTROLS
    else:
        predict, controls = follow_phrase(pipeline, seed=chosen.seed), PHRASE_CONTROLS
        about = {"pipeline": grounding.name, "model": grounding.model} | about
    keep = None if output is None else partial(write_masks, output)
    with progress("eval", len(cases), quiet=chosen.quiet) as bar:
        report = evaluate_video(
            predict, cases, controls=controls, seed=chosen.seed, advance=bar.advance, at=bar.at, keep=keep
        )
    if as_json:
        put(json.dumps({**about, "given_mask": given_mask, **report.to_dict()}, indent=2))
    else:
        print_video_table(report, ", ".join(about.values()))
    if contact_sheet is not None:
        write_png(contact_sheet, draw_video_contact_sheet(report, ", ".join(about.values())))
        if not chosen.quiet:
            say(f"worst and best cases are in {contact_sheet}")
    _finish(report.failures)


def _finish(failures: Sequence[CaseFailure] | Sequence[VideoFailure]) -> None:
    """Tell what went wrong, and exit with 1 if anything did."""
    for failed in failures:
        fate = "counted as a miss" if failed.counted else "left out"
        tell_error(f"case {failed.case.id}", f"{failed.error} ({fate})")
    if failures:
        raise typer.Exit(1)


def print_table(reports: Sequence[Report]) -> None:
    """Print, of each report, one row for all cases and one per phrase type; then one per control."""

    def values(metrics: Metrics) -> list[Interval]:
        return [metrics["oiou"], metrics["miou"], metrics["p50"], metrics["point_accuracy"]]

    titles = [f"{report.pipeline}, {report.model}" for report in reports]
    rows: list[tuple[str, Row]] = []
    for title, report in zip(titles, reports, strict=True):
        rows.append(("all cases" if len(reports) == 1 else title, (report.metrics["n"], values(report.metrics))))
        rows += [(f"  {kind}", (metrics["n"], values(metrics))) for kind, metrics in report.by_type.items()]
    controls = {name: (metrics["n"], values(metrics)) for name, metrics in reports[0].controls.items()}
    title = titles[0] if len(reports) == 1 else "on the same cases"
    _print(title, ("oIoU", "mIoU", "P@0.5", "point accuracy"), rows, controls)


def print_video_table(report: VideoReport, title: str) -> None:
    """The same for videos."""

    def values(metrics: VideoMetrics) -> list[Interval]:
        return [metrics["j"], metrics["f"], metrics["j_and_f"]]

    rows = [("all cases", (report.metrics["n"], values(report.metrics)))]
    rows += [(f"  {kind}", (metrics["n"], values(metrics))) for kind, metrics in report.by_type.items()]
    controls = {name: (metrics["n"], values(metrics)) for name, metrics in report.controls.items()}
    _print(title, ("J", "F", "J&F"), rows, controls)


def _print(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, Row]], controls: Mapping[str, Row]) -> None:
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

    for name, row in rows:
        add(name, row)
    table.add_section()
    for name, row in controls.items():
        add(f"guess: {name.replace('_', ' ')}", row)
    # A pipe has no width; a table cut to 80 columns would lose its numbers.
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)


def _settings(chosen: PipelineOptions, config: Mapping[str, Any]) -> dict[str, Any]:
    effective = chosen.effective(config)
    return {
        "settings": {each.name: each.value for each in effective},
        "origins": {each.name: each.origin for each in effective if each.origin != "default"},
    }
