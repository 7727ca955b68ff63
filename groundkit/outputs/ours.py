"""Files that groundkit has written: how they are told from a user's, so that results never become inputs."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from groundkit.errors import InputError
from groundkit.media.deep import Range
from groundkit.media.inputs import Input, ResolvedInputs, resolve_inputs
from groundkit.media.paths import real_path

MADE_BY = "groundkit"  # in PNG's "Software" and in the comment of a film
_COMMANDS = ("segment", "batch", "discover", "follow")
_HEAD = 1024  # bytes of a PNG in which Pillow writes its texts


def png_mark(owner: str = "") -> PngInfo:
    """What every PNG of ours says: who made it and, where that is known, of which input, see ``owner``."""
    info = PngInfo()
    info.add_text("Software", MADE_BY)
    if owner:
        info.add_text("Source", owner)
    return info


def owner(command: str, place: str, output: Path) -> str:
    """A short digest of a command, and of an input's absolute path relative to the folder of the results."""
    with suppress(ValueError):  # another drive
        place = Path(os.path.relpath(place, real_path(output))).as_posix()
    return hashlib.sha256(f"{command} {place}".encode(errors="surrogateescape")).hexdigest()[:16]


def owner_of(path: Path) -> str | None:
    """The ``owner`` that a PNG of ours names, "" where it names none; None where it is not ours."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    if f"tEXtSoftware\0{MADE_BY}".encode() not in head:
        return None
    named = re.search(rb"tEXtSource\0([0-9a-f]{16})", head)
    return named[1].decode() if named else ""


def tell_other_owner(paths: Iterable[Path], ours: str, place: str) -> None:
    """Warn where a file that is about to be overwritten is of another input, or of another command.

    ``ours`` is the ``owner`` of the new file, and ``place`` the input's absolute path.
    """
    for path in paths:
        found = owner_of(path)
        if found in (None, "", ours):
            continue
        commands = [each for each in _COMMANDS if owner(each, place, path.parent) == found]
        told = f"was written by groundkit {commands[0]}" if commands else "was the result of another input"
        warnings.warn(f"{path} {told}, and is overwritten", stacklevel=4)
        return


def is_ours(path: Path) -> bool:
    """Whether groundkit has written a PNG or a film, or the first picture of a folder; not where it cannot be read."""
    try:
        if path.is_dir():
            return any(is_ours(each) for each in sorted(path.glob("*.png"))[:1])
    except OSError:
        return False
    if path.suffix.lower() == ".png":
        return owner_of(path) is not None
    return path.suffix.lower() == ".mp4" and _comment(path) == MADE_BY


def remove_ours(paths: Collection[Path], kept: Collection[Path]) -> None:
    """Remove files of an earlier result that groundkit has written and that the new one does not have."""
    for path in paths:
        if path not in kept and path.is_file() and is_ours(path):
            path.unlink(missing_ok=True)


def earlier_masks(path: Path) -> list[Path]:
    """The files that ``formats.base.mask_names`` can have led to: ``path`` and ``<stem>-mask<number>`` beside it."""
    names = re.compile(rf"{re.escape(path.stem)}-mask\d+{re.escape(path.suffix)}")
    beside = path.parent.glob(f"{glob.escape(path.stem)}-mask*{path.suffix}")
    return [path, *(each for each in beside if names.fullmatch(each.name))]


def resolve_sources(
    arguments: Sequence[str],
    output: Path | None,
    *,
    videos: bool = False,
    frame_folders: bool = False,
    pictures: bool = True,
    range: Range = "full",
) -> ResolvedInputs:
    """``resolve_inputs`` without the results in ``output``, unless an argument names one itself.

    What a folder or glob finds in the output folder is no input. Where all that it finds lies there, as when results
    are written beside the inputs, only files that groundkit has written are none.
    """
    found: dict[Path | None, Input] = {}
    failed: list[tuple[str, InputError]] = []
    for argument in arguments:
        resolved = resolve_inputs(
            [argument], videos=videos, frame_folders=frame_folders, pictures=pictures, range=range
        )
        failed += resolved.failed
        kept = _without_results(argument, resolved.found, output)
        if resolved.found and not kept:
            told = f"{argument}: is in the output folder {output}, whose files are results; give another input"
            failed.append((argument, InputError(told)))
        for item in kept:
            found.setdefault(item.path and real_path(item.path), item)
    return ResolvedInputs(list(found.values()), failed)


def _without_results(argument: str, found: Sequence[Input], output: Path | None) -> list[Input]:
    outside = [item for item in found if item.name == argument or not _is_in(item, output)]
    if outside or not found:
        return outside
    return [item for item in found if item.path is not None and not is_ours(item.path)]


def _is_in(item: Input, output: Path | None) -> bool:
    return output is not None and item.path is not None and real_path(output) in real_path(item.path).parents


def _comment(path: Path) -> str:
    import av

    from groundkit.media.videos import open_container

    try:
        with open_container(path) as container:
            return container.metadata.get("comment", "")
    except (av.FFmpegError, OSError):
        return ""
