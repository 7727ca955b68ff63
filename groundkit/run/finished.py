"""Finished results of a batch: the files and reports that are made of their records without grounding again."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError
from groundkit.media.ahead import map_ahead
from groundkit.media.videos import read_video
from groundkit.outputs.formats import load_format
from groundkit.outputs.formats.base import Source, mask_names
from groundkit.outputs.ours import owner
from groundkit.outputs.save import RunFiles, file_names, per_result, write_result
from groundkit.report.page import ReportWriter, failure_entry, picture_entry, video_entry
from groundkit.run.manifest import Manifest, Record
from groundkit.run.plan import Task, Unit, count_tasks
from groundkit.run.records import heat_of, is_sound, is_video, restored, restored_video

Picture = npt.NDArray[np.uint8]


def with_formats(record: Record, formats: Collection[str]) -> Record:
    """The record of a picture with the names of its files in these formats."""
    kinds = in_order(formats)
    files = {kind: _files_of(record, kind) for kind in kinds}
    told = {
        "masks": files.get("png", []),
        "formats": list(kinds),
        "files": [file for kind in kinds for file in files[kind]],
    }
    return {**record, **told}


def needs_grounding(record: Record, output: Path, formats: Collection[str]) -> bool:
    """Whether files are missing that cannot be made of the record: those of a video, and the heatmap."""
    if not is_sound(record):
        return True
    if is_video(record):
        return not all((output / file).exists() for file in record["files"])
    lost = [kind for kind in per_result(formats) if load_format(kind).needs & {"heatmap", "steps"}]
    return not set(lost) <= set(_there(record, output))


def complete(manifest: Manifest, units: Iterable[Unit], output: Path, formats: Collection[str], jobs: int) -> int:
    """Make the files of pictures that are missing, and return how many results had to be completed.

    Raises:
        GroundkitError: when a picture cannot be read any more, or the place cannot be written to.
    """

    def lacks(unit: Unit, task: Task) -> bool:
        record = manifest.record_of(unit, task)
        if record is None or "files" not in record or is_video(record):
            return False
        there = _there(record, output)
        return there != record["formats"] or not {*per_result(formats)} <= {*there}

    def work(unit: Unit) -> list[Record]:
        picture: Picture | None = None
        done = []
        for record in manifest.records_of([unit]):
            there = _there(record, output)
            # What is made of the record alone is written again: it may name the files of other formats.
            kinds = in_order({*there, *formats})
            missing = [kind for kind in kinds if kind not in there or not load_format(kind).needs]
            if picture is None and any("image" in load_format(kind).needs for kind in missing):
                picture = unit.item.read()
            ours = owner("batch", unit.item.place, output)
            source = Source(record["input"], unit.item.place, unit.stem, ours, kinds)
            write_result(restored(record, picture), output, record["name"], missing, source)
            done.append(with_formats(record, kinds))
        return done

    kept = (unit.only(task for task in unit.tasks if lacks(unit, task)) for unit in units)
    lacking = [unit for unit in kept if unit.tasks]
    with closing(map_ahead(work, lacking, jobs)) as completed:
        for records in completed:
            for record in records:
                manifest.append(record)
    return count_tasks(lacking)


def add_results(files: RunFiles, records: Iterable[Record], output: Path, labels: Mapping[str, str]) -> None:
    """Give the results of pictures, as records tell of them, to the formats that have one file for a run.

    ``labels`` are classes by phrase.
    """
    for record in records:
        if "rle" in record and is_sound(record):
            place = os.path.normpath(output.resolve() / record["path"])
            files.add(
                restored(record, None),
                Source(record["input"], place, record["stem"], label=labels.get(record["phrase"], "")),
            )


def without_existing(units: Iterable[Unit], output: Path, formats: Collection[str]) -> list[Unit]:
    """The units without the tasks of which files of every format are there, whoever wrote them."""

    def is_there(unit: Unit, task: Task) -> bool:
        if unit.item.is_video:
            return all((output / f"{task.name}{ending}").exists() for ending in (".mp4", ".jsonl"))
        paths = file_names(output, task.name, per_result(formats)).values()
        return all(path.exists() or mask_names(path, 2)[0].exists() for path in paths)

    kept = [unit.only(task for task in unit.tasks if not is_there(unit, task)) for unit in units]
    return [unit for unit in kept if unit.tasks]


def add_entries(
    report: ReportWriter,
    manifest: Manifest,
    units: Iterable[Unit],
    output: Path,
    jobs: int,
    *,
    stride: int = 1,
    max_frames: int | None = None,
    known: Callable[[str], str | None] = lambda _: None,
) -> None:
    """Put the entries of a run together, in the order of the plan and failures among them.

    ``known`` gives entries that are there already, by the name of their result.
    """

    def entries(unit: Unit) -> list[str]:
        picture: Picture | None = None
        made = []
        for task in unit.tasks:
            record = manifest.record_of(unit, task)
            if record is None:
                continue
            if (entry := known(task.name)) is not None:
                made.append(entry)
                continue
            error = record.get("error")
            try:
                if error is None and is_video(record):
                    assert unit.item.path is not None
                    frames = partial(read_video(unit.item.path).frames, stride, max_frames)
                    found = restored_video(record, output)
                    made.append(video_entry(record["input"], found.phrase, found, frames, heat=heat_of(record)))
                elif error is None:
                    picture = unit.item.read() if picture is None else picture
                    found_here = restored(record, picture)
                    made.append(picture_entry(record["input"], found_here.phrase, found_here, heat_of(record)))
            except GroundkitError as refusal:
                error = str(refusal)
            if error is not None:
                made.append(failure_entry(record["input"], task.phrase, error))
        return made

    with closing(map_ahead(entries, units, jobs)) as made:
        for each in made:
            for entry in each:
                report.add(entry)


def in_order(formats: Collection[str]) -> tuple[str, ...]:
    """Those with a file per result, in the order in which the files of a batch are listed."""
    return tuple(sorted(per_result(formats)))


def _files_of(record: Record, kind: str) -> list[str]:
    path = file_names(Path(), record["name"], [kind])[kind]
    paths = mask_names(path, len(record["scores"])) if load_format(kind).per_label else [path]
    return [path.as_posix() for path in paths]


def _there(record: Record, output: Path) -> list[str]:
    return [kind for kind in record["formats"] if all((output / each).exists() for each in _files_of(record, kind))]
