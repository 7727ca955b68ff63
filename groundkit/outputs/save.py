"""One result as files, in the formats that were asked for."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import chain, count
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from groundkit import clock
from groundkit.errors import ConfigError
from groundkit.media.inputs import VIDEO_SUFFIXES
from groundkit.media.paths import expand_home, real_path
from groundkit.outputs.data_set import DataSetRun, Layout
from groundkit.outputs.formats import check_formats, load_format, working_formats
from groundkit.outputs.formats.base import Source
from groundkit.outputs.names import UniqueNames, shorten, slug
from groundkit.outputs.ours import earlier_masks, owner, owner_of, tell_other_owner
from groundkit.results import Discovery, Grounding

_saved: dict[str, str] = {}  # by base name of files: of which result ``save_result`` has written them
_saving = Lock()


def save_result(result: Grounding | Discovery, path: Path, formats: str | Sequence[str]) -> list[Path]:
    """What ``Grounding.save`` and ``Discovery.save`` promise."""
    kinds = check_formats(formats)
    base = slug(result.phrase) if isinstance(result, Grounding) else "discovery"
    source = Source(result.source)
    if not names_a_file(path):
        if result.source:
            base = f"{shorten(Path(result.source).stem)}-{base}"
            place = str(real_path(expand_home(result.source)))
            source = replace(source, place=place, owner=owner("save", place, path))
        else:
            source = replace(source, owner=blake2b(np.ascontiguousarray(result.image).data, digest_size=8).hexdigest())
        base = _free_name(path, base, source.owner)
    written = write_result(result, path, base, kinds, source)
    return [file for files in written.values() for file in files]


def _free_name(folder: Path, base: str, owner: str) -> str:
    """A base name under which this process has saved nothing of another picture or phrase."""
    with _saving:
        for number in count(1):
            name = base if number == 1 else f"{base}-{number}"
            if _saved.setdefault(str(real_path(folder) / name.casefold()), f"{owner} {base}") == f"{owner} {base}":
                return name
    raise AssertionError  # numbers do not end


def names_a_file(path: Path) -> bool:
    """Whether an output path means one file: its suffix is that of pictures, films or a format, and it is no folder."""
    suffix = path.suffix.lower()
    ours = {Path(f"name{each.ending}").suffix for each in working_formats().values()}
    known = suffix in ours or suffix in VIDEO_SUFFIXES or suffix in Image.registered_extensions()
    return known and not path.is_dir()


def names_a_film(path: Path) -> bool:
    """Whether an output path means the one film of a video."""
    return path.suffix.lower() == ".mp4" and not path.is_dir()


def folder_of(output: Path) -> Path:
    """The folder for the results: the output itself, or that of the one file that it names."""
    return output.parent if names_a_file(output) else output


def file_names(path: Path, base: str, formats: Iterable[str]) -> dict[str, Path]:
    """Say where each format goes.

    Args:
        path: a folder, or the name of a file.
        base: the base name, without suffix, of files in a folder.
        formats: names of formats.

    Returns:
        One path per format. A file name is used as it is when there is one format, and as the base name otherwise.

    Raises:
        ConfigError: for an unknown format, or a file name whose suffix is not that of a format's files.
    """
    endings = {name: load_format(name).ending for name in formats}
    if not names_a_file(path):
        return {name: path / f"{base}{ending}" for name, ending in endings.items()}
    suffixes = sorted({Path(f"name{ending}").suffix for ending in endings.values()})
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{path} cannot hold {', '.join(endings)}: give a folder, or a name in {' or '.join(suffixes)}"
        )
    if len(endings) == 1:
        return dict.fromkeys(endings, path)
    return {name: path.with_name(path.stem + ending) for name, ending in endings.items()}


@clock.timed("files")
def write_result(
    result: Grounding | Discovery,
    output: Path,
    base: str,
    formats: Iterable[str],
    source: Source,
    names: UniqueNames | None = None,
) -> dict[str, list[Path]]:
    """Write one result, each format to its path from ``file_names``.

    Files of an earlier result that groundkit has written under these names, and that the new one does not have, are
    removed. A warning tells of one of another input or command.

    Args:
        result: what was found.
        output: a folder, or the name of a file.
        base: the base name of the files.
        formats: names of formats.
        source: of which input it is.
        names: of the run; hands out those of the labels of a discovery, ``<base>-<label>``.

    Returns:
        The files of each format.

    Raises:
        ConfigError: see ``file_names``, and for a result that a format cannot show.
        InputError: when the place cannot be written to.
    """
    formats = tuple(formats)
    source = replace(source, formats=source.formats or formats)
    if isinstance(result, Grounding):
        return _write(result, file_names(output, base, formats), source)
    names = names or UniqueNames()
    per_label = [name for name in formats if load_format(name).per_label]
    written = _write(result, file_names(output, base, [name for name in formats if name not in per_label]), source)
    written.update({name: [] for name in per_label})
    for grounding in result.groundings() if per_label else ():
        label = names.take(f"{base}-{slug(grounding.phrase)}")
        for name, files in _write(grounding, file_names(output, label, per_label), source).items():
            written[name] += files
    if source.owner:
        _remove_labels(output, base, per_label, source.owner, kept={*chain(*written.values())})
    return written


class RunFiles:
    """The files of those formats that have one for all results of a run.

    Args:
        output: a folder, or the name of a file.
        formats: names of formats; those with a file per result do not matter here.
        command, categories, whole: see ``RunFormat``.
        layout: how data sets are written; by default as ``DataSetRun`` does.

    Raises:
        ConfigError: where such a file is there and another command or program has written it.
    """

    def __init__(
        self,
        output: Path,
        formats: Iterable[str],
        command: str,
        categories: Sequence[str] = (),
        *,
        whole: bool = False,
        layout: Layout | None = None,
    ) -> None:
        self._runs = []
        for name in formats:
            if (kind := load_format(name).run) is not None:
                if names_a_file(output) and issubclass(kind, DataSetRun):
                    raise ConfigError(f"{output} is one file, and {name} writes a folder: give a folder")
                path = file_names(output, "", formats)[name] if names_a_file(output) else output / kind.file
                made = kind(command, categories, whole=whole)
                if layout is not None and hasattr(made, "layout"):
                    made.layout = layout
                self._runs.append((made, path))
        for run, path in self._runs:
            run.check(path)

    @property
    def wanted(self) -> bool:
        """Whether there is such a format."""
        return bool(self._runs)

    def add(self, result: Grounding | Discovery, source: Source) -> None:
        """Add one result."""
        for run, _ in self._runs:
            run.add(result, source)

    @clock.timed("files")
    def finish(self) -> list[Path]:
        """Write the files, and return them. Raises InputError when the place cannot be written to."""
        return [file for run, path in self._runs for file in run.finish(path)]


def per_result(formats: Iterable[str]) -> tuple[str, ...]:
    """Those of the formats that have a file for each result of a run."""
    return tuple(name for name in formats if load_format(name).run is None)


def _write(result: Grounding | Discovery, paths: Mapping[str, Path], source: Source) -> dict[str, list[Path]]:
    if source.owner:
        masks = [earlier_masks(path) for name, path in paths.items() if load_format(name).per_label]
        tell_other_owner([*paths.values(), *chain(*masks)], source.owner, source.place)
    return {name: load_format(name).write(result, path, source) for name, path in paths.items()}


def _remove_labels(folder: Path, base: str, formats: Sequence[str], owner: str, kept: set[Path]) -> None:
    """Remove pictures of labels that an earlier discovery of the same input had, in these formats."""
    endings = {kind: each.ending for kind, each in working_formats().items()}
    for path in sorted(folder.glob(f"{glob.escape(base)}-*")):
        name = re.sub(r"-mask\d+(?=\.\w+$)", "", path.name)
        kinds = [kind for kind, ending in endings.items() if name.endswith(ending)]
        kind = max(kinds, key=lambda each: len(endings[each]), default="")
        if kind in formats and path not in kept and owner_of(path) == owner:
            path.unlink(missing_ok=True)
