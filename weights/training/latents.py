"""Encode drawn pictures with nano's autoencoder and keep the latents: training reads them many times.

python -m groundkit.weights.training.latents --vae runs/vae --pictures runs/easy.pictures.pt --output runs/easy.pt
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from groundkit.weights.training.optimisers import autocast
from groundkit.weights.training.saving import save

BATCH = 24


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode drawn pictures.")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="how many of the pictures, from the first on")
    arguments = parser.parse_args()
    drawn = torch.load(arguments.pictures, weights_only=True, mmap=True)
    vae = AutoencoderKL.from_pretrained(arguments.vae).to(memory_format=torch.channels_last)
    latents = []
    for images in drawn["images"][: arguments.limit].split(BATCH):
        pixels = (images.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast():
            mean = vae.encode(pixels).latent_dist.mean.float()
        latents.append(((mean - vae.config.shift_factor) * vae.config.scaling_factor).half())
        if len(latents) % 100 == 0:
            print(f"{len(latents) * BATCH} pictures", flush=True)
    save(arguments.output, latents=torch.cat(latents), mentions=drawn["mentions"][: arguments.limit])


if __name__ == "__main__":
    main()
