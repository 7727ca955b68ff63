"""groundkit explain: one picture that shows how a phrase became a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundkit.cli.options import PipelineOptions, RangeOption, with_pipeline_options


@with_pipeline_options
def explain(
    chosen: PipelineOptions,
    picture: Annotated[str, typer.Argument(metavar="INPUT", help="A picture, or - for stdin.")],
    phrase: Annotated[str, typer.Argument(metavar="PHRASE", help="What to look for.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="PNG to write; by default one in groundkit-out."),
    ] = None,
    value_range: RangeOption = "full",
) -> None:
    """Show how a phrase became a mask, in one picture.

    It holds the words with their roles, each token's map, the sinks, the heatmap, the points and the mask.
    """
    from groundkit.batch import ground_phrases
    from groundkit.errors import ConfigError, GroundkitError
    from groundkit.media.inputs import resolve_inputs, unique_stems
    from groundkit.outputs.explain import draw_explanation
    from groundkit.outputs.names import shorten, slug
    from groundkit.outputs.png import write_png

    if output is not None and (output.is_dir() or output.suffix.lower() != ".png"):
        raise ConfigError(f"{output} must be a file name ending in .png")
    resolved = resolve_inputs([picture], range=value_range)
    for _, error in resolved.failed:
        raise error
    if len(resolved.found) > 1:
        raise ConfigError(f"explain draws one picture, {picture} stands for {len(resolved.found)}: name one of them")
    stem = shorten(unique_stems(resolved.found)[0])
    target = output or Path("groundkit-out") / f"{stem}-{slug(phrase)}-explain.png"
    image = resolved.found[0].read()
    loaded = chosen.load()
    (outcome,) = ground_phrases(loaded, image, [phrase], seed=chosen.seed)
    if isinstance(outcome, GroundkitError):
        raise outcome
    typer.echo(write_png(target, draw_explanation(outcome)))
