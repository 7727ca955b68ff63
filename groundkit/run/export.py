"""The results of a finished batch in other formats, from its manifest alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from groundkit.errors import ConfigError, unknown
from groundkit.masks.cleaning import Cleaning
from groundkit.outputs.cleaned import cleaned
from groundkit.outputs.data_set import Layout
from groundkit.outputs.formats.base import Source
from groundkit.outputs.save import RunFiles, per_result
from groundkit.run.manifest import read_manifest
from groundkit.run.records import is_sound, is_video, restored


@dataclass
class Exported:
    """What became of an export.

    Attributes:
        files: what was written.
        results, objects: how many results were read, and how many objects are in what was written.
        filtered: how many objects were left out or became empty.
        videos: how many results of videos were left out.
    """

    files: list[Path] = field(default_factory=list)
    results: int = 0
    objects: int = 0
    filtered: int = 0
    videos: int = 0


def export(
    folder: Path,
    formats: Iterable[str],
    output: Path,
    *,
    labels: Mapping[str, str] | None = None,
    classes: Iterable[str] = (),
    cleaning: Cleaning | None = None,
    layout: Layout | None = None,
) -> Exported:
    """Write the results of a batch as data sets.

    Args:
        folder: the output of ``groundkit batch``.
        formats: those with one file or folder for a run, such as ``yolo``.
        output: the folder for them.
        labels: classes by phrase; those that the batch was told, and for the others the phrase, by default.
        classes: all classes in the order of their numbers; empty for those that occur.
        cleaning: which masks are kept and how they are cleaned.
        layout: split, polygons and tolerance.

    Raises:
        ConfigError: no manifest, a format with a file per result, a label for a phrase that does not occur, a class
            that ``classes`` lacks, or an output that others have written.
        InputError: a file that cannot be read or written.
    """
    formats, classes = tuple(formats), tuple(classes)
    if each := per_result(formats):
        raise ConfigError(f"{each[0]} has a file for each result: run the same groundkit batch again with -f {each[0]}")
    settings, records = read_manifest(folder)
    named = {**settings.get("labels", {}), **(labels or {})}
    run = RunFiles(output, formats, "groundkit batch", classes, whole=True, layout=layout)
    told, phrases = Exported(), set()
    for record in records:
        if is_video(record) or record["phrase"] is None:
            told.videos += 1
            continue
        if not is_sound(record):
            raise ConfigError(f"the record of {record['name']} in {folder} is damaged: run the batch again")
        found = restored(record, None)
        label = named.get(found.phrase, found.phrase)
        if classes and label not in classes:
            raise ConfigError(f"{unknown('class', label, classes)}; name it by --class {found.phrase!r}=CLASS")
        phrases.add(found.phrase)
        kept = cleaned(found, cleaning or Cleaning())
        place = os.path.normpath(folder.resolve() / record["path"])
        run.add(kept, Source(record["input"], place, record["stem"], label=label))
        told.results += 1
        told.objects += len(kept.run_lengths)
        told.filtered += len(found.run_lengths) - len(kept.run_lengths)
    if strange := [phrase for phrase in labels or () if phrase not in phrases]:
        raise ConfigError(unknown("phrase", strange[0], sorted(phrases)))
    told.files = run.finish()
    return told
