"""Everything found in a picture, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groundkit.errors import ConfigError
from groundkit.media.inputs import Input, unique_stems
from groundkit.outputs.atomic import prepare_folder
from groundkit.outputs.formats.base import Source
from groundkit.outputs.names import UniqueNames, shorten
from groundkit.outputs.ours import owner
from groundkit.outputs.save import RunFiles, names_a_file, per_result, write_result
from groundkit.results import Discovery


class DiscoveryWriter:
    """Writes what was found in each picture of a run, no two files under the same name.

    ``<stem>-overlay.png`` and ``<stem>.json`` for a picture, ``<stem>-<label>.png`` and ``<stem>-<label>-cutout.png``
    for a name; the ``coco`` format becomes one file for the whole run, ``coco.json``, written by ``finish``; of
    pictures that earlier runs of ``groundkit discover`` have put there, those of this run are replaced.

    Args:
        folder: where the files go, made if missing.
        formats: those that take discoveries.
        inputs: the pictures of the run; their names are given out before any object's.
        categories: given ones, which the COCO file lists in their order, found or not.

    Raises:
        ConfigError: for the name of a file, or a ``coco.json`` of another command.
        InputError: when the folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, formats: Sequence[str], inputs: Sequence[Input], categories: Sequence[str] = ()
    ) -> None:
        if names_a_file(folder):
            raise ConfigError(f"{folder} is one file, and discovery writes several: give a folder")
        prepare_folder(folder)
        self._folder = folder
        self._formats = formats
        self._names = UniqueNames()
        if "coco" in formats:
            self._names.take("coco")
        self._runs = RunFiles(folder, formats, "groundkit discover", categories)
        stems = unique_stems(inputs)
        self._stems = {item: self._names.take(shorten(stem)) for item, stem in zip(inputs, stems, strict=True)}

    def write(self, item: Input, discovery: Discovery) -> list[Path]:
        """Write one picture's objects, and return the files.

        Raises:
            InputError: when the place cannot be written to.
        """
        stem = self._stems[item]
        source = Source(item.name, item.place, stem, owner("discover", item.place, self._folder))
        written = write_result(discovery, self._folder, stem, per_result(self._formats), source, self._names)
        self._runs.add(discovery, source)
        return [file for files in written.values() for file in files]

    def finish(self) -> list[Path]:
        """Write what covers the whole run, and return those files."""
        return self._runs.finish()
