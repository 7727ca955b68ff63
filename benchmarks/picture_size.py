"""What a large picture costs in seconds and memory, and what choosing masks at a bounded size changes.

python benchmarks/picture_size.py [--methods refam vlsam discover] [--megapixels 1 12 48] [--json]
python benchmarks/picture_size.py --cases CASES.jsonl [--enlarge 8] [--limit 20] [--methods refam vlsam]

Costs: a sample is enlarged, each method and size runs in a process of its own, and the model has been warmed up on the
small sample. Memory is on top of the loaded pipeline (benchmarks/memory.py), reading included; "kept" is what twenty
results hold beside the picture, counted array by array. With --cases, masks at the default ``max_mask_side`` are
compared with those at the full size (0), on each case's picture, enlarged by a factor, and both with the truth.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from memory import in_fresh_process, peak_mib
from PIL import Image

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "scene_1.png"
PHRASES = ["the red cup", "the red heart"]


def measure(method: str, megapixels: float) -> dict[str, float]:
    """Seconds of reading, of a first and a further phrase (or of ``discover``), the peak, and what 20 results keep."""
    import groundkit
    from groundkit.media.images import read_image

    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = width, round(width * 3 / 4)
    pipeline: Any = groundkit.load("vlsam" if method == "discover" else method, device="cpu")
    told: dict[str, float] = {}

    def run(file: Path) -> object:
        started = time.perf_counter()
        image = read_image(file)
        told["read"] = time.perf_counter() - started
        if method == "discover":
            found = pipeline.discover(image)
            told["discover"], told["objects"] = found.seconds, len(found.labels)
            return found
        results = []
        for index, phrase in enumerate(pipeline.ground(image, [PHRASES[index % 2] for index in range(20)])):
            if index == 0:
                told["first"] = time.perf_counter() - started - told["read"]
            results.append(phrase)
        told["second"] = statistics.median(each.seconds for each in results[1:])
        told["kept MiB"] = kept_bytes(results, image) / 2**20
        return results

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.jpg"
        with Image.open(SAMPLE) as sample:
            sample.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(file, quality=92)
        small = read_image(SAMPLE)
        pipeline.discover(small) if method == "discover" else pipeline(small, PHRASES[0])
        told["peak MiB"] = peak_mib(lambda: run(file))
    return told


def kept_bytes(found: object, picture: np.ndarray) -> int:
    """Bytes of all arrays, tensors and texts that objects hold, each once, beside a picture."""
    import torch

    seen: dict[int, int] = {}
    owners: list[object] = [found]
    visited: set[int] = set()
    while owners:
        each = owners.pop()
        if id(each) in visited:
            continue
        visited.add(id(each))
        if isinstance(each, np.ndarray):
            base = each
            while isinstance(base.base, np.ndarray):
                base = base.base
            if base is not picture:
                seen[base.__array_interface__["data"][0]] = base.nbytes
        elif isinstance(each, torch.Tensor):
            storage = each.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        elif isinstance(each, str | bytes):
            seen[id(each)] = len(each)
        elif isinstance(each, dict):
            owners += each.values()
        elif isinstance(each, list | tuple | set | frozenset):
            owners += each
        elif type(each).__module__.startswith("groundkit") and hasattr(each, "__dict__"):
            owners += vars(each).values()
    return sum(seen.values())


def compare(method: str, cases: Path, enlarge: float, limit: int) -> Iterator[dict[str, Any]]:
    """Each case's IoU of the bounded with the full size, and of both with the truth."""
    import groundkit
    from groundkit.masks.geometry import mask_iou
    from groundkit.media.images import read_image

    pipeline: Any = groundkit.load(method, device="cpu")
    rows = [json.loads(line) for line in cases.read_text().splitlines()]
    rows = [row for row in rows if row.get("mask")]
    for row in rows[:: max(1, len(rows) // limit)][:limit]:
        image, truth = (read_image(cases.parent / row[name]) for name in ("image", "mask"))
        size = tuple(round(side * enlarge) for side in image.shape[1::-1])
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        there = np.asarray(Image.fromarray(truth).resize(size, Image.Resampling.NEAREST))[..., 0] > 127
        bounded = pipeline(image, row["phrase"])
        full = pipeline(image, row["phrase"], config={"max_mask_side": 0})
        at = [[there[int(y), int(x)] for x, y, label in each.points[:1]] == [True] for each in (bounded, full)]
        yield {
            "phrase": row["phrase"],
            "image": row["image"],
            "iou": mask_iou(bounded.mask, full.mask),
            "area": float(full.mask.mean()),
            "truth": [mask_iou(each.mask, there) for each in (bounded, full)],
            "point": at,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["refam", "vlsam", "discover"])
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1, 12])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--enlarge", type=float, default=8)
    parser.add_argument("--limit", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.cases:
        for method in (each for each in arguments.methods if each != "discover"):
            rows = []
            for row in compare(method, arguments.cases, arguments.enlarge, arguments.limit):
                rows.append(row)
                if row["iou"] < 0.95:
                    area = f"{100 * row['area']:.2f} % of the picture"
                    print(f"  {row['image']} {row['phrase']!r}: {row['iou']:.3f}, {area}", flush=True)
            ious = [row["iou"] for row in rows]
            truth = np.mean([row["truth"] for row in rows], axis=0)
            point = np.mean([row["point"] for row in rows], axis=0)
            print(
                f"{method}: {len(rows)} cases, IoU with the full size {np.mean(ious):.4f}, lowest {min(ious):.3f}; "
                f"mIoU {truth[0]:.4f} and at full size {truth[1]:.4f}; points {point[0]:.3f} and {point[1]:.3f}",
                flush=True,
            )
        return
    for method in arguments.methods:
        for megapixels in arguments.megapixels:
            told: Any = in_fresh_process(measure, method, megapixels)
            line = {"method": method, "megapixels": megapixels, **{key: round(told[key], 3) for key in told}}
            text = ", ".join(f"{key} {value:g}" for key, value in line.items() if key not in ("method", "megapixels"))
            print(json.dumps(line) if arguments.json else f"{method:9s} {megapixels:5g} MP: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
