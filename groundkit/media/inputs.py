"""Which pictures and videos a list of arguments stands for."""

from __future__ import annotations

import glob
import os
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
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts"}
    | {".webm", ".wmv", ".y4m"}
)


@dataclass(frozen=True)
class Input:
    """One picture or video to work on.

    Attributes:
        name: what messages call it: the path as it was given, or ``-`` for standard input.
        path: the file, or None for standard input; for a video also a folder of frames.
        is_video: whether it is for ``groundkit.media.videos.read_video`` and not for ``read``.
    """

    name: str
    path: Path | None
    is_video: bool = False

    @property
    def place(self) -> str:
        """Its absolute path, the same however it was named; ``-`` for standard input.

        Links to folders are followed, and a link to the file itself is not: it keeps the name it has here.
        """
        if self.path is None:
            return STDIN
        return os.path.normpath(self.path.parent.resolve() / self.path.name)

    def read(self) -> npt.NDArray[np.uint8]:
        """Read the picture as ``groundkit.media.images.read_image`` does. Standard input can be read once."""
        return read_image(sys.stdin.buffer if self.path is None else self.path)


@dataclass(frozen=True)
class ResolvedInputs:
    """What a list of arguments came to.

    Attributes:
        found: the pictures and videos, each once, in the order in which the arguments name them first.
        failed: the arguments that name none, each with the error that says why. The others can still be used;
            a caller that wants all or nothing raises the first error.
    """

    found: list[Input]
    failed: list[tuple[str, InputError]]


def resolve_inputs(arguments: Sequence[str], *, videos: bool = False, frame_folders: bool = True) -> ResolvedInputs:
    """Find the pictures that files, folders, quoted globs and ``-`` stand for, without reading any of them.

    A file is taken whatever its suffix. A folder gives the pictures right inside it, and a glob (``*``, ``?``,
    ``[...]``, and ``**`` for folders below) the pictures among its matches: both go by suffix, leave out hidden files,
    and sort ``2.png`` before ``10.png``. ``-`` is one picture on standard input. A file that is named twice, in
    whatever spelling or through a link, counts once. Nothing is raised: see ``ResolvedInputs.failed``.

    With ``videos``, files with a video's suffix are videos, and so are folders of numbered frames (see
    ``frame_files``), whether they are named, lie in a folder that is, or match a glob; without ``frame_folders``, the
    pictures in such a folder are pictures like any others. Without ``videos``, a video file that is named is taken for
    a picture, and any folder is a folder of pictures.
    """
    found: dict[Path | None, Input] = {}
    failed: list[tuple[str, InputError]] = []
    for argument in arguments:
        try:
            for item in _resolve(argument, videos=videos, frame_folders=frame_folders):
                found.setdefault(item.path and item.path.resolve(), item)
        except InputError as error:
            failed.append((argument, error))
        except OSError as error:
            failed.append((argument, InputError(f"{argument}: cannot be opened ({error.strerror}); check the path")))
    return ResolvedInputs(list(found.values()), failed)


def unique_stems(inputs: Sequence[Input]) -> list[str]:
    """Name the outputs: one file name without suffix for each input, none twice on any file system.

    Usually the input's own stem, of a folder of frames its whole name, ``stdin`` for standard input; where several
    inputs share it, their folder's name goes before it; and where that is not enough, a number goes behind.
    """
    stems = [_stem(item) for item in inputs]
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


def _stem(item: Input) -> str:
    if item.path is None:
        return "stdin"
    return item.path.resolve().name if item.is_video and item.path.is_dir() else item.path.stem


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder of numbered frames by their numbers; none when the folder is of another kind.

    All pictures in such a folder, at least two, are named alike but for the number that ends the name, and no two have
    the same number: ``frame_2.png``, ``frame_10.png``. Other files and hidden ones do not matter.
    """
    numbered: dict[int, Path] = {}
    pictures = [path for path in folder.iterdir() if _is_file_of(path, PICTURE_SUFFIXES)]
    names = [re.fullmatch(r"(.*?)(\d+)", path.stem.casefold(), re.DOTALL) for path in pictures]
    for path, name in zip(pictures, names, strict=True):
        if name is None or names[0] is None or name[1] != names[0][1] or int(name[2]) in numbered:
            return []
        numbered[int(name[2])] = path
    return [numbered[number] for number in sorted(numbered)] if len(numbered) > 1 else []


def _resolve(argument: str, *, videos: bool, frame_folders: bool) -> list[Input]:
    if argument == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("-: nothing comes in on standard input; pipe a picture into the command")
        return [Input(STDIN, None)]
    kind = "picture or video" if videos else "picture"
    if not argument.strip():
        raise InputError(f"'': an empty argument names no {kind}; is a variable of the shell not set?")
    if re.match(r"https?://", argument):
        raise InputError(f"{argument}: addresses are not read; download the {kind} and give its file")
    path = Path(argument).expanduser()
    if path.is_dir():
        if videos and frame_folders and frame_files(path):
            return [Input(argument, path, is_video=True)]
        found = _found(path.iterdir(), videos=videos, frame_folders=frame_folders)
        if not found:
            kinds = "pictures or videos" if videos else "pictures"
            raise InputError(f"{argument}: no {kinds} in this folder; give a folder that holds some, or a quoted glob")
        return found
    if path.exists():
        return [Input(argument, path, is_video=videos and path.suffix.lower() in VIDEO_SUFFIXES)]
    if glob.has_magic(argument):
        # Path.glob takes no absolute pattern.
        matches = glob.iglob(str(path), recursive=True)  # noqa: PTH207
        found = _found((Path(match) for match in matches), videos=videos, frame_folders=frame_folders)
        if not found:
            raise InputError(f"{argument}: no {kind} matches; check the pattern")
        return found
    raise InputError(f"{argument}: no such file or folder; check the path")


def _found(paths: Iterable[Path], *, videos: bool, frame_folders: bool) -> list[Input]:
    """The pictures and, with ``videos``, the videos among paths, in natural order."""
    found: list[Input] = []
    for path in sorted(paths, key=_natural_order):
        if _is_file_of(path, PICTURE_SUFFIXES):
            found.append(Input(str(path), path))
        elif videos and (_is_file_of(path, VIDEO_SUFFIXES) or (frame_folders and _is_frame_folder(path))):
            found.append(Input(str(path), path, is_video=True))
    # With ** a folder of frames and the frames in it both match.
    folders = {item.path for item in found if item.is_video}
    return [item for item in found if item.path is None or item.path.parent not in folders]


def _is_file_of(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _is_frame_folder(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir() and bool(frame_files(path))


def _natural_order(path: Path) -> tuple[list[str | int], str]:
    """Numbers in a path count as numbers: ``re.split`` puts text at even places and digits at odd ones."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], str(path)
