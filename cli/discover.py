"""groundkit discover: pictures in, every object that a vision-language model names out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from groundkit.cli.arguments import refuse_words, split_unreadable
from groundkit.cli.console import progress, put, say
from groundkit.cli.errors import for_command_line, tell_error
from groundkit.cli.options import (
    JsonOption,
    OutputOption,
    PipelineOptions,
    RangeOption,
    listed_formats,
    with_pipeline_options,
)
from groundkit.errors import ConfigError, GroundkitError
from groundkit.wording import count_of

if TYPE_CHECKING:
    from groundkit.language.vocabulary import Vocabulary
    from groundkit.pipelines.vlsam import VLSAM
    from groundkit.results import Discovery


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
    refuse_words(inputs, command="discover")
    from groundkit.pipelines.resolve import check_pipeline
    from groundkit.pipelines.vlsam_config import PRESETS

    if check_pipeline(chosen.pipeline) not in PRESETS:
        raise ConfigError(f"{chosen.pipeline} looks for a given phrase: discover with --pipeline vlsam")
    config = chosen.config()

    from groundkit.language.vocabulary import read_vocabulary
    from groundkit.outputs.discovery import DiscoveryWriter
    from groundkit.outputs.formats import check_formats, load_format
    from groundkit.outputs.ours import resolve_sources
    from groundkit.outputs.record import discovery_record

    formats = list(check_formats(formats or ["overlay", "cutout", "json"]))
    if refused := [name for name in formats if not load_format(name).takes_discoveries]:
        raise ConfigError(f"{refused[0]} needs a phrase, which discover does not take: choose another format")
    if (vocabulary_model or vocabulary_least > -1) and not vocabulary:
        raise ConfigError(
            "--vocabulary-model and --vocabulary-least map names to categories: name their file by --vocabulary FILE"
        )
    resolved = resolve_sources(inputs, output, range=value_range)
    usable, unreadable = split_unreadable(resolved.found)
    failed = empty = False
    records: list[dict[str, Any]] = []
    for name, error in [*resolved.failed, *unreadable]:
        failed = True
        records.append(_refused(name, error))
    categories = read_vocabulary(vocabulary) if vocabulary else None
    if usable:
        writer = DiscoveryWriter(output, formats, resolved.found, categories or ())
        pipeline = cast("VLSAM", chosen.load(config, output))
        naming = None
        if categories:
            naming = _naming(categories, vocabulary_model, pipeline, chosen.offline, least=vocabulary_least)
        with progress("discover", len(usable), quiet=chosen.quiet) as bar:
            for item in usable:
                bar.at(item.name)
                try:
                    found = pipeline.discover(item.read(), seed=chosen.seed)
                    if naming:
                        found = _renamed(found, naming, pipeline.config.max_overlap)
                    record = discovery_record(found, item.name)
                    files = writer.write(item, found)
                except GroundkitError as error:
                    failed = True
                    records.append(_refused(item.name, error))
                    bar.advance()
                    continue
                if not found.labels:
                    empty = True
                if not chosen.quiet:
                    say(f"{item.name}: {_described(found)}")
                records.append(record)
                if not as_json:
                    for file in files:
                        put(file)
                bar.advance()
        for file in writer.finish():
            if not as_json:
                put(file)
    if as_json:
        put(json.dumps(records, indent=2))
    if failed or (empty and fail_on_empty):
        raise typer.Exit(1)


def _described(found: Discovery) -> str:
    """``3 objects: 2 yellow dog (0.61, 0.55), red hat (0.40)``."""
    scores: dict[str, list[str]] = {}
    for label, score in zip(found.labels, found.scores, strict=True):
        scores.setdefault(label, []).append(f"{score:.2f}")
    names = [f"{f'{len(each)} ' if len(each) > 1 else ''}{label} ({', '.join(each)})" for label, each in scores.items()]
    return f"{count_of(len(found.labels), 'object')}: {', '.join(names)}" if names else "nothing found"


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
    from groundkit.masks.geometry import boxes_of
    from groundkit.masks.refine import suppress

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
    return {"input": name, "error": for_command_line(error)}
