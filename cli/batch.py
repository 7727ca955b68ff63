"""groundkit batch: folders of pictures and videos times several phrases, resumable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from groundkit.cli.arguments import split_arguments
from groundkit.cli.console import say
from groundkit.cli.filters import (
    ClassesOption,
    CleanOption,
    MaxAreaOption,
    MinAreaOption,
    MinScoreOption,
    SmoothOption,
    checked,
    parted,
    read_classes,
)
from groundkit.cli.options import (
    FailOnEmptyOption,
    FormatOption,
    JsonOption,
    LabelledPhraseOption,
    MinEvidenceOption,
    OutputOption,
    PipelineOptions,
    RangeOption,
    ReportOption,
    with_pipeline_options,
)
from groundkit.cli.videos import (
    GroundEveryOption,
    KeyFrameOption,
    MaxFramesOption,
    StrideOption,
    TrackerOption,
    split_settings,
)

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INPUT... PHRASE]", help="Pictures, videos, folders of them, or globs; then what to look for."
    ),
]
ListOption = Annotated[
    Path | None,
    typer.Option(
        "--list",
        metavar="FILE",
        help="CSV with a header, or JSON lines, with input (relative to the list's folder), phrase and, optionally, "
        "label (its class).",
    ),
]
FramesOption = Annotated[bool, typer.Option("--frames", help="Treat each folder of numbered pictures as one video.")]
JobsOption = Annotated[
    int, typer.Option(min=1, help="Threads of each worker that read the next pictures and write the last results.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes or Ray actors, each with models of its own; by default 1, and with nano one per core."
    ),
]
ShardOption = Annotated[
    str,
    typer.Option(
        metavar="I/N", help="Do part I of N, one per machine; the same command without --shard then joins the parts."
    ),
]
EngineOption = Annotated[str, typer.Option(help="local, or ray for a Ray cluster (extra: groundkit-vision[ray]).")]
AddressOption = Annotated[
    str | None, typer.Option(help="Address of the Ray cluster, such as auto; by default one is started here.")
]
SkipExistingOption = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out results whose files exist, whoever wrote them.")
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print input, phrase, name and kind of every result that is left to do; write nothing."
    ),
]


@with_pipeline_options()
def batch(
    chosen: PipelineOptions,
    arguments: Arguments = None,
    phrase: LabelledPhraseOption = None,
    listed: ListOption = None,
    output: OutputOption = Path("groundkit-out"),
    formats: FormatOption = None,
    tracker: TrackerOption = "flow",
    key_frame: KeyFrameOption = None,
    ground_every: GroundEveryOption = None,
    frames: FramesOption = False,
    stride: StrideOption = 1,
    max_frames: MaxFramesOption = None,
    classes: ClassesOption = None,
    min_evidence: MinEvidenceOption = None,
    min_score: MinScoreOption = 0.0,
    min_area: MinAreaOption = 0.0,
    max_area: MaxAreaOption = None,
    clean: CleanOption = 0.0,
    smooth: SmoothOption = 0.0,
    report: ReportOption = None,
    jobs: JobsOption = 2,
    workers: WorkersOption = None,
    shard: ShardOption = "1/1",
    engine: EngineOption = "local",
    address: AddressOption = None,
    skip_existing: SkipExistingOption = False,
    dry_run: DryRunOption = False,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    fail_on_empty: FailOnEmptyOption = False,
) -> None:
    """Cut out what phrases name in many pictures and videos.

    Every result is recorded in the output's manifest.jsonl when its files are written. Run the same command again to
    resume a run that was stopped: finished results are kept, failures are tried again, and the output is identical to
    that of an uninterrupted run.

    For example: groundkit batch photos/ clips/ -p "the cup" -p "the lamp" -o out
    """
    from groundkit.run.engines import check_engine
    from groundkit.run.plan import Shard

    part = Shard.parse(shard)
    check_engine(engine)
    method, video = split_settings(
        chosen.config(min_evidence=min_evidence), key_frame=key_frame, ground_every=ground_every
    )

    from groundkit.cli.running import BatchDisplay, LeftOver, sum_up_batch
    from groundkit.masks.cleaning import Cleaning
    from groundkit.outputs.formats import check_formats
    from groundkit.run.plan import make_plan
    from groundkit.run.runner import RunSettings

    kinds = check_formats(formats or ["png", "overlay"])
    cleaning = Cleaning(min_score, min_area, max_area, clean, smooth)
    wanted, labels = _wanted(arguments or [], phrase or [], listed)
    names = read_classes(classes)
    plan = make_plan(wanted, output, frame_folders=frames, range=value_range)
    display = (LeftOver if dry_run else BatchDisplay)("batch", chosen, output, as_json=as_json and not dry_run)
    display.use(engine, workers, address, units=len(plan))
    reading = {"stride": stride, "max_frames": max_frames}
    job = display.job(method, kinds, jobs=jobs, cleaning=cleaning, **reading, **display.following(video, tracker))
    later = {"labels": labels, "cleaning": asdict(cleaning) if cleaning else {}}
    others = {"range": value_range, "tracker": tracker, **video.model_dump(), **reading, **later}
    settings, origins = _depends_on(chosen, method, others)
    try:
        summary = display.run(
            RunSettings(
                plan, job, display.engine, report=report, manifest=settings, origins=origins, shard=part,
                skip_existing=skip_existing, dry_run=dry_run, categories=names, labels=checked(labels, names),
            )
        )  # fmt: skip
    except KeyboardInterrupt:
        say("interrupted; run the same command again to continue")
        raise
    if not dry_run:
        sum_up_batch(summary, chosen, output, fail_on_empty=fail_on_empty)


def _wanted(
    arguments: list[str], texts: list[str], listed: Path | None
) -> tuple[list[tuple[str, list[str]]], dict[str, str]]:
    """Which phrases are wanted of which argument, and the classes by phrase."""
    from groundkit.run.lists import read_labels, read_list

    phrases, labels = parted(texts)

    if listed is not None and not arguments:
        if phrases:
            raise typer.BadParameter("--phrase is for inputs that are given as arguments; a list has its own phrases")
        return read_list(listed), read_labels(listed)
    if not arguments:
        raise typer.BadParameter('give pictures, videos or folders: groundkit batch photos/ -p "the cup"')
    inputs, phrases = split_arguments(arguments, phrases, command="batch", example="photos/")
    if not inputs:
        raise typer.BadParameter('give pictures, videos or folders: groundkit batch photos/ -p "the cup"')
    wanted = [(each, phrases) for each in inputs]
    return (wanted + read_list(listed), {**read_labels(listed), **labels}) if listed else (wanted, labels)


def _depends_on(
    chosen: PipelineOptions, config: Mapping[str, Any], others: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What results depend on, for the manifest, and where the settings of the method come from."""
    from groundkit.run.weights import weights_digest

    effective = chosen.effective(config)
    tracker = others["tracker"]
    settings = {
        **{name: getattr(chosen, name) for name in ("pipeline", "model", "dtype", "revision", "variant")},
        # Named where it is asked for, so that runs of earlier versions go on.
        **({} if chosen.segmenter_dtype == "auto" else {"segmenter_dtype": chosen.segmenter_dtype}),
        **{"segmenter": chosen.sam, "seed": chosen.seed},
        **{name: value for name, value in others.items() if value or name not in ("labels", "cleaning")},
        "config": {each.name: each.value for each in effective},
        "weights": [
            weights_digest(chosen.model),
            weights_digest(chosen.sam),
            None if tracker == "flow" else weights_digest(tracker),
        ],
    }
    return settings, {each.name: each.origin for each in effective if each.origin != "default"}
