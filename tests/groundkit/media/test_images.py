import io
import os
import re
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from groundkit.errors import ConfigError, ImageError
from groundkit.media import heif
from groundkit.media.images import ImageSource, read_image

RED, WHITE = [255, 0, 0], [255, 255, 255]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(source: ImageSource, **options: object) -> tuple[np.ndarray, list[str]]:
    """A picture, and what is told of it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        pixels = read_image(source, **options)
    return pixels, [str(each.message) for each in told]


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_every_kind_of_source_gives_the_same_pixels(tmp_path: Path, colours: np.ndarray) -> None:
    data = encode(Image.fromarray(colours))
    path = tmp_path / "a picture.png"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(len(data))
    with path.open("rb") as file:
        sources = [str(path), path, data, stream, file, Image.open(path), Image.fromarray(colours), colours]
        for source in sources:
            pixels = read_image(source)
            assert pixels.dtype == np.uint8
            np.testing.assert_array_equal(pixels, colours)
        assert not file.closed
    assert not stream.closed


def test_a_pipe_that_cannot_seek_is_read(colours: np.ndarray) -> None:
    reading, writing = os.pipe()
    os.write(writing, encode(Image.fromarray(colours)))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        np.testing.assert_array_equal(read_image(pipe), colours)


def test_the_result_shares_no_memory_with_the_source(colours: np.ndarray) -> None:
    image = Image.fromarray(colours)
    for source in (colours, image):
        pixels = read_image(source)
        pixels[:] = 0
    assert colours.any()
    assert np.asarray(image).any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    # What a camera stores, by the definition of the EXIF tag: where row 0 and column 0 of the file lie in the scene.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read_image(data), upright)


def test_exif_that_cannot_be_parsed_is_ignored(colours: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    for length in (0, 3, 8, 60):
        noise = b"Exif\0\0" + rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        np.testing.assert_array_equal(read_image(encode(Image.fromarray(colours), exif=noise)), colours)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr", "HSV", "RGBX"])
def test_opaque_modes_keep_their_colours(mode: str) -> None:
    image = Image.new("RGB", (2, 1), "white")
    image.putpixel((0, 0), (0, 0, 0))
    np.testing.assert_allclose(read_image(image.convert(mode)), [[[0] * 3, WHITE]], atol=1)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_16_bit_grey_is_scaled_and_not_clipped(dtype: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65534, 65535]], dtype=dtype)
    expected = np.rint(values.astype(np.float64) / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(values)[..., 0], expected)
    native = Image.fromarray(values.astype(np.uint16))
    for data in (encode(native), encode(native, "TIFF"), encode(native, "PPM")):
        np.testing.assert_array_equal(read_image(data)[..., 0], expected)
        np.testing.assert_array_equal(read_image(data)[..., 2], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(0, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 102)])
    # 255 * (1 - 102 / 255) = 153
    np.testing.assert_array_equal(read_image(image.convert(mode))[0, :, 0], [0, 255, 153])


def test_a_palette_with_a_transparent_entry_is_laid_over_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(read_image(encode(image, kind, transparency=1)), [[RED, WHITE]])


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        pixels, told = read(data)
        np.testing.assert_array_equal(pixels, np.full((2, 3, 3), RED))
        assert [("groundkit follow reads it as a video" in text) for text in told] == ([] if kind == "TIFF" else [True])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_without_a_profile_is_converted_plainly(kind: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(read_image(encode(image, kind)), np.full((16, 16, 3), RED), atol=3)


def grey_profile() -> bytes:
    """An ICC profile (version 2) of inks that are all water but black, which runs evenly from L = 100 to L = 0."""
    ramp = bytes(range(256))
    table = struct.pack(">4sIBBBx9i", b"mft1", 0, 4, 3, 2, *(65536 if place in (0, 4, 8) else 0 for place in range(9)))
    table += ramp * 4 + bytes([255, 128, 128, 0, 128, 128]) * 8 + ramp * 3
    white = struct.pack(">4sI3i", b"XYZ ", 0, 63190, 65536, 54061)
    text = struct.pack(">4sII4s", b"desc", 0, 4, b"ink\0") + bytes(78)
    offset, entries, body = 128 + 4 + 3 * 12, b"", b""
    for tag, data in ((b"A2B0", table), (b"wtpt", white), (b"desc", text)):
        data += bytes(-len(data) % 4)
        entries += struct.pack(">4sII", tag, offset + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s12s4s", offset + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ",
                         struct.pack(">6H", 2024, 1, 1, 0, 0, 0), b"acsp")  # fmt: skip
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return header + struct.pack(">I", 3) + entries + body


def test_cmyk_goes_through_its_profile() -> None:
    """The planted profile sees grey where the plain formula sees dark red."""
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 128))
    pixels = read_image(encode(image, "TIFF", icc_profile=grey_profile()))
    # L = 50 is a luminance of 0.184, whose sRGB value is 119; rendering intents may lift the black a little.
    np.testing.assert_allclose(pixels, np.full((8, 8, 3), 119), atol=6)


def test_a_damaged_profile_is_as_good_as_none() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_array_equal(
        read_image(encode(image, "TIFF", icc_profile=b"not a profile")), np.full((8, 8, 3), RED)
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_run_from_0_to_1(dtype: type) -> None:
    np.testing.assert_array_equal(read_image(np.array([[0, 0.5, 1]], dtype=dtype))[0, :, 0], [0, 128, 255])


def test_grey_bool_and_rgba_arrays_become_rgb() -> None:
    grey = np.array([[0, 7]], dtype=np.uint8)
    for array in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(read_image(array), [[[0] * 3, [7] * 3]])
    np.testing.assert_array_equal(read_image(grey > 0), [[[0] * 3, WHITE]])
    np.testing.assert_array_equal(read_image(np.array([[[0, 0, 0, 102]]], dtype=np.uint8)), [[[153] * 3]])


def test_a_single_pixel_is_a_picture() -> None:
    np.testing.assert_array_equal(read_image(encode(Image.new("RGB", (1, 1), "red"))), [[RED]])


def test_a_strip_of_20000_pixels_is_read() -> None:
    assert read_image(encode(Image.new("L", (20000, 2)))).shape == (2, 20000, 3)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_that_claims(20000, 20000))
    expected = (
        f"{path}: 400,000,000 are more pixels than the limit of 178,956,970; make it smaller, or set the environment "
        "variable GROUNDKIT_MAX_PIXELS=400000000"
    )
    with pytest.raises(ImageError) as failure:
        read_image(path)
    assert str(failure.value) == expected


def test_the_limit_of_pixels_is_set_by_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    data = encode(Image.new("RGB", (10, 10)))
    monkeypatch.setenv("GROUNDKIT_MAX_PIXELS", "100")
    assert read_image(data).shape == (10, 10, 3)
    monkeypatch.setenv("GROUNDKIT_MAX_PIXELS", "99")
    with pytest.raises(ImageError, match=r"10x10 are more pixels than the limit of 99; .* GROUNDKIT_MAX_PIXELS=100$"):
        read_image(data)
    monkeypatch.setenv("GROUNDKIT_MAX_PIXELS", "many")
    with pytest.raises(ConfigError, match="GROUNDKIT_MAX_PIXELS=many: give a whole number of pixels"):
        read_image(data)


def test_large_pictures_are_copied_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundkit.media.images._ROWS", 4)
    pixels = np.random.default_rng(0).integers(0, 256, (11, 5, 3), np.uint8)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(pixels))), pixels)


def test_up_to_the_limit_there_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    assert read_image(encode(Image.new("RGB", (10, 10)))).shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty; save or download it again"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "the picture is damaged or incomplete; save or download it again"),
        (b"\x89PNG\r\n\x1a\n\0\0", "the picture is damaged or incomplete; save or download it again"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "this is a video, which groundkit follow takes; give a picture"),
        (b"\x1aE\xdf\xa3" + bytes(30), "this is a video, which groundkit follow takes; give a picture"),
        (
            b"\0\0\0\x20ftypavif" + bytes(9),
            "not a picture, or of a kind that Pillow cannot read; convert it to PNG or JPEG",
        ),
        (b"hello", "not a picture, or of a kind that Pillow cannot read; convert it to PNG or JPEG"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
            "EPS is not read; convert it to PNG or JPEG",
        ),
    ],
)
def test_what_is_no_picture_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "thing.png"
    path.write_bytes(content)
    with pytest.raises(ImageError) as failure:
        read_image(path)
    assert str(failure.value) == f"{path}: {reason}"


def test_missing_files_and_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as failure:
        read_image(tmp_path / "none.png")
    assert str(failure.value) == f"{tmp_path / 'none.png'}: no such file; check the path"
    with pytest.raises(ImageError, match=r"^'': an empty text names no picture; give its path$"):
        read_image("")
    with pytest.raises(ImageError) as failure:
        read_image(tmp_path)
    assert str(failure.value) == f"{tmp_path}: this is a folder; give a picture in it"


def test_a_file_without_permission_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, whom no file refuses.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError) as failure:
        read_image("secret.png")
    assert str(failure.value) == "secret.png: cannot be opened (Permission denied); check the file's permissions"


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 8, 9), np.uint8), "channels last, got (3, 8, 9)"),
        (np.zeros((4,), np.uint8), "got (4,)"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels (0, 8, 3)"),
        (np.full((2, 2), 255.0), "must lie in [0, 1], got 255 to 255"),
        (np.full((2, 2), -0.1), "must lie in [0, 1]"),
        (np.full((2, 2), np.nan), "none of its values is a number"),
        (np.zeros((2, 2), np.int64), "values of type int64"),
        (np.full((2, 2), 1 << 20, np.int32), "values of type int32"),
    ],
)
def test_arrays_without_a_clear_meaning_are_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(ImageError) as failure:
        read_image(array)
    assert str(failure.value).startswith("array: ")
    assert reason in str(failure.value)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.new("RGB", (0, 5)), "no pixels (0x5)"),
        (Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), "32-bit integers have no known white"),
        (Image.fromarray(np.full((2, 2), 7.0, np.float32)), "must lie in [0, 1]"),
        (Image.new("La", (2, 2)), "its colour mode La has no conversion to RGB"),
    ],
)
def test_pillow_images_without_a_clear_meaning_are_refused(image: Image.Image, reason: str) -> None:
    with pytest.raises(ImageError, match=r"^picture: ") as failure:
        read_image(image)
    assert reason in str(failure.value)


def test_a_name_of_two_lines_still_makes_a_message_of_one() -> None:
    with pytest.raises(ImageError) as failure:
        read_image("no\nsuch.png")
    assert str(failure.value) == "'no\\nsuch.png': no such file; check the path"


@pytest.mark.parametrize(
    "kind",
    ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "ICO", "JPEG2000", "TGA", "GIF clip", "PNG clip", "WEBP clip"],
)
def test_damaged_files_are_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = (Image.fromarray(each) for each in rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    more = {"save_all": True, "append_images": [second]} if "clip" in kind else {}
    whole = encode(first, kind.removesuffix(" clip"), **more)
    path = tmp_path / "damaged"
    for _ in range(150):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for _ in range(rng.integers(0, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        message = None
        try:
            pixels, _ = read(path)
        except ImageError as error:
            message = str(error)
        if message is None:
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
        else:
            assert message.startswith(f"{path}: ")
            assert "\n" not in message


def deep(folder: Path, values: np.ndarray, suffix: str = "tif") -> Path:
    """Written by OpenCV, which keeps 16 bits and floats of any number of bands; OpenCV 4 needs to be told to."""
    path = folder / f"deep.{suffix}"
    bands = values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]
    exactly = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == "tif" else []
    assert cv2.imwrite(str(path), bands, exactly)
    return path


SATELLITE = np.random.default_rng(0).integers(0, 3061, (20, 30, 3)).astype(np.uint16)


def test_what_uses_little_of_its_range_is_told_and_otherwise_read_as_ever(tmp_path: Path) -> None:
    for values in (SATELLITE, SATELLITE[..., 0], SATELLITE[..., 0] / np.float32(65_535)):
        pixels, told = read(deep(tmp_path, values))
        assert pixels.max() <= 12
        (text,) = told  # of colours Pillow gives the upper 8 bits alone
        assert re.search(r"deep\.tif: its values use 4\.[37]% of their range, .* flat picture: range=\"auto\"", text)
    for values in (SATELLITE * 21, np.zeros_like(SATELLITE), (SATELLITE * 21)[..., 0]):
        assert read(deep(tmp_path, values))[1] == []


@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_range_is_stretched_over_all_levels(tmp_path: Path, suffix: str, grey: bool) -> None:
    values = SATELLITE[..., 0] if grey else SATELLITE
    path = deep(tmp_path, values, suffix)
    low, high = np.percentile(values, (2, 98))
    for wanted, black, white in (("auto", low, high), ("500,2500", 500, 2500), ((0, 65_535), 0, 65_535)):
        pixels, told = read(path, range=wanted)
        expected = np.rint(((values.astype(np.float64) - black) / (white - black)).clip(0, 1) * 255)
        expected = np.dstack([expected] * 3) if grey else expected
        assert np.abs(pixels - expected).max() <= 1  # single precision at a half
        assert told == []
    array, _ = read(values, range="auto")
    np.testing.assert_array_equal(array, read(path, range="auto")[0])


def tiff(values: np.ndarray, orientation: int) -> bytes:
    """RGB of 16 bits with an orientation, by the specification of TIFF 6.0."""
    height, width, bands = values.shape
    body = values.tobytes()
    tags = [(256, width), (257, height), (258, 8 + len(body)), (259, 1), (262, 2), (273, 8), (274, orientation)]
    tags += [(277, bands), (278, height), (279, len(body))]
    entries = b"".join(struct.pack("<HHII", tag, 3, 3 if tag == 258 else 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 14 + len(body)) + body + struct.pack("<3H", 16, 16, 16) + directory


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_range_leaves_the_picture_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    values = np.arange(20 * 30 * 3).reshape(20, 30, 3).astype("<u2") * 36
    if kind == "PNG":
        data = deep(tmp_path, values, "png").read_bytes()
        exif = Image.Exif()
        exif[0x0112] = orientation
        body = exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
        data = data[:33] + chunk + data[33:]
    else:
        data = tiff(values, orientation)
    plain, stretched = read_image(data), read_image(data, range="0,65535")
    assert plain.shape == ((20, 30, 3) if orientation < 5 else (30, 20, 3))
    assert np.abs(plain.astype(int) - stretched).max() <= 1


def test_ordinary_pictures_are_the_same_in_every_range(colours: np.ndarray) -> None:
    for source in (colours, encode(Image.fromarray(colours)), encode(Image.fromarray(colours[..., 0]), "TIFF")):
        for wanted in ("auto", "0,10"):
            np.testing.assert_array_equal(read_image(source, range=wanted), read_image(source))


def test_floats_and_signed_numbers_are_read_where_they_are_numbers(tmp_path: Path) -> None:
    floats = SATELLITE.astype(np.float32) - 100
    with pytest.raises(ImageError, match=r"must lie in \[0, 1\], got -100 to .*, or give the range: range=\"auto\""):
        read_image(deep(tmp_path, floats))
    expected = read(SATELLITE, range="auto")[0].astype(int)
    assert np.abs(read(deep(tmp_path, floats), range="auto")[0] - expected).max() <= 1
    floats[0, 0] = np.nan
    floats[0, 1] = np.inf
    pixels, told = read(deep(tmp_path, floats), range="auto")
    assert pixels[0, :2].tolist() == [[0, 0, 0], WHITE]
    assert told[0].endswith("deep.tif: 0.3% of its values are NaN or infinite; NaN becomes black")
    signed = SATELLITE.astype(np.int16)
    np.testing.assert_array_equal(read(deep(tmp_path, signed))[0], read(SATELLITE)[0])
    assert np.abs(read(deep(tmp_path, signed - 100), range="auto")[0] - expected).max() <= 1
    with pytest.raises(ImageError, match=r"have no known white; .* or give the range"):
        read_image(deep(tmp_path, signed - 100))
    assert read(deep(tmp_path, SATELLITE / 3060.0))[0].mean() == pytest.approx(127.5, abs=4)


@pytest.mark.parametrize("wanted", ["", "best", "1", "5,5", "9,1", "a,b", "nan,1", "0,inf", (3, 1)])
def test_a_range_that_is_none_is_told_how_to_be_written(wanted: object, colours: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"^range .*: give full, auto, or LOW,HIGH"):
        read_image(colours, range=wanted)


def test_a_band_of_infrared_that_is_marked_as_transparency_is_left_out() -> None:
    bands = np.random.default_rng(0).integers(20, 130, (16, 16, 4), np.uint8)
    pixels, told = read(encode(Image.fromarray(bands), "TIFF"))
    np.testing.assert_array_equal(pixels, bands[..., :3])
    assert "marked as transparency, but has" in told[0]
    # A soft mask has opaque or transparent pixels, and in a PNG the fourth band is nothing else.
    for change, kind in ((0, "TIFF"), (255, "TIFF"), (50, "PNG")):
        bands[0, 0, 3] = change
        pixels, told = read(encode(Image.fromarray(bands), kind))
        expected = np.array(Image.alpha_composite(Image.new("RGBA", (16, 16), "white"), Image.fromarray(bands)))
        np.testing.assert_array_equal(pixels, expected[..., :3])
        assert told == []


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_without_its_end_marker_is_read_and_one_that_lacks_rows_is_not(mode: str, progressive: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 61, 3), np.uint8)
    data = encode(Image.fromarray(pixels).convert(mode), "JPEG", progressive=progressive)
    whole = read_image(data)
    for tail in (data[:-2], data[:-1], data[:-2] + bytes(1000)):
        pixels, told = read(tail)
        np.testing.assert_array_equal(pixels, whole)
        assert told == [] or "the file has no end marker" in told[0]  # to Pillow, some zeros are as good
        assert told or tail.endswith(b"\0")
    for lost in (30, len(data) // 10, len(data) // 3):
        for padding in (b"", bytes(lost + 5000)):
            with pytest.raises(ImageError, match="damaged or incomplete"):
                read_image(data[:-lost] + padding)


def heic(image: Image.Image, orientation: int = 1) -> bytes:
    pytest.importorskip("pillow_heif", reason="the optional library for HEIC is not installed").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    return encode(image, "HEIF", quality=95)


@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_heic_is_read_upright(orientation: int, tmp_path: Path) -> None:
    ramp = np.dstack(np.broadcast_arrays(np.arange(0, 256, 2)[None], np.arange(0, 256, 4)[:, None], 128))
    upright = Image.fromarray(ramp.astype(np.uint8))
    undo = {1: None, 2: 0, 3: 3, 6: 2, 8: 4}[orientation]  # what the camera did, as Image.Transpose
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    (tmp_path / "IMG_0001.HEIC").write_bytes(heic(stored, orientation))
    pixels = read_image(tmp_path / "IMG_0001.HEIC")
    assert pixels.shape == ramp.shape
    assert np.abs(pixels.astype(int) - ramp).mean() < 4


def test_heic_without_the_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    with pytest.raises(ImageError, match=r'pip install "groundkit-vision\[heic\]", or convert the picture to JPEG$'):
        read_image(b"\0\0\0\x18ftypheic" + bytes(100))


def test_threads_that_read_leave_the_warnings_of_others_alone(colours: np.ndarray) -> None:
    data = encode(Image.fromarray(colours))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read_image(data) for _ in range(30)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_half_a_file_is_refused(kind: str, colours: np.ndarray) -> None:
    large = Image.fromarray(colours).resize((64, 64))
    data = encode(large, kind)
    with pytest.raises(ImageError, match=r"^picture given as bytes: .*; (save or download|convert)"):
        read_image(data[: len(data) // 2])


def test_reading_writes_nothing(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.fromarray(colours)))
    before = path.stat()
    read_image(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_media_needs_no_torch() -> None:
    code = "import sys, groundkit.media.images, groundkit.media.inputs; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
