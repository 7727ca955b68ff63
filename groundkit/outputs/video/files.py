"""What was found in a video, as files: H.264 films, a mask a frame, run lengths in JSON lines.

Everything is written frame by frame, in ``with`` blocks, and appears under its name only when the block ends well: on
an error or Ctrl-C within it, nothing half-written stays.
"""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from groundkit.errors import ConfigError, InputError
from groundkit.masks.geometry import boxes_of
from groundkit.masks.rle import encode
from groundkit.media.videos import Frame
from groundkit.outputs.atomic import atomic_path, temporary_name, told_refusals
from groundkit.outputs.formats.overlay import draw_overlay
from groundkit.outputs.ours import MADE_BY, png_mark, remove_ours

# Divides into the frames of every usual rate, 24000/1001 and 60000/1001 included, and into milliseconds.
TICKS = 360_000  # a second
_BT709 = 1  # libavutil's AVCOL_PRI_BT709, AVCOL_TRC_BT709 and AVCOL_SPC_BT709
_MOST_OBJECTS = 255  # ids in a picture with 8-bit indices, of which 0 is the background


def write_mp4(
    path: Path,
    pictures: Iterable[npt.NDArray[np.uint8]],
    *,
    times: Iterable[Fraction | float] | None = None,
    rate: Fraction | float | None = None,
) -> Path:
    """Write a film that browsers play, and return ``path``; see ``open_mp4``.

    Args:
        path: the file.
        pictures: uint8 ``(height, width, 3)`` RGB each, taken one at a time.
        times: when each is shown, in seconds, rising.
        rate: pictures a second, in place of ``times``.

    Raises:
        ConfigError: when neither or both of times and rate are given, or the rate is not positive.
        InputError: as ``open_mp4``.
        ValueError: when there are not as many times as pictures.
    """
    if (times is None) == (rate is None) or (rate is not None and rate <= 0):
        raise ConfigError("give either the times of the pictures or a rate above 0")
    with open_mp4(path) as film:
        if times is not None:
            for picture, seconds in zip(pictures, times, strict=True):
                film.add(picture, seconds)
        elif rate is not None:
            for picture, index in zip(pictures, count(), strict=False):
                film.add(picture, index / Fraction(rate))
    return path


@contextmanager
def open_mp4(path: Path) -> Iterator[Mp4Writer]:
    """Begin a film: H.264 in MP4, 8-bit 4:2:0, BT.709, its index in front, so that browsers play it while it loads.

    Raises:
        InputError: when the place cannot be written to, no picture was added, or the encoder refuses.
    """
    with atomic_path(path) as temporary:
        try:
            with av.open(f"file:{temporary}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
                container.metadata["comment"] = MADE_BY
                film = Mp4Writer(path, container)
                yield film
                film.finish()
        except av.FFmpegError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error


class Mp4Writer:
    """Takes the pictures of a film; made by ``open_mp4``."""

    def __init__(self, path: Path, container: OutputContainer) -> None:
        self._path = path
        self._container = container
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last = 0
        self._durations: deque[int] = deque()  # of the pictures in the encoder
        self._reformatter = VideoReformatter()

    def add(
        self, picture: npt.NDArray[np.uint8], seconds: Fraction | float, pixel_aspect: Fraction = Fraction(1)
    ) -> None:
        """Add the next picture, uint8 ``(height, width, 3)`` RGB, shown from ``seconds`` until the next one's time.

        ``pixel_aspect``, width by height of a pixel, is that of the film where it is the first picture's.

        H.264 with 4:2:0 chroma has even sides: an odd height or width grows by one line, a copy of the last. Times are
        kept to 1/360,000 s, which is exact for all usual rates. The last picture lasts as long as the one before,
        and a single one 1/25 s.

        Raises:
            InputError: when the size is not that of the first picture, or the time is not after the one before.
        """
        height, width = picture.shape[:2]
        ticks = round(Fraction(seconds) * TICKS)
        duration = TICKS // 25
        if self._stream is None:
            self._size = (height, width)
            self._stream = self._begin(height + height % 2, width + width % 2, pixel_aspect)
        elif (height, width) != self._size:
            raise InputError(
                f"cannot write {self._path}: a picture of {width}x{height} pixels follows one of "
                f"{self._size[1]}x{self._size[0]}"
            )
        elif ticks <= self._last:
            raise InputError(f"cannot write {self._path}: the times of its pictures must rise, got {float(seconds)} s")
        else:
            duration = ticks - self._last
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
        )
        frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
        self._last = ticks
        self._durations.append(duration)
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode what waits; ``open_mp4`` calls this."""
        if self._stream is None:
            raise InputError(f"cannot write {self._path}: there are no pictures for it")
        self._mux(self._stream.encode(None))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            # The encoder knows no durations; that of the last packet ends the film.
            packet.duration = self._durations.popleft()
            self._container.mux(packet)

    def _begin(self, height: int, width: int, pixel_aspect: Fraction) -> VideoStream:
        # Without B frames pictures are stored in the order shown, and the film's duration is what its times say.
        stream = self._container.add_stream("libx264", options={"crf": "18", "preset": "veryfast", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS)
        if pixel_aspect != 1:
            context.sample_aspect_ratio = pixel_aspect
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = ColorRange.MPEG
        return stream


@contextmanager
def open_overlay(path: Path, phrase: str = "") -> Iterator[OverlayWriter]:
    """Begin a film of a video with what was found drawn in; the place and errors are those of ``open_mp4``."""
    with open_mp4(path) as film:
        yield OverlayWriter(film, phrase)


class OverlayWriter:
    """Takes the frames and masks of a film; made by ``open_overlay``."""

    def __init__(self, film: Mp4Writer, phrase: str) -> None:
        self._film = film
        self._phrase = phrase
        self._start: Fraction | None = None
        self._last = Fraction(-1)

    def add(self, frame: Frame, masks: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32] | None = None) -> None:
        """Draw and add the next frame.

        Args:
            frame: the picture and its time.
            masks: bool ``(K, height, width)``, one an object, all False where the object is not seen. An object keeps
                its colour when it keeps its place.
            scores: float32 ``(K,)``.

        The film begins with its first frame, whatever that one's time is; where a broken file shows two frames at once,
        the second comes as soon after as can be told. The phrase stands at every object when all of them are seen, and
        says that nothing was found when none is.
        """
        seen = masks.any(axis=(1, 2))
        masks = masks if seen.any() else masks[:0]
        # A label finds its place by its mask: with one object out of sight, they are left out.
        phrase = self._phrase if seen.all() or not seen.any() else ""
        none = np.zeros((0, 3), np.float32)
        self._start = frame.seconds if self._start is None else self._start
        self._last = max(frame.seconds - self._start, self._last + Fraction(1, TICKS))
        self._film.add(draw_overlay(frame.image, masks, none, phrase, scores), self._last, frame.pixel_aspect)


@contextmanager
def open_rle_lines(path: Path) -> Iterator[RleLines]:
    """Begin a file of JSON lines, one a frame; see ``RleLines.add``.

    Raises:
        InputError: when the place cannot be written to.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield RleLines(file)


class RleLines:
    """Takes the masks of a video for JSON lines; made by ``open_rle_lines``."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(
        self,
        name: str,
        seconds: Fraction | float,
        masks: npt.NDArray[np.bool_],
        scores: npt.NDArray[np.float32],
        ids: Sequence[int] | None = None,
    ) -> None:
        """Write ``{"frame", "seconds", "objects": [{"id", "rle", "box", "score"}]}`` for the next frame.

        Args:
            name: what the frame is called, as in ``Frame.name``.
            seconds: when it is shown; written as a float.
            masks: bool ``(K, height, width)``, one an object. Empty ones are left out of ``objects``.
            scores: float32 ``(K,)``.
            ids: the objects' ids, 1 to K unless given.

        ``rle`` is COCO's compressed encoding, and ``box`` is XYXY pixels, x2 and y2 exclusive.
        """
        objects = [
            {
                "id": number,
                "rle": encode(mask),
                "box": [float(side) for side in box],
                "score": round(float(score), 6),
            }
            for number, mask, box, score in zip(_ids(masks, ids), masks, boxes_of(masks), scores, strict=True)
            if mask.any()
        ]
        line = {"frame": name, "seconds": float(seconds), "objects": objects}
        self._file.write(json.dumps(line) + "\n")


class _PictureFolder:
    """A folder of PNG files that is filled under a temporary name, beside ``root``'s other folders.

    When the ``with`` block ends well, the folder takes its own name; if that is there already, the new files are moved
    into it one by one, over those of the same names. Pictures of an earlier result that the new one lacks are removed;
    files that groundkit has not written stay.

    Raises:
        InputError: for a name that cannot be a part of a path, and when the place cannot be written to.
    """

    def __init__(self, root: Path, *parts: str) -> None:
        self.folder = root.joinpath(*(_part(part) for part in parts))
        self._temporary = root / temporary_name()

    def __enter__(self) -> Self:
        with told_refusals(self.folder):
            self._temporary.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with told_refusals(self.folder):
                    self._publish()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _write(self, name: str, picture: Image.Image) -> None:
        with told_refusals(self.folder):
            picture.save(self._temporary / f"{_part(name)}.png", format="PNG", pnginfo=png_mark())

    def _publish(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if not self.folder.exists():
            self._temporary.rename(self.folder)
            return
        new = [path.replace(self.folder / path.name) for path in sorted(self._temporary.iterdir())]
        remove_ours(list(self.folder.glob("*.png")), new)


class MaskFolder(_PictureFolder):
    """``<root>/<video>/<expression>/<frame>.png``, 255 on the object and 0 off it, as Ref-YouTube-VOS and MeViS want.

    A context manager; see ``add``. Folders appear when the block ends well.
    """

    def __init__(self, root: Path, video: str, *expression: str) -> None:
        super().__init__(root, video, *expression)

    def add(self, name: str, mask: npt.NDArray[np.bool_]) -> None:
        """Write the mask of one frame, bool ``(height, width)``; ``name`` is that of the frame, such as ``00005``."""
        self._write(name, Image.fromarray(mask.astype(np.uint8) * 255))


class IndexedFolder(_PictureFolder):
    """``<root>/<video>/<frame>.png``, 8-bit indices (the objects' ids, 0 off them) with DAVIS's palette.

    A context manager; see ``add``. Folders appear when the block ends well.
    """

    def __init__(self, root: Path, video: str) -> None:
        super().__init__(root, video)

    def add(self, name: str, masks: npt.NDArray[np.bool_], ids: Sequence[int] | None = None) -> None:
        """Write one frame.

        Args:
            name: that of the frame, such as ``00005``.
            masks: bool ``(K, height, width)``; where several overlap, the first counts.
            ids: the objects' ids, 1 to K unless given.

        Raises:
            InputError: for an id that is not in 1 to 255.
        """
        numbers = _ids(masks, ids)
        if any(not 1 <= number <= _MOST_OBJECTS for number in numbers):
            raise InputError(f"cannot write {self.folder}: the ids of its objects must be in 1 to {_MOST_OBJECTS}")
        labels = np.zeros(masks.shape[1:], np.uint8)
        for number, mask in reversed(list(zip(numbers, masks, strict=True))):
            labels[mask] = number
        picture = Image.fromarray(labels)
        picture.putpalette(davis_palette().tobytes())
        self._write(name, picture)


def davis_palette() -> npt.NDArray[np.uint8]:
    """The colours of DAVIS and PASCAL VOC, uint8 ``(256, 3)`` RGB.

    The bits of an id go in turn to red, green and blue, and fill each from its highest bit down.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((ids >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def _ids(masks: npt.NDArray[np.bool_], ids: Sequence[int] | None) -> Sequence[int]:
    return range(1, len(masks) + 1) if ids is None else ids


def _part(name: str) -> str:
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise InputError(f"{name!r} cannot name a file or folder; give a name without slashes")
    return name
