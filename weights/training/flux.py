"""Train nano's diffusion transformer on latents and captions, and nothing else. No mask is ever read here.

A share of each batch, ``--pictures``, learns flow matching of the picture given its caption. In the rest some words of
the caption are exchanged for others of their kind, and each word has to say whether it is true of the picture: replaced
token detection, as in ELECTRA (Clark et al., arXiv 2003.10555), with a picture to look it up in. A word that is asked
whether it is true looks for what it names; one that has to be restored looks for anything that has no name yet, and
its attention points nowhere in particular. The small head that answers is no part of the exported pipeline.

python -m groundkit.weights.training.flux --latents runs/easy.pt --output runs/flux --steps 4000
python -m groundkit.weights.training.flux --latents runs/full.pt --output runs/flux --steps 12000  (goes on)

A run that is stopped goes on from its last checkpoint; ``--steps`` counts from the very beginning, over all
sittings. Muon turns the matrices of the blocks, AdamW everything else; weights are averaged over time.
"""

import argparse
import copy
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from groundkit.weights.training.captions import Mention, caption
from groundkit.weights.training.optimisers import (
    autocast,
    build_optimisers,
    move_average,
    rate_factor,
    set_rate,
    take_step,
)
from groundkit.weights.training.saving import resume, save
from groundkit.weights.training.tokenizers import t5_tokenizer
from groundkit.weights.training.vae import LATENT_CHANNELS
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

TEXT_WIDTH = 128
WIDTH = 192
SMALL_SIDE = 16  # latents of a picture of 128x128 pixels

WARM_UP = 200
CAPTION_HEAD = "caption_head.safetensors"  # beside the exported pipeline: no part of it, but training goes on with it
# Noise level = sigmoid(normal). Words matter where the picture is hardly seen: at lower levels the latents alone tell
# what an object is.
NOISE_DEVIATION = 1.0
# Words are looked up in pictures that can be seen: their noise level is uniform up to this.
SEEN = 0.5
EXCHANGED = 0.6  # of the words of a kind, at most
SWAPPED = 0.3  # share of captions whose colours (places, sizes) change places: "a blue cup and a red ball"
KINDS = (NOUNS, tuple(COLOURS), ("left", "right", "top", "bottom", "middle"), ("small", "large"))


def build_text_encoder(vocabulary: int) -> T5EncoderModel:
    """Two layers of T5, untrained."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=TEXT_WIDTH,
            d_kv=32,
            d_ff=4 * TEXT_WIDTH,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def build_transformer(heads: int = 3, double: int = 3, single: int = 4) -> FluxTransformer2DModel:
    """FLUX's transformer, small and untrained; its heads share ``WIDTH`` values.

    The projection of CLIP's pooled vector is zero and stays zero, so that every word has to pass through attention.
    """
    share = WIDTH // heads
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=double,
        num_single_layers=single,
        attention_head_dim=share,
        num_attention_heads=heads,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=32,
        guidance_embeds=False,
        axes_dims_rope=(8, share // 2 - 4, share // 2 - 4),
    )
    pooled = model.time_text_embed.text_embedder.linear_1
    nn.init.zeros_(pooled.weight)
    pooled.weight.requires_grad_(False)
    for block in [*model.transformer_blocks, *model.single_transformer_blocks]:
        for name, module in block.named_modules():  # modulation starts at zero, as in DiT
            if isinstance(module, nn.Linear) and name.startswith("norm"):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
    nn.init.zeros_(model.norm_out.linear.weight)
    nn.init.zeros_(model.proj_out.weight)
    return model


class Captioned:
    """Latents with captions drawn anew each time, batched by size and by caption length so that no text is padded."""

    def __init__(self, paths: list[Path], tokenizer: T5Tokenizer, batch: int, seed: int) -> None:
        self.files = [torch.load(path, weights_only=True, mmap=True) for path in paths]
        self.batch = batch
        self.rng = np.random.default_rng(seed)
        self.tokenizer = tokenizer
        self.waiting: dict[tuple[int, int], list[tuple[int, list[int]]]] = defaultdict(list)

    def next(self) -> tuple[Tensor, Tensor]:
        """Latents ``(B, C, h, w)`` of one file and token ids ``(B, T)``; a larger picture counts by its area."""
        number = int(self.rng.integers(len(self.files)))
        latents = self.files[number]["latents"]
        batch = max(1, self.batch * SMALL_SIDE**2 // latents.shape[-1] ** 2)
        while True:
            index = int(self.rng.integers(len(latents)))
            mentions = tuple(Mention(**m) for m in self.files[number]["mentions"][index])
            if not mentions:
                continue
            ids = self.tokenizer(caption(mentions, self.rng)).input_ids
            queue = self.waiting[number, len(ids)]
            queue.append((index, ids))
            if len(queue) == batch:
                del self.waiting[number, len(ids)]
                return latents[[i for i, _ in queue]].float(), torch.tensor([ids for _, ids in queue])


def pack(latents: Tensor) -> Tensor:
    """(B, C, h, w) to FLUX's (B, h/2 * w/2, 4 C)."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def positions(height: int, width: int) -> Tensor:
    """FLUX's image ids, (height * width, 3): 0, row, column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()


class Nano(nn.Module):
    """Text encoder and transformer, trained together."""

    def __init__(self, vocabulary: int, heads: int, double: int, single: int) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(vocabulary)
        self.transformer = build_transformer(heads, double, single)
        width = self.transformer.inner_dim
        self.true = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))
        self._text: list[Tensor] = []
        self.transformer.single_transformer_blocks[-1].register_forward_hook(self._keep_text)

    def _keep_text(self, _block: nn.Module, _inputs: object, output: tuple[Tensor, Tensor]) -> None:
        self._text[:] = output[:1]

    def forward(self, noisy: Tensor, noise_level: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity ``(B, P, C)``, and the logit ``(B, T)`` of each word that it is true."""
        side = int(noisy.shape[1] ** 0.5)
        out: Tensor = self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=self.text_encoder(ids).last_hidden_state,
            pooled_projections=noisy.new_zeros(len(noisy), 32),
            timestep=noise_level,
            img_ids=positions(side, side),
            txt_ids=torch.zeros(ids.shape[1], 3),
            return_dict=False,
        )[0]
        return out, self.true(self._text.pop())[..., 0]


class Exchange:
    """Captions with wrong words: nouns for nouns, colours for colours, places for places."""

    def __init__(self, tokenizer: T5Tokenizer) -> None:
        self.kinds = [
            torch.tensor(sorted(set(tokenizer(" ".join(words), add_special_tokens=False).input_ids))) for words in KINDS
        ]
        self.all = torch.cat(self.kinds)

    def noise(self, ids: Tensor) -> Tensor:
        """Ids ``(B, T)`` with words exchanged; each row and kind has its own share of them.

        Nouns never swap: "a ball and a cup" is as true as "a cup and a ball".
        """
        wrong = ids
        for kind in self.kinds:
            of_kind = torch.isin(ids, kind)
            chosen = of_kind & (torch.rand(ids.shape) < EXCHANGED * torch.rand(len(ids), 1))
            wrong = torch.where(chosen, kind[torch.randint(len(kind), ids.shape)], wrong)
            swapped = torch.rand(len(ids)) < (0 if kind is self.kinds[0] else SWAPPED)
            for row in swapped.nonzero()[:, 0]:
                places = of_kind[row].nonzero()[:, 0]
                wrong[row, places] = ids[row, places[torch.randperm(len(places))]]
        return wrong

    def loss(self, logits: Tensor, ids: Tensor, shown: Tensor) -> Tensor:
        """Cross-entropy of true and wrong, over the words that may have been exchanged, all ``(B, T)``."""
        named = torch.isin(ids, self.all)
        return binary_cross_entropy_with_logits(logits[named].float(), (ids == shown)[named].float())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train nano's diffusion transformer.")
    parser.add_argument("--latents", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/flux"))
    parser.add_argument("--start", type=Path, help="an exported pipeline folder to begin with, instead of nothing")
    parser.add_argument("--steps", type=int, required=True, help="total steps, counted over all runs")
    parser.add_argument("--decay", type=int, default=0, help="of these, the last ones in which the rate falls")
    parser.add_argument("--batch", type=int, default=64, help="of 128x128 pixels; a quarter of it of 256x256")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--pictures", type=float, default=0.25, help="share of a batch that serves the pictures' loss")
    parser.add_argument("--noise-mean", type=float, default=0.4, help="of the pictures' noise, before the sigmoid")
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--double", type=int, default=3)
    parser.add_argument("--single", type=int, default=4)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--compile", action="store_true", help="a quarter faster after two minutes of compilation")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "checkpoint.pt"

    vocabulary = arguments.output / "tokenizer"  # kept with the run: the words of the first sitting stay the words
    if not vocabulary.exists():
        start = arguments.start
        words = T5Tokenizer.from_pretrained(start, subfolder="tokenizer_2") if start else t5_tokenizer()
        words.save_pretrained(vocabulary)
    tokenizer = T5Tokenizer.from_pretrained(vocabulary)
    torch.manual_seed(arguments.seed)
    shape = {"heads": arguments.heads, "double": arguments.double, "single": arguments.single}
    model = Nano(len(tokenizer), **shape)
    if arguments.start and not checkpoint.exists():
        encoder = T5EncoderModel.from_pretrained(arguments.start, subfolder="text_encoder_2")
        transformer = FluxTransformer2DModel.from_pretrained(arguments.start, subfolder="transformer")
        model.text_encoder.load_state_dict(encoder.state_dict())
        model.transformer.load_state_dict(transformer.state_dict())
        model.true.load_state_dict(load_file(arguments.start.parent / CAPTION_HEAD))
    average = copy.deepcopy(model).requires_grad_(False)
    optimisers = build_optimisers(model, arguments.rate, matrices=r"transformer_blocks\.\d+\.(?!norm)")
    first = resume(checkpoint, optimisers, model=model, average=average)
    exchange = Exchange(tokenizer)
    data = Captioned(arguments.latents, tokenizer, arguments.batch, arguments.seed + first)
    started, losses = time.time(), []
    forward = torch.compile(model, dynamic=True) if arguments.compile else model
    for step in range(first, arguments.steps):
        latents, ids = data.next()
        clean = pack(latents)
        pictures = round(len(clean) * arguments.pictures)
        level = torch.sigmoid(torch.randn(len(clean)) * NOISE_DEVIATION + arguments.noise_mean)
        level[pictures:] = torch.rand(len(clean) - pictures) * SEEN
        shown = torch.cat([ids[:pictures], exchange.noise(ids[pictures:])])
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, level[:, None, None])
        with autocast():
            velocity, logits = forward(noisy, level, shown)
        image_loss = (velocity[:pictures].float() - (noise - clean)[:pictures]).square().mean()
        text_loss = exchange.loss(logits[pictures:], ids[pictures:], shown[pictures:])
        factor = rate_factor(step, arguments.steps, warm_up=WARM_UP, decay=arguments.decay)
        set_rate(optimisers, arguments.rate * factor)
        model.zero_grad()
        torch.autograd.backward(image_loss + text_loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        take_step(optimisers)
        move_average(average, model, step)
        losses.append((image_loss.item(), text_loss.item()))
        if (step + 1) % 25 == 0:
            seconds = (time.time() - started) / (step + 1 - first)
            picture, caption_loss = np.mean(losses[-25:], axis=0).round(4).tolist()
            record = {"step": step + 1, "picture": picture, "words": caption_loss, "seconds": round(seconds, 3)}
            print(json.dumps(record), flush=True)
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            saved = [o.state_dict() for o in optimisers]
            save(
                checkpoint,
                step=step + 1,
                model=model.state_dict(),
                average=average.state_dict(),
                optimisers=saved,
                shape=shape,
            )


if __name__ == "__main__":
    main()
