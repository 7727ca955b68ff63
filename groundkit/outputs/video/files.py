"""What is written of a video in which a phrase was followed: a film, run lengths, and a folder of masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, InputError
from groundkit.media.videos import Frame, Video, read_video
from groundkit.outputs.names import slug
from groundkit.outputs.save import names_a_film
from groundkit.outputs.video.folders import MaskFolder
from groundkit.outputs.video.overlay import OverlayWriter, open_overlay
from groundkit.outputs.video.run_lengths import RleLines, open_rle_lines

if TYPE_CHECKING:
    from groundkit.results import FrameMask, VideoGrounding


class VideoFiles:
    """Takes the frames and masks of a video; made by ``open_video_files``.

    Attributes:
        paths: the files, and the folder of masks.
    """

    def __init__(
        self, paths: list[Path], film: OverlayWriter | None, lines: RleLines | None, folder: MaskFolder | None
    ) -> None:
        self.paths = paths
        self._film = film
        self._lines = lines
        self._folder = folder

    def add(self, frame: Frame | None, found: FrameMask) -> None:
        """Write the next frame; ``frame`` may be None where no film is written."""
        masks, scores = found.mask[None], np.array([found.score], np.float32)
        if self._film is not None and frame is not None:
            self._film.add(frame, masks, scores)
        if self._lines is not None and self._folder is not None:
            self._lines.add(found.name, found.seconds, masks, scores)
            self._folder.add(found.name, masks[0])


@contextmanager
def open_video_files(
    output: Path, video: str, phrase: str, *, expression: str | None = None, film: bool = True
) -> Iterator[VideoFiles]:
    """Begin the files of a phrase in a video; all appear when the ``with`` block ends well.

    In ``output``: ``<video>-<phrase>.mp4``, the video with the mask over it; ``<video>-<phrase>.jsonl``, one line per
    frame with the mask as COCO run-length encoding; ``<video>/<phrase>/<frame>.png``, one mask per frame. Where
    ``output`` is a name in ``.mp4``, the film alone is written there.

    Args:
        output: a folder, or the name of the film.
        video: what the video is called.
        phrase: what was followed.
        expression: the phrase in file names; its slug by default.
        film: whether a film is written.

    Raises:
        InputError: when the place cannot be written to.
    """
    name = expression or slug(phrase)
    with ExitStack() as stack:
        if names_a_film(output):
            yield VideoFiles([output], stack.enter_context(open_overlay(output, phrase)), None, None)
            return
        path, lines = (output / f"{video}-{name}{ending}" for ending in (".mp4", ".jsonl"))
        yield VideoFiles(
            [*([path] if film else []), lines, output / video / name],
            stack.enter_context(open_overlay(path, phrase)) if film else None,
            stack.enter_context(open_rle_lines(lines)),
            stack.enter_context(MaskFolder(output, video, name)),
        )


def save_video(
    found: VideoGrounding, output: Path, video: str | Path | Video | Sequence[npt.NDArray[np.uint8]] | None
) -> list[Path]:
    """What ``VideoGrounding.save`` promises."""
    if video is None and names_a_film(output):
        raise ConfigError(f"{output}: a film shows the video, so give it, too: save(path, video)")
    opened = read_video(video) if isinstance(video, (str, Path)) else video
    name = opened.name if isinstance(opened, Video) else "video"
    with open_video_files(output, name, found.phrase, film=opened is not None) as files:
        for frame, mask in zip(_frames_of(found, opened), found.frames, strict=True):
            if frame is not None and list(frame.image.shape[:2]) != list(mask.rle["size"]):
                raise InputError("this is not the video that was followed: its frames have another size")
            files.add(frame, mask)
    return files.paths


def _frames_of(found: VideoGrounding, video: Video | Sequence[npt.NDArray[np.uint8]] | None) -> Iterable[Frame | None]:
    """The frames that were followed, each None where there is no video."""
    if video is None:
        yield from (None for _ in found.frames)
        return
    wanted = {mask.index: mask for mask in found.frames}
    given = 0
    frames = video.frames() if isinstance(video, Video) else enumerate(video)
    for each in frames:
        index = each.index if isinstance(each, Frame) else each[0]
        if index in wanted:
            mask = wanted[index]
            yield each if isinstance(each, Frame) else Frame(index, mask.seconds, mask.name, each[1])
            given += 1
            if given == len(wanted):
                return
    raise InputError(f"this is not the video that was followed: it has {given} of its {len(wanted)} frames")
