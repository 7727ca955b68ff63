"""Draw scenes that training never saw, with every object in them, as cases for benchmarks/discovery.py.

python benchmarks/discovery_scenes.py --emoji ... --cutouts ... --backgrounds ... --steps 500 --output runs/discovery

Seeds count up from 0, or from 1,000 times ``--seed``; those of training start at ten million.
"""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from groundkit.weights.training.scenes import STYLES
from groundkit.weights.training.sources import argument_parser, scene_maker


def main() -> None:
    """Write ``images/``, ``masks/`` and ``cases.jsonl`` with one line a scene: image, and objects with their masks."""
    parser = argument_parser("Draw cases for the evaluation of discovery.", "runs/discovery")
    parser.add_argument("--style", choices=STYLES, default="full", help="the kind of scene")
    arguments = parser.parse_args()
    maker = scene_maker(arguments)
    style = STYLES[arguments.style]
    for name in ("images", "masks"):
        (arguments.output / name).mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    seed = 1000 * arguments.seed
    while len(lines) < arguments.steps:
        scene = maker.scene(seed, style)
        if scene.objects:
            image = f"images/{seed:05d}.png"
            Image.fromarray(scene.image).save(arguments.output / image)
            objects = []
            for number, item in enumerate(scene.objects):
                mask = f"masks/{seed:05d}-{number}.png"
                Image.fromarray(item.mask.astype(np.uint8) * 255).save(arguments.output / mask)
                objects.append({"noun": item.noun, "colour": item.colour, "mask": mask})
            lines.append(json.dumps({"image": image, "objects": objects}))
        seed += 1
    (arguments.output / "cases.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
