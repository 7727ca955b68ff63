"""groundkit eval: how good a pipeline is on cases with known masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.options import PipelineOptions, with_pipeline_options
from groundkit.cli.progress import progress

if TYPE_CHECKING:
    from groundkit.evaluation.evaluate import Report
    from groundkit.evaluation.metrics import Interval, Metrics


@with_pipeline_options
def evaluate(
    chosen: PipelineOptions,
    cases_file: Annotated[
        Path,
        typer.Argument(metavar="CASES.jsonl", help="One case a line: image, phrase, mask; paths relative to the file."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
    contact_sheet: Annotated[
        Path | None,
        typer.Option("--contact-sheet", metavar="FILE", help="Save the worst and best cases as one PNG."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many cases.")] = None,
) -> None:
    """Measure how good a pipeline is on known masks.

    Prints oIoU, mIoU, P@0.5 and point accuracy with 95 % bootstrap intervals, next to three guesses that read no
    phrase.
    """
    from groundkit.errors import ConfigError
    from groundkit.evaluation.cases import read_cases
    from groundkit.evaluation.contact_sheet import draw_contact_sheet
    from groundkit.evaluation.evaluate import evaluate as run_evaluation
    from groundkit.outputs.png import write_png

    if contact_sheet is not None and (contact_sheet.is_dir() or contact_sheet.suffix.lower() != ".png"):
        raise ConfigError(f"{contact_sheet} must be a file name ending in .png")
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
        if not chosen.quiet:
            typer.echo(f"groundkit: worst and best cases are in {contact_sheet}", err=True)
    for failed in report.failures:
        fate = "counted as a miss" if failed.counted else "left out"
        typer.echo(f"groundkit: error: case {failed.case.id}: {failed.error} ({fate})", err=True)
    if report.failures:
        raise typer.Exit(1)


def print_table(report: Report) -> None:
    """Print one row for all cases, one a phrase type, one a control."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{report.pipeline}, {report.model}", caption="value [95 % bootstrap interval]")
    table.add_column("")
    for heading in ("n", "oIoU", "mIoU", "P@0.5", "point accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)

    def add(name: str, metrics: Metrics) -> None:
        intervals = (metrics["oiou"], metrics["miou"], metrics["p50"], metrics["point_accuracy"])
        table.add_row(Text(name), str(metrics["n"]), *(Text(_interval(each)) for each in intervals))

    add("all cases", report.metrics)
    for kind, metrics in report.by_type.items():
        add(f"  {kind}", metrics)
    table.add_section()
    for name, metrics in report.controls.items():
        add(f"guess: {name.replace('_', ' ')}", metrics)
    # A pipe has no width; a table cut to 80 columns would lose its numbers.
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)


def _interval(interval: Interval) -> str:
    if interval["value"] is None:
        return "-"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
