"""What each part of RefAM is worth: the paper's ablation rows (magnets, noun phrase, spatial bias) with any model.

python benchmarks/ablation.py runs/cases/cases.jsonl [--seeds 3] [--model nano] [--json]

Each row is the mean over noise seeds; the interval is a 95 % bootstrap over cases of that mean. "PA" is point accuracy.
The last row is the model's plain cross-attention. Each picture is encoded once for all rows and seeds, and rows that
read the same text share its attention.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

import groundkit
from groundkit.evaluation.pictures.cases import group_by_image, read_cases, read_mask
from groundkit.media.images import read_image
from groundkit.models.options import ReadOptions
from groundkit.pipelines.ensemble import EmbeddedOnce
from groundkit.pipelines.refam import PRESETS, RefAM, read_config

OFF: dict[str, dict[str, Any]] = {
    "magnets": {"magnets": ()},
    "noun phrase": {"kept_words": "content"},
    "spatial bias": {"stages": "-places"},
}
ROWS = [
    ("magnets", "noun phrase", "spatial bias"),
    ("noun phrase", "spatial bias"),
    ("magnets", "noun phrase"),
    ("magnets", "spatial bias"),
    ("noun phrase",),
    (),
]


class ReadOnce:
    """A diffusion model that does nothing twice for one picture: rows that differ in what they keep share a reading."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._image: Any = None
        self._known: dict[Any, Any] = {}

    def encode(self, frames: npt.NDArray[np.uint8]) -> Any:
        if self._image is None or not np.array_equal(self._image, frames):
            self._image, self._known = frames, {}
        return self._once("image", self._inner.encode, frames)

    def encode_text(self, pieces: Any, plain: str) -> Any:
        return self._once((plain, *map(tuple, pieces)), self._inner.encode_text, pieces, plain)

    def read_attention(self, clip: Any, text: Any, options: ReadOptions) -> Any:
        return self._once((id(text), options), self._inner.read_attention, clip, text, options)

    def _once(self, key: Any, make: Callable[..., Any], *arguments: Any) -> Any:
        if key not in self._known:
            self._known[key] = make(*arguments)
        return self._known[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def interval(per_case: npt.NDArray[np.float64]) -> dict[str, float]:
    """Mean over cases and its 95 % bootstrap interval."""
    generator = np.random.default_rng(0)
    means = per_case[generator.integers(len(per_case), size=(2000, len(per_case)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return {"value": round(float(per_case.mean()), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    loaded = groundkit.load(model=arguments.model, segmenter=arguments.segmenter)
    model: Any = ReadOnce(loaded.diffusion)
    segmenter = EmbeddedOnce(loaded.segmenter)
    pipelines: dict[str, RefAM] = {}
    for kept in ROWS:
        settings = {k: v for part, off in OFF.items() if part not in kept for k, v in off.items()}
        pipelines[" + ".join(kept) or "none of them"] = RefAM(model, segmenter, read_config(settings))
    pipelines["cross-attention"] = RefAM(model, segmenter, read_config(PRESETS["cross-attention"]))

    # Per row: each case's IoU and hit, averaged over seeds.
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    cases = read_cases(arguments.cases)[: arguments.limit]
    for path, group in track(group_by_image(cases).items(), console=Console(stderr=True)):
        image = read_image(path)
        for case in group:
            truth = read_mask(case, *image.shape[:2])
            for name, pipeline in pipelines.items():
                runs = []
                for seed in range(arguments.seeds):
                    (found,) = pipeline.ground(image, [case.phrase], seed=1000 * seed)
                    assert isinstance(found, groundkit.Grounding), found
                    x, y, _ = found.points[0].astype(int)
                    overlap, union = (found.mask & truth).sum(), (found.mask | truth).sum()
                    runs.append((overlap / union if union else 1.0, float(truth[y, x])))
                scores[name].append(tuple(np.mean(runs, axis=0)))

    report = {
        name: {"miou": interval(np.array(values)[:, 0]), "point_accuracy": interval(np.array(values)[:, 1])}
        for name, values in scores.items()
    }
    if arguments.json:
        print(json.dumps({"n": len(cases), "seeds": arguments.seeds, "rows": report}, indent=2))
        return
    table = Table("kept", "PA", "mIoU", title=f"{len(cases)} cases, {arguments.seeds} seeds")
    for name, row in report.items():
        table.add_row(name, *(f"{row[k]['value']:.3f} [{row[k]['low']:.3f}, {row[k]['high']:.3f}]" for k in
                              ("point_accuracy", "miou")))  # fmt: skip
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
