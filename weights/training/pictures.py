"""Draw scenes once and keep them, with what a caption may say of them: no mask is kept.

python -m groundkit.weights.training.pictures --emoji ... --style easy --steps 20000 --output runs/easy.pictures.pt
"""

import argparse
import dataclasses
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import numpy as np
import torch

from groundkit.weights.training.captions import Mention
from groundkit.weights.training.saving import save
from groundkit.weights.training.scenes import STYLES, SceneMaker, SceneStyle
from groundkit.weights.training.sources import argument_parser, scene_maker

# Evaluation seeds start at 0: no scene is in both.
FIRST_SEED = {"easy": 20_000_000, "full": 30_000_000, "dense": 40_000_000, "single": 50_000_000, "crowded": 60_000_000}
CHUNK = 200

Drawn = tuple[np.ndarray, list[list[dict[str, object]]]]


_maker: list[SceneMaker] = []  # one in each process


def _keep(arguments: argparse.Namespace) -> None:
    _maker.append(scene_maker(arguments))


def draw(first: int, style: SceneStyle) -> Drawn:
    """``CHUNK`` pictures from the seed ``first`` on, and the mentions of each."""
    maker = _maker[0]
    scenes = [maker.scene(first + i, style) for i in range(CHUNK)]
    mentions = [[dataclasses.asdict(Mention.of(o)) for o in scene.objects] for scene in scenes]
    return np.stack([scene.image for scene in scenes]), mentions


def main() -> None:
    parser = argument_parser("Draw scenes.", "runs/easy.pictures.pt")
    parser.add_argument("--style", choices=STYLES, required=True)
    arguments = parser.parse_args()
    style = STYLES[arguments.style]
    first = FIRST_SEED[arguments.style] + 1_000_000 * arguments.seed
    seeds = range(first, first + arguments.steps, CHUNK)
    with ProcessPoolExecutor(initializer=_keep, initargs=(arguments,)) as pool:
        parts = list(pool.map(draw, seeds, repeat(style)))
    images = torch.from_numpy(np.concatenate([images for images, _ in parts]))
    save(arguments.output, images=images, mentions=[scene for _, part in parts for scene in part])


if __name__ == "__main__":
    main()
