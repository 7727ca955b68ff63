"""What each way through a vision-language model's layers makes of a phrase: one row of maps a phrase, as a picture.

python benchmarks/maps.py samples/cases.jsonl --output docs/maps.png [--model nano] [--every 3]

Each layer alone, every head alike; then the mean of all layers, and the flow without and with its regulariser.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.progress import track

import groundkit
from groundkit.evaluation.pictures.cases import read_cases, read_mask
from groundkit.explain.tiles import Tile, draw_row, stack
from groundkit.language import parse_phrase
from groundkit.media.images import read_image
from groundkit.outputs.drawing import NEGATIVE, POSITIVE
from groundkit.outputs.formats.heatmap import draw_heatmap, stretch
from groundkit.outputs.formats.png import write_png
from groundkit.pipelines.vlsam import VLSAM, read_config
from groundkit.stages.base import Scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th case")
    options = parser.parse_args()
    loaded = groundkit.load("vlsam", model=options.model, segmenter="nano")
    assert isinstance(loaded, VLSAM)
    alike = {"head_weights": "uniform", "regulariser": "none"}
    ways = {f"layer {i}": {**alike, "flow": "mean", "layers": f"{i}-{i}"} for i in range(len(loaded.vlm.layer_names))}
    ways["mean of all"] = {**alike, "flow": "mean"}
    ways["flow"] = {"regulariser": "none"}
    ways["flow, regularised"] = {"regulariser": "end"}
    pipelines = {name: VLSAM(loaded.vlm, loaded.segmenter, read_config(way)) for name, way in ways.items()}
    rows = []
    for case in track(read_cases(options.cases)[:: options.every], description="read"):
        image = read_image(case.image)
        mask = read_mask(case, *image.shape[:2])
        phrase = parse_phrase(case.phrase)
        tiles = [Tile(image, "picture")]
        for name, pipeline in pipelines.items():
            look = pipeline.open(image)
            heat = stretch(Scene(look, phrase, pipeline.token_stages).run()[0].on_finest_grid())
            row, column = np.unravel_index(int(heat.argmax()), heat.shape)
            hit = mask[
                int((row + 0.5) / heat.shape[0] * mask.shape[0]), int((column + 0.5) / heat.shape[1] * mask.shape[1])
            ]
            tiles.append(Tile(draw_heatmap(image, heat), name, frame=POSITIVE if hit else NEGATIVE))
        rows.append(draw_row(case.phrase, tiles))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    print(write_png(options.output, stack(rows)))


if __name__ == "__main__":
    main()
