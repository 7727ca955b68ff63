"""How the time grows with phrases, pixels, tokens, pictures and frames, drawn as one picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from goals import Machine

WIDTH, HEIGHT, MARGIN = 420, 300, 62


CURVES: tuple[tuple[str, str, str, dict[str, Any], Sequence[float], Sequence[float]], ...] = (
    ("phrases", "phrases on one picture", "count", {"method": "vlsam"}, (1, 3, 10, 30, 100), (1, 10, 100)),
    (
        "further_phrase",
        "megapixels, a further phrase",
        "megapixels",
        {"method": "vlsam"},
        (0.25, 1, 4, 12, 24, 48),
        (0.25, 4, 12),
    ),
    (
        "qwen_full_pass",
        "tokens, a pass of 2 layers of Qwen2.5-VL-3B",
        "tokens",
        {},
        (300, 1000, 2000, 4000, 16000),
        (300, 1000, 2000),
    ),
    (
        "batch",
        "pictures of 1 megapixel in a batch",
        "pictures",
        {"megapixels": 1.0},
        (1, 10, 50, 150, 500),
        (1, 10, 40),
    ),
    ("follow", "frames of a film, 480p", "frames", {"height": 480}, (10, 50, 200, 2000), (10, 30, 100)),
)
"""The case, a title, what is counted, further arguments, the numbers, and those of ``--quick``."""


class Curve(NamedTuple):
    """A title, and seconds by number."""

    title: str
    points: Sequence[tuple[float, float]]


def draw(machine: Machine, path: Path) -> None:
    """Measure all curves, and write the picture; sizes are smaller with ``--quick``."""
    curves = []
    for case, title, counted, more, sizes, few in CURVES:
        points = []
        for size in few if machine.quick else sizes:
            run = machine.now.case(case, machine.tries, **{counted: size}, **more)
            command = case in ("batch", "follow")
            if not command:
                run()
            points.append((size, statistics.median(run().seconds for _ in range(1 if command else 3))))
            print(f"{title}: {size:g}: {points[-1][1]:.3f} s", flush=True)
        curves.append(Curve(title, points))
    cv2.imwrite(str(path), cv2.cvtColor(picture(curves), cv2.COLOR_RGB2BGR))


def picture(curves: Sequence[Curve]) -> npt.NDArray[np.uint8]:
    """All curves beside each other, in logarithmic axes; a grey line has the slope of proportion."""
    rows = [np.hstack([panel(each) for each in curves[start : start + 3]]) for start in range(0, len(curves), 3)]
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows])


def panel(curve: Curve) -> npt.NDArray[np.uint8]:
    """One curve."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    xs, ys = (np.log10([point[axis] for point in curve.points]) for axis in (0, 1))
    low, high = min(ys.min(), ys.max() - 1), max(ys.max(), ys.min() + 1)

    def place(x: float, y: float) -> tuple[int, int]:
        across = (x - xs[0]) / max(xs[-1] - xs[0], 1e-9)
        up = (y - low) / (high - low)
        return round(MARGIN + across * (WIDTH - 2 * MARGIN)), round(HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN))

    def write(text: str, x: int, y: int) -> None:
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)

    end = ys[-1] - (xs[-1] - xs[0])
    cv2.line(image, place(xs[0], end), place(xs[-1], ys[-1]), (210, 210, 210), 1, cv2.LINE_AA)
    places = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    cv2.polylines(image, [np.array(places, np.int32)], False, (31, 90, 160), 2, cv2.LINE_AA)
    for (size, seconds), (x, y) in zip(curve.points, places, strict=True):
        cv2.circle(image, (x, y), 4, (31, 90, 160), -1, cv2.LINE_AA)
        write(f"{seconds:.3g} s", x - 18, y - 10)
        write(f"{size:g}", x - 10, HEIGHT - MARGIN + 22)
    write(curve.title, MARGIN // 2, 22)
    return image
