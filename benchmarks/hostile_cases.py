"""What ``hostile.py`` gives to groundkit: pictures, videos, models and texts that are broken on purpose.

Every case depends on its kind and number alone. Inputs are made from the embedded samples and models.
"""

import io
import json
import os
import pickle
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

SAMPLES = Path(__file__).parents[1] / "samples"
NANO = Path(__file__).parents[1] / "weights" / "nano"
SCENE = SAMPLES / "scene_1.png"
QUIET = ["-q", "-o", "out"]

# (ending, Pillow's format, mode, options)
PICTURES: list[tuple[str, str, str, dict[str, object]]] = [
    *((".png", "PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
    *((".jpg", "JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
    (".jpg", "JPEG", "RGB", {"progressive": True}),
    *((".tif", "TIFF", mode, {}) for mode in ("RGB", "RGBA", "L", "1", "CMYK", "I;16", "F", "P")),
    *((".tif", "TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
    *((".webp", "WEBP", mode, {"lossless": mode == "RGBA"}) for mode in ("RGB", "RGBA")),
    *((f".{name.lower()}", name, "RGB", {}) for name in ("BMP", "TGA", "PPM", "PCX", "ICO", "AVIF")),
    *((".gif", "GIF", mode, {}) for mode in ("P", "L")),
    (".jp2", "JPEG2000", "RGB", {}),
    (".mpo", "MPO", "RGB", {"save_all": True}),
    *((f".{name.lower()}", name, "RGB", {"save_all": True, "duration": 50}) for name in ("GIF", "WEBP", "PNG")),
]
# (ending, encoder, pixel format)
VIDEOS = [
    *((ending, "libx264", "yuv420p") for ending in (".mp4", ".mkv", ".mov", ".ts", ".flv", ".h264", ".avi")),
    *((ending, "mpeg2video", "yuv420p") for ending in (".mpg", ".vob", ".m2v")),
    *((".avi", name, pixels) for name, pixels in (("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p"), ("ffv1", "bgr0"))),
    *((".webm", name, "yuv420p") for name in ("libvpx", "libvpx-vp9")),
    *((".mov", name, pixels) for name, pixels in (("qtrle", "argb"), ("prores_ks", "yuv422p10le"), ("png", "rgba"))),
    (".wmv", "wmv2", "yuv420p"),
    (".y4m", "wrapped_avframe", "yuv420p"),
]
_LARGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFF, 0x8000, 100_000, 30_000, 1, 0)


@cache
def picture(index: int) -> bytes:
    """A sample of one kind."""
    _, kind, mode, options = PICTURES[index]
    image = Image.open(SCENE).convert("RGB").resize((96, 80))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    more = {"append_images": [image.rotate(90), image.rotate(180)]} if "save_all" in options else {}
    buffer = io.BytesIO()
    image.save(buffer, kind, **options, **more)
    return buffer.getvalue()


@cache
def video(index: int, folder: Path) -> bytes:
    """Six frames of a scene that moves, of one kind."""
    ending, codec, pixels = VIDEOS[index]
    path = folder / f"video{index}{ending}"
    scene = np.asarray(Image.open(SCENE).convert("RGB").resize((96, 80)))
    options = {"strict": "experimental"} if codec == "wrapped_avframe" else {}
    with av.open(str(path), "w", options=options) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 80, 96, pixels
        for number in range(6):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(scene, 3 * number, axis=1)), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame.reformat(format=pixels)))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    return data


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One or two changes: cut, flipped, overwritten, doubled, taken out, or a number of the header that lies."""
    for _ in range(chance.choice((1, 1, 2))):
        data = chance.choice(_MUTATIONS)(bytearray(data), chance)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(len(data) + 1)])


def _flip(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 3, 20, 200)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _overwrite(data: bytearray, chance: random.Random) -> bytes:
    place, length = chance.randrange(len(data) + 1), chance.choice((4, 64, 1000))
    data[place : place + length] = bytes(length) if chance.random() < 0.5 else chance.randbytes(length)
    return bytes(data)


def _double(data: bytearray, chance: random.Random) -> bytes:
    place, length = chance.randrange(len(data) + 1), chance.choice((188, 1000, len(data)))
    return bytes(data[: place + length] + data[place:])


def _take_out(data: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return bytes(data[:place] + data[place + chance.choice((1, 16, 188, 1000)) :])


def _lie(data: bytearray, chance: random.Random) -> bytes:
    """Write a large number where sizes use to stand; the sums of a PNG's chunks are made good."""
    if data[:4] == b"\x89PNG" and len(data) > 33:
        data[16:24] = struct.pack(">2I", *(chance.choice((*_LARGE, 20_000, 96)) for _ in range(2)))
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        return bytes(data)
    order, width = chance.choice("<>"), chance.choice("HI")
    place = chance.randrange(min(len(data), chance.choice((32, 64, 512))) + 1)
    value = struct.pack(order + width, chance.choice(_LARGE) & (0xFFFF if width == "H" else 0xFFFFFFFF))
    data[place : place + len(value)] = value
    return bytes(data)


_MUTATIONS: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _cut,
    _flip,
    _overwrite,
    _double,
    _take_out,
    _lie,
)


def media_case(number: int, folder: Path, cache_folder: Path) -> list[str]:
    """A picture or video in ``folder``; returns the command."""
    chance = random.Random(f"media {number}")
    index = number % (len(PICTURES) + len(VIDEOS))
    if index < len(PICTURES):
        ending, data = PICTURES[index][0], picture(index)
    else:
        ending, data = VIDEOS[index - len(PICTURES)][0], video(index - len(PICTURES), cache_folder)
    if chance.random() < 0.05:
        ending = chance.choice((".png", ".jpg", ".mp4", ".tif", ".dat", ""))
    path = folder / f"input{ending}"
    path.write_bytes(mutated(data, chance))
    given = chance.choice((path.name, path.name, ".")) if ending else path.name
    if index >= len(PICTURES) or chance.random() < 0.1:
        return ["follow", given, "the red ball", "--max-frames", "4", *QUIET]
    wanted = [] if chance.random() < 0.8 else ["--range", chance.choice(("auto", "0,3000"))]
    if chance.random() < 0.04:
        return ["discover", given, "--pipeline", "vlsam", *wanted, *QUIET]
    return ["segment", given, "the red cup", "-f", "png", "-f", "json", "-f", "coco", *wanted, *QUIET]


class Evil:
    """Runs a command when it is unpickled by a reader that trusts it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def model_case(number: int, folder: Path, canary: Path) -> list[str]:
    """A broken copy of one of nano's models in ``folder``; returns the command that loads it."""
    chance = random.Random(f"model {number}")
    part = ("flux", "llava", "sam")[number % 3]
    model = folder / "model"
    shutil.copytree(NANO / part, model)
    files = sorted(path for path in model.rglob("*") if path.is_file())
    weights = [path for path in files if path.suffix == ".safetensors"]
    texts = [path for path in files if path.suffix == ".json"]
    what = chance.choice(("missing", "cut", "flip", "swap", "json", "json", "header", "header", "pickle", "pickle"))
    if what == "missing":
        chance.choice(files).unlink()
    elif what == "cut":
        path = chance.choice(files)
        path.write_bytes(_cut(bytearray(path.read_bytes()), chance))
    elif what == "flip":
        path = chance.choice(texts)
        path.write_bytes(_flip(bytearray(path.read_bytes()), chance))
    elif what == "swap":
        first, second = chance.sample(weights, 2) if len(weights) > 1 else chance.sample(files, 2)
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)
    elif what == "json":
        path = chance.choice(texts)
        path.write_text(json.dumps(changed(json.loads(path.read_text()), chance)))
    elif what == "header":
        _change_header(chance.choice(weights), chance)
    else:
        path = chance.choice(weights)
        names = {"model": "pytorch_model.bin", "diffusion_pytorch_model": "diffusion_pytorch_model.bin"}
        evil = path.with_name(names.get(path.stem, f"{path.stem}.bin"))
        path.unlink()
        evil.write_bytes(pickle.dumps({"weight": Evil(canary)}))
        if part == "sam" and chance.random() < 0.5:
            evil.rename(folder / "sam_vit_b.pth")
            return ["segment", str(SCENE), "the red cup", "--segmenter", "sam_vit_b.pth", *QUIET]
    if part == "sam":
        return ["segment", str(SCENE), "the red cup", "--segmenter", "model", "--offline", *QUIET]
    if part == "llava":
        return [
            "discover",
            str(SCENE),
            "--pipeline",
            "vlsam",
            "--model",
            "model",
            "--segmenter",
            "nano",
            "--offline",
            *QUIET,
        ]
    return ["segment", str(SCENE), "the red cup", "--model", "model", "--segmenter", "nano", "--offline", *QUIET]


def changed(tree: object, chance: random.Random) -> object:
    """A JSON value with one value of it replaced, or one key taken out."""
    places = [
        (tree, key) for tree in _containers(tree) for key in (tree if isinstance(tree, dict) else range(len(tree)))
    ]
    if not places:
        return tree
    parent, key = chance.choice(places)
    if isinstance(parent, dict) and chance.random() < 0.3:
        del parent[key]
    else:
        parent[key] = chance.choice(
            (None, -1, 0, 1, 7, 10**6, 10**12, 1e308, "", "../../x", "no", [], {}, True, [1, 2])
        )
    return tree


def _containers(tree: object) -> list:
    found = [tree] if isinstance(tree, dict | list) else []
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return found + [each for child in children for each in _containers(child)]


def _change_header(path: Path, chance: random.Random) -> None:
    """A safetensors file whose header lies of types, shapes or places, or of its own length."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if chance.random() < 0.2:
        path.write_bytes(struct.pack("<Q", chance.choice((0, 2**62, 2**31, len(data) * 2))) + data[8:])
        return
    name = chance.choice([name for name in header if name != "__metadata__"])
    entry = header[name]
    kind = chance.choice(("dtype", "shape", "places", "name", "gone"))
    if kind == "dtype":
        entry["dtype"] = chance.choice(("F16", "BF16", "F64", "I8", "BOOL", "X"))
    elif kind == "shape":
        entry["shape"] = chance.choice(([10**9, 10**9], [-1], [0], [*entry["shape"], 1], entry["shape"][::-1]))
    elif kind == "places":
        entry["data_offsets"] = chance.choice(([0, 2**60], [5, 1], [0, 0]))
    elif kind == "name":
        header["other"] = header.pop(name)
    else:
        del header[name]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


TEXTS = {
    "list.csv": b'input,phrase\na.png,the red cup\n"b.png","the cup, red"\n*.png,hat\n',
    "list.jsonl": b'{"input": "a.png", "phrase": "the red cup"}\n{"input": "b.png", "phrase": "hat"}\n',
    "config.toml": b'max_peaks = 2\nlayers = "0-0"\nmagnets = ["a", "the"]\nnoise_level = 0.3\n',
    "config.json": b'{"max_peaks": 2, "layers": "0-0", "magnets": ["a", "the"], "noise_level": 0.3}',
    "names.txt": b"cup\nhat\nglasses\nteddy bear\n",
    "manifest.jsonl": b"",
}
_LETTERS = (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"\n",
    b"{",
    b"]",
    b"\\",
    b"\xe2\x80\xa8",
    b"../../",
    b"~",
    b"*" * 50,
)


def text_case(number: int, folder: Path, manifest: Path) -> list[str]:
    """A broken list, configuration, vocabulary or manifest; ``manifest`` is the output of a whole batch of a and b."""
    chance = random.Random(f"text {number}")
    name = sorted(TEXTS)[number % len(TEXTS)]
    for each in "ab":
        shutil.copy(SAMPLES / f"scene_{1 + (each == 'b')}.png", folder / f"{each}.png")
    data = TEXTS[name] or (manifest / name).read_bytes()
    how = chance.choice(("bytes", "letters", "values", "values", "encoding", "deep"))
    if how == "values" and name.endswith((".json", ".jsonl")):
        lines = [changed(json.loads(line), chance) for line in data.decode().splitlines()]
        data = "\n".join(map(json.dumps, lines)).encode() + b"\n"
    elif how == "encoding":
        text = data.decode() + "été"
        data = text.encode(chance.choice(("utf-16", "utf-8-sig", "latin-1", "utf-32", "utf-7")))
    elif how == "deep":
        data = chance.choice((b"[", b'{"a":', b"a = [")) * chance.choice((500, 100_000))
    elif how == "letters":
        for _ in range(chance.choice((1, 5))):
            place = chance.randrange(len(data) + 1)
            data = data[:place] + chance.choice(_LETTERS) + data[place:]
    else:
        data = mutated(data, chance)
    if name == "manifest.jsonl":
        shutil.copytree(manifest, folder / "out")
        (folder / "out" / name).write_bytes(data)
        return ["batch", "a.png", "b.png", "-p", "the red cup", "-f", "png", *QUIET]
    (folder / name).write_bytes(data)
    if name.startswith("list"):
        return ["batch", "--list", name, "-f", "png", *QUIET]
    if name.startswith("config"):
        return ["segment", "a.png", "the red cup", "--config", name, *QUIET]
    return ["discover", "a.png", "--pipeline", "vlsam", "--vocabulary", name, *QUIET]
