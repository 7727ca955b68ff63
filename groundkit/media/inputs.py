"""Which pictures and videos a list of arguments stands for."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundkit.errors import InputError
from groundkit.media import heif
from groundkit.media.deep import Range, parse_range
from groundkit.media.images import read_image
from groundkit.media.paths import expand_home, has_magic, matches, real_path
from groundkit.wording import count_of

STDIN = "-"

PICTURE_SUFFIXES = frozenset(
    {".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg"}
    | {".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".tga", ".tif"}
    | {".tiff", ".webp"}
)
VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf"}
    | {".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mpv"}
    | {".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m"}
)
_UNREAD_SUFFIXES = frozenset(  # pictures to a person, of kinds that are not read
    {".3fr", ".ai", ".arw", ".cr2", ".cr3", ".crw", ".dcm", ".dng", ".emf", ".eps", ".exr", ".fit", ".fits", ".hdr"}
    | {".iiq", ".jxl", ".jxr", ".kra", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srw", ".svg"}
    | {".svgz", ".wdp", ".wmf", ".x3f", ".xcf"}
)
_FRAMES_RULE = "numbered frames are named alike but for the number at the end (frame_1.png, frame_2.png)"


@dataclass(frozen=True)
class Input:
    """One picture or video to work on.

    Attributes:
        name: what messages call it: the path as it was given, or ``-`` for standard input.
        path: the file, or None for standard input; for a video also a folder of frames.
        is_video: whether it is for ``groundkit.media.videos.read_video`` and not for ``read``.
        range: of a picture of more than 8 bits, see ``groundkit.media.images.read_image``.
    """

    name: str
    path: Path | None
    is_video: bool = False
    range: Range = "full"

    @property
    def place(self) -> str:
        """Its absolute path, the same however it was named; ``-`` for standard input.

        Links to folders are followed, and a link to the file itself is not: it keeps the name it has here.
        """
        if self.path is None:
            return STDIN
        return os.path.normpath(self.path.parent.resolve() / self.path.name)

    @property
    def kind(self) -> str:
        """``picture``, ``video``, or ``frames`` for a video that is a folder of them."""
        if not self.is_video:
            return "picture"
        return "frames" if self.path is not None and self.path.is_dir() else "video"

    def read(self) -> npt.NDArray[np.uint8]:
        """Read the picture as ``groundkit.media.images.read_image`` does. Standard input can be read once."""
        return read_image(sys.stdin.buffer if self.path is None else self.path, range=self.range)


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


def resolve_inputs(
    arguments: Sequence[str],
    *,
    videos: bool = False,
    frame_folders: bool = False,
    pictures: bool = True,
    range: Range = "full",
) -> ResolvedInputs:
    """Find the pictures that files, folders, quoted globs and ``-`` stand for, without reading any of them.

    A file is taken whatever its suffix. A folder gives the pictures right inside it, and a glob (``*``, ``?``,
    ``[...]``, and ``**`` for folders below) the pictures among its matches: both go by suffix, leave out hidden files,
    and sort ``2.png`` before ``10.png``. ``-`` is one picture on standard input. A file that is named twice, in
    whatever spelling or through a link, counts once. ``~/`` is the home folder. What cannot be found is not raised: see
    ``ResolvedInputs.failed``. A UserWarning, one an argument, tells which pictures, videos and folders are left out.

    With ``videos``, files with a video's suffix are videos. With ``frame_folders`` too, so are folders of numbered
    frames (see ``frame_files``) that hold no video, whether they are named, lie in a folder that is, or match a glob;
    else the pictures in such a folder are pictures like any others. Without ``videos``, a video file that
    is named is taken for a picture, and any folder is a folder of pictures. With ``videos`` and without ``pictures``, a
    file that is named is a video whatever its suffix, and pictures that are no frames are left out.

    ``range`` is that of the pictures, see ``groundkit.media.images.read_image``.

    Raises:
        ConfigError: for an invalid range.
    """
    parse_range(range)
    search = _Search(videos=videos, frame_folders=videos and frame_folders, pictures=pictures, range=range)
    found: dict[Path | None, Input] = {}
    failed: list[tuple[str, InputError]] = []
    for argument in arguments:
        try:
            for item in search.resolve(argument):
                found.setdefault(item.path and real_path(item.path), item)
        except InputError as error:
            failed.append((argument, error))
        except OSError as error:
            failed.append((argument, InputError(f"{argument}: cannot be opened ({error.strerror}); check the path")))
    return ResolvedInputs(list(found.values()), failed)


def unique_stems(inputs: Sequence[Input]) -> list[str]:
    """Name the outputs: one file name without suffix for each input, none twice on any file system.

    Usually the input's own stem, of a folder of frames its whole name, ``stdin`` for standard input. Where several
    inputs share it, the name of their folder goes before it, ``cats-1``, or their suffix behind it, ``1-jpg``, or as
    many folders and the suffix as tell them apart. Where even that does not, a number goes behind. The names do not
    depend on the order of the inputs.
    """
    stems = [_stem(item) for item in inputs]
    groups: dict[str, list[int]] = {}  # file systems of Windows and macOS do not tell a.png from A.png
    for index, stem in enumerate(stems):
        groups.setdefault(stem.casefold(), []).append(index)
    names = list(stems)
    for group in groups.values():
        if len(group) > 1:
            for index, name in zip(group, _told_apart([inputs[index] for index in group]), strict=True):
                names[index] = name
    owned = {name.casefold() for name in names}
    taken: set[str] = set()
    for index in sorted(range(len(inputs)), key=lambda index: (names[index] != stems[index], inputs[index].place)):
        numbered = (f"{names[index]}-{number}" for number in count(2))
        candidates = chain([names[index]], (name for name in numbered if name.casefold() not in owned))
        names[index] = next(name for name in candidates if name.casefold() not in taken)
        taken.add(names[index].casefold())
    return names


def _told_apart(inputs: Sequence[Input]) -> list[str]:
    """Names for inputs of one stem: with folders, the suffix or both, as short as all of them can be told apart by."""
    parts = [[] if item.path is None else [*real_path(item.path).parent.parts[1:]] for item in inputs]
    endings = ["" if item.path is None or item.kind == "frames" else item.path.suffix.lstrip(".") for item in inputs]
    deepest = max(map(len, parts))
    ways = [
        (1, False),
        (0, True),
        (1, True),
        *((depth, ending) for depth in range(2, deepest + 1) for ending in (False, True)),
    ]
    names: list[str] = []
    for depth, with_ending in ways:
        names = [
            "-".join(filter(None, [*folders[len(folders) - depth :], _stem(item), ending if with_ending else ""]))
            for item, folders, ending in zip(inputs, parts, endings, strict=True)
        ]
        if len({name.casefold() for name in names}) == len(names):
            break
    else:
        names = ["-".join([*folders[-1:], _stem(item)]) for item, folders in zip(inputs, parts, strict=True)]
    return names


def _stem(item: Input) -> str:
    if item.path is None:
        return "stdin"
    return real_path(item.path).name if item.is_video and item.path.is_dir() else item.path.stem


def picture_suffixes() -> frozenset[str]:
    """The suffixes of pictures that can be read here: those of phones' HEIC need an optional library."""
    return PICTURE_SUFFIXES | heif.SUFFIXES if heif.is_installed() else PICTURE_SUFFIXES


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder of numbered frames by their numbers; none when the folder is of another kind.

    All pictures in such a folder, at least two, are named alike but for the number that ends the name, and no two have
    the same number: ``frame_2.png``, ``frame_10.png``. Other files and hidden ones do not matter.
    """
    numbered: dict[int, Path] = {}
    pictures = [path for path in folder.iterdir() if _is_file_of(path, picture_suffixes())]
    names = [re.fullmatch(r"(.*?)(\d+)", path.stem.casefold(), re.DOTALL) for path in pictures]
    for path, name in zip(pictures, names, strict=True):
        if name is None or names[0] is None or name[1] != names[0][1] or int(name[2]) in numbered:
            return []
        numbered[int(name[2])] = path
    return [numbered[number] for number in sorted(numbered)] if len(numbered) > 1 else []


@dataclass(frozen=True)
class _Search:
    """What arguments can stand for; see ``resolve_inputs``."""

    videos: bool
    frame_folders: bool
    pictures: bool
    range: Range

    @property
    def _kinds(self) -> tuple[str, str]:
        """What is looked for, in the singular and plural."""
        kinds = ["picture"] * self.pictures + ["video"] * self.videos
        return " or ".join(kinds), " or ".join(f"{kind}s" for kind in kinds)

    def resolve(self, argument: str) -> list[Input]:
        """Raises InputError or OSError when the argument stands for nothing."""
        kind, kinds = self._kinds
        if argument == STDIN:
            if sys.stdin is None or sys.stdin.isatty():
                raise InputError("-: nothing comes in on standard input; pipe a picture into the command")
            return [Input(STDIN, None, range=self.range)]
        if not argument.strip():
            raise InputError(f"'': an empty argument names no {kind}; is a variable of the shell not set?")
        if re.match(r"https?://", argument):
            raise InputError(f"{argument}: addresses are not read; download the {kind} and give its file")
        path = expand_home(argument)
        if path.is_dir():
            inside = sorted(path.iterdir(), key=_natural_order)
            if self._is_frame_folder(path):
                found, left_out = [Input(argument, path, is_video=True)], _told_folders(argument, inside)
            else:
                found, left_out = self._among(inside)
                taken = {item.path for item in found}
                left_out += _told_folders(argument, [each for each in inside if each not in taken])
                if self.pictures and self.frame_folders and any(not item.is_video for item in found):
                    left_out.append(f"its pictures are read one by one: {_FRAMES_RULE}")
            glob = (
                f"quote '{argument.rstrip('/')}/**' to enter all" if any(map(Path.is_dir, inside)) else "a quoted glob"
            )
            missing = f"no {kinds} in this folder", f"give a folder that holds some, or {glob}"
        elif path.exists():
            named = not self.pictures or path.suffix.lower() in VIDEO_SUFFIXES
            return [Input(argument, path, is_video=self.videos and named, range=self.range)]
        elif has_magic(argument):
            found, left_out = self._among(sorted(map(Path, matches(str(path))), key=_natural_order))
            missing = f"no {kind} matches", "check the pattern"
        else:
            raise InputError(f"{argument}: no such file or folder; check the path")
        if not found:
            raise InputError(f"{argument}: {'; '.join([missing[0], *(left_out or missing[1:])])}")
        if left_out:
            warnings.warn(f"{argument}: {'; '.join(left_out)}", stacklevel=4)
        return found

    def _among(self, paths: Iterable[Path]) -> tuple[list[Input], list[str]]:
        """The pictures and videos among sorted paths, and what to say of those that are left out."""
        found: list[Input] = []
        left_out: dict[str, list[Path]] = {"picture": [], "video": [], "unread": []}
        read = picture_suffixes()
        for path in paths:
            suffix = path.suffix.lower()
            if path.name.startswith("."):
                continue
            if path.is_dir():
                if self._is_frame_folder(path):
                    found.append(Input(str(path), path, is_video=True))
            elif suffix in read and path.is_file():
                if self.pictures:
                    found.append(Input(str(path), path, range=self.range))
                else:
                    left_out["picture"].append(path)
            elif suffix in VIDEO_SUFFIXES and path.is_file():
                if self.videos:
                    found.append(Input(str(path), path, is_video=True))
                else:
                    left_out["video"].append(path)
            elif suffix in _UNREAD_SUFFIXES | heif.SUFFIXES and path.is_file():
                left_out["unread"].append(path)
        # With ** a folder of frames and the frames in it both match.
        folders = {item.path for item in found if item.is_video}
        found = [item for item in found if item.path is None or item.path.parent not in folders]
        left_out["picture"] = [path for path in left_out["picture"] if path.parent not in folders]
        return found, _told(**left_out)

    def _is_frame_folder(self, path: Path) -> bool:
        if not (self.frame_folders and frame_files(path)):
            return False
        return not any(_is_file_of(each, VIDEO_SUFFIXES) for each in path.iterdir())


def _told(picture: Sequence[Path], video: Sequence[Path], unread: Sequence[Path]) -> list[str]:
    told = []
    if picture:
        are = f"{_count(picture, 'picture')} {'is' if len(picture) == 1 else 'are'}"
        told.append(f"{are} left out: {_FRAMES_RULE}, and groundkit segment takes pictures")
    if video:
        told.append(f"{_count(video, 'video')} left out: groundkit follow takes videos")
    if unread:
        kinds = Counter(path.suffix.lower() for path in unread)
        each = (
            f"{kind} ({n}{f'; {heif.REMEDY}' if kind in heif.SUFFIXES else ''})" for kind, n in sorted(kinds.items())
        )
        a_kind = "a kind that is" if len(kinds) == 1 else "kinds that are"
        told.append(f"{_count(unread, 'file')} of {a_kind} not read: {', '.join(each)}")
    return told


def _told_folders(argument: str, paths: Iterable[Path]) -> list[str]:
    """What to say of folders that are not entered, although there is something in them to read."""
    suffixes = picture_suffixes() | VIDEO_SUFFIXES
    folders = [path for path in paths if path.is_dir() and not path.name.startswith(".") and _holds(path, suffixes)]
    if not folders:
        return []
    return [
        f"{_count(folders, 'folder')} below it left out: give '{argument.rstrip('/')}/**', in quotes, to include all"
    ]


def _holds(folder: Path, suffixes: frozenset[str]) -> bool:
    try:
        return any(_is_file_of(path, suffixes) for path in folder.iterdir())
    except OSError:  # a folder that may not be looked into
        return False


def _count(things: Sequence[object], name: str) -> str:
    return count_of(len(things), name)


def _is_file_of(path: Path, suffixes: frozenset[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _natural_order(path: Path) -> tuple[list[str | int], str]:
    """Numbers in a path count as numbers: ``re.split`` puts text at even places and digits at odd ones."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], str(path)
