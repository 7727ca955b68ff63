"""Which pictures a list of arguments stands for."""

from __future__ import annotations

import glob
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundkit.errors import InputError
from groundkit.media.images import read_image

STDIN = "-"

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tga", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class Input:
    """One picture to work on.

    Attributes:
        name: what messages call it: the path as it was given, or ``-`` for standard input.
        path: the file, or None for standard input.
    """

    name: str
    path: Path | None

    def read(self) -> npt.NDArray[np.uint8]:
        """Read the picture as ``groundkit.media.images.read_image`` does. Standard input can be read once."""
        return read_image(sys.stdin.buffer if self.path is None else self.path)


@dataclass(frozen=True)
class ResolvedInputs:
    """What a list of arguments came to.

    Attributes:
        found: the pictures, each once, in the order in which the arguments name them first.
        failed: the arguments that name no picture, each with the error that says why. The others can still be used;
            a caller that wants all or nothing raises the first error.
    """

    found: list[Input]
    failed: list[tuple[str, InputError]]


def resolve_inputs(arguments: Sequence[str]) -> ResolvedInputs:
    """Find the pictures that files, folders, quoted globs and ``-`` stand for, without reading any of them.

    A file is taken whatever its suffix. A folder gives the pictures right inside it, and a glob (``*``, ``?``,
    ``[...]``, and ``**`` for folders below) the pictures among its matches: both go by suffix, leave out hidden files,
    and sort ``2.png`` before ``10.png``. ``-`` is one picture on standard input. A file that is named twice, in
    whatever spelling or through a link, counts once. Nothing is raised: see ``ResolvedInputs.failed``.
    """
    found: dict[Path | None, Input] = {}
    failed: list[tuple[str, InputError]] = []
    for argument in arguments:
        try:
            for item in _resolve(argument):
                found.setdefault(item.path and item.path.resolve(), item)
        except InputError as error:
            failed.append((argument, error))
        except OSError as error:
            failed.append((argument, InputError(f"{argument}: cannot be opened ({error.strerror}); check the path")))
    return ResolvedInputs(list(found.values()), failed)


def unique_stems(inputs: Sequence[Input]) -> list[str]:
    """Name the outputs: one file name without suffix for each input, none twice on any file system.

    Usually the input's own stem (``stdin`` for standard input); where several inputs share it, their folder's name
    goes before it; and where that is not enough, a number goes behind.
    """
    stems = ["stdin" if item.path is None else item.path.stem for item in inputs]
    counts = Counter(stem.casefold() for stem in stems)
    for index, item in enumerate(inputs):
        if counts[stems[index].casefold()] > 1 and item.path is not None:
            stems[index] = f"{item.path.resolve().parent.name}-{stems[index]}".lstrip("-")

    # File systems of Windows and macOS do not tell a.png from A.png.
    owned = {stem.casefold() for stem in stems}
    taken: set[str] = set()
    names = []
    for stem in stems:
        numbered = (f"{stem}-{number}" for number in count(2))
        candidates = chain([stem], (name for name in numbered if name.casefold() not in owned))
        names.append(next(name for name in candidates if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def _resolve(argument: str) -> list[Input]:
    if argument == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("-: nothing comes in on standard input; pipe a picture into the command")
        return [Input(STDIN, None)]
    if re.match(r"https?://", argument):
        raise InputError(f"{argument}: addresses are not read; download the picture and give its file")
    path = Path(argument).expanduser()
    if path.is_dir():
        pictures = _pictures(path.iterdir())
        if not pictures:
            raise InputError(f"{argument}: no pictures in this folder; give a folder that holds some, or a quoted glob")
        return pictures
    if path.exists():
        return [Input(argument, path)]
    if glob.has_magic(argument):
        # Path.glob takes no absolute pattern.
        matches = glob.iglob(str(path), recursive=True)  # noqa: PTH207
        pictures = _pictures(Path(match) for match in matches)
        if not pictures:
            raise InputError(f"{argument}: no picture matches; check the pattern")
        return pictures
    raise InputError(f"{argument}: no such file or folder; check the path")


def _pictures(paths: Iterable[Path]) -> list[Input]:
    chosen = (
        path
        for path in paths
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    return [Input(str(path), path) for path in sorted(chosen, key=_natural_order)]


def _natural_order(path: Path) -> tuple[list[str | int], str]:
    """Numbers in a path count as numbers: ``re.split`` puts text at even places and digits at odd ones."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], str(path)
