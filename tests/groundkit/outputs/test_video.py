"""Films, mask folders and JSON lines are read back by PyAV, Pillow and pycocotools."""

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from groundkit.errors import ConfigError, InputError
from groundkit.media.videos import Frame, read_video
from groundkit.outputs.formats.overlay import draw_overlay
from groundkit.outputs.video.folders import IndexedFolder, MaskFolder, davis_palette
from groundkit.outputs.video.mp4 import TICKS, open_mp4, write_mp4
from groundkit.outputs.video.overlay import open_overlay
from groundkit.outputs.video.run_lengths import open_rle_lines

# pycocotools, the oracle here, is not adapted to NumPy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COLOURS = [(255, 255, 255), (0, 0, 0), (200, 30, 40), (20, 180, 60), (30, 40, 220), (128, 128, 128)]
# As PASCAL VOC's and DAVIS's development kits print them.
DAVIS = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    3: (128, 128, 0),
    4: (0, 0, 128),
    5: (128, 0, 128),
    6: (0, 128, 128),
    7: (128, 128, 128),
    8: (64, 0, 0),
    9: (192, 0, 0),
    10: (64, 128, 0),
    15: (192, 128, 128),
    16: (0, 64, 0),
    20: (0, 64, 128),
    255: (224, 224, 192),
}


def pictures(height: int = 32, width: int = 48) -> list[npt.NDArray[np.uint8]]:
    return [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]


def some_masks() -> npt.NDArray[np.bool_]:
    """Two rectangles that overlap, and an object that is not seen."""
    masks = np.zeros((3, 33, 17), np.bool_)
    masks[0, 4:20, 2:10] = True
    masks[1, 10:30, 5:15] = True
    return masks


def boxes_in(path: Path) -> list[bytes]:
    """The names of an MP4 file's top boxes in their order, read by their lengths."""
    data, names, place = path.read_bytes(), [], 0
    while place < len(data):
        names.append(data[place + 4 : place + 8])
        place += int.from_bytes(data[place : place + 4])
    return names


def test_a_film_is_what_browsers_play(tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "new" / "film.mp4", pictures(), rate=25)
    names = boxes_in(path)
    assert names[0] == b"ftyp"
    assert names.index(b"moov") < names.index(b"mdat")
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (48, 32, 6)
        context = stream.codec_context
        # BT.709 in limited range, and said so.
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert stream.codec_context.profile == "High"
        assert container.duration == 240_000
    for frame, colour in zip(read_video(path).frames(), COLOURS, strict=True):
        assert np.abs(frame.image.astype(int) - colour).max() <= 2
    assert [file.name for file in path.parent.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(
    "times",
    [
        [Fraction(index * 1001, 24_000) for index in range(6)],
        [Fraction(index * 1001, 60_000) for index in range(6)],
        [Fraction(1), Fraction(11, 10), Fraction(2), Fraction(7, 3), Fraction(5, 2), Fraction(9)],
        [Fraction(1234 + 17 * index**2, 1000) for index in range(6)],
    ],
)
def test_times_are_kept_exactly_and_the_last_picture_lasts_as_long_as_the_one_before(
    tmp_path: Path, times: list[Fraction]
) -> None:
    path = write_mp4(tmp_path / "a.mp4", pictures(), times=times)
    assert [frame.seconds for frame in read_video(path).frames()] == times
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert stream.duration * stream.time_base == 2 * times[-1] - times[-2] - times[0]


def test_a_long_film_and_other_times_are_kept_to_a_tick(tmp_path: Path) -> None:
    rate = Fraction(27, 7)
    path = write_mp4(tmp_path / "a.mp4", (picture for _ in range(20) for picture in pictures()), rate=rate)
    frames = list(read_video(path).frames())
    assert len(frames) == 120
    assert max(abs(frame.seconds - frame.index / rate) for frame in frames) <= Fraction(1, 720_000)


@pytest.mark.parametrize("size", [(33, 17), (1, 1), (33, 48), (2, 3)])
def test_an_odd_side_grows_by_a_copy_of_its_last_line(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    (frame,) = read_video(write_mp4(tmp_path / "a.mp4", pictures(*size)[2:3], rate=5)).frames()
    assert frame.image.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frame.image.astype(int) - COLOURS[2]).max() <= 2


def test_what_cannot_be_a_film_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(InputError, match=r"^cannot write .*a\.mp4: there are no pictures for it$"):
        write_mp4(path, [], rate=5)
    with pytest.raises(InputError, match="a picture of 17x33 pixels follows one of 48x32"):
        write_mp4(path, [*pictures(), *pictures(33, 17)], rate=5)
    with pytest.raises(InputError, match=r"times of its pictures must rise, got 0\.5 s"):
        write_mp4(path, pictures()[:3], times=[0, 0.5, 0.5])
    with pytest.raises(InputError, match="cannot write"):
        write_mp4(path, pictures(2, 40_000), rate=5)  # wider than H.264 allows
    with pytest.raises(ValueError, match="zip"):
        write_mp4(path, pictures(), times=[0, 1])
    for wrong in ({}, {"rate": 0}, {"rate": 5, "times": range(6)}):
        with pytest.raises(ConfigError, match="either the times of the pictures or a rate"):
            write_mp4(path, pictures(), **wrong)
    assert list(tmp_path.iterdir()) == []
    path.mkdir()
    with pytest.raises(InputError, match=r"^cannot write .*a\.mp4: Is a directory$"):
        write_mp4(path, pictures(), rate=5)
    assert list(tmp_path.iterdir()) == [path]


def failing(error: type[BaseException]) -> Iterator[npt.NDArray[np.uint8]]:
    yield from pictures()
    raise error


def half_film(path: Path, error: type[BaseException]) -> None:
    write_mp4(path, failing(error), rate=5)


def half_lines(path: Path, error: type[BaseException]) -> None:
    with open_rle_lines(path) as lines:
        lines.add("00000", 0, some_masks(), np.ones(3, np.float32))
        raise error


def half_folder(path: Path, error: type[BaseException]) -> None:
    with IndexedFolder(path.parent, path.name) as folder:
        folder.add("00000", some_masks())
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("write", [half_film, half_lines, half_folder])
def test_nothing_half_written_stays(
    tmp_path: Path, write: Callable[[Path, type[BaseException]], None], error: type[BaseException]
) -> None:
    target = tmp_path / "target"
    with pytest.raises(error):
        write(target, error)
    assert list(tmp_path.iterdir()) == []
    if write is half_folder:
        target.mkdir()
        (target / "00000.png").write_text("old")
    else:
        target.write_text("old")
    with pytest.raises(error):
        write(target, error)
    assert list(tmp_path.iterdir()) == [target]
    old = target / "00000.png" if write is half_folder else target
    assert old.read_text() == "old"


def test_masks_lie_as_the_referring_benchmarks_want_them(tmp_path: Path) -> None:
    masks = some_masks()
    with MaskFolder(tmp_path / "out", "bear", "0") as folder:
        folder.add("00000", masks[0])
        folder.add("00005", masks[2])
        assert not (tmp_path / "out" / "bear").exists()
    with MaskFolder(tmp_path / "out", "bear", "1") as folder:
        folder.add("00000", masks[1])
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["out/bear/0/00000.png", "out/bear/0/00005.png", "out/bear/1/00000.png"]
    for file, mask in zip(files, (masks[0], masks[2], masks[1]), strict=True):
        with Image.open(tmp_path / file) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), mask * np.uint8(255))


def test_indexed_masks_have_the_palette_of_davis(tmp_path: Path) -> None:
    palette = davis_palette()
    assert {index: tuple(palette[index].tolist()) for index in DAVIS} == DAVIS
    assert len(np.unique(palette, axis=0)) == 256

    masks = some_masks()
    with IndexedFolder(tmp_path, "bear") as folder:
        folder.add("00000", masks)
        folder.add("00001", masks, ids=[7, 255, 3])
    for name, ids in (("00000", (1, 2)), ("00001", (7, 255))):
        expected = np.zeros((33, 17), np.uint8)
        expected[masks[1]] = ids[1]
        expected[masks[0]] = ids[0]
        with Image.open(tmp_path / "bear" / f"{name}.png") as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), expected)
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), palette[expected])
            assert picture.getpalette() == palette.ravel().tolist()
        header = (tmp_path / "bear" / f"{name}.png").read_bytes()[:26]
        assert (header[24], header[25]) == (8, 3)  # 8 bits, indexed
    with (
        pytest.raises(InputError, match="ids of its objects must be in 1 to 255"),
        IndexedFolder(tmp_path, "a") as folder,
    ):
        folder.add("00000", masks, ids=[1, 0, 256])
    assert [path.name for path in tmp_path.iterdir()] == ["bear"]


def test_an_existing_folder_keeps_its_other_files(tmp_path: Path) -> None:
    for name in ("00000.png", "00009.png", "notes.txt"):
        path = tmp_path / "bear" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    with IndexedFolder(tmp_path, "bear") as folder:
        folder.add("00000", some_masks())
    assert sorted(path.name for path in (tmp_path / "bear").iterdir()) == ["00000.png", "00009.png", "notes.txt"]
    assert (tmp_path / "bear" / "notes.txt").read_text() == "old"
    with Image.open(tmp_path / "bear" / "00000.png") as picture:
        assert picture.mode == "P"
    assert [path.name for path in tmp_path.iterdir()] == ["bear"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "a\0"])
def test_a_name_that_would_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a file or folder; give a name without slashes"):
        MaskFolder(tmp_path, "bear", name)
    with pytest.raises(InputError, match="cannot name"), MaskFolder(tmp_path, "bear", "0") as folder:
        folder.add(name, some_masks()[0])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pattern = r"^cannot write .*file.*: (Not a directory|File exists)$"
    with pytest.raises(InputError, match=pattern), MaskFolder(tmp_path / "file", "bear", "0"):
        pass
    with pytest.raises(InputError, match=pattern), MaskFolder(tmp_path, "file", "0") as folder:
        folder.add("00000", some_masks()[0])
    with pytest.raises(InputError, match=pattern), open_rle_lines(tmp_path / "file" / "a.jsonl"):
        pass
    with pytest.raises(InputError, match=pattern), open_mp4(tmp_path / "file" / "a.mp4"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_lines_are_decoded_by_pycocotools(tmp_path: Path) -> None:
    masks, scores = some_masks(), np.array([0.9, 0.25, 0.5], np.float32)
    path = tmp_path / "a.jsonl"
    with open_rle_lines(path) as lines:
        lines.add("00000", Fraction(1001, 24_000), masks, scores)
        lines.add("球", 0.5, masks[2:], scores[2:])
        lines.add("00010", 1, masks[:2], scores[:2], ids=[7, 3])
    first, second, third = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert set(first) == {"frame", "seconds", "objects"}
    assert (first["frame"], first["seconds"]) == ("00000", 1001 / 24_000)
    assert second == {"frame": "球", "seconds": 0.5, "objects": []}
    assert [item["id"] for item in first["objects"]] == [1, 2]
    assert [item["id"] for item in third["objects"]] == [7, 3]
    for item, mask, score, box in zip(
        first["objects"], masks[:2], (0.9, 0.25), ([2, 4, 10, 20], [5, 10, 15, 30]), strict=True
    ):
        assert set(item) == {"id", "rle", "box", "score"}
        np.testing.assert_array_equal(coco_mask.decode(item["rle"]).astype(bool), mask)
        x, y, width, height = coco_mask.toBbox(item["rle"])
        assert item["box"] == box == [x, y, x + width, y + height]
        assert item["score"] == score


def test_a_film_begins_with_its_first_frame_and_time_never_stands_still(tmp_path: Path) -> None:
    image = np.full((32, 32, 3), 128, np.uint8)
    times = [Fraction(1000), Fraction(10001, 10), Fraction(10001, 10), Fraction(10002, 10)]
    with open_overlay(tmp_path / "a.mp4") as film:
        for index, seconds in enumerate(times):
            film.add(Frame(index, seconds, f"{index:05d}", image), np.zeros((1, 32, 32), np.bool_))
    shown = [frame.seconds for frame in read_video(tmp_path / "a.mp4").frames()]
    assert shown == [0, Fraction(1, 10), Fraction(1, 10) + Fraction(1, TICKS), Fraction(2, 10)]


def test_an_overlay_is_the_drawn_frames_at_their_times(tmp_path: Path) -> None:
    image = np.full((96, 128, 3), (90, 120, 150), np.uint8)
    masks = np.zeros((2, 96, 128), np.bool_)
    masks[0, 40:80, 10:50] = True
    masks[1, 30:60, 70:110] = True
    one_gone = masks.copy()
    one_gone[0] = False
    scores = np.array([0.9, 0.8], np.float32)
    none = np.zeros((0, 3), np.float32)
    times = [Fraction(0), Fraction(1, 3), Fraction(5)]
    with open_overlay(tmp_path / "a.mp4", "the cup") as film:
        for index, (found, seconds) in enumerate(zip((masks, one_gone, masks & False), times, strict=True)):
            film.add(Frame(index, seconds, f"{index:05d}", image), found, scores)
    expected = [
        draw_overlay(image, masks, none, "the cup", scores),
        draw_overlay(image, one_gone, none),  # the second object keeps its colour
        draw_overlay(image, masks[:0], none, "the cup"),  # says that nothing was found
    ]
    frames = list(read_video(tmp_path / "a.mp4").frames())
    assert [frame.seconds for frame in frames] == times
    for frame, drawn in zip(frames, expected, strict=True):
        difference = np.abs(frame.image.astype(int) - drawn)
        # At edges four pixels share their chroma.
        assert difference.mean() < 8
        assert difference[45:55, 80:100].max() <= 6
        assert difference[60:70, 20:40].max() <= 6


def test_a_frame_s_name_of_bytes_that_are_no_text_is_written_and_read_back(tmp_path):
    with open_rle_lines(tmp_path / "a.jsonl") as lines:
        lines.add("ball\udcdf", 0, np.ones((1, 4, 4), np.bool_), np.ones(1, np.float32))
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))["frame"] == "ball\udcdf"
