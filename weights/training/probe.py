"""Point accuracy of a half-trained run on evaluation cases, without any segmenter: the figure to watch while training.

python -m groundkit.weights.training.probe --vae runs/vae --flux runs/flux --cases runs/cases/cases.jsonl --limit 200
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from groundkit.models.diffusion.flux import FluxModel
from groundkit.pipelines.refam import RefAM, read_config
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts
from groundkit.weights.training.export import assemble, load_run


class WholeImage:
    """A segmenter that always answers with the whole picture."""

    name = "whole image"

    def embed(self, image: npt.NDArray[np.uint8]) -> tuple[int, int]:
        return image.shape[0], image.shape[1]

    def segment(
        self, embedding: tuple[int, int], prompts: PointPrompts, *, size: tuple[int, int] | None = None, **_: object
    ) -> MaskProposals:
        return MaskProposals(np.ones((1, *(size or embedding)), dtype=bool), np.ones(1, dtype=np.float32))

    def enlarge(self, embedding: tuple[int, int], logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        return np.ones(embedding, dtype=bool)


def main() -> None:
    parser = argparse.ArgumentParser(description="Point accuracy of a half-trained run.")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--flux", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings; several values by '|'")
    arguments = parser.parse_args()
    cases = [json.loads(line) for line in arguments.cases.read_text().splitlines()][: arguments.limit]
    model = FluxModel(assemble(arguments.vae, *load_run(arguments.flux)), "probe", torch.device("cpu"))
    variants: list[dict[str, object]] = [{}]
    for setting in arguments.set:
        key, _, values = setting.partition("=")
        choices = [json.loads(v) if v.startswith("[") else v for v in values.split("|")]
        variants = [{**variant, key: choice} for variant in variants for choice in choices]
    for variant in variants:
        pipeline = RefAM(model, WholeImage(), read_config({"mask_rule": "score", **variant}))
        hits = defaultdict(list)
        for case in cases:
            image = np.asarray(Image.open(arguments.cases.parent / case["image"]).convert("RGB"))
            mask = np.asarray(Image.open(arguments.cases.parent / case["mask"])) > 127
            x, y, _ = next(iter(pipeline.ground(image, [case["phrase"]]))).points[0]
            hits[case["phrase_type"]].append(mask[int(y), int(x)])
        every = [hit for kind in hits.values() for hit in kind]
        by_kind = {kind: round(float(np.mean(values)), 3) for kind, values in sorted(hits.items())}
        print(json.dumps({**variant, "point_accuracy": round(float(np.mean(every)), 3), **by_kind}), flush=True)


if __name__ == "__main__":
    main()
