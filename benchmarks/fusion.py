"""RefAM, VL-SAM and both together on the same cases, beside guesses that read no phrase.

    python benchmarks/fusion.py runs/cases/cases.jsonl --model nano,FOLDER [--segmenter nano] [--limit N] [--json]

``--model`` names the members' models in their order, as ``--pipeline ensemble`` takes them; ``--members`` names other
members. Each member grounds each phrase once, and the ensembles fuse what it found then. Intervals are 95 % bootstrap
over cases, from the same resamples for every row.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import groundkit
from groundkit.evaluation.metrics import Metrics, format_interval
from groundkit.evaluation.pictures.cases import read_cases
from groundkit.evaluation.pictures.evaluate import Report, evaluate
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.ensemble import Ensemble, read_config
from groundkit.results import Failure, Grounding

Outcome = Grounding | Failure


class Remembering(Pipeline):
    """A pipeline that grounds each phrase in each picture once."""

    def __init__(self, inner: Pipeline) -> None:
        self.name, self.model = inner.name, inner.model
        self._inner = inner
        self._known: dict[tuple[int, str, int], Outcome] = {}

    def outcomes(self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0) -> Iterator[Outcome]:
        picture = hash((image.shape, image.tobytes()))
        new = [phrase for phrase in dict.fromkeys(phrases) if (picture, phrase, seed) not in self._known]
        for phrase, outcome in zip(new, self._inner.ground_each(image, new, seed=seed), strict=True):
            kept = outcome if isinstance(outcome, Failure) else replace(outcome, steps=None)
            self._known[picture, phrase, seed] = kept
        for phrase in phrases:
            yield self._known[picture, phrase, seed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--model", required=True, help="one a member, joined by commas")
    parser.add_argument("--members", default="refam,vlsam", help="names of pipelines, joined by commas")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    cases = read_cases(options.cases, options.limit)
    names = tuple(options.members.split(","))
    loaded = groundkit.load("ensemble", model=options.model, segmenter=options.segmenter, config={"members": names})
    assert isinstance(loaded, Ensemble)
    members = [Remembering(member) for member in loaded.members]
    rows: dict[str, Pipeline] = {member.name: member for member in members}
    for fusion in ("mean", "product"):
        config = read_config({"members": names, "fusion": fusion})
        rows[f"ensemble, {fusion}"] = Ensemble(members, loaded.segmenter, config)
    reports: dict[str, Report] = {}
    with Progress(console=Console(stderr=True)) as progress:
        for name, pipeline in rows.items():
            task = progress.add_task(name, total=len(cases))
            reports[name] = evaluate(
                pipeline, cases, seed=options.seed, advance=lambda count, task=task: progress.advance(task, count)
            )
    controls: dict[str, Metrics] = next(iter(reports.values())).controls  # the same in each report
    if options.json:
        shown = {**vars(options), "cases": str(options.cases), "controls": controls}
        print(json.dumps({**shown, "rows": {name: each.to_dict() for name, each in reports.items()}}, indent=2))
        return
    table = Table("", "n", "PA", "mIoU", "oIoU", "P@0.5", title=f"{options.cases}, {options.model}")
    measured = {name: each.metrics for name, each in reports.items()}
    guesses = {f"guess: {name.replace('_', ' ')}": each for name, each in controls.items()}
    for name, metrics in {**measured, **guesses}.items():
        figures = (metrics["point_accuracy"], metrics["miou"], metrics["oiou"], metrics["p50"])
        table.add_row(name, str(metrics["n"]), *map(format_interval, figures))
    Console(width=140).print(table)
    for name, each in reports.items():
        if each.failures:
            print(f"{name}: {len(each.failures)} cases failed, the first by: {each.failures[0].error}")


if __name__ == "__main__":
    main()
