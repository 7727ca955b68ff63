"""groundkit discover: pictures in, every object that a vision-language model names out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from groundkit.cli.errors import tell_error
from groundkit.cli.options import (
    JsonOption,
    OutputOption,
    PipelineOptions,
    RangeOption,
    with_pipeline_options,
    without_garbage_collection,
)
from groundkit.cli.progress import progress
from groundkit.errors import ConfigError, GroundkitError

if TYPE_CHECKING:
    from groundkit.language.vocabulary import Vocabulary
    from groundkit.pipelines.vlsam import VLSAM
    from groundkit.results import Discovery


@with_pipeline_options
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
            help="overlay, png, cutout, json or coco. Repeatable; overlay, cutout and json by default.",
        ),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Categories, one a line, to which the names are mapped by likeness."),
    ] = None,
    vocabulary_model: Annotated[
        str | None,
        typer.Option(metavar="ID", help="CLIP that tells the likeness: a Hub id or a folder. By default the VLM does."),
    ] = None,
    vocabulary_least: Annotated[
        float, typer.Option(min=-1, max=1, help="Cosine to the likeliest category below which an object is left out.")
    ] = -1.0,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    fail_on_empty: Annotated[
        bool, typer.Option("--fail-on-empty", help="Exit with 1 when nothing is found in a picture.")
    ] = False,
) -> None:
    """Name and cut out every object in a picture, with no list of categories.

    For example: groundkit discover photo.jpg --model Qwen/Qwen2.5-VL-3B-Instruct --segmenter facebook/sam-vit-huge
    """
    from groundkit.language.vocabulary import read_vocabulary
    from groundkit.outputs.discovery import DISCOVERY_FORMATS, DiscoveryWriter, discovery_record
    from groundkit.outputs.ours import resolve_sources
    from groundkit.outputs.save import check_formats

    formats = list(check_formats(formats or ["overlay", "cutout", "json"], DISCOVERY_FORMATS))
    if (vocabulary_model or vocabulary_least > -1) and not vocabulary:
        raise ConfigError(
            "--vocabulary-model and --vocabulary-least map names to categories: name their file by --vocabulary FILE"
        )
    categories = read_vocabulary(vocabulary) if vocabulary else None
    resolved = resolve_sources(inputs, output, range=value_range)
    failed = empty = False
    records: list[dict[str, Any]] = []
    for name, error in resolved.failed:
        failed = True
        records.append(_refused(name, error))
    if resolved.found:
        writer = DiscoveryWriter(output, formats, resolved.found, categories or ())
        pipeline = _load(chosen)
        naming = None
        if categories:
            naming = _naming(categories, vocabulary_model, pipeline, chosen.offline, least=vocabulary_least)
        with progress("discover", len(resolved.found), quiet=chosen.quiet) as advance:
            for item in resolved.found:
                try:
                    found = pipeline.discover(item.read(), seed=chosen.seed)
                    if naming:
                        found = _renamed(found, naming, pipeline.config.overlap)
                    record = discovery_record(found, item.name)
                    files = writer.write(item, found, record)
                except GroundkitError as error:
                    failed = True
                    records.append(_refused(item.name, error))
                    advance(1)
                    continue
                if not found.labels:
                    empty = True
                    if not chosen.quiet:
                        typer.echo(f"groundkit: nothing found in {item.name}", err=True)
                records.append(record)
                if not as_json:
                    for file in files:
                        typer.echo(file)
                advance(1)
        for file in writer.finish():
            if not as_json:
                typer.echo(file)
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    if failed or (empty and fail_on_empty):
        raise typer.Exit(1)


def _load(chosen: PipelineOptions) -> VLSAM:
    if chosen.pipeline == "refam":  # the default of the other commands
        chosen = dataclasses.replace(chosen, pipeline="vlsam")
    load = chosen.loader(chosen.config())  # tells libraries what they need to know before they are imported
    with without_garbage_collection():
        from groundkit.pipelines.vlsam import PRESETS

        if chosen.pipeline not in PRESETS:
            raise ConfigError(f"{chosen.pipeline} looks for a given phrase: discover with --pipeline vlsam")
        return cast("VLSAM", load())


def _naming(categories: list[str], model: str | None, pipeline: VLSAM, offline: bool, *, least: float) -> Vocabulary:
    from groundkit.language.vocabulary import CLIP_TEMPLATE, Vocabulary

    if model is None:
        return Vocabulary(categories, pipeline.vlm.embed_texts, least=least)
    from groundkit.models.clip_text import ClipText

    clip = ClipText.from_pretrained(model, device=pipeline.vlm.device, local_files_only=offline)
    return Vocabulary(categories, clip.embed_texts, template=CLIP_TEMPLATE, least=least)


def _renamed(found: Discovery, vocabulary: Vocabulary, overlap: float) -> Discovery:
    """With categories for names; what has none is left out.

    Of one object that had two names of one category, the better mask stays.
    """
    from groundkit.results import boxes_of
    from groundkit.segmenters.refine import suppress

    named = {i: each for i, label in enumerate(found.labels) if (each := vocabulary.category(label)) is not None}
    rows, labels = list(named), list(named.values())
    best = suppress(boxes_of(found.masks[rows]), found.scores[rows], labels, overlap=overlap)
    kept = [rows[index] for index in best]
    return dataclasses.replace(
        found,
        labels=tuple(named[index] for index in kept),
        masks=found.masks[kept],
        scores=found.scores[kept],
        points=tuple(found.points[index] for index in kept),
    )


def _refused(name: str, error: GroundkitError) -> dict[str, Any]:
    tell_error(name, error)
    return {"input": name, "error": str(error)}
