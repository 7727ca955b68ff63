"""Films: H.264 in MP4, written picture by picture; nothing half-written stays after an error or Ctrl-C."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from groundkit.errors import ConfigError, InputError
from groundkit.outputs.atomic import atomic_path
from groundkit.outputs.ours import MADE_BY

# Divides into the frames of every usual rate, 24000/1001 and 60000/1001 included, and into milliseconds.
TICKS = 360_000  # per second
_BT709 = 1  # libavutil's AVCOL_PRI_BT709, AVCOL_TRC_BT709 and AVCOL_SPC_BT709


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
        rate: frames per second, in place of ``times``.

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
            # The encoder has no durations; that of the last packet ends the film.
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
