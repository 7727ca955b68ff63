"""Videos encoded here by PyAV, flat colours and noise whose values and times are known."""

import gc
import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from types import GeneratorType

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from groundkit.errors import ConfigError, ImageError
from groundkit.media.images import read_image
from groundkit.media.inputs import resolve_inputs
from groundkit.media.videos import Frame, is_video, read_video

COLOURS = [(255, 255, 255), (0, 0, 0), (200, 30, 40), (20, 180, 60), (30, 40, 220), (128, 128, 128)]
BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)
TICKS = Fraction(1, 90_000)

Picture = npt.NDArray[np.uint8] | VideoFrame


def flat(colour: tuple[int, ...], height: int = 32, width: int = 48) -> npt.NDArray[np.uint8]:
    return np.full((height, width, len(colour)), colour, np.uint8)


def moving(count: int) -> list[npt.NDArray[np.uint8]]:
    """Pictures of 64x96 pixels that differ all over: a window slides over coarse noise."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    noise = noise.repeat(8, axis=0).repeat(8, axis=1)
    return [np.ascontiguousarray(noise[index : index + 64, index : index + 96]) for index in range(count)]


def encode(
    path: Path,
    pictures: Sequence[Picture],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    *,
    times: Sequence[Fraction] | None = None,
    container: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    prepare: Callable[[VideoStream], object] = lambda stream: None,
    layout: str = "rgb24",
) -> Path:
    """Encode with the given presentation times, or at 25 pictures a second."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, VideoStream)
        first = pictures[0]
        height, width = (first.height, first.width) if isinstance(first, VideoFrame) else first.shape[:2]
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        stream.codec_context.time_base = TICKS
        prepare(stream)
        for index, picture in enumerate(pictures):
            frame = picture if isinstance(picture, VideoFrame) else VideoFrame.from_ndarray(picture, format=layout)
            frame = frame.reformat(format=pixel_format)
            frame.pts = round((times[index] if times else Fraction(index, 25)) / TICKS)
            frame.time_base = TICKS
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def yuv(
    colour: tuple[int, int, int],
    pixel_format: str,
    matrix: tuple[float, float],
    *,
    bits: int = 8,
    full: bool = False,
    size: tuple[int, int] = (32, 48),
) -> VideoFrame:
    """A flat picture by the formulas of ITU-R BT.601 and BT.709, not by FFmpeg's conversion."""
    red, green, blue = (value / 255 for value in colour)
    of_red, of_blue = matrix
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    chroma = ((blue - luma) / (2 * (1 - of_blue)), (red - luma) / (2 * (1 - of_red)))
    scale, middle, most = 2 ** (bits - 8), 2 ** (bits - 1), 2**bits - 1
    frame = VideoFrame(size[1], size[0], pixel_format)
    values = [
        luma * most if full else (16 + 219 * luma) * scale,
        *(middle + part * (most if full else 224 * scale) for part in chroma),
    ]
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(np.full(plane.buffer_size // kind.itemsize, round(value), kind).tobytes())
    return frame


def worst(image: npt.NDArray[np.uint8], colour: Sequence[int]) -> int:
    return int(np.abs(image.astype(int) - colour).max())


def test_constant_rate_gives_every_frame_with_its_time_name_and_colour(tmp_path: Path) -> None:
    video = read_video(encode(tmp_path / "clip.mp4", [flat(colour) for colour in COLOURS]))
    assert (video.name, video.path) == ("clip", tmp_path / "clip.mp4")
    frames = list(video.frames())
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.name for frame in frames] == ["00000", "00001", "00002", "00003", "00004", "00005"]
    assert [frame.seconds for frame in frames] == [Fraction(index, 25) for index in range(6)]
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert (frame.image.shape, frame.image.dtype) == ((32, 48, 3), np.uint8)
        assert frame.image.flags.c_contiguous
        assert frame.image.flags.writeable
        # One level for 8-bit chroma, one for H.264.
        assert worst(frame.image, colour) <= 2


def test_variable_rate_keeps_exact_times(tmp_path: Path) -> None:
    times = [Fraction(1), Fraction(11, 10), Fraction(2), Fraction(7, 3), Fraction(90_001, 30_000), Fraction(10)]
    for suffix in ("mp4", "mov", "ts"):
        video = read_video(encode(tmp_path / f"a.{suffix}", moving(6), times=times))
        seconds = [frame.seconds for frame in video.frames()]
        # MPEG-TS begins where its multiplexer wants.
        assert [time - seconds[0] for time in seconds] == [time - times[0] for time in times]
        assert suffix == "ts" or seconds == times
    # Matroska counts in milliseconds.
    video = read_video(encode(tmp_path / "a.mkv", moving(6), times=times))
    assert [frame.seconds for frame in video.frames()] == [Fraction(round(time * 1000), 1000) for time in times]


def test_a_rate_of_24000_over_1001_is_exact(tmp_path: Path) -> None:
    rate = Fraction(24_000, 1001)

    def set_rate(stream: VideoStream) -> None:
        stream.codec_context.time_base = 1 / rate

    path = encode(tmp_path / "a.mp4", moving(5), times=[index / rate for index in range(5)], prepare=set_rate)
    # The times were written in 1/90000 s; the container holds the nearest of its own ticks.
    for frame in read_video(path).frames():
        assert abs(frame.seconds - frame.index / rate) <= TICKS


def test_bare_h264_has_no_times_and_counts_frames(tmp_path: Path) -> None:
    frames = list(read_video(encode(tmp_path / "a.h264", moving(5))).frames())
    assert [frame.seconds for frame in frames] == [Fraction(index, 25) for index in range(5)]


def test_frames_before_the_edit_list_begins_are_not_part_of_the_video(tmp_path: Path) -> None:
    times = [Fraction(index - 3, 25) for index in range(10)]
    video = read_video(encode(tmp_path / "a.mp4", moving(10), times=times))
    assert [frame.seconds for frame in video.frames()] == [Fraction(index, 25) for index in range(7)]


@pytest.mark.parametrize(
    ("turn", "mirror"), [(0, False), (90, False), (180, False), (-90, False), (0, True), (90, True), (-90, True)]
)
def test_the_display_matrix_turns_and_mirrors(tmp_path: Path, turn: int, mirror: bool) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24], stored[:16, 24:], stored[16:, :24], stored[16:, 24:] = COLOURS[2], COLOURS[3], COLOURS[4], 255
    path = encode(
        tmp_path / "a.mov", [stored], "qtrle", "rgb24", prepare=lambda stream: stream.set_display_rotation(turn, mirror)
    )
    # PyAV: counter-clockwise, then mirrored left to right.
    expected = np.rot90(stored, turn // 90)
    expected = expected[:, ::-1] if mirror else expected
    (frame,) = read_video(path).frames()
    np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize("codec", [("ffv1", "bgr0", "mkv"), ("qtrle", "rgb24", "mov"), ("png", "rgb24", "mov")])
def test_odd_sizes_are_whole(tmp_path: Path, codec: tuple[str, str, str]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (33, 17, 3), dtype=np.uint8)
    (frame,) = read_video(encode(tmp_path / f"a.{codec[2]}", [picture], codec[0], codec[1])).frames()
    np.testing.assert_array_equal(frame.image, picture)


def test_an_odd_size_with_halved_chroma_is_whole(tmp_path: Path) -> None:
    (frame,) = read_video(encode(tmp_path / "a.webm", [flat(COLOURS[2], 33, 17)], "libvpx-vp9")).frames()
    assert frame.image.shape == (33, 17, 3)
    assert worst(frame.image, COLOURS[2]) <= 3


@pytest.mark.parametrize(
    ("pixel_format", "bits", "tolerance"),
    [("yuv420p", 8, 1), ("yuv420p10le", 10, 0), ("yuv444p10le", 10, 0), ("yuv420p12le", 12, 0)],
)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_deep_colour_is_rounded_by_the_stated_matrix_and_range(
    tmp_path: Path, pixel_format: str, bits: int, tolerance: int, full: bool, matrix: tuple[float, float]
) -> None:
    def state(stream: VideoStream) -> None:
        stream.codec_context.colorspace = 1 if matrix == BT709 else 6
        stream.codec_context.color_range = 2 if full else 1

    frames = [yuv(colour, pixel_format, matrix, bits=bits, full=full) for colour in COLOURS]
    video = read_video(encode(tmp_path / "a.mkv", frames, "ffv1", pixel_format, prepare=state))
    for frame, colour in zip(video.frames(), COLOURS, strict=True):
        # Full range scales by 255.75 instead of 256 a level: one level either way.
        assert worst(frame.image, colour) <= max(tolerance, full)


def test_ten_bit_h264_is_read_as_well_as_eight_bit(tmp_path: Path) -> None:
    frames = [yuv(colour, "yuv420p10le", BT601, bits=10) for colour in COLOURS]
    video = read_video(encode(tmp_path / "a.mp4", frames, pixel_format="yuv420p10le"))
    for frame, colour in zip(video.frames(), COLOURS, strict=True):
        assert worst(frame.image, colour) <= 1


@pytest.mark.parametrize(("size", "matrix"), [((576, 704), BT601), ((720, 704), BT709), ((64, 1280), BT709)])
def test_an_unstated_matrix_goes_by_the_size(
    tmp_path: Path, size: tuple[int, int], matrix: tuple[float, float]
) -> None:
    path = encode(tmp_path / "a.mkv", [yuv(COLOURS[3], "yuv420p", matrix, size=size)], "ffv1")
    (frame,) = read_video(path).frames()
    assert worst(frame.image, COLOURS[3]) <= 1


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix", "tolerance"),
    [
        ("qtrle", "argb", "mov", 0),
        ("png", "rgba", "mov", 0),
        ("ffv1", "gbrap16le", "mkv", 1),
        ("ffv1", "yuva420p", "mkv", 2),
        ("prores_ks", "yuva444p10le", "mov", 2),
        ("libvpx-vp9", "yuva420p", "webm", 2),
    ],
)
def test_transparent_pixels_are_laid_over_white_as_in_pictures(
    tmp_path: Path, codec: str, pixel_format: str, suffix: str, tolerance: int
) -> None:
    picture = flat((200, 30, 40, 0))
    picture[:, :24, 3] = 255
    picture[:16, 24:, 3] = 128
    options = {"lossless": "1"} if codec == "libvpx-vp9" else {}
    path = encode(tmp_path / f"a.{suffix}", [picture] * 2, codec, pixel_format, options=options, layout="rgba")
    expected = read_image(picture)
    assert expected[20, 40].tolist() == [255, 255, 255]
    frames = list(read_video(path).frames())
    assert len(frames) == 2
    for frame in frames:
        assert worst(frame.image, expected) <= tolerance


def test_stride_and_max_frames(tmp_path: Path) -> None:
    video = read_video(encode(tmp_path / "a.mp4", moving(10)))
    every = list(video.frames())
    chosen = list(video.frames(stride=3))
    assert [(frame.index, frame.seconds) for frame in chosen] == [
        (index, Fraction(index, 25)) for index in (0, 3, 6, 9)
    ]
    np.testing.assert_array_equal(chosen[2].image, every[6].image)
    assert [frame.index for frame in video.frames(stride=3, max_frames=2)] == [0, 3]
    for wrong in ({"stride": 0}, {"max_frames": 0}):
        with pytest.raises(ConfigError, match="must be 1 or more"):
            video.frames(**wrong)


def test_frames_are_a_stream_and_the_file_is_closed_with_it(tmp_path: Path) -> None:
    frames = read_video(encode(tmp_path / "a.mkv", moving(30), "ffv1")).frames()
    assert isinstance(frames, GeneratorType)
    assert [frame.index for frame in islice(frames, 2)] == [0, 1]
    open_before = _open_files(tmp_path)
    frames.close()
    assert (open_before, _open_files(tmp_path)) == (1, 0)


def test_frames_that_were_used_leave_memory_at_once(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", moving(60))
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in read_video(path).frames()) == 60
        # Cycles would hold a frame each until Python looks for them, which it does the less the more there are.
        assert gc.collect() < 30
    finally:
        gc.enable()


def _open_files(folder: Path) -> int:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list open files")
    return sum(str(link.resolve()).startswith(str(folder.resolve())) for link in descriptors.iterdir())


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "container", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {"movflags": "+faststart"}, {"bf": "4"}),
        ("a.mkv", "libx264", "yuv420p", {}, {"bf": "4"}),
        ("a.webm", "libvpx-vp9", "yuv420p", {}, {}),
        ("a.mov", "qtrle", "rgb24", {"movflags": "+faststart"}, {}),
    ],
)
def test_a_truncated_file_gives_the_frames_before_the_damage_and_tells_of_it(
    tmp_path: Path, name: str, codec: str, pixel_format: str, container: dict[str, str], options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, moving(30), codec, pixel_format, container=container, options=options)
    whole = list(read_video(path).frames())
    data = path.read_bytes()
    counts = []
    for part in np.linspace(0.5, 0.99, 12):
        path.write_bytes(data[: int(len(data) * part)])
        given: list[Frame] = []
        video = read_video(path)
        with pytest.warns(
            UserWarning, match=r"a\.\w+: the video is damaged or incomplete \(.+\); save .+ up to"
        ) as told:
            given.extend(video.frames())
        assert len(told) == 1
        assert "\n" not in str(told[0].message)
        assert len(list(video.frames())) == len(given)  # and it is told once a video
        for frame, original in zip(given, whole, strict=False):
            assert (frame.index, frame.seconds) == (original.index, original.seconds)
            np.testing.assert_array_equal(frame.image, original.image)
        counts.append(len(given))
    assert counts == sorted(counts)
    # Frames that wait for their order are held back: at most one group of four B frames.
    assert counts[-1] >= 24


def test_damage_in_the_middle_costs_the_frames_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", moving(30), container={"movflags": "+faststart"})
    whole = list(read_video(path).frames())
    data = bytearray(path.read_bytes())
    middle = len(data) * 3 // 4  # well behind the index
    data[middle : middle + 300] = b"\xff" * 300
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"a\.mp4: the video is damaged, and \d+ frames are left out") as told:
        given = list(read_video(path).frames())
    lost = int(str(told[0].message).split(" frames are")[0].split()[-1])
    assert 0 < lost == len(whole) - len(given)
    for frame, original in zip(given[:5], whole, strict=False):
        np.testing.assert_array_equal(frame.image, original.image)
    # Each is in its place among all: none but those that are out of order within a group of B frames is shown amiss.
    assert given[-1].seconds == whole[-1].seconds
    assert given[-1].index == len(whole) - 1


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video")])
def test_joined_recordings_are_read_whole_and_their_times_go_on(tmp_path: Path, suffix: str, codec: str) -> None:
    def keep_the_rate(stream: VideoStream) -> None:
        stream.codec_context.time_base = Fraction(1, 25)

    options = {"bf": "0"} if codec == "libx264" else {}
    first, second = (
        encode(tmp_path / f"{name}.{suffix}", pictures, codec, options=options, prepare=keep_the_rate)
        for name, pictures in (("a", moving(20)[:12]), ("b", moving(20)[12:]))
    )
    apart = [*read_video(first).frames(), *read_video(second).frames()]
    together = list(read_video(joined(tmp_path / f"c.{suffix}", first, second)).frames())
    assert len(together) == 20
    for frame, expected in zip(together, apart, strict=True):
        np.testing.assert_array_equal(frame.image, expected.image)
    begin = together[0].seconds
    assert [frame.seconds - begin for frame in together] == [Fraction(index, 25) for index in range(20)]


def test_a_lost_packet_costs_a_frame_at_most(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.ts", moving(30), options={"bf": "2", "g": "10"})
    whole, data = list(read_video(path).frames()), path.read_bytes()
    for place in range(10, len(data) // 188 - 10, 7):
        path.write_bytes(data[: 188 * place] + data[188 * (place + 1) :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = list(read_video(path).frames())
        assert len(frames) >= 29
        np.testing.assert_array_equal(frames[0].image, whole[0].image)
        assert all(before.seconds < after.seconds for before, after in pairwise(frames))


def test_pixels_that_are_not_square_say_so(tmp_path: Path) -> None:
    def wide(stream: VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(16, 15)

    (frame,) = read_video(encode(tmp_path / "a.mp4", moving(1), prepare=wide)).frames()
    assert (frame.pixel_aspect, frame.image.shape) == (Fraction(16, 15), (64, 96, 3))
    (frame,) = read_video(encode(tmp_path / "b.mp4", moving(1))).frames()
    assert frame.pixel_aspect == 1

    def turned(stream: VideoStream) -> None:
        wide(stream)
        stream.set_display_rotation(90, False)

    (frame,) = read_video(encode(tmp_path / "c.mov", moving(1), prepare=turned)).frames()
    assert (frame.pixel_aspect, frame.image.shape) == (Fraction(15, 16), (96, 64, 3))


@pytest.mark.parametrize("suffix", ["gif", "png", "apng", "webp", "avif"])
def test_an_animated_picture_is_a_clip(tmp_path: Path, suffix: str) -> None:
    pictures = [Image.fromarray(flat(colour)) for colour in COLOURS[2:5]]
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    kind = {"apng": "PNG"}.get(suffix, suffix.upper())
    pictures[0].save(path, kind, save_all=True, append_images=pictures[1:], duration=[100, 200, 50], **options)
    frames = list(read_video(path).frames())
    assert [(frame.index, frame.seconds) for frame in frames] == [(0, 0), (1, Fraction(1, 10)), (2, Fraction(3, 10))]
    for frame, colour in zip(frames, COLOURS[2:5], strict=True):
        assert worst(frame.image, colour) <= (3 if suffix == "avif" else 0)
    assert [frame.index for frame in read_video(path).frames(stride=2)] == [0, 2]


def test_a_file_that_went_away_is_one_line(tmp_path: Path) -> None:
    video = read_video(encode(tmp_path / "a.mkv", moving(3)))
    folder = read_video(frames_folder(tmp_path / "bear", "1.png", "2.png"))
    (tmp_path / "a.mkv").unlink()
    (tmp_path / "bear").rename(tmp_path / "gone")
    for gone in (video, folder):
        with pytest.raises(ImageError, match=r"(a\.mkv|bear): .*; check the path$"):
            list(gone.frames())


def test_a_file_that_may_not_be_opened_is_left_to_ffmpeg_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"^.*clip\.mp4: "):
        read_video(path)


def test_a_broadcast_file_that_ends_within_a_packet_is_incomplete(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.ts", moving(20))
    assert len(list(read_video(path).frames())) == 20
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"a\.ts: the video is damaged or incomplete \(.+\); save or download"):
        assert len(list(read_video(path).frames())) >= 18


def test_damage_after_the_last_wanted_frame_does_not_matter(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", moving(20), "ffv1")
    path.write_bytes(path.read_bytes()[:-5000])
    assert len(list(read_video(path).frames(max_frames=5))) == 5


def test_a_change_of_size_is_an_error(tmp_path: Path) -> None:
    for index, width in enumerate((30, 30, 20)):
        Image.new("RGB", (width, 20)).save(tmp_path / f"{index}.png")
    given: list[Frame] = []
    with pytest.raises(ImageError, match="frame 2 has 20x20 pixels and those before it 30x20; convert the video"):
        given.extend(read_video(tmp_path).frames())
    assert len(given) == 2


def music(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_what_is_no_video_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "no\nise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    Image.new("RGB", (30, 20)).save(tmp_path / "picture.png")
    (tmp_path / "named.mp4").write_bytes((tmp_path / "picture.png").read_bytes())
    music(tmp_path / "music.m4a")
    (tmp_path / "folder").mkdir()
    tail = encode(tmp_path / "tail.mp4", moving(5))  # its index comes last
    tail.write_bytes(tail.read_bytes()[:-300])
    expected = {
        "text.mp4": r"text\.mp4: not a video, or broken from its start \(Invalid data.*\); save or download it again",
        "empty.mp4": r"empty\.mp4: not a video, or broken from its start",
        "no\nise.mkv": r"no\\nise\.mkv': not a video, or broken from its start",
        "tail.mp4": r"tail\.mp4: not a video, or broken from its start",
        "picture.png": r"picture\.png: this is a picture, which groundkit segment takes; give a video or numbered",
        "named.mp4": r"named\.mp4: this is a picture with the name of a video; rename it to end in \.png for",
        "music.m4a": r"music\.m4a: there is no video in this file; give one that has pictures$",
        "folder": r"folder: no folder of frames; it must hold two or more pictures that are named alike",
        "none.mp4": r"none\.mp4: no such file; check the path$",
    }
    for name, message in expected.items():
        with pytest.raises(ImageError, match=message) as error:
            read_video(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1


def test_a_cover_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=44_100)
        cover = output.add_stream("png", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 48, "rgb24"
        cover.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        output.mux(cover.encode(VideoFrame.from_ndarray(flat(COLOURS[2]), format="rgb24")))
        output.mux([*sound.encode(frame), *sound.encode(None), *cover.encode(None)])
    with pytest.raises(ImageError, match="there is no video in this file"):
        read_video(path)


def test_a_file_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(tmp_path / "a.mkv", moving(2)).rename(tmp_path / "http:b.mkv")
    monkeypatch.chdir(tmp_path)
    assert len(list(read_video("http:b.mkv").frames())) == 2


def frames_folder(folder: Path, *names: str) -> Path:
    """Pictures whose red is their number."""
    folder.mkdir(parents=True)
    for name in names:
        number = int("".join(letter for letter in Path(name).stem if letter.isdigit()) or 0)
        Image.new("RGB", (6, 4), (number, 0, 0)).save(folder / name)
    return folder


def test_a_folder_of_numbered_frames_is_a_video_in_numeric_order(tmp_path: Path) -> None:
    folder = frames_folder(tmp_path / "bear", "frame_10.png", "frame_2.png", "frame_1.png", ".frame_3.png")
    (folder / "notes.txt").touch()
    video = read_video(folder, rate=Fraction(30_000, 1001))
    assert (video.name, video.path) == ("bear", folder)
    frames = list(video.frames())
    assert [frame.name for frame in frames] == ["frame_1", "frame_2", "frame_10"]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.seconds for frame in frames] == [0, Fraction(1001, 30_000), Fraction(1001, 15_000)]
    assert [frame.image[0, 0].tolist() for frame in frames] == [[1, 0, 0], [2, 0, 0], [10, 0, 0]]
    assert [frame.name for frame in video.frames(stride=2)] == ["frame_1", "frame_10"]
    assert [frame.seconds for frame in read_video(folder).frames(max_frames=2)] == [0, Fraction(1, 24)]
    with pytest.raises(ConfigError, match="frame rate must be above 0"):
        read_video(folder, rate=0)


def test_a_broken_frame_of_a_folder_is_named_after_those_before_it(tmp_path: Path) -> None:
    folder = frames_folder(tmp_path / "bear", "00000.png", "00005.png")
    (folder / "00010.png").write_bytes(b"no picture")
    given: list[Frame] = []
    with pytest.raises(ImageError, match=r"00010\.png: not a picture"):
        given.extend(read_video(folder).frames())
    assert [frame.name for frame in given] == ["00000", "00005"]


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["00000.jpg", "00005.jpg"], True),
        (["img1.jpg", "IMG2.PNG"], True),
        (["00000.jpg"], False),
        (["cat.jpg", "dog.jpg"], False),
        (["a1.jpg", "b2.jpg"], False),
        (["1.jpg", "1.png"], False),
        (["1.jpg", "01.jpg"], False),
        (["1.jpg", "2.jpg", "cover.jpg"], False),
    ],
)
def test_which_folders_are_videos(tmp_path: Path, names: list[str], counts: bool) -> None:
    assert is_video(frames_folder(tmp_path / "a", *names)) is counts


def test_which_files_are_videos_goes_by_suffix(tmp_path: Path) -> None:
    for name in ("a.MP4", "a.png"):
        (tmp_path / name).touch()
    assert [is_video(tmp_path / name) for name in ("a.MP4", "a.png", "none.mp4")] == [True, False, False]


def test_the_resolver_finds_videos_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames_folder(tmp_path / "media" / "bear", "00000.jpg", "00001.jpg")
    frames_folder(tmp_path / "media" / "mixed", "cat.jpg", "dog.jpg")
    for name in ("clip.mp4", "b.mov", "photo.png", "notes.txt", ".hidden.mp4"):
        (tmp_path / "media" / name).touch()

    def found(argument: str, *, videos: bool) -> list[tuple[str, bool]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is left out
            resolved = resolve_inputs([argument], videos=videos, frame_folders=videos)
        assert resolved.failed == []
        return [(Path(item.name).as_posix(), item.is_video) for item in resolved.found]

    videos = [("media/b.mov", True), ("media/bear", True), ("media/clip.mp4", True)]
    photo = ("media/photo.png", False)
    assert found("media", videos=True) == [*videos, photo]
    assert found("media/*", videos=True) == [*videos, photo]
    mixed = [("media/mixed/cat.jpg", False), ("media/mixed/dog.jpg", False)]
    assert found("media/**", videos=True) == [*videos, *mixed, photo]
    assert found("media/bear", videos=True) == [("media/bear", True)]
    assert found("media/clip.mp4", videos=True) == [("media/clip.mp4", True)]
    frames = [("media/bear/00000.jpg", False), ("media/bear/00001.jpg", False)]
    assert found("media/bear/*", videos=True) == frames
    assert found("media", videos=False) == [photo]
    assert found("media/bear", videos=False) == frames
    assert found("media/clip.mp4", videos=False) == [("media/clip.mp4", False)]
    (tmp_path / "empty").mkdir()
    failed = resolve_inputs(["empty", "no*.mp4"], videos=True).failed
    assert [str(error) for _, error in failed] == [
        "empty: no pictures or videos in this folder; give a folder that holds some, or a quoted glob",
        "no*.mp4: no picture or video matches; check the pattern",
    ]


SAMPLE = Path(__file__).parents[3] / "samples" / "clip.mp4"


@pytest.mark.parametrize(("stride", "limit", "count"), [(1, None, 24), (5, None, 5), (1, 7, 7), (5, 100, 5)])
def test_the_container_says_how_many_frames_there_are(stride: int, limit: int | None, count: int) -> None:
    assert read_video(SAMPLE).count(stride, limit) == count == len(list(read_video(SAMPLE).frames(stride, limit)))


def test_a_video_whose_metadata_is_not_utf_8_is_counted(tmp_path: Path) -> None:
    sample = SAMPLE.read_bytes()
    assert sample.count(b"Lavf") == 1
    (tmp_path / "clip.mp4").write_bytes(sample.replace(b"Lavf", b"\xb6avf"))
    assert read_video(tmp_path / "clip.mp4").count() == 24


def test_frames_of_folders_and_animations_are_counted_and_what_does_not_say_is_estimated(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    pictures = [Image.fromarray(each) for each in moving(5)]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / "clip" / f"{index}.png")
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    with av.open(str(SAMPLE)) as source, av.open(str(tmp_path / "a.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert [read_video(tmp_path / name).count(2) for name in ("clip", "a.webp", "a.mkv")] == [3, 3, None]
