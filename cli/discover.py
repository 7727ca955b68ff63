"""groundkit discover: pictures in, every object that a vision-language model names out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundkit.cli.arguments import refuse_words
from groundkit.cli.options import (
    JsonOption,
    OutputOption,
    PipelineOptions,
    RangeOption,
    ReportOption,
    listed_formats,
    with_pipeline_options,
)
from groundkit.errors import ConfigError


@with_pipeline_options(without=("evidence",), pipeline="vlsam")
def discover(
    chosen: PipelineOptions,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders, globs or - for stdin.")],
    output: OutputOption = Path("groundkit-out"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"{listed_formats()}. Repeatable; overlay, cutout and json by default. heatmap and npz need a phrase.",
        ),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Categories, one per line: each name becomes the most similar one."),
    ] = None,
    vocabulary_model: Annotated[
        str | None,
        typer.Option(metavar="ID", help="CLIP that compares names: a Hub id or a folder. By default the VLM does."),
    ] = None,
    vocabulary_min_likeness: Annotated[
        float, typer.Option(min=-1, max=1, help="Minimum cosine similarity to a category; objects below are left out.")
    ] = -1.0,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    fail_on_empty: Annotated[
        bool, typer.Option("--fail-on-empty", help="Exit with 1 when nothing is found in a picture.")
    ] = False,
    report: ReportOption = None,
) -> None:
    """Name and cut out every object in a picture, with no list of categories.

    For example: groundkit discover photo.jpg --model Qwen/Qwen2.5-VL-3B-Instruct --segmenter facebook/sam-vit-huge
    """
    refuse_words(inputs, command="discover")
    from groundkit.pipelines.resolve import check_pipeline
    from groundkit.pipelines.vlsam_config import PRESETS

    if check_pipeline(chosen.pipeline) not in PRESETS:
        raise ConfigError(f"{chosen.pipeline} looks for a given phrase: discover with --pipeline vlsam")
    if (vocabulary_model or vocabulary_min_likeness > -1) and not vocabulary:
        raise ConfigError(
            "--vocabulary-model and --vocabulary-min-likeness map names to categories: name their file by "
            "--vocabulary FILE"
        )
    method = chosen.config()

    from groundkit.cli.running import Display, end
    from groundkit.language.vocabulary import read_vocabulary
    from groundkit.outputs.formats import check_formats
    from groundkit.pipelines.categories import Categories
    from groundkit.run.plan import make_plan
    from groundkit.run.runner import RunSettings

    kinds = check_formats(formats or ["overlay", "cutout", "json"])
    names = tuple(read_vocabulary(vocabulary)) if vocabulary else ()
    change = Categories(names, vocabulary_model, vocabulary_min_likeness, chosen.offline) if names else None
    plan = make_plan([(each, [None]) for each in inputs], output, videos=False, stdin=True, range=value_range)
    display = Display("discover", chosen, output, as_json=as_json)
    job = display.job(method, kinds, change=change)
    end(
        display.run(RunSettings(plan, job, display.engine, report=report, categories=names)),
        fail_on_empty=fail_on_empty,
    )
