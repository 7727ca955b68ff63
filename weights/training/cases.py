"""Draw scenes that training never saw, with one phrase each, as cases for ``groundkit eval``.

Each case also holds a phrase for something ``absent`` from the scene, for ``benchmarks/absent.py``.

python -m groundkit.weights.training.cases --emoji ... --cutouts ... --backgrounds ... --steps 500 --output runs/cases
"""

import json

import numpy as np
from PIL import Image

from groundkit.weights.training.captions import absent, referrals
from groundkit.weights.training.scenes import FULL
from groundkit.weights.training.sources import argument_parser, scene_maker


def main() -> None:
    """Write ``images/``, ``masks/`` and ``cases.jsonl``. Seeds count up from 0; training's start at ten million."""
    arguments = argument_parser("Draw evaluation cases.", "runs/cases").parse_args()
    maker = scene_maker(arguments)
    for name in ("images", "masks"):
        (arguments.output / name).mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    seed = 1000 * arguments.seed
    while len(lines) < arguments.steps:
        scene = maker.scene(seed, FULL)
        found = referrals(scene)
        if len(scene.objects) >= 2 and found:
            rng = np.random.default_rng(seed)
            kinds = sorted({r.kind for r in found})
            kind = kinds[rng.integers(len(kinds))]  # a kind first, so that the rare ones are not drowned
            choices = [r for r in found if r.kind == kind]
            chosen = choices[rng.integers(len(choices))]
            name = f"{seed:05d}.png"
            Image.fromarray(scene.image).save(arguments.output / "images" / name)
            mask = scene.objects[chosen.target].mask
            Image.fromarray(mask.astype(np.uint8) * 255).save(arguments.output / "masks" / name)
            case = {"id": f"scene-{seed}", "image": f"images/{name}", "mask": f"masks/{name}", "phrase": chosen.phrase}
            lines.append(json.dumps(case | {"phrase_type": chosen.kind, "absent": absent(scene, rng)}))
        seed += 1
    (arguments.output / "cases.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
