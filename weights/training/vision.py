"""Train the vision tower of nano's vision-language model to see what the autoencoder sees. No mask is ever read here.

A vision transformer that starts from nothing finds objects in pixels slowly, when words alone reward it. The
autoencoder has found them, from captions (``vae.py``). So each patch of 16x16 pixels learns to tell the latent of its
pixels (Hinton et al., arXiv 1503.02531), above all as the autoencoder's namer reads it where it is sure to see an
object, and to account for the caption's words as the latent did:

    L = w |z - z'|^2 + sum_p softmax(a)_p [KL(n_p | n'_p) + KL(k_p | k'_p)] + KL(softmax(a) | softmax(a'))
        - mean log P'(noun, colour)

with the latent z and the namer's places a, nouns n and colours k; z', linear in the patches, and a', n', k' from it.

python -m groundkit.weights.training.vision --vae runs/vae --pictures runs/dense.pictures.pt --latents runs/dense.pt \
    --output runs/vision --steps 4000

Latents are those of the pictures, in their order. A run that is stopped goes on from its last checkpoint.
"""

import argparse
import copy
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import fold, kl_div

from groundkit.weights.training.optimisers import (
    autocast,
    build_optimisers,
    move_average,
    rate_factor,
    set_rate,
    take_step,
)
from groundkit.weights.training.saving import resume, save
from groundkit.weights.training.vae import LATENT_CHANNELS, NAMER, Namer, indices, nouns_found, words_loss
from groundkit.weights.training.vlm import MATRICES, PATCH, READER, TOWER, Pictures, build, see

WARM_UP = 200
LATENT_WEIGHT = 0.4  # 6 for latents that tell nothing, as much as the names
EXAMINED = 100  # unseen pictures of the first file

Names = tuple[Tensor, Tensor, Tensor]


class Tower(nn.Module):
    """A vision tower and the latent that its patches tell."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.tower = build(8, width, layers, 32, 1).model.vision_tower
        self.read = nn.Linear(width, 4 * LATENT_CHANNELS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(B, 3, s, s)`` to the latent ``(B, C, s / 8, s / 8)``, two by two places a patch."""
        side = pixels.shape[-1] // PATCH
        told: Tensor = self.read(see(self.tower, pixels)).float()
        return fold(told.transpose(1, 2), output_size=2 * side, kernel_size=2, stride=2)


def distance(names: Names, taught: Names) -> Tensor:
    """Kullback-Leibler divergences of nouns and colours where something is, and of where that is."""
    sure = taught[0].softmax(-1)
    apart = sum(
        (sure * kl_div(own, other, log_target=True, reduction="none").sum(-1)).sum(-1)
        for own, other in zip(names[1:], taught[1:], strict=True)
    )
    elsewhere = kl_div(names[0].log_softmax(-1), taught[0].log_softmax(-1), log_target=True, reduction="batchmean")
    return torch.as_tensor(apart).mean() + elsewhere


class Taught:
    """Pictures, each with the latent that the namer reads."""

    def __init__(self, pictures: list[Path], latents: list[Path], vae: Path) -> None:
        self.pictures = Pictures(pictures, tokenizer=None)
        self.latents = [torch.load(path, weights_only=True, mmap=True)["latents"] for path in latents]
        known = zip(self.pictures.seen, self.latents, strict=True)
        self.pictures.seen = [seen[seen < len(latents)] for seen, latents in known]
        config: Any = AutoencoderKL.load_config(vae)
        self.scale, self.shift = config["scaling_factor"], config["shift_factor"]
        self.namer = Namer().requires_grad_(False)
        self.namer.load_state_dict(load_file(vae / NAMER))

    def next(self, batch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels, mentions and latents of ``batch`` pictures of 64x64 pixels, or fewer of more."""
        number, rows, corners = self.pictures.pick(batch, rng)
        pixels, _, mentions = self.pictures.read(number, rows, corners)
        latents = self.latents[number][torch.from_numpy(rows)].float()
        return pixels, indices(mentions), latents

    def names(self, latents: Tensor) -> Names:
        """Logits of places (B, P), log-probabilities of nouns (B, P, N) and of colours (B, P, K)."""
        read: Names = self.namer(latents / self.scale + self.shift)
        return read

    @torch.no_grad()
    def nouns_found(self, model: Tower) -> float:
        """Share of mentioned nouns among the likeliest of unseen pictures, as many as were mentioned."""
        rows = self.pictures.unseen[0][:EXAMINED]
        pixels, _, mentions = self.pictures.read(0, rows, np.zeros((len(rows), 2), dtype=int))
        where, nouns, _ = self.names(model(pixels))
        return nouns_found(where, nouns, indices(mentions))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the vision tower of nano's vision-language model.")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--latents", type=Path, nargs="+", required=True, help="of each file of pictures")
    parser.add_argument("--output", type=Path, default=Path("runs/vision"))
    parser.add_argument("--steps", type=int, required=True, help="total steps, counted over all runs")
    parser.add_argument("--decay", type=int, default=0, help="of these, the last ones in which the rate falls")
    parser.add_argument("--batch", type=int, default=128, help="of 64x64 pixels; a quarter of it of 128x128")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--vision", type=int, nargs=2, default=(256, 6), help="width and layers")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "checkpoint.pt"
    torch.manual_seed(0)
    model = Tower(*arguments.vision)
    average = copy.deepcopy(model).requires_grad_(False).eval()
    optimisers = build_optimisers(model, arguments.rate, matrices=MATRICES)
    first = resume(checkpoint, optimisers, model=model, average=average)
    data = Taught(arguments.pictures, arguments.latents, arguments.vae)
    started, losses = time.time(), []
    for step in range(first, arguments.steps):
        pixels, mentions, latents = data.next(arguments.batch, np.random.default_rng(step))
        with autocast():
            told = model(pixels)
        where, nouns, colours = data.names(told)
        seen = (told - latents).square().sum(1).mean() * LATENT_WEIGHT
        apart = distance((where, nouns, colours), data.names(latents))
        words = words_loss(where, nouns, colours, mentions)
        factor = rate_factor(step, arguments.steps, warm_up=WARM_UP, decay=arguments.decay)
        set_rate(optimisers, arguments.rate * factor)
        model.zero_grad()
        torch.autograd.backward(seen + apart + words)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        take_step(optimisers)
        move_average(average, model, step, keep=0.998)
        losses.append((seen.item(), apart.item(), words.item()))
        if (step + 1) % 50 == 0:
            seconds = (time.time() - started) / (step + 1 - first)
            means = dict(zip(("seen", "apart", "words"), np.mean(losses[-50:], axis=0).round(3).tolist(), strict=True))
            print(json.dumps({"step": step + 1, **means, "seconds": round(seconds, 3)}), flush=True)
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            saved = [optimiser.state_dict() for optimiser in optimisers]
            save(checkpoint, step=step + 1, model=model.state_dict(), average=average.state_dict(), optimisers=saved)
            save_file(average.tower.state_dict(), arguments.output / TOWER)
            save_file(average.read.state_dict(), arguments.output / READER)
            print(json.dumps({"step": step + 1, "nouns_found": round(data.nouns_found(average), 3)}), flush=True)


if __name__ == "__main__":
    main()
