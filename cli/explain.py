"""groundkit explain: one picture that shows how a phrase became a mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from groundkit import clock
from groundkit.cli.arguments import split_arguments
from groundkit.cli.console import put, say
from groundkit.cli.options import JsonOption, PipelineOptions, RangeOption, with_pipeline_options
from groundkit.cli.results import describe
from groundkit.errors import ConfigError


@with_pipeline_options()
def explain(
    chosen: PipelineOptions,
    arguments: Annotated[
        list[str], typer.Argument(metavar="INPUT PHRASE", help="A picture, or - for stdin; then what to look for.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PLACE", help="Folder, or PNG to write; groundkit-out by default."),
    ] = None,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
) -> None:
    """Show how a phrase became a mask, in one picture.

    It holds the words with their roles, each token's map, the sinks, the heatmap, the points and the mask.
    """
    inputs, (phrase, *others) = split_arguments(arguments, [], command="explain")
    if others:
        raise typer.BadParameter(f"one phrase is explained at a time: give {phrase!r} alone")
    method = chosen.config()

    from groundkit.media.inputs import resolve_inputs, unique_stems
    from groundkit.media.paths import real_path
    from groundkit.outputs.atomic import prepare_folder
    from groundkit.outputs.formats.png import write_png
    from groundkit.outputs.names import shorten, slug
    from groundkit.outputs.record import record
    from groundkit.outputs.save import names_a_file
    from groundkit.run.first_look import find_unreadable

    output = output or Path("groundkit-out")
    is_file = names_a_file(output)
    if is_file and output.suffix.lower() != ".png":
        raise ConfigError(f"{output} must be a folder, or a file name ending in .png")
    resolved = resolve_inputs(inputs, range=value_range)
    found = resolved.found
    for error in [*(error for _, error in resolved.failed), *find_unreadable(found, videos=False).values()]:
        raise error
    if len(found) > 1:
        raise ConfigError(f"explain draws one picture, {' '.join(inputs)} stands for {len(found)}: name one of them")
    stem = shorten(unique_stems(found)[0])
    target = output if is_file else output / f"{stem}-{slug(phrase)}-explain.png"
    if found[0].path is not None and real_path(found[0].path) == real_path(target):
        raise ConfigError(f"{target} is an input, and would be lost: give another --output")
    prepare_folder(target.parent)
    image = found[0].read()

    from groundkit.explain.diffusion import draw_explanation

    loaded = chosen.load(chosen.loader(method, target.parent))
    (grounding,) = loaded.ground(image, [phrase], seed=chosen.seed)
    told = record(grounding, found[0].name)
    if not chosen.quiet:
        say(describe(told))
    with clock.part("files"):
        written = write_png(target, draw_explanation(grounding))
    put(json.dumps([{**told, "files": [str(written)]}], indent=2) if as_json else written)
