"""Many pictures and phrases through one pipeline; one failure does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, GroundkitError, InputError
from groundkit.media.inputs import Input, unique_stems
from groundkit.outputs.atomic import prepare_folder
from groundkit.outputs.formats import check_formats
from groundkit.outputs.formats.base import Source
from groundkit.outputs.names import UniqueNames, shorten, slug
from groundkit.outputs.ours import owner
from groundkit.outputs.record import failure, record
from groundkit.outputs.save import RunFiles, file_names, names_a_file, per_result, write_result
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure, Grounding


def ground_phrases(
    pipeline: Pipeline, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
) -> Iterator[Grounding | GroundkitError]:
    """One outcome per phrase; see ``Pipeline.ground_each``, which raises ConfigError."""
    for outcome in pipeline.ground_each(image, phrases, seed=seed):
        yield outcome.error if isinstance(outcome, Failure) else outcome


def ground_files(
    pipeline: Pipeline, inputs: Iterable[Input], phrases: Sequence[str], *, seed: int = 0
) -> Iterator[tuple[Input, str, Grounding | GroundkitError]]:
    """Ground every phrase in every picture, one picture in memory at a time.

    Args:
        pipeline: what grounds.
        inputs: the pictures.
        phrases: what to look for.
        seed: of the pipeline's noise.

    Yields:
        Input, phrase and outcome: the result, or the error that this input or phrase met.
    """
    for item in inputs:
        try:
            image = item.read()
        except InputError as error:
            for phrase in phrases:
                yield item, phrase, error
            continue
        for phrase, outcome in zip(phrases, ground_phrases(pipeline, image, phrases, seed=seed), strict=True):
            yield item, phrase, outcome


@dataclass(frozen=True)
class Written:
    """What became of one input and phrase: its JSON-ready record, the files written, and whether it went well."""

    record: dict[str, Any]
    files: tuple[Path, ...]
    failed: bool
    empty: bool


def write_outcome(
    outcome: Grounding | GroundkitError, phrase: str, output: Path, base: str, formats: Sequence[str], source: Source
) -> Written:
    """Write one result, see ``outputs.save``; an error, or a place that refuses, becomes a failed record."""
    if isinstance(outcome, GroundkitError):
        return refused(source.name, phrase, outcome)
    try:
        files = write_result(outcome, output, base, formats, source)
    except GroundkitError as error:
        return refused(source.name, phrase, error)
    flat = tuple(file for each in files.values() for file in each)
    shown = record(outcome, source.name, files.get("png", []))
    return Written(shown, flat, failed=False, empty=len(outcome.masks) == 0)


def refused(name: str, phrase: str, error: GroundkitError) -> Written:
    """What stands for an input or a phrase that could not be grounded."""
    return Written(failure(name, phrase, error), (), failed=True, empty=False)


class BatchWriter:
    """Writes the results of a run, each under a name of its own: ``<stem of the picture>-<phrase>`` and an ending.

    The ``coco`` format becomes one file for the whole run, ``coco.json``, written by ``finish``; what earlier runs of
    ``groundkit segment`` have put there stays, but for the same picture and phrase.

    Args:
        output: a folder, made if missing, or the name of a file when the run has one picture and one phrase.
        formats: names of formats, see ``Grounding.save``.
        inputs: the pictures of the run.
        phrases: its phrases.

    Raises:
        ConfigError: for an unknown format, a file name for several results, or a ``coco.json`` of another command.
        InputError: when the folder cannot be made or written to.
    """

    def __init__(self, output: Path, formats: Sequence[str], inputs: Sequence[Input], phrases: Sequence[str]) -> None:
        formats = check_formats(formats)
        pictures = any(not item.is_video for item in inputs)  # a video has its own files
        count = len(inputs) * len(phrases)
        if names_a_file(output) and count > 1:
            raise ConfigError(f"{output} is one file but there are {count} results: give a folder")
        self._inputs = {item.path.resolve() for item in inputs if item.path is not None}
        self._spare_inputs([output])
        if pictures:
            file_names(output, "name", formats)  # refuses what does not fit before a model is loaded
        self._folder = output.parent if names_a_file(output) else output
        prepare_folder(self._folder)
        self._output = output
        self._formats = formats
        self._stems = dict(zip(inputs, unique_stems(inputs), strict=True))
        self._names = UniqueNames()
        self._runs = RunFiles(output, formats if pictures else (), "groundkit segment")

    def write(self, item: Input, phrase: str, outcome: Grounding | GroundkitError) -> Written:
        """Write one result; an error, or a place that cannot be written to, becomes a failed record."""
        if isinstance(outcome, GroundkitError):
            return refused(item.name, phrase, outcome)  # and takes no name
        base = self._names.take(f"{shorten(self._stems[item])}-{slug(phrase)}")
        formats = per_result(self._formats)
        try:
            self._spare_inputs(file_names(self._output, base, formats).values())
        except ConfigError as error:
            return refused(item.name, phrase, error)
        source = Source(item.name, item.place, self._stems[item], owner("segment", item.place, self._folder))
        written = write_outcome(outcome, phrase, self._output, base, formats, source)
        if not written.failed:
            self._runs.add(outcome, source)
        return written

    def _spare_inputs(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if path.resolve() in self._inputs:
                raise ConfigError(f"{path} is an input, and would be lost: give another --output")

    def finish(self) -> list[Path]:
        """Write what covers the whole run, and return those files."""
        return self._runs.finish()
