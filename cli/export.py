"""groundkit export: the results of a batch as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundkit.cli.console import put, say
from groundkit.cli.filters import (
    ClassesOption,
    CleanOption,
    MaxAreaOption,
    MinAreaOption,
    MinScoreOption,
    SmoothOption,
    read_classes,
    read_labels,
)
from groundkit.wording import count_of


def export(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of groundkit batch.")],
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            "-t",
            metavar="FORMAT",
            help="coco, csv, cvat, indexed, labelme, labelstudio, parquet, voc, yolo or yolo_box. Repeatable.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the data sets; by default OUT/export.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--class", "-c", metavar="PHRASE=CLASS", help="The class of what a phrase found. Repeatable."),
    ] = None,
    classes: ClassesOption = None,
    min_score: MinScoreOption = 0.0,
    min_area: MinAreaOption = 0.0,
    max_area: MaxAreaOption = None,
    clean: CleanOption = 0.0,
    smooth: SmoothOption = 0.0,
    val: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pictures held out for validation by yolo and voc, below 1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed that chooses the pictures of --val.")] = 0,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="Write masks of coco as polygons instead of run lengths.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="How far polygons of coco, labelme and labelstudio may lie from the outline, in pixels. 0: exact.",
        ),
    ] = 1.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Write the results of a batch as a data set, without grounding anything.

    Pictures are linked into the data set, or copied where the system allows no links. Results of videos are left out.

    For example: groundkit export out --to yolo --class "the red cup=cup" --val 0.2 --min-score 0.5
    """
    from groundkit.masks.cleaning import Cleaning
    from groundkit.outputs.data_set import Layout
    from groundkit.outputs.formats import check_formats
    from groundkit.run.export import export as run

    told = run(
        folder,
        check_formats(to),
        folder / "export" if output is None else output,
        labels=read_labels(label or ()),
        classes=read_classes(classes),
        cleaning=Cleaning(min_score, min_area, max_area, clean, smooth),
        layout=Layout(val, seed, tolerance, polygons),
    )
    for file in told.files:
        put(str(file))
    if not quiet:
        left_out = f"; {told.filtered} filtered out" if told.filtered else ""
        videos = f"; {count_of(told.videos, 'result')} of videos left out" if told.videos else ""
        say(f"{count_of(told.objects, 'object')} of {count_of(told.results, 'result')}{left_out}{videos}")
