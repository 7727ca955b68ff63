"""groundkit batch: folders of pictures and videos times several phrases, resumable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundkit.cli.arguments import split_arguments, split_unreadable
from groundkit.cli.console import progress, put, say
from groundkit.cli.errors import tell_error
from groundkit.cli.options import (
    JsonOption,
    OutputOption,
    PhraseOption,
    PipelineOptions,
    RangeOption,
    ReportOption,
    listed_formats,
    silence_libraries,
    with_pipeline_options,
)
from groundkit.cli.videos import (
    GroundEveryOption,
    KeyFrameOption,
    MaxFramesOption,
    StrideOption,
    TrackerOption,
    split_settings,
    tell_coco_of_videos,
)
from groundkit.errors import ConfigError, GroundkitError, unknown
from groundkit.wording import count_of

if TYPE_CHECKING:
    from groundkit.run.batch import Engine
    from groundkit.run.manifest import Record

_TOLD = 20  # failures that the summary names
_WORTH = 16  # units for which a further process is worth its loading
_MOST = 8  # processes that are started unasked


@with_pipeline_options()
def batch(
    chosen: PipelineOptions,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT... PHRASE]",
            help="Pictures, videos, folders of them, or globs; then what to look for.",
        ),
    ] = None,
    phrase: PhraseOption = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="CSV with a header, or JSON lines, with input (relative to the list's folder) and phrase.",
        ),
    ] = None,
    output: OutputOption = Path("groundkit-out"),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"For pictures: {listed_formats()}. Repeatable; png and overlay by default. "
            "Videos give a film, a mask a frame and lines of run lengths.",
        ),
    ] = None,
    tracker: TrackerOption = "flow",
    key_frame: KeyFrameOption = None,
    ground_every: GroundEveryOption = None,
    frames: Annotated[
        bool,
        typer.Option("--frames", help="Treat each folder of numbered pictures as one video."),
    ] = False,
    stride: StrideOption = 1,
    max_frames: MaxFramesOption = None,
    min_evidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Report nothing where the evidence is below this, 0 to 1; see --evidence."),
    ] = None,
    report: ReportOption = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Threads of each worker that read the next pictures and write the last results.")
    ] = 2,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes or Ray actors, each with models of its own; by default 1, and with nano one a core."
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            metavar="I/N",
            help="Do part I of N, one a machine; the same command without --shard then puts the parts together.",
        ),
    ] = "1/1",
    engine: Annotated[
        str, typer.Option(help="local, or ray for a Ray cluster (extra: groundkit-vision[ray]).")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster, such as auto; by default one is started here.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out results whose files are there, whoever wrote them.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the input, phrase, name and kind of every result that is left to do; write nothing.",
        ),
    ] = False,
    value_range: RangeOption = "full",
    as_json: JsonOption = False,
    fail_on_empty: Annotated[
        bool, typer.Option("--fail-on-empty", help="Exit with 1 when a phrase is found nowhere in an input.")
    ] = False,
) -> None:
    """Cut out what phrases name in many pictures and videos.

    Every result is recorded in the output's manifest.jsonl when its files are there. A run that was stopped, however it
    was, goes on when the same command is given again: what was finished is not done again, what failed is tried again,
    and in the end there is nothing that tells it from a run that was not stopped.

    For example: groundkit batch photos/ clips/ -p "the cup" -p "the lamp" -o out
    """
    from groundkit.run.plan import Shard

    part = Shard.parse(shard)
    if engine not in ("local", "ray"):
        raise ConfigError(unknown("engine", engine, ("local", "ray")))
    given = chosen.config(min_evidence=min_evidence)
    config, following = split_settings(given, key_frame=key_frame, ground_every=ground_every)
    video = following.model_dump()

    from groundkit.outputs.formats import check_formats
    from groundkit.outputs.record import failure
    from groundkit.outputs.save import RunFiles, names_a_file, per_result
    from groundkit.report.page import open_report
    from groundkit.run.batch import add_results, run_batch, without_existing
    from groundkit.run.finished import add_entries, complete, needs_grounding, without_details
    from groundkit.run.manifest import open_manifest
    from groundkit.run.plan import count_tasks, make_plan
    from groundkit.run.weights import weights_digest
    from groundkit.run.worker import Job
    from groundkit.tracking.load import load_tracker

    kinds = check_formats(formats or ["png", "overlay"])
    if names_a_file(output):
        raise ConfigError(f"{output} is one file, but a batch writes many: give a folder")
    run_files = RunFiles(output, kinds, "groundkit batch", whole=True)
    if skip_existing and (whole := sorted({*kinds} - {*per_result(kinds)})):
        raise ConfigError(
            f"--skip-existing knows no masks of results it leaves out: take another format than {whole[0]}"
        )
    if skip_existing and report:
        raise ConfigError("--skip-existing does not see the results it leaves out, and --report is to show them all")
    plan = make_plan(_wanted(arguments or [], phrase or [], listed), output, frame_folders=frames, range=value_range)
    mine = part.of(plan)
    if "coco" in kinds and not chosen.quiet and any(unit.item.is_video for unit in mine):
        tell_coco_of_videos()
    effective = chosen.effective(config)
    origins = {each.name: each.origin for each in effective if each.origin != "default"}
    settings = {
        **{name: getattr(chosen, name) for name in ("pipeline", "model", "dtype", "revision", "variant")},
        **{"segmenter": chosen.sam, "seed": chosen.seed, "range": value_range, "tracker": tracker},
        "config": {each.name: each.value for each in effective},
        **{**video, "stride": stride, "max_frames": max_frames},
        "weights": [
            weights_digest(chosen.model),
            weights_digest(chosen.sam),
            None if tracker == "flow" else weights_digest(tracker),
        ],
    }
    shown = report if part.whole and not dry_run else None
    load = chosen.loader(config, output)
    with (
        open_manifest(output, settings, part, origins=origins, write=not dry_run) as manifest,
        open_report(shown) as page,
    ):
        unfinished = list(manifest.left(mine, lacks=partial(needs_grounding, output=output, formats=kinds)))
        left = without_existing(unfinished, output, kinds) if skip_existing else unfinished
        if dry_run:
            for unit in left:
                for task in unit.tasks:
                    put(f"{unit.item.name}\t{task.phrase}\t{task.name}\t{'missing' if unit.error else unit.item.kind}")
            return
        before = [record for record in manifest.records_of(left) if "files" in record]
        if before and not chosen.quiet:
            say(f"{count_of(len(before), 'finished result')} grounded again: missing files need it")
        job = Job(
            load=load,
            output=output,
            formats=kinds,
            kept={record["name"]: record.get("formats", ()) for record in before},
            load_tracker=partial(load_tracker, tracker, device=chosen.device, local_files_only=chosen.offline),
            video=video,
            stride=stride,
            max_frames=max_frames,
            seed=chosen.seed,
            jobs=jobs,
            debug=chosen.debug,
        )
        skipped = count_tasks(unfinished) - count_tasks(left)
        total = count_tasks(mine) - skipped
        made = count_tasks(left)
        started = time.monotonic()
        try:
            with progress("batch", total, quiet=chosen.quiet, done=total - made) as bar:

                def finished(record: Record) -> None:
                    bar.at(f"{record['input']}: {record['phrase']}")
                    bar.advance()

                # What cannot be read is told without a model, as far as a look at the files shows it.
                unreadable = dict(split_unreadable([unit.item for unit in left], follows=True)[1])
                lost = {unit.item: unit.error or unreadable.get(unit.item.name) for unit in left}
                for unit in left:
                    for task in unit.tasks if lost[unit.item] else ():
                        error = GroundkitError(str(lost[unit.item]))
                        record = {**failure(unit.item.name, task.phrase, error), "name": task.name}
                        manifest.append(record)
                        finished(record)
                left = [unit for unit in left if not lost[unit.item]]
                runs = _engine(engine, address, workers or _default_workers(engine, chosen, len(plan)), chosen)
                run_batch(job, manifest, left, runs, finished, alone=part.whole)
        except KeyboardInterrupt:
            say("interrupted; run the same command again to continue")
            raise
        seconds = time.monotonic() - started
        completed = complete(manifest, mine, output, kinds, jobs) if not skip_existing else 0
        manifest.settle(mine)
        records = list(manifest.records_of(mine))
        files = [manifest.path]
        if part.whole:
            add_results(run_files, manifest.all_records(mine), output)
            files += run_files.finish()
        if shown:
            add_entries(page, manifest, mine, output, jobs, stride=stride, max_frames=max_frames)
            files.append(shown)
    if as_json:
        put(json.dumps([without_details(record) for record in records], indent=2))
    else:
        for file in files:
            put(file)
    failures = [record for record in records if "error" in record]
    empty = sum(_is_empty(record) for record in records)
    _tell_failures(failures, manifest.path)
    if not chosen.quiet:
        if completed:
            say(f"{count_of(completed, 'result')} completed with missing files, without grounding again")
        when = f"{total - made} before, {made} now in {seconds:.1f} s, {made / max(seconds, 1e-9):.2f}/s"
        left_out = f", {skipped} skipped" if skipped else ""
        sure = _sure([record["evidence"] for record in records if "evidence" in record])
        fates = f"{empty} empty, {len(failures)} failed{sure}"
        say(f"{count_of(total, 'result')} ({when}{left_out}); {fates}; see {output}")
    if failures or (empty and fail_on_empty):
        raise typer.Exit(1)


def _wanted(arguments: list[str], phrases: list[str], listed: Path | None) -> list[tuple[str, list[str]]]:
    """Which phrases are wanted of which argument."""
    from groundkit.run.lists import read_list

    if listed is not None and not arguments:
        if phrases:
            raise typer.BadParameter("--phrase is for inputs that are given as arguments; a list has its own phrases")
        return read_list(listed)
    if not arguments:
        raise typer.BadParameter('give pictures, videos or folders: groundkit batch photos/ -p "the cup"')
    inputs, phrases = split_arguments(arguments, phrases, command="batch", example="photos/")
    if not inputs:
        raise typer.BadParameter('give pictures, videos or folders: groundkit batch photos/ -p "the cup"')
    return [(each, phrases) for each in inputs] + (read_list(listed) if listed else [])


def _engine(name: str, address: str | None, count: int | None, chosen: PipelineOptions) -> Engine:
    if name == "local" and count == 1:
        from groundkit.run.worker import in_process

        return in_process
    silence_libraries()
    if name == "ray":
        from groundkit.run.engines.ray import on_ray

        return partial(on_ray, count=count, address=address, gpus=chosen.device != "cpu")
    from groundkit.run.engines.processes import on_processes

    return partial(on_processes, count=count or 1)


def _default_workers(engine: str, chosen: PipelineOptions, units: int) -> int | None:
    """By the whole plan and not by what is left of it: the number decides with how many threads each one computes."""
    if engine == "ray":
        return None
    if chosen.model != "nano" or chosen.device not in ("auto", "cpu"):
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _MOST, units // _WORTH))


def _sure(evidence: Sequence[float]) -> str:
    """How much speaks for what was found, over all results."""
    if not evidence:
        return ""
    low, high = min(evidence), max(evidence)
    return f"; evidence {low:.2f}" if low == high else f"; evidence {low:.2f} to {high:.2f}"


def _is_empty(record: Record) -> bool:
    return "error" not in record and not record.get("seen", record.get("scores"))


def _tell_failures(failures: Sequence[Record], manifest: Path) -> None:
    told = list(dict.fromkeys((record["input"], record["error"]) for record in failures))
    for name, error in told[:_TOLD]:
        tell_error(name, error)
    if len(told) > _TOLD:
        say(f"error: and {len(told) - _TOLD} more, in {manifest}")
