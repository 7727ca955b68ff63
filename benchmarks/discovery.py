"""What each part of VL-SAM is worth for discovery: recall at mask IoU 0.5 with the right noun, and precision.

    python benchmarks/discovery.py runs/discovery/cases.jsonl --model FOLDER [--segmenter nano] [--seeds 3] [--limit N]

The rungs are those of the paper's two ablations, each with all before it:

    naive map           the last layer alone, every head alike, one point, one question, the whole picture
    flow                all layers by equation 3, not regularised
    + regulariser       columns damped once at the end
    + head weights      equation 1
    + point pair        a negative point too
    + refinement        mask prompts, points drawn again
    + multi-scale       the four corners too
    + questions         the built-in set; ``--questions model`` for those that the model writes

and beside them the plain mean of the layers, without flow, at the first rungs and with all else of the last one, and
``default``, the model as it is loaded, with its own settings. Seeds
are those of the model's words at ``--temperature``; counts are added up over them, and intervals are 95 % bootstrap
over the pictures. At temperature 0 all seeds are the same, and one is run. Each picture and crop is encoded once.
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
from groundkit.evaluation.metrics import format_interval
from groundkit.evaluation.pictures.discovery import Count, count_found, measure_discovery, read_discovery_cases
from groundkit.media.images import read_image
from groundkit.pipelines.vlsam import VLSAM, read_config

START: dict[str, Any] = {
    "questions": "one",
    "crop_shares": (),
    "head_weights": "uniform",
    "regulariser": "none",
    "refinement": "none",
    "negative_point": False,
}


def rungs(last_layer: int, questions: str) -> dict[str, dict[str, Any]]:
    """The settings of each rung, in the order of the table."""
    steps: dict[str, dict[str, Any]] = {
        "flow": {},
        "+ regulariser": {"regulariser": "end"},
        "+ head weights": {"head_weights": "max"},
        "+ point pair": {"negative_point": True},
        "+ refinement": {"refinement": "mask_in"},
        "+ multi-scale": {"crop_shares": (0.5,)},
        "+ questions": {"questions": questions},
    }
    found = {"naive map": {**START, "flow": "mean", "layers": f"{last_layer}-{last_layer}"}}
    settings = START
    for name, step in steps.items():
        settings = {**settings, **step}
        found[name] = settings
    plain = {"flow": "mean", "head_weights": "uniform", "regulariser": "none"}
    found["plain layer mean"] = {**START, **plain}
    found["plain layer mean, all else on"] = {**settings, **plain}
    return found


def encode_once(owner: Any, method: str) -> None:
    """Make ``owner`` remember what its method made of the last picture and its four corners."""
    encode = getattr(owner, method)
    known: dict[tuple[Any, ...], Any] = {}

    def remembered(image: npt.NDArray[np.uint8], *options: Any) -> Any:
        key = (image.shape, image.tobytes(), options)
        if key not in known:
            if len(known) == 5:
                known.pop(next(iter(known)))
            known[key] = encode(image, *options)
        return known[key]

    setattr(owner, method, remembered)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--model", required=True, help="vision-language model: a Hub id or a folder")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--questions", choices=("built_in", "model"), default="built_in", help="of the last rung")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-p", type=float, default=0.1)
    parser.add_argument("--max-tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--rungs", nargs="+", help="only those of these names")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    cases = read_discovery_cases(options.cases, options.limit)
    seeds = options.seeds if options.temperature > 0 else 1
    loaded = groundkit.load("vlsam", model=options.model, segmenter=options.segmenter)
    assert isinstance(loaded, VLSAM)
    encode_once(loaded.vlm, "encode")
    encode_once(loaded.segmenter, "embed")
    words = {"temperature": options.temperature, "top_p": options.top_p, "max_tokens": options.max_tokens}
    ladder = rungs(len(loaded.vlm.layer_names) - 1, options.questions)
    ladder["default"] = loaded.config.tables()
    unknown = set(options.rungs or ()) - set(ladder)
    if unknown:
        parser.error(f"no rung named {', '.join(sorted(unknown))}: use {', '.join(ladder)}")
    pipelines = {
        name: VLSAM(loaded.vlm, loaded.segmenter, read_config({**settings, **words}))
        for name, settings in ladder.items()
        if name in (options.rungs or ladder)
    }
    counts: dict[str, list[list[Count]]] = defaultdict(list)
    for case in track(cases, console=Console(stderr=True)):
        image = read_image(case.image)
        truths = case.masks(*image.shape[:2])
        nouns = [each.noun for each in case.objects]
        for name, pipeline in pipelines.items():
            found = [pipeline.discover(image, seed=seed) for seed in range(seeds)]
            counts[name].append([count_found(each, nouns, truths) for each in found])
    report = {name: measure_discovery(rows) for name, rows in counts.items()}
    if options.json:
        shown = {**vars(options), "cases": str(options.cases), "seeds": seeds}
        print(json.dumps({**shown, "n": len(cases), "rows": report}, indent=2))
        return
    objects = int(np.sum([len(case.objects) for case in cases]))
    table = Table(
        "rung", "recall", "precision", title=f"{options.model}, {len(cases)} pictures, {objects} objects, {seeds} seeds"
    )
    for name, row in report.items():
        table.add_row(name, format_interval(row["recall"]), format_interval(row["precision"]))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
