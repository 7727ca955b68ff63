"""Draw scenes once, encode them with nano's autoencoder, and keep the latents: training reads them many times.

python -m groundkit.weights.training.latents --emoji ... --vae runs/vae --style easy --steps 20000 --output runs/easy.pt
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from groundkit.weights.training.captions import Mention
from groundkit.weights.training.optimisers import autocast
from groundkit.weights.training.scenes import STYLES
from groundkit.weights.training.sources import argument_parser, scene_maker

BATCH = 50
# Evaluation seeds start at 0: no scene is in both.
FIRST_SEED = {"easy": 20_000_000, "full": 30_000_000, "dense": 40_000_000}


def main() -> None:
    parser = argument_parser("Draw scenes and encode them.", "runs/easy.pt")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--style", choices=STYLES, required=True)
    arguments = parser.parse_args()
    maker = scene_maker(arguments)
    style = STYLES[arguments.style]
    vae = AutoencoderKL.from_pretrained(arguments.vae).to(memory_format=torch.channels_last)
    first = FIRST_SEED[arguments.style] + 1_000_000 * arguments.seed
    latents, mentions = [], []
    for start in range(0, arguments.steps, BATCH):
        scenes = [maker.scene(first + start + i, style) for i in range(BATCH)]
        pixels = torch.from_numpy(np.stack([s.image for s in scenes])).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode(), autocast():
            mean = vae.encode(pixels.to(memory_format=torch.channels_last)).latent_dist.mean.float()
        latents.append(((mean - vae.config.shift_factor) * vae.config.scaling_factor).half())
        mentions += [[dataclasses.asdict(Mention.of(o)) for o in s.objects] for s in scenes]
        if start % 2000 == 0:
            print(f"{start} scenes", flush=True)
    partial = arguments.output.with_suffix(".part")
    torch.save({"latents": torch.cat(latents), "mentions": mentions}, partial)
    os.replace(partial, arguments.output)


if __name__ == "__main__":
    main()
