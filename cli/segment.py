"""groundkit segment: phrases and pictures in, masks out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.errors import tell_error
from groundkit.cli.options import PipelineOptions, with_pipeline_options
from groundkit.cli.progress import progress

if TYPE_CHECKING:
    from groundkit.batch import Written


@with_pipeline_options
def segment(
    chosen: PipelineOptions,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... PHRASE", help="Pictures, folders, globs or - for stdin; then what to look for."
        ),
    ],
    phrase: Annotated[
        list[str] | None,
        typer.Option("--phrase", "-p", help="What to look for; then all arguments are inputs. Repeatable."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results, or a file for a single one.")
    ] = Path("groundkit-out"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="png, overlay, cutout, heatmap, json or coco. Repeatable; png and overlay by default.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list of records instead of file names.")
    ] = False,
    min_evidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Find nothing where less than this speaks for the phrase; see --json."),
    ] = None,
    fail_on_empty: Annotated[
        bool, typer.Option("--fail-on-empty", help="Exit with 1 when a phrase is found nowhere in a picture.")
    ] = False,
) -> None:
    """Cut out what a phrase names.

    For example: groundkit segment photo.jpg "the red cup on the left"
    """
    from groundkit.batch import BatchWriter, ground_files, refused
    from groundkit.media.inputs import resolve_inputs

    inputs, phrases = split_arguments(arguments, phrase or [])
    resolved = resolve_inputs(inputs)
    formats = formats or (["json"] if output.suffix.lower() == ".json" else ["png", "overlay"])
    writer = BatchWriter(output, formats, resolved.found, phrases)
    results = [refused(argument, wanted, error) for argument, error in resolved.failed for wanted in phrases]
    for result in results:
        _tell(result, as_json, chosen.quiet)
    if resolved.found:
        loaded = chosen.load({} if min_evidence is None else {"evidence": True, "min_evidence": min_evidence})
        with progress("segment", len(resolved.found) * len(phrases), quiet=chosen.quiet) as advance:
            for item, wanted, outcome in ground_files(loaded, resolved.found, phrases, seed=chosen.seed):
                results.append(writer.write(item, wanted, outcome))
                _tell(results[-1], as_json, chosen.quiet)
                advance(1)
    if as_json:
        typer.echo(json.dumps([result.record for result in results], indent=2))
    for file in writer.finish():
        if not as_json:
            typer.echo(file)
    if any(result.failed or (result.empty and fail_on_empty) for result in results):
        raise typer.Exit(1)


def _tell(result: Written, as_json: bool, quiet: bool) -> None:
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
    """Tell inputs from the phrase: without ``-p`` the phrase is the last argument."""
    if phrases:
        return arguments, phrases
    if len(arguments) < 2:
        raise typer.BadParameter('give a picture and a phrase: groundkit segment photo.jpg "the red cup"')
    *inputs, last = arguments
    if Path(last).exists():
        raise typer.BadParameter(
            f"the phrase comes last, but {last} is a file; with -p PHRASE all arguments are inputs"
        )
    return inputs, [last]
