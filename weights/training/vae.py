"""Train nano's autoencoder: 8x8 pixels to 16 values, from pictures and captions.

A latent made for reconstruction alone does not say what it shows, and a small transformer would need very long to find
out. So the latent learns to name its objects while it learns to show them, as in VA-VAE (Yao et al., arXiv 2501.01423)
and RAE (Zheng et al., arXiv 2510.11690), with captions in the place of a foundation model. A caption is a bag of
mentions (noun, colour); each is drawn from a place p of the picture with probability softmax(a)_p:

    log P(noun, colour) = log sum_p softmax(a)_p softmax(n_p)[noun] softmax(k_p)[colour]

with a, n and k linear in the latent. Where an object stands is never told; the latent is read under noise, as the
diffusion transformer will, and with most places hidden, so that every part of an object carries its name.

python -m groundkit.weights.training.vae --pictures runs/easy.pictures.pt --steps 2000 --output runs/vae
"""

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from groundkit.weights.training.captions import Mention
from groundkit.weights.training.optimisers import (
    autocast,
    build_optimisers,
    move_average,
    rate_factor,
    set_rate,
    take_step,
)
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

LATENT_CHANNELS = 16
DECODED = 8  # side of the part of a latent that is decoded again, of 64x64 pixels
HELD_OUT = 400
NAMER = "namer.safetensors"  # beside the autoencoder, to go on from
WORDS_WEIGHT = 1.0
UNIT_WEIGHT = 0.1  # brings each channel to mean 0 and deviation 1, so that noise hides all of them alike
KL_WEIGHT = 1e-5
NOISE_RAMP = 500  # steps until words are read under the full noise
# Colour first: what a phrase names is the mean colour of an area before it is any detail. Photographs hardly vary
# between green and magenta, and absolute errors of red, green and blue alone leave that axis out of the latent.
COLOUR_WEIGHT = 5.0
OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (1.5, 0.0, -1.5), (-0.8, 1.6, -0.8))  # brightness, red - blue, green - magenta


def build() -> AutoencoderKL:
    """The untrained autoencoder: FLUX's class, factor (8) and channels (16), narrow but for where it names."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 192),
        layers_per_block=1,
        norm_num_groups=1,  # more groups would take the mean colour of a picture away
        latent_channels=LATENT_CHANNELS,
        sample_size=256,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,  # a place must not know what others show
    )


@torch.no_grad()
def widen(vae: AutoencoderKL, narrow: AutoencoderKL) -> None:
    """Let ``vae`` begin as the trained ``narrow`` does: new channels add nothing to old ones at first."""
    old, new = narrow.state_dict(), vae.state_dict()
    for name, value in new.items():
        if name not in old:
            continue
        parts = [(value, old[name])]
        if name.startswith("encoder.conv_out"):  # mean and log variance
            parts = list(zip(value.chunk(2), old[name].chunk(2), strict=True))
        for into, trained in parts:
            into[: len(trained)] = 0
            into[tuple(slice(size) for size in trained.shape)] = trained
    vae.load_state_dict(new)


class Namer(nn.Module):
    """Where (a), what (n) and of which colour (k), linear in each 2x2 latents: one token of the transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (1, len(NOUNS), len(COLOURS))
        self.read = nn.Conv2d(LATENT_CHANNELS, sum(self.sizes), kernel_size=2, stride=2)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, P), log-probabilities of nouns (B, P, N) and of colours (B, P, K)."""
        place, noun, colour = self.read(latent).flatten(2).transpose(1, 2).split(self.sizes, dim=-1)
        return place[..., 0], noun.log_softmax(-1), colour.log_softmax(-1)


def indices(mentions: Sequence[Sequence[Mention]]) -> Tensor:
    """Picture, noun and colour (after the last one: none) of each mention, ``(M, 3)``."""
    colours = (*COLOURS, None)
    rows = [(i, NOUNS.index(m.noun), colours.index(m.colour)) for i, items in enumerate(mentions) for m in items]
    return torch.tensor(rows)


class Pictures:
    """Batches of drawn pictures, and which words their captions have."""

    def __init__(self, paths: list[Path], batch: int, seed: int) -> None:
        self.files = [torch.load(path, weights_only=True, mmap=True) for path in paths]
        self.batch = batch
        self.rng = np.random.default_rng(seed)

    def held_out(self) -> tuple[Tensor, Tensor]:
        file = self.files[0]
        return self._read(file, np.arange(len(file["images"]) - HELD_OUT, len(file["images"])))

    def next(self) -> tuple[Tensor, Tensor]:
        """Pixels ``(B, 3, s, s)`` in -1 to 1, and the ``indices`` of their mentions."""
        file = self.files[int(self.rng.integers(len(self.files)))]
        batch = self.batch * 64**2 // file["images"].shape[1] ** 2
        pixels, mentions = self._read(file, self.rng.integers(len(file["images"]) - HELD_OUT, size=batch))
        return (pixels.flip(-1) if self.rng.random() < 0.5 else pixels), mentions

    @staticmethod
    def _read(file: dict[str, Any], rows: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels = file["images"][torch.from_numpy(rows)].permute(0, 3, 1, 2).float() / 127.5 - 1
        mentions = [[Mention(**m) for m in file["mentions"][row]] for row in rows]
        return pixels.contiguous(memory_format=torch.channels_last), indices(mentions)


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of pixels, and mean squared error of the brightness and hue of each 8x8 pixels."""
    error = decoded - pixels
    areas = torch.einsum("oc,bchw->bohw", torch.tensor(OPPONENT), avg_pool2d(error, 8))
    return error.abs().mean(), areas.square().mean()


def words_loss(places: Tensor, nouns: Tensor, colours: Tensor, mentions: Tensor) -> Tensor:
    """Minus the mean log-likelihood of the mentions ``(M, 3)``."""
    picture, noun, colour = mentions.unbind(1)
    any_colour = nn.functional.pad(colours, (0, 1))  # log 1: no colour was said
    by_place = places.log_softmax(-1)[picture]
    by_place = by_place + nouns[picture, :, noun] + any_colour[picture, :, colour]
    return -by_place.logsumexp(-1).mean()


@torch.no_grad()
def nouns_found(places: Tensor, nouns: Tensor, mentions: Tensor) -> float:
    """Share of mentioned nouns among the likeliest nouns of their pictures, as many as were mentioned."""
    likely = (places.softmax(-1)[..., None] * nouns.exp()).sum(1)
    said = torch.zeros_like(likely, dtype=torch.bool)
    said[mentions[:, 0], mentions[:, 1]] = True
    rank = likely.argsort(-1, descending=True).argsort(-1)
    return float((rank < said.sum(-1, keepdim=True))[said].float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train nano's autoencoder.")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/vae"))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--start", type=Path, help="a trained autoencoder, perhaps a narrower one, to begin with")
    parser.add_argument("--batch", type=int, default=64, help="of 64x64 pixels; a quarter of it of 128x128")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--noise", type=float, default=0.6, help="words are read from latents of noise up to this")
    parser.add_argument("--hidden", type=float, default=0.7, help="share of places that are hidden from the words")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    data = Pictures(arguments.pictures, arguments.batch, arguments.seed)
    held_out = data.held_out()
    vae, namer = build(), Namer()
    if arguments.start:
        widen(vae, AutoencoderKL.from_pretrained(arguments.start))
        if (arguments.start / NAMER).exists():
            namer.load_state_dict(load_file(arguments.start / NAMER))
    model = nn.ModuleList([vae, namer]).to(memory_format=torch.channels_last)
    average_vae, average_namer = copy.deepcopy(vae).requires_grad_(False), copy.deepcopy(namer).requires_grad_(False)
    average = nn.ModuleList([average_vae, average_namer])
    optimisers = build_optimisers(model, arguments.rate, matrices=r"^0\..*conv(1|2)?\.weight")
    started = time.time()
    for step in range(arguments.steps):
        set_rate(
            optimisers, arguments.rate * rate_factor(step, arguments.steps, warm_up=50, decay=arguments.steps // 3)
        )
        pixels, mentions = data.next()
        with autocast():
            posterior = vae.encode(pixels).latent_dist
            latent = posterior.mean.float()
            y, x = data.rng.integers(0, latent.shape[-1] - DECODED + 1, 2)
            few = max(1, len(pixels) // 8)
            part = posterior.sample()[:few, :, y : y + DECODED, x : x + DECODED]
            decoded = vae.decode(part).sample
        level = torch.rand(len(latent), 1, 1, 1) * arguments.noise * min(1.0, step / NOISE_RAMP)
        places, nouns, colours = namer(torch.lerp(latent, torch.randn_like(latent), level))
        hidden = places.masked_fill(torch.rand_like(places) < arguments.hidden, -1e4)
        words = words_loss(hidden, nouns, colours, mentions)
        shown = pixels[:few, :, 8 * y : 8 * (y + DECODED), 8 * x : 8 * (x + DECODED)]
        detail, colour = reconstruction_loss(decoded.float(), shown)
        divergence = posterior.kl().mean() / latent[0].numel()
        channels = latent.mean((0, 2, 3)), latent.std((0, 2, 3))
        unit = channels[0].square().mean() + channels[1].log().square().mean()
        model.zero_grad()
        torch.autograd.backward(
            detail + COLOUR_WEIGHT * colour + WORDS_WEIGHT * words + UNIT_WEIGHT * unit + KL_WEIGHT * divergence
        )
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        take_step(optimisers)
        move_average(average, model, step, keep=0.995, ramp=10)
        if (step + 1) % 50 == 0:
            figures = {"detail": detail, "colour": colour, "words": words, "unit": unit, "kl": divergence}
            text = "  ".join(f"{name} {value.item():.4f}" for name, value in figures.items())
            if (step + 1) % 250 == 0:
                pixels, mentions = held_out
                where, nouns, _ = average_namer(average_vae.encode(pixels).latent_dist.mean.float())
                text += f"  nouns found, unseen pictures {nouns_found(where, nouns, mentions):.3f}"
            print(f"step {step + 1}  {text}  {time.time() - started:.0f} s", flush=True)
        if (step + 1) % 250 == 0 or step + 1 == arguments.steps:
            finish(average_vae, held_out[0], arguments.output)
            save_file(
                {name: value.contiguous() for name, value in average_namer.state_dict().items()},
                arguments.output / NAMER,
            )


@torch.no_grad()
def finish(vae: AutoencoderKL, pixels: Tensor, output: Path) -> None:
    """Save, with FLUX's shift and scale that bring the latent to mean 0 and deviation 1, and show some pictures."""
    latent = vae.encode(pixels).latent_dist.mean
    decoded = vae.decode(latent[:8]).sample
    vae.register_to_config(shift_factor=latent.mean().item(), scaling_factor=1.0 / latent.std().item())
    vae.save_pretrained(output)
    rows = [torch.cat(list(part), dim=2) for part in (pixels[:8], decoded)]
    sheet = (torch.cat(rows, dim=1).clamp(-1, 1) + 1).mul(127.5).permute(1, 2, 0).byte().numpy()
    cv2.imwrite(str(output / "reconstructions.png"), sheet[..., ::-1])


if __name__ == "__main__":
    main()
