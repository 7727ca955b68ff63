"""Whether memory stays flat in a video's length: resident size after frame 1,000 and at the end. Linux only.

    python benchmarks/video_memory.py [--frames 10000] [--size 96 64] [--json]

A film of a textured square that circles over a textured ground is made on the fly and followed end to end by
``follow_video`` with the tracker that needs no weights: read, tracked, then read again and written as film, masks and
lines. The phrase is grounded by brightness, on the first frame alone: a model would add its weights to every figure and
nothing to their difference.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from groundkit.masks.geometry import boxes_of
from groundkit.media.videos import read_video
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import VideoPipeline
from groundkit.results import Grounding
from groundkit.run.follow import follow_video
from groundkit.tracking.optical_flow import OpticalFlowTracker

Pixels = npt.NDArray[np.uint8]


class Brightness(Pipeline):
    """A pipeline that finds the pixels brighter than 150."""

    name, model = "brightness", "none"

    def outcomes(self, image: Pixels, phrases: Sequence[str], *, seed: int = 0) -> Iterator[Grounding]:
        masks = (image.min(axis=-1) > 150)[None]
        ones, none = np.ones(1, np.float32), np.zeros((0, 3), np.float32)
        heat = np.zeros(image.shape[:2], np.float32)
        for phrase in phrases:
            yield Grounding(image, phrase, masks, ones, boxes_of(masks), none, heat, self.name, self.model, 0.0)


def film(frames: int, width: int, height: int) -> Iterator[Pixels]:
    generator = np.random.default_rng(0)
    side = height // 3
    ground = cv2.resize(generator.integers(0, 110, (height // 4, width // 4, 3), np.uint8), (width, height))
    square = cv2.resize(generator.integers(170, 256, (side // 3, side // 3, 3), np.uint8), (side, side))
    for index in range(frames):
        angle = 2 * np.pi * index / 120
        x = round((width - side) / 2 * (1 + 0.9 * np.cos(angle)))
        y = round((height - side) / 2 * (1 + 0.9 * np.sin(angle)))
        image = np.asarray(ground, dtype=np.uint8).copy()
        image[y : y + side, x : x + side] = square
        yield image


def resident() -> float:
    """MiB of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--early", type=int, default=1_000, help="the first frame at which memory is looked at")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 64), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    seen: dict[str, dict[int, float]] = {"following and writing": {}}
    done = 0
    console = Console(stderr=True)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        stage, frame = "following and writing", done
        if frame in (options.early, options.frames):
            seen[stage][frame] = resident()
        if frame % 500 == 0:
            console.print(f"{stage} {frame}: {resident():.1f} MiB")

    with tempfile.TemporaryDirectory() as folder:
        path = write_mp4(Path(folder) / "film.mp4", film(options.frames, *options.size), rate=25)
        started = time.perf_counter()
        pipeline = VideoPipeline(Brightness(), OpticalFlowTracker())
        found, *_ = follow_video(pipeline, read_video(path), "the square", Path(folder) / "out", advance=advance)
        seconds = time.perf_counter() - started
    figures = {
        "frames": len(found.frames),
        "seen": sum(bool(frame.mask.any()) for frame in found.frames),
        "grounded": sum(frame.grounded for frame in found.frames),
        "seconds": round(seconds, 1),
        "mib": seen,
        "growth_mib": {stage: values[options.frames] - values[options.early] for stage, values in seen.items()},
    }
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    title = (
        f"{figures['frames']} frames of {options.size[0]}x{options.size[1]}, object on {figures['seen']}, "
        f"{seconds:.0f} s"
    )
    table = Table(
        "MiB resident", f"after frame {options.early}", f"after frame {options.frames}", "growth", title=title
    )
    for stage, values in seen.items():
        early, late = values[options.early], values[options.frames]
        table.add_row(stage, f"{early:.1f}", f"{late:.1f}", f"{late - early:+.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
