"""Many pictures and videos times several phrases, resumed where an earlier run of the same was stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from groundkit.outputs.atomic import remove_leftovers
from groundkit.outputs.formats.base import Source, mask_names
from groundkit.outputs.save import RunFiles, file_names, per_result
from groundkit.run.finished import is_sound, restored, stem_of
from groundkit.run.manifest import Manifest, Record
from groundkit.run.plan import Task, Unit
from groundkit.run.worker import Job


class Engine(Protocol):
    """Does units somewhere; yields a record a task, in any order. Closed early, it ends what it has started."""

    def __call__(self, job: Job, units: Sequence[Unit], /) -> Generator[Record]: ...


def run_batch(
    job: Job,
    manifest: Manifest,
    units: Sequence[Unit],
    engine: Engine,
    advance: Callable[[Record], None],
    *,
    alone: bool,
) -> None:
    """Do what is left of a run; no models are loaded when nothing is.

    Args:
        job: how.
        manifest: of the run.
        units: what is to be done, see ``Manifest.left``.
        engine: where.
        advance: gets every record when it is in the manifest.
        alone: whether nobody else writes to the output, so that all temporary files in it are left by killed runs.

    Raises:
        GroundkitError: when the models cannot be loaded or the manifest cannot be written. A task that fails is a
            record.
    """
    remove_leftovers(job.output, of_dead=not alone)
    try:
        if units:
            with closing(engine(job, units)) as records:
                for record in records:
                    manifest.append(record)
                    advance(record)
    finally:
        # Again: processes that outlived their driver for a moment, or were ended by Ctrl-C.
        remove_leftovers(job.output, of_dead=not alone)


def add_results(files: RunFiles, records: Iterable[Record], output: Path) -> None:
    """Give the results of pictures, as records tell of them, to the formats that have one file for a run."""
    for record in records:
        if "rle" in record and is_sound(record):
            place = os.path.normpath(output.resolve() / record["path"])
            files.add(restored(record, None), Source(record["input"], place, stem_of(record)))


def without_existing(units: Iterable[Unit], output: Path, formats: Sequence[str]) -> list[Unit]:
    """The units without the tasks of which files of every format are there, whoever wrote them."""

    def is_there(unit: Unit, task: Task) -> bool:
        if unit.item.is_video:
            return all((output / f"{task.name}{ending}").exists() for ending in (".mp4", ".jsonl"))
        paths = file_names(output, task.name, per_result(formats)).values()
        return all(path.exists() or mask_names(path, 2)[0].exists() for path in paths)

    kept = [unit.only(task for task in unit.tasks if not is_there(unit, task)) for unit in units]
    return [unit for unit in kept if unit.tasks]
