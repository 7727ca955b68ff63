"""How well a pipeline's evidence tells phrases for what is there from phrases for what is not.

    python benchmarks/absent.py runs/cases/cases.jsonl [--pipeline refam] [--model nano] [--limit N] [--json]
    python benchmarks/absent.py runs/cases/cases.jsonl --pipeline vlsam --model FOLDER [--segmenter nano]

Each case holds a phrase that is true of its picture and one, ``absent``, that is not (``weights/training/cases.py``).
AUROC is the share of (present, absent) pairs in which the present phrase has more evidence, with a 95 % bootstrap
interval over the pictures; also for each part of the evidence alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

import groundkit

Values = npt.NDArray[np.float64]


def auroc(present: Values, absent: Values) -> float:
    """Share of pairs in which ``present`` is larger; ties count half."""
    difference = present[:, None] - absent[None]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def interval(present: Values, absent: Values, samples: int = 1000) -> tuple[float, float, float]:
    generator = np.random.default_rng(0)
    values = []
    for _ in range(samples):
        rows = generator.integers(len(present), size=len(present))
        values.append(auroc(present[rows], absent[rows]))
    low, high = np.percentile(values, (2.5, 97.5))
    return auroc(present, absent), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--pipeline", default="refam")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--null-phrase", help="what maps are compared with, instead of the pipeline's own")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    cases = [json.loads(line) for line in options.cases.read_text().splitlines()][: options.limit]
    if not all("absent" in case for case in cases):
        parser.error(f"{options.cases} has cases without an absent phrase: draw them by weights/training/cases.py")
    config = {"evidence": True, **({"null_phrase": options.null_phrase} if options.null_phrase else {})}
    pipeline = groundkit.load(options.pipeline, model=options.model, segmenter=options.segmenter, config=config)
    found: list[list[tuple[float, ...]]] = []
    for case in track(cases, console=Console(file=sys.stderr)):
        pair = pipeline(options.cases.parent / case["image"], [case["phrase"], case["absent"]])
        found.append([(each.evidence.score, *vars(each.evidence).values()) for each in pair])
    evidence = np.array(found)  # (cases, present or absent, score and its parts)
    names = ("score", "contrast", "focus", "agreement")
    figures = {name: interval(evidence[:, 0, i], evidence[:, 1, i]) for i, name in enumerate(names)}
    if options.json:
        print(json.dumps({"n": len(cases), "auroc": figures}, indent=2))
        return
    table = Table("evidence", "AUROC", title=f"{options.pipeline}, {options.model}, {len(cases)} pictures")
    for name, (value, low, high) in figures.items():
        table.add_row(name, f"{value:.3f} [{low:.3f}, {high:.3f}]")
    Console().print(table)


if __name__ == "__main__":
    main()
