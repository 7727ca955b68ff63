"""Read a video frame by frame, the way a person sees it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from groundkit.errors import ConfigError, ImageError
from groundkit.media.images import read_image
from groundkit.media.inputs import VIDEO_SUFFIXES, frame_files
from groundkit.media.limits import MAX_PIXELS, max_pixels
from groundkit.media.paths import expand_home

# Metadata that is not UTF-8 must not keep a video from being opened; from PyAV 19 on it never does.
_ANY_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
FOLDER_RATE = 24  # frames per second of a folder of frames, which does not say: that of DAVIS
# Without these two flags swscale halves the chroma's width on its way and rounds each channel on its own: white out of
# 10 bits becomes 253. Bilinear is how chroma is spread over pixels; the size stays.
COLOUR_CONVERSION = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_UNSTATED = 2  # libavutil's AVCOL_SPC_UNSPECIFIED
_TS_PACKETS = (188, 192, 204)  # bytes: MPEG-TS plain, with time codes (M2TS), with error correction
_AGAIN = "save or download it again"


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        index: its place among all frames of the video, from 0.
        seconds: when it is shown, exactly: the time stamp times the time base, which need not start at 0. Where the
            video has no time stamps (bare H.264, a folder of frames), ``index`` divided by the frame rate. Where the
            stamps start again, as in joined recordings, they continue from the last one.
        name: the file name without suffix in a folder of frames, and ``index`` with five digits in a file.
        image: uint8 ``(height, width, 3)`` RGB, upright.
        pixel_aspect: width of a pixel divided by its height, where they are shown; 1 for square ones.
    """

    index: int
    seconds: Fraction
    name: str
    image: npt.NDArray[np.uint8]
    pixel_aspect: Fraction = Fraction(1)


@dataclass(frozen=True)
class Video:
    """A video file, an animated picture or a folder of numbered frames; made by ``read_video``.

    Attributes:
        name: the file name without suffix, or the folder's name.
        path: the file or folder.
        rate: frames per second of a folder; a file has its own.
    """

    name: str
    path: Path
    rate: Fraction = Fraction(FOLDER_RATE)
    _told: set[str] = field(default_factory=set, repr=False, compare=False)

    def frames(self, stride: int = 1, max_frames: int | None = None) -> Generator[Frame]:
        """Decode the frames in the order they are shown, one at a time: no more than a few are ever in memory.

        Frames are turned upright by the display matrix (quarter turns and mirrors). Colours go to 8-bit RGB by the
        matrix and range that the file states; where it states none, by BT.709 from 1280 columns or 577 lines on and by
        BT.601 below, as players do. Deep colours are rounded. HDR is not tone-mapped. Transparent pixels are laid over
        white, as ``read_image`` does. Pixels that are not square stay as stored, see ``Frame.pixel_aspect``.

        Frames of a file that cannot be decoded are left out, and keep their place in ``Frame.index``. A UserWarning
        tells how many there were, and where a file that is cut short or damaged had to be given up; the frames before
        have been given then, but for at most the few that wait for their order in a file whose frames are not stored
        in the order they are shown.

        Args:
            stride: every how many-th frame is given, beginning with the first. Those between are decoded but not
                converted, and keep their place in ``Frame.index``.
            max_frames: how many frames are given at most.

        Raises:
            ConfigError: at once, when stride or max_frames is below 1.
            ImageError: while reading, when there is no frame that can be decoded, or the pictures of a folder are
                damaged or change their size.
        """
        if stride < 1 or (max_frames is not None and max_frames < 1):
            raise ConfigError(f"stride and max_frames must be 1 or more, got {stride} and {max_frames}")
        return self._frames(stride, max_frames)

    def count(self, stride: int = 1, max_frames: int | None = None, *, estimate: bool = False) -> int | None:
        """How many frames ``frames`` gives, as far as the file says: MP4 does, Matroska and MPEG-TS do not.

        Args:
            stride, max_frames: as in ``frames``.
            estimate: take the duration times the frame rate where the file does not say.

        Returns:
            The number, of which a damaged file may have fewer; None where it is not known.

        Raises:
            ImageError: when the file cannot be opened.
        """
        if self.path.is_dir():
            frames = len(frame_files(self.path))
        elif _is_animated(self.path):
            with Image.open(self.path) as image:
                frames = getattr(image, "n_frames", 1)
        else:
            with _opened(self.path) as (container, stream):
                frames = stream.frames
                if estimate and not frames:
                    frames = round((container.duration or 0) / av.time_base * (stream.average_rate or 0))
        given = -(-frames // stride)
        return min(given, max_frames or given) or None

    def _frames(self, stride: int, max_frames: int | None) -> Generator[Frame]:
        is_folder = self.path.is_dir()
        if is_folder:
            read = _folder_frames(self.path, self.rate, stride)
        elif _is_animated(self.path):
            read = _animation_frames(self.path, stride)
        else:
            read = _file_frames(self.path, stride, self._tell)
        given = None
        with closing(read):
            try:
                for frame in islice(read, max_frames):
                    height, width = frame.image.shape[:2]
                    if given is not None and frame.image.shape != given.image.shape:
                        before = f"{given.image.shape[1]}x{given.image.shape[0]}"
                        raise ImageError(
                            f"{_printable(self.path)}: frame {frame.name} has {width}x{height} pixels and those before "
                            f"it {before}; convert the video to one size"
                        )
                    given = frame
                    yield frame
            except ImageError as error:
                if given is None or is_folder:
                    raise
                self._tell(f"{error}; it is read up to {float(given.seconds):.2f} s")
            except OSError as error:
                raise ImageError(
                    f"{_printable(self.path)}: cannot be read ({error.strerror}); check the path"
                ) from error

    def _tell(self, message: str) -> None:
        """Once a video, however often it is read."""
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, stacklevel=2)


def is_video(path: str | Path) -> bool:
    """Whether a path is a folder of numbered frames, or a file with a video's suffix; the file is not opened."""
    path = Path(path)
    return bool(frame_files(path)) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def read_video(path: str | Path, rate: Fraction | int = FOLDER_RATE) -> Video:
    """Open a video and look that there is something to decode; the frames are read later, by ``Video.frames``.

    Args:
        path: a file of any suffix, also an animated picture, or a folder of numbered frames: two or more pictures,
            named alike but for the number at the end of the name, which gives their order.
        rate: frames per second of a folder, which does not say; a file has its own.

    Raises:
        ImageError: when there is no such file, or it holds no video that FFmpeg can decode; one line with the remedy.
        ConfigError: for a rate that is not positive.
    """
    path = expand_home(path)
    if rate <= 0:
        raise ConfigError(f"the frame rate must be above 0, got {rate}")
    if path.is_dir():
        if not frame_files(path):
            raise ImageError(
                f"{_printable(path)}: no folder of frames; it must hold two or more pictures that are named alike but "
                "for their numbers (frame_1.png, frame_2.png)"
            )
        return Video(path.resolve().name, path, Fraction(rate))
    if not _is_animated(path):
        with _opened(path):
            pass
    return Video(path.stem, path)


def _folder_frames(folder: Path, rate: Fraction, stride: int) -> Generator[Frame]:
    for index, path in enumerate(frame_files(folder)):
        if index % stride == 0:
            yield Frame(index, index / rate, path.stem, read_image(path))


def _is_animated(path: Path) -> bool:
    """Whether a file is a WebP or AVIF of several pictures, of which FFmpeg reads one or none."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:  # no permission; FFmpeg will tell
        return False
    if not (start[:4] == b"RIFF" and start[8:] == b"WEBP") and start[4:] not in (b"ftypavif", b"ftypavis"):
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # Pillow's readers let exceptions of many kinds through on damaged files; FFmpeg will tell
        return False


def _animation_frames(path: Path, stride: int) -> Generator[Frame]:
    milliseconds = 0
    with Image.open(path) as image:
        for index in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(index)
                picture = read_image(image)
            except (OSError, EOFError, ValueError) as error:
                raise _damaged(path, str(error)) from error
            if index % stride == 0:
                yield Frame(index, Fraction(milliseconds, 1000), f"{index:05d}", picture)
            milliseconds += round(image.info.get("duration") or 1000 // FOLDER_RATE)


def _file_frames(path: Path, stride: int, tell: Callable[[str], None]) -> Generator[Frame]:
    converter = _Converter()
    lost = 0
    with _opened(path) as (container, stream):
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        clock = _Clock(1 / rate)
        for index, frame in enumerate(_decoded(path, container, stream)):
            if frame is None:
                lost += 1
                continue
            stamp = _seconds(frame, stream)
            seconds = index / rate if stamp is None else clock.time(stamp)
            if index % stride == 0:
                yield Frame(index, seconds, f"{index:05d}", converter.convert(frame), _aspect(stream, frame))
        if lost:
            frames = "1 frame is" if lost == 1 else f"{lost} frames are"
            tell(f"{_printable(path)}: the video is damaged, and {frames} left out; the others are read")


class _Clock:
    """Continues where the time stamps of a file start again, as they do in joined recordings."""

    def __init__(self, distance: Fraction) -> None:
        self._distance = distance  # of the last two frames
        self._last: Fraction | None = None
        self._shift = Fraction(0)

    def time(self, stamp: Fraction) -> Fraction:
        """The time of the next frame, in seconds."""
        seconds = stamp + self._shift
        if self._last is not None:
            if seconds < self._last - self._distance:
                self._shift += self._last + self._distance - seconds
                seconds = self._last + self._distance
            elif seconds > self._last:
                self._distance = seconds - self._last
        self._last = seconds
        return seconds


def _aspect(stream: VideoStream, frame: VideoFrame) -> Fraction:
    """Width by height of a pixel of the upright picture. Nonsense counts as square."""
    aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, 10) <= aspect <= 10:
        return Fraction(1)
    return 1 / aspect if frame.rotation % 180 else Fraction(aspect)


def _picture_for_video(path: Path) -> str:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "this is a picture with the name of a video; rename it to end in .png for groundkit segment"
    return "this is a picture, which groundkit segment takes; give a video or numbered frames"


def open_container(path: Path) -> InputContainer:
    """Open a file with FFmpeg, whatever its name and its metadata look like.

    Raises:
        av.FFmpegError: it cannot be opened, or FFmpeg cannot read this kind of file.
    """
    # The prefix keeps a colon in a file name from being read as a protocol.
    opened: InputContainer = av.open(f"file:{path}", "r", **_ANY_METADATA)
    return opened


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file and its first video stream; what FFmpeg raises meanwhile becomes ImageError."""
    name = _printable(path)
    try:
        with open_container(path) as container:
            covers = Disposition.attached_pic  # music files hold the picture of their cover as a video stream
            streams = [stream for stream in container.streams.video if not stream.disposition & covers]
            if container.format.name.endswith("_pipe"):
                raise ImageError(f"{name}: {_picture_for_video(path)}")
            if not streams:
                raise ImageError(f"{name}: there is no video in this file; give one that has pictures")
            if streams[0].codec_context is None:
                raise ImageError(f"{name}: its codec is not known to FFmpeg; convert it to H.264 in MP4")
            if (most := max_pixels()) is not None and streams[0].width * streams[0].height > most:
                raise ImageError(
                    f"{name}: {streams[0].width}x{streams[0].height} are more pixels than the limit of {most:,}; make "
                    f"the video smaller, or set the environment variable {MAX_PIXELS}"
                )
            yield container, streams[0]
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file; check the path") from error
    except PermissionError as error:
        raise ImageError(f"{name}: cannot be opened ({error.strerror}); check the file's permissions") from error
    except av.FFmpegError as error:
        raise ImageError(
            f"{name}: not a video, or broken from its start ({_reason(error)}); {_AGAIN}, or convert it to MP4"
        ) from error


def _decoded(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
    """Every frame in the order shown, None for one that cannot be decoded.

    A packet that the demuxer marks as damaged may be whole: it marks what follows a gap, and there is one where two
    recordings were joined. Only at the end of a file it is one that was cut off.

    Raises:
        ImageError: at the end of a file that is cut short, after the last frame of which it is sure that none before it
            is missing. A frame that is stored later is shown later than its decoding time: up to the last packet's
            decoding time nothing can be missing.
    """
    decoder = _decoder(stream)
    packets, complete, given = 0, None, False
    damage, reason = "", ""
    marked: Packet[VideoStream] | None = None
    try:
        for packet in container.demux(stream):
            if _ends(packet):
                break
            ready = [marked, packet] if marked is not None else [packet]
            marked = ready.pop() if packet.is_corrupt else None
            for each in ready:
                packets += 1
                complete = each.dts if each.dts is not None else complete
                try:
                    for frame in decoder.decode(each) if each.size else ():
                        given = given or not frame.is_corrupt
                        yield None if frame.is_corrupt else frame
                except av.FFmpegError as error:
                    reason = _reason(error)
                    if given:  # what comes before the first picture that stands alone is no part of the video
                        yield None
    except av.FFmpegError as error:
        damage = _reason(error)
    if marked is not None:
        damage = damage or "the file ends within a frame"
    damage = damage or _cut_short(path, container, stream, packets)
    try:
        for frame in decoder.decode(None):
            sure = complete is not None and frame.pts is not None and frame.pts <= complete
            if damage and not sure:
                break
            given = given or not frame.is_corrupt
            yield None if frame.is_corrupt else frame
    except av.FFmpegError as error:
        damage = damage or _reason(error)
    if damage:
        raise _damaged(path, damage)
    if packets == 0:
        raise ImageError(f"{_printable(path)}: the video has no frames; {_AGAIN}")
    if not given:
        raise _damaged(path, reason or "no frame can be decoded")


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's decoder, or libvpx for VP9 with transparency, which FFmpeg's own decoder leaves out."""
    if stream.codec_context.name == "vp9" and stream.metadata.get("alpha_mode") == "1":
        return av.CodecContext.create("libvpx-vp9", "r")
    return stream.codec_context


def _ends(packet: Packet[VideoStream]) -> bool:
    """Whether this is the empty packet that PyAV appends. Some recorders store empty ones for repeated frames."""
    return packet.size == 0 and packet.dts is None and packet.pts is None


def _damaged(path: Path, damage: str) -> ImageError:
    return ImageError(f"{_printable(path)}: the video is damaged or incomplete ({damage}); {_AGAIN}")


def _seconds(frame: VideoFrame, stream: VideoStream) -> Fraction | None:
    """The frame's time; the frame's own time base is not set where it came out only at the end."""
    return None if frame.pts is None or stream.time_base is None else frame.pts * stream.time_base


def _cut_short(path: Path, container: InputContainer, stream: VideoStream, packets: int) -> str:
    """What is missing at the end of a file that was read to its end without an error; empty when nothing is.

    MP4 lists its frames, Matroska says its length, and MPEG-TS is made of packets of one size. A file that is cut
    between two packets of MPEG-TS, AVI and bare H.264 may just end, and a frame that was cut may be given.
    """
    size = path.stat().st_size
    if "mov" in container.format.name and packets < len(stream.index_entries):
        return f"{packets} of {len(stream.index_entries)} frames are there"
    if "matroska" in container.format.name:
        with path.open("rb") as file:
            end = _matroska_end(file)
        return f"the last {end - size:,} bytes are missing" if end > size else ""
    if container.format.name == "mpegts" and all(size % packet for packet in _TS_PACKETS):
        return "the file ends within a packet"
    return ""


def _matroska_end(file: BinaryIO) -> int:
    """Where a Matroska or WebM file must end by its header; 0 when it does not say, as in live recordings."""
    end = 0
    for identifier in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # the header and, right behind it, the segment
        file.seek(end)
        if file.read(4) != identifier:
            return 0
        first = file.read(1)
        length = 9 - first[0].bit_length() if first else 9
        if length > 8:
            return 0
        # The number's highest bit that is set says how many bytes it has.
        size = int.from_bytes(first + file.read(length - 1)) & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            return 0
        end = file.tell() + size
    return end


class _Converter:
    """Turns the frames of one file into upright RGB pictures."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._matrices: dict[int, tuple[int, int, int, int]] = {}

    def convert(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """Uint8 ``(height, width, 3)`` RGB, a copy."""
        alpha = any(component.is_alpha for component in frame.format.components)
        large = frame.width >= 1280 or frame.height > 576
        guess = large and frame.colorspace == _UNSTATED and not frame.format.is_rgb
        converted = self._reformatter.reformat(
            frame,
            format="rgba" if alpha else "rgb24",
            src_colorspace=Colorspace.ITU709 if guess else None,
            dst_color_range=ColorRange.JPEG,
            interpolation=COLOUR_CONVERSION,
        )
        pixels = self._upright(np.asarray(converted.to_ndarray(), np.uint8), frame)
        return read_image(pixels) if alpha else np.array(pixels, order="C")

    def _upright(self, pixels: npt.NDArray[np.uint8], frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """Apply the display matrix: the pixel at column p and row q is shown at column a*p + c*q and row b*p + d*q."""
        if frame.rotation not in self._matrices:
            # Once an angle: a frame whose side data were looked at is part of a cycle and stays in memory.
            self._matrices[frame.rotation] = _display_matrix(frame)
        a, b, c, d = self._matrices[frame.rotation]
        if abs(b) > abs(a):
            pixels, a, d = pixels.swapaxes(0, 1), c, b
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    side_data: Any = frame.side_data  # PyAV's annotation knows motion vectors only
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return a, b, c, d


def _reason(error: av.FFmpegError) -> str:
    """What FFmpeg's log said last before the error, or the error's own words."""
    text = error.log[1][2] if error.log and error.log[1] else error.strerror or type(error).__name__
    return " ".join(text.split()).rstrip(".")


def _printable(path: Path) -> str:
    """A message is one line, even if a file name is not."""
    return str(path) if str(path).isprintable() else repr(str(path))
