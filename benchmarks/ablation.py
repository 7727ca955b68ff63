"""What each part of RefAM is worth: the paper's ablation rows (magnets, noun phrase, spatial bias) with any model.

python benchmarks/ablation.py runs/cases/cases.jsonl [--seeds 3] [--model nano] [--json]

Each row is the mean over noise seeds; the interval is a 95 % bootstrap over cases of that mean. "PA" is point accuracy.
The last row is the model's plain cross-attention. Each picture is encoded once for all rows and seeds.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

import groundkit
from groundkit.evaluation.cases import group_by_image, read_cases, read_mask
from groundkit.media.images import read_image
from groundkit.pipelines.refam import PRESETS, RefAM, read_config

OFF: dict[str, dict[str, Any]] = {
    "magnets": {"magnets": ()},
    "noun phrase": {"noun_phrase": False},
    "spatial bias": {"spatial_bias": False},
}
ROWS = [
    ("magnets", "noun phrase", "spatial bias"),
    ("noun phrase", "spatial bias"),
    ("magnets", "noun phrase"),
    ("magnets", "spatial bias"),
    ("noun phrase",),
    (),
]


class Remembering:
    """A model or a segmenter that encodes the picture it has just seen only once."""

    def __init__(self, inner: Any, method: str) -> None:
        self._inner = inner
        self._encode = getattr(inner, method)
        self._last: tuple[int, Any] = (0, None)
        setattr(self, method, self._remember)

    def _remember(self, image: npt.NDArray[np.uint8]) -> Any:
        if self._last[0] != id(image):
            self._last = (id(image), self._encode(image))
        return self._last[1]

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
    model: Any = Remembering(loaded.diffusion, "encode_image")
    segmenter: Any = Remembering(loaded.segmenter, "embed")
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
