import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import ImageError
from groundkit.media.images import read_image

RED, WHITE = [255, 0, 0], [255, 255, 255]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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
        np.testing.assert_array_equal(read_image(data), np.full((2, 3, 3), RED))


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
        f"{path}: more pixels than the limit of 178,956,970; make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"
    )
    with pytest.raises(ImageError) as failure:
        read_image(path)
    assert str(failure.value) == expected


def test_up_to_the_limit_there_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    assert read_image(encode(Image.new("RGB", (10, 10)))).shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty; save or download it again"),
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
        (np.full((2, 2), np.nan), "must lie in [0, 1]"),
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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "ICO", "JPEG2000", "TGA"])
def test_damaged_files_are_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = encode(Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)), kind)
    path = tmp_path / "damaged"
    for _ in range(150):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for _ in range(rng.integers(0, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        message = None
        try:
            pixels = read_image(path)
        except ImageError as error:
            message = str(error)
        if message is None:
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
        else:
            assert message.startswith(f"{path}: ")
            assert "\n" not in message


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
