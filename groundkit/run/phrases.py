"""Many pictures and phrases through one pipeline; one failure does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, GroundkitError, InputError
from groundkit.media.inputs import Input, unique_stems
from groundkit.memory import explain_out_of_memory
from groundkit.outputs.atomic import prepare_folder
from groundkit.outputs.formats.coco import CocoDataset
from groundkit.outputs.names import UniqueNames, shorten, slug
from groundkit.outputs.ours import owner
from groundkit.outputs.record import failure, record
from groundkit.outputs.save import check_formats, file_names, names_a_file, write_files
from groundkit.results import Grounding


class Pipeline(Protocol):
    """What every pipeline offers to those who run it over many pictures."""

    name: str
    model: str

    def ground(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | GroundkitError]:
        """Ground phrases in one picture, uint8 ``(height, width, 3)`` RGB, which is encoded once."""


def ground_phrases(
    pipeline: Pipeline, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
) -> Iterator[Grounding | GroundkitError]:
    """One outcome a phrase, also when the pipeline gives up on the whole picture.

    Raises:
        ConfigError: a setting that the model refuses: no other picture would fare better.
    """
    answered = 0
    try:
        with explain_out_of_memory():
            for outcome in pipeline.ground(image, phrases, seed=seed):
                if isinstance(outcome, ConfigError):
                    raise outcome
                answered += 1
                yield outcome
    except ConfigError:
        raise
    except GroundkitError as error:
        for _ in phrases[answered:]:
            yield error


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
    source: str, phrase: str, outcome: Grounding | GroundkitError, names: Mapping[str, Path], ours: str = ""
) -> Written:
    """Write one result to its paths, one a format; an error, or a place that refuses, becomes a failed record.

    ``ours`` is the ``ours.owner`` that pictures name.
    """
    if isinstance(outcome, GroundkitError):
        return refused(source, phrase, outcome)
    try:
        files = write_files(outcome, names, source, ours)
    except InputError as error:
        return refused(source, phrase, error)
    flat = tuple(file for each in files.values() for file in each)
    return Written(record(outcome, source, files.get("png", [])), flat, failed=False, empty=len(outcome.masks) == 0)


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
        self._coco = CocoDataset("groundkit segment") if "coco" in formats and pictures else None
        if self._coco is not None:
            self._coco.check(self._coco_file())

    def write(self, item: Input, phrase: str, outcome: Grounding | GroundkitError) -> Written:
        """Write one result; an error, or a place that cannot be written to, becomes a failed record."""
        if isinstance(outcome, GroundkitError):
            return refused(item.name, phrase, outcome)  # and takes no name
        base = self._names.take(f"{shorten(self._stems[item])}-{slug(phrase)}")
        names = file_names(self._output, base, self._formats)
        names.pop("coco", None)
        try:
            self._spare_inputs(names.values())
        except ConfigError as error:
            return refused(item.name, phrase, error)
        ours = owner("segment", item, self._folder)
        written = write_outcome(item.name, phrase, outcome, names, ours)
        if self._coco is not None and not written.failed:
            self._coco.add(outcome, item.place)
        return written

    def _spare_inputs(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if path.resolve() in self._inputs:
                raise ConfigError(f"{path} is an input, and would be lost: give another --output")

    def finish(self) -> list[Path]:
        """Write what covers the whole run, and return those files."""
        if self._coco is None or not self._stems:
            return []
        return [self._coco.merge_into(self._coco_file())]

    def _coco_file(self) -> Path:
        if names_a_file(self._output):
            return file_names(self._output, "", self._formats)["coco"]
        return self._output / "coco.json"
