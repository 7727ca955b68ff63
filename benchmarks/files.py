"""What it costs to draw and write a result: seconds of one processor and MiB of each file, and of ways to encode it.

    python benchmarks/files.py [PICTURE] [--megapixels 12] [--encoders]

The picture, by default a sample, is tiled to the size at its own resolution, so that it is as rough as a photograph;
the mask is a wavy ellipse in the middle of it. With --encoders each kind of file is also written by Pillow and OpenCV
at every level of compression and with every strategy and filter that could be chosen.
"""

import argparse
import io
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from groundkit.media.images import read_image
from groundkit.outputs.formats.png import grey_of
from groundkit.results import Grounding

SAMPLE = Path(__file__).parents[1] / "samples" / "photo_desk.jpg"
PILLOW = {"default": zlib.Z_DEFAULT_STRATEGY, "filtered": zlib.Z_FILTERED, "rle": zlib.Z_RLE}
OPENCV = {"default": cv2.IMWRITE_PNG_STRATEGY_DEFAULT, "rle": cv2.IMWRITE_PNG_STRATEGY_RLE}
FILTERS = {"none": cv2.IMWRITE_PNG_FILTER_NONE, "sub": cv2.IMWRITE_PNG_FILTER_SUB, "up": cv2.IMWRITE_PNG_FILTER_UP}


def make_grounding(path: Path, megapixels: float) -> Grounding:
    """A result on a picture of that size."""
    tile = read_image(path)
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    image = np.tile(tile, (-(-height // len(tile)), -(-width // tile.shape[1]), 1))[:height, :width]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    mask = (x / 0.5) ** 2 + (y / 0.7) ** 2 < 1 + 0.1 * np.sin(9 * np.arctan2(y, x))
    cells = np.random.default_rng(0).random((16, 16), np.float32) ** 3
    heat = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    score, box = np.ones(1, np.float32), np.array([[0, 0, width, height]], np.float32)
    point = np.array([[width / 2, height / 2, 1]], np.float32)
    return Grounding(np.ascontiguousarray(image), "the cup", mask[None], score, box, point, heat, "refam", "none", 0.0)


def tell(name: str, work: Callable[[], int]) -> None:
    """Print what a piece of work takes, the best of three, and the size that it returns."""
    spent = []
    for _ in range(3):
        started = time.process_time()
        size = work()
        spent.append(time.process_time() - started)
    print(f"{name:40} {min(spent):7.3f} s {size / 2**20:7.2f} MiB", flush=True)


def with_pillow(picture: np.ndarray[Any, Any], level: int, strategy: str) -> int:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=level, compress_type=PILLOW[strategy])
    return len(file.getvalue())


def with_opencv(picture: np.ndarray[Any, Any], level: int, strategy: str, filtered: str) -> int:
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    choice = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_STRATEGY, OPENCV[strategy]]
    return len(cv2.imencode(".png", picture, [*choice, cv2.IMWRITE_PNG_FILTER, FILTERS[filtered]])[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--encoders", action="store_true", help="also compare ways to encode")
    options = parser.parse_args()
    grounding = make_grounding(options.picture, options.megapixels)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("png", "overlay", "heatmap", "cutout"):
            path = Path(folder) / f"{kind}.png"
            tell(f"save {kind}", lambda path=path, kind=kind: grounding.save(path, kind)[0].stat().st_size)
        drawn = {
            kind: np.asarray(Image.open(Path(folder) / f"{kind}.png")) for kind in ("overlay", "heatmap", "cutout")
        }
    drawn["mask"] = grey_of(grounding.masks[0])
    for kind, picture in drawn.items() if options.encoders else ():
        for strategy in PILLOW:
            for level in range(1, 7):
                name = f"{kind}: Pillow, {strategy}, level {level}"
                tell(name, lambda p=picture, n=level, s=strategy: with_pillow(p, n, s))
        for strategy in OPENCV:
            for filtered in FILTERS:
                name = f"{kind}: OpenCV, {strategy}, {filtered}, level 1"
                tell(name, lambda p=picture, s=strategy, f=filtered: with_opencv(p, 1, s, f))


if __name__ == "__main__":
    main()
