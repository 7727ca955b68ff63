"""Many pictures and videos times several phrases, resumed where an earlier run of the same was stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from groundkit.outputs.atomic import remove_leftovers
from groundkit.outputs.formats.coco import CocoDataset
from groundkit.outputs.save import file_names, mask_names
from groundkit.run.finished import is_sound
from groundkit.run.manifest import Manifest, Record
from groundkit.run.plan import Task, Unit
from groundkit.run.worker import Job

COCO_DESCRIPTION = "groundkit batch"


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


def check_coco(path: Path) -> None:
    """Raises ConfigError when ``path`` is there and another command has written it."""
    CocoDataset(COCO_DESCRIPTION).check(path)


def write_coco(path: Path, records: Iterable[Record]) -> Path:
    """Write the pictures' masks as one COCO data set and return ``path``, in whose folder the results are."""
    dataset = CocoDataset(COCO_DESCRIPTION)
    for record in records:
        if "rle" in record and is_sound(record):
            height, width = record["size"]
            dataset.add_masks(
                os.path.normpath(path.parent.resolve() / record["path"]),
                (height, width),
                record["phrase"],
                record["rle"],
                record["scores"],
                pipeline=record["pipeline"],
                model=record["model"],
            )
    return dataset.write(path)


def without_existing(units: Iterable[Unit], output: Path, formats: Sequence[str]) -> list[Unit]:
    """The units without the tasks of which files of every format are there, whoever wrote them."""

    def is_there(unit: Unit, task: Task) -> bool:
        if unit.item.is_video:
            return all((output / f"{task.name}{ending}").exists() for ending in (".mp4", ".jsonl"))
        paths = file_names(output, task.name, formats).values()
        return all(path.exists() or mask_names(path, 2)[0].exists() for path in paths)

    kept = [unit.only(task for task in unit.tasks if not is_there(unit, task)) for unit in units]
    return [unit for unit in kept if unit.tasks]
