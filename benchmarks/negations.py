"""Phrases that leave something out, "the cup that is not red": how often what is meant is found, and what else is.

python benchmarks/negations.py runs/discovery/cases.jsonl [--pipeline refam] [--skip N] [--limit N] [--set KEY=VALUE]

Scenes with exactly two objects of a noun in two colours, one of which is left out; and scenes in which the only object
of the noun is left out, so that nothing is right. An object is found where a mask has an IoU of 0.5 with its own.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

import groundkit
from groundkit.cli.options import read_assignments
from groundkit.evaluation.pictures.discovery import read_discovery_cases
from groundkit.masks.geometry import mask_iou
from groundkit.media.images import read_image

Mask = npt.NDArray[np.bool_]


def phrases(path: Path) -> Iterator[tuple[Path, str, int, int | None]]:
    """Picture, phrase, and which of its objects is left out and which is meant."""
    for case, line in zip(read_discovery_cases(path), path.read_text().splitlines(), strict=True):
        told = [each["colour"] for each in json.loads(line)["objects"]]
        for noun in dict.fromkeys(each.noun for each in case.objects):
            found = [index for index, each in enumerate(case.objects) if each.noun == noun]
            colours = [told[index] for index in found]
            if None in colours or len(set(colours)) != len(found) or len(found) > 2:
                continue
            yield case.image, f"the {noun} that is not {colours[0]}", found[0], found[1] if len(found) == 2 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--pipeline", default="refam")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first cases of each kind")
    parser.add_argument("--limit", type=int, default=30, help="cases of each kind")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args()
    config = {"evidence": False, **read_assignments(options.settings)}
    pipeline = groundkit.load(options.pipeline, model=options.model, segmenter=options.segmenter, config=config)
    everything = list(phrases(options.cases))
    truths = {case.image: case for case in read_discovery_cases(options.cases)}
    for title, other in (("another one is there", True), ("none other is there", False)):
        cases = [case for case in everything if (case[3] is not None) == other]
        fates: Counter[str] = Counter()
        for image, phrase, excluded, meant in track(
            cases[options.skip :][: options.limit], title, console=Console(stderr=True)
        ):
            pixels = read_image(image)
            masks = truths[image].masks(*pixels.shape[:2])
            fates[fate(pipeline(pixels, phrase).mask, masks, excluded, meant)] += 1
        print(f"{title}: {', '.join(f'{count} {name}' for name, count in fates.most_common())}")


def fate(found: Mask, masks: Mask, excluded: int, meant: int | None) -> str:
    """What became of a phrase."""
    if not found.any():
        return "nothing" if meant is not None else "right"
    if meant is not None and mask_iou(found, masks[meant]) >= 0.5:
        return "right"
    return "what is not meant" if mask_iou(found, masks[excluded]) >= 0.5 else "else"


if __name__ == "__main__":
    main()
