"""What a run has to do, in which order and under which names, before anything of it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from groundkit.errors import ConfigError, GroundkitError
from groundkit.media.deep import Range
from groundkit.media.inputs import STDIN, Input, unique_stems
from groundkit.media.paths import real_path
from groundkit.outputs.formats import working_formats
from groundkit.outputs.names import UniqueNames, shorten, slug
from groundkit.outputs.ours import resolve_sources


@dataclass(frozen=True)
class Task:
    """One phrase for one input, or None to discover what there is; ``name`` is the base name of its files."""

    phrase: str | None
    name: str


@dataclass(frozen=True)
class Unit:
    """What is done in one go: a picture with all its phrases, so that it is encoded once, or a video with one.

    Attributes:
        item: the picture or video.
        stem: what names of its files begin with.
        tasks: its phrases.
        error: why there is nothing to read, for an argument that names no input.
    """

    item: Input
    stem: str
    tasks: tuple[Task, ...]
    error: str | None = None

    def only(self, tasks: Iterable[Task]) -> Unit:
        """The same input with some of its phrases."""
        return replace(self, tasks=tuple(tasks))


def make_plan(
    wanted: Iterable[tuple[str, Sequence[str | None]]],
    output: Path | None = None,
    *,
    pictures: bool = True,
    videos: bool = True,
    frame_folders: bool = False,
    stdin: bool = False,
    range: Range = "full",
) -> list[Unit]:
    """Find the inputs that arguments stand for, group them, and give every result a name.

    The plan depends on the arguments and the files they name, and on nothing that ran before: the same arguments give
    the same names, in whatever order and however often the work is done.

    Args:
        wanted: arguments (files, folders, globs; see ``resolve_inputs``), each with its phrases, or None to discover.
            An input that several of them name is taken once, with the phrases of all; a phrase that is given twice
            counts once.
        output: the folder for the results, which never become inputs: see ``resolve_sources``.
        pictures, videos, frame_folders: what is taken, see ``resolve_inputs``.
        stdin: whether a picture may come in on standard input, which can be read once.
        range: of pictures of more than 8 bits, see ``groundkit.media.images.read_image``.

    Returns:
        Units in the order in which the arguments name their inputs first. An argument that names none is a unit too,
        which fails: so it is told, counted and tried again like every other.

    Raises:
        ConfigError: for standard input where it is not taken, and an invalid range.
    """
    kinds = {"pictures": pictures, "videos": videos, "frame_folders": frame_folders}
    inputs: dict[Path | None, tuple[Input, dict[str | None, None], GroundkitError | None]] = {}
    for argument, phrases in wanted:
        if argument == STDIN and not stdin:
            raise ConfigError("-: a batch that is resumed cannot read standard input again; give files")
        resolved = resolve_sources([argument], output, **kinds, range=range)
        found: list[tuple[Input, GroundkitError | None]] = [(item, None) for item in resolved.found]
        found += [(Input(name, Path(name)), error) for name, error in resolved.failed]
        for item, error in found:
            known = inputs.setdefault(item.path and real_path(item.path), (item, {}, error))
            known[1].update(dict.fromkeys(phrases))

    names = UniqueNames()
    if any(None in phrases for _, phrases, _ in inputs.values()):
        for run in (each.run for each in working_formats().values()):
            names.take(Path(run.file).stem if run else "")  # of files that a picture's own could be taken for
    units = []
    there = [item for item, _, error in inputs.values() if error is None]
    stems = dict(zip(there, unique_stems(there), strict=True))  # what is missing takes no name from others
    for item, phrases_of, error in inputs.values():
        stem = shorten(stems.get(item, Path(item.name).stem or "missing"))
        bases = {phrase: stem if phrase is None else f"{stem}-{slug(phrase)}" for phrase in phrases_of}
        tasks = tuple(Task(phrase, names.take(base)) for phrase, base in bases.items())
        unit = Unit(item, stem, tasks, None if error is None else str(error))
        units += [unit.only([task]) for task in tasks] if item.is_video else [unit]
    return units


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, from 1: every ``count``-th unit. ``1/1`` is the whole."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``. Raises ConfigError when it is not 1 <= i <= n."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ConfigError(f"shard {text}: write i/n with 1 <= i <= n, such as 2/4 for the second of four machines")
        return cls(int(index), int(count))

    @property
    def whole(self) -> bool:
        return self.count == 1

    def of(self, units: Sequence[Unit]) -> list[Unit]:
        """The units of this part; those of all parts are the plan, each once."""
        return list(units[self.index - 1 :: self.count])


def count_tasks(units: Iterable[Unit]) -> int:
    """How many results the units give."""
    return sum(len(unit.tasks) for unit in units)
