"""Let nano's transformer show in the paper's own reading what a phrase names. No mask, box or coordinate is read here.

RefAM reads where patches look among the words: the mean of layers and heads, shared out among all words, magnets too,
and summed over the words that count. ``flux.py`` never looks at that. Here the start itself teaches its later layers:
it is given the names of all that is in a picture, as one caption, and where they lie is read both ways at once,

    q_n = sqrt(c_n / max c_n * a_n / max a_n) * share_n

with c_n the paper's reading of name n (product of its words), a_n where the words look in the one head that does so
best, and share_n the part of both that is this name's among all names. A phrase with its magnets, alone, then has to
show the q of what it names, and nothing where it names nothing that is there: red cups in a picture of a red ball and a
blue cup.

What the head of the first layer reads (``preset=tuned``) stays as it is: text encoder, embedders and the first
block's queries and keys are not trained. Flow matching goes on in every second batch.

python -m groundkit.weights.training.reading --start weights/nano --pictures runs/*.pictures.pt --latents runs/*.pt \
    --output runs/reading --steps 1500
"""

import argparse
import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoTokenizer, T5EncoderModel, T5Tokenizer

from groundkit.language import Role, parse_phrase, tokenize
from groundkit.language.magnets import DEFAULT_MAGNETS
from groundkit.weights.training.captions import Mention
from groundkit.weights.training.flux import CAPTION_HEAD, Nano, pack
from groundkit.weights.training.optimisers import autocast, move_average, rate_factor, set_rate
from groundkit.weights.training.saving import resume, save
from groundkit.weights.training.vlm import name_of
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

FIXED = ("norm1", "attn.to_q", "attn.to_k", "attn.add_q_proj", "attn.add_k_proj", "attn.norm_")  # of the first block
FIRST = 1  # the first of the layers that are read: those after the one that is fixed
BEST_HEAD = 2  # of the first layer, see weights/nano/flux/groundkit.json
TAUGHT_AT, NOISES = 0.3, 2  # the teacher's noise level, and how many samples of noise it is the mean of
LEAST, MOST = 0.05, 0.55  # noise levels that are learnt
WARM_UP = 40
ON_OBJECTS = 3.0  # weight of what is to be shown against what is not
THERE, ONE_WORD, ALL_MAGNETS = 0.6, 0.35, 0.8  # shares of the phrases
BEFORE = (("the", 0.6), ("a", 0.1), ("", 0.14), ("the largest", 0.08), ("the smallest", 0.08))
AFTER = (("", 0.8), ("on the left", 0.05), ("on the right", 0.05), ("at the top", 0.05), ("at the bottom", 0.05))


class _EnoughError(Exception):
    """The layers that are wanted have run."""


class KeptAttention:
    """FLUX's attention, computed plainly; keeps softmax(q k^T / sqrt D) of each layer, ``(B, H, N, N)``, words first.

    Attributes:
        layers: what was kept since this list was last emptied.
        wanted: after so many layers the pass ends; None lets it run.
    """

    def __init__(self) -> None:
        self.layers: list[Tensor] = []
        self.wanted: int | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,
        image_rotary_emb: Any = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        def heads(projected: Tensor) -> Tensor:
            return projected.reshape(*projected.shape[:-1], -1, attn.head_dim)

        query, key = attn.norm_q(heads(attn.to_q(hidden_states))), attn.norm_k(heads(attn.to_k(hidden_states)))
        value = heads(attn.to_v(hidden_states))
        words = 0 if encoder_hidden_states is None else encoder_hidden_states.shape[1]
        if encoder_hidden_states is not None:
            query = torch.cat([attn.norm_added_q(heads(attn.add_q_proj(encoder_hidden_states))), query], dim=1)
            key = torch.cat([attn.norm_added_k(heads(attn.add_k_proj(encoder_hidden_states))), key], dim=1)
            value = torch.cat([heads(attn.add_v_proj(encoder_hidden_states)), value], dim=1)
        query, key = (apply_rotary_emb(each, image_rotary_emb, sequence_dim=1).transpose(1, 2) for each in (query, key))
        shares = ((query @ key.mT).float() * attn.head_dim**-0.5).softmax(-1)
        self.layers.append(shares)
        if len(self.layers) == self.wanted:
            raise _EnoughError
        out: Tensor = (shares.to(value.dtype) @ value.transpose(1, 2)).transpose(1, 2).flatten(2)
        if encoder_hidden_states is None:
            return out
        pictured: Tensor = attn.to_out[1](attn.to_out[0](out[:, words:]))
        said: Tensor = attn.to_add_out(out[:, :words])
        return pictured, said


def keep_attention(nano: Nano) -> KeptAttention:
    """Let a model's layers keep their attention."""
    kept = KeptAttention()
    for block in [*nano.transformer.transformer_blocks, *nano.transformer.single_transformer_blocks]:
        block.attn.processor = kept
    return kept


def look(nano: Nano, kept: KeptAttention, noisy: Tensor, level: Tensor, ids: Tensor) -> tuple[Tensor, Tensor] | None:
    """One pass: velocity and truth of words, see ``Nano``; None where it ends early. ``kept`` has the attention."""
    kept.layers = []
    try:
        out: tuple[Tensor, Tensor] = nano(noisy, level, ids)
        return out
    except _EnoughError:
        return None


def shared_out(layers: Sequence[Tensor], words: int) -> Tensor:
    """RefAM's reading: how each patch's attention to the words is shared among them, ``(B, P, T)``, sums to one."""
    across = torch.stack([layer[..., words:, :words].mean(dim=1) for layer in layers]).mean(dim=0)
    return across / across.sum(dim=-1, keepdim=True).clamp_min(1e-9)


@dataclass(frozen=True)
class Text:
    """A phrase as RefAM reads it: its ids, magnets included, and which of them count."""

    ids: tuple[int, ...]
    counts: tuple[bool, ...]


def read_text(text: str, tokenizer: Any, magnets: Sequence[str]) -> Text:
    phrase = parse_phrase(text)
    tokens = tokenize(phrase, tokenizer, magnets=magnets)
    words = phrase.kept_words(head_only=True, without_directions=True)
    counts = tuple(token.word in words for token in tokens)
    if not any(counts):
        counts = tuple(token.role is Role.CONTENT for token in tokens)
    return Text(tuple(token.id for token in tokens), counts)


def caption_of(names: Sequence[str], tokenizer: Any) -> tuple[list[int], list[list[int]]]:
    """Ids of a caption of all names, magnets behind it, and where the words of each name stand."""
    ids: list[int] = []
    places = []
    for number, name in enumerate(names):
        before = tokenizer("the" if number == 0 else ", the", add_special_tokens=False).input_ids
        words = tokenizer(name, add_special_tokens=False).input_ids
        places.append(list(range(len(ids) + len(before), len(ids) + len(before) + len(words))))
        ids += [*before, *words]
    ids.append(tokenizer.eos_token_id)
    for magnet in DEFAULT_MAGNETS:
        ids += tokenizer(magnet).input_ids
    return ids, places


def product(maps: Tensor, dim: int) -> Tensor:
    """Geometric mean."""
    return maps.clamp_min(1e-12).log().mean(dim).exp()


@torch.inference_mode()
def where_names_are(nano: Nano, kept: KeptAttention, tokenizer: Any, clean: Tensor, names: Sequence[str]) -> Tensor:
    """q of each name, ``(names, P)`` from 0 to 1, see above; ``clean`` is one picture's latent ``(P, C)``."""
    ids, places = caption_of(names, tokenizer)
    words = len(ids)
    noisy = torch.lerp(clean.expand(NOISES, -1, -1), torch.randn(NOISES, *clean.shape), TAUGHT_AT)
    look(nano, kept, noisy, torch.full((NOISES,), TAUGHT_AT), torch.tensor([ids]).expand(NOISES, -1))
    shares = shared_out(kept.layers, words).mean(dim=0)
    looks = kept.layers[0][:, BEST_HEAD, :words, words:].mean(dim=0)
    across = torch.stack([product(shares[:, place], 1) for place in places])
    along = torch.stack([product(looks[place], 0) for place in places])
    share = (across / across.sum(dim=0) + along / along.sum(dim=0)) / 2
    found = (across / across.amax(1, keepdim=True) * along / along.amax(1, keepdim=True)).sqrt() * share
    return found / found.amax(dim=1, keepdim=True)


@dataclass(frozen=True)
class Picture:
    """A latent ``(P, C)``, what is in the picture, and the q of each name."""

    latent: Tensor
    mentions: tuple[Mention, ...]
    names: tuple[str, ...]
    places: Tensor

    def draw(self, words: int, rng: np.random.Generator) -> tuple[str, Tensor | None] | None:
        """A name of so many words and its q, or None for the latter where it is not there; None if there is no name."""
        nouns = {item.noun for item in self.mentions}
        there = rng.random() < THERE
        if words == 1:
            pool = sorted(n for n in (nouns if there else set(NOUNS) - nouns) if " " not in n)
            if not pool:
                return None
            noun = str(rng.choice(pool))
            rows = [i for i, name in enumerate(self.names) if name == noun or name.endswith(f" {noun}")]
            return noun, self.places[rows].amax(dim=0) if there else None
        if there:
            rows = [i for i, name in enumerate(self.names) if name.count(" ") == 1]
            row = int(rng.choice(rows)) if rows else None
            return None if row is None else (self.names[row], self.places[row])
        return self._untrue(nouns, rng)

    def _untrue(self, nouns: set[str], rng: np.random.Generator) -> tuple[str, None] | None:
        """A colour and a noun, mostly both of them there, but not in one object."""
        colours = sorted({item.colour for item in self.mentions if item.colour})
        natural = {item.noun for item in self.mentions if not item.colour}
        for _ in range(6):
            noun = str(rng.choice(sorted(nouns) if rng.random() < 0.7 else NOUNS))
            colour = str(rng.choice(colours if colours and rng.random() < 0.7 else list(COLOURS)))
            if " " not in noun and noun not in natural and f"{colour} {noun}" not in self.names:
                return f"{colour} {noun}", None
        return None


@dataclass(frozen=True)
class Batch:
    """B pictures with a phrase of T tokens each.

    Attributes:
        clean: ``(B, P, C)``.
        ids, counts: ``(B, T)``, and which of the tokens count.
        places: ``(B, P)``, q of what is named; 0 where it is not there.
        there: bool ``(B,)``.
    """

    clean: Tensor
    ids: Tensor
    counts: Tensor
    places: Tensor
    there: Tensor


def draw_batch(pictures: Sequence[Picture], tokenizer: Any, size: int, rng: np.random.Generator) -> Batch:
    """Phrases of one form, so that no text is padded."""
    before, after = (str(rng.choice([t for t, _ in form], p=[p for _, p in form])) for form in (BEFORE, AFTER))
    words = 1 if rng.random() < ONE_WORD else 2
    magnets = DEFAULT_MAGNETS if rng.random() < ALL_MAGNETS else rng.permutation(DEFAULT_MAGNETS)[: rng.integers(5)]
    rows: list[tuple[Picture, Text, Tensor | None]] = []
    while len(rows) < size:
        picture = pictures[int(rng.integers(len(pictures)))]
        if found := picture.draw(words, rng):
            text = read_text(f"{before} {found[0]} {after}".strip(), tokenizer, [str(m) for m in magnets])
            if not rows or len(text.ids) == len(rows[0][1].ids):
                rows.append((picture, text, found[1]))
    nowhere = torch.zeros(rows[0][0].places.shape[1])
    return Batch(
        torch.stack([picture.latent for picture, _, _ in rows]),
        torch.tensor([text.ids for _, text, _ in rows]),
        torch.tensor([text.counts for _, text, _ in rows]),
        torch.stack([nowhere if places is None else places for _, _, places in rows]),
        torch.tensor([places is not None for _, _, places in rows]),
    )


def reading_loss(shares: Tensor, counts: Tensor, places: Tensor) -> Tensor:
    """Cross-entropy of q ``(B, P)`` and what the words that count ``(B, T)`` have of the ``shares`` ``(B, P, T)``."""
    shown = (shares * counts[:, None]).sum(dim=-1).clamp(1e-5, 1 - 1e-5)
    return -(ON_OBJECTS * places * shown.log() + (1 - places) * (1 - shown).log()).mean()


def free(nano: Nano) -> list[nn.Parameter]:
    """What is trained; the rest is fixed."""
    nano.requires_grad_(False)
    nano.true.requires_grad_(True)
    for name, parameter in nano.transformer.named_parameters():
        block = name.startswith(("transformer_blocks.", "single_transformer_blocks.", "norm_out.", "proj_out."))
        parameter.requires_grad_(block and not name.startswith(tuple(f"transformer_blocks.0.{part}" for part in FIXED)))
    return [parameter for parameter in nano.parameters() if parameter.requires_grad]


def begin(folder: Path) -> tuple[Nano, Any]:
    """A packaged model, in float32, and its words."""
    start = folder / "flux"
    tokenizer = AutoTokenizer.from_pretrained(start, subfolder="tokenizer_2")
    transformer = FluxTransformer2DModel.from_pretrained(start, subfolder="transformer").float()
    config = transformer.config
    nano = Nano(len(tokenizer), config.num_attention_heads, config.num_layers, config.num_single_layers)
    nano.text_encoder.load_state_dict(
        T5EncoderModel.from_pretrained(start, subfolder="text_encoder_2").float().state_dict()
    )
    nano.transformer.load_state_dict(transformer.state_dict())
    nano.true.load_state_dict({name: value.float() for name, value in load_file(folder / CAPTION_HEAD).items()})
    return nano, tokenizer


def taught(paths: Sequence[Path], nano: Nano, kept: KeptAttention, tokenizer: Any) -> list[Picture]:
    """All pictures of some files of latents in which anything is."""
    pictures = []
    for path in paths:
        file = torch.load(path, weights_only=True, mmap=True)
        for latent, found in zip(file["latents"], file["mentions"], strict=True):
            mentions = tuple(Mention(**each) for each in found)
            names = tuple(dict.fromkeys(name_of(each) for each in mentions))
            if names:
                clean = pack(latent[None].float())[0]
                places = where_names_are(nano, kept, tokenizer, clean, names)
                pictures.append(Picture(clean, mentions, names, places))
    return pictures


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train nano's transformer on the reading that RefAM takes of it.")
    parser.add_argument("--start", type=Path, required=True, help="the folder of the packaged models")
    parser.add_argument("--latents", type=Path, nargs="+", required=True, help="of whole pictures (256x256 pixels)")
    parser.add_argument("--output", type=Path, default=Path("runs/reading"))
    parser.add_argument("--steps", type=int, required=True, help="total steps, counted over all runs")
    parser.add_argument("--decay", type=int, default=0, help="of these, the last ones in which the rate falls")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "checkpoint.pt"
    torch.manual_seed(arguments.seed)
    nano, tokenizer = begin(arguments.start)
    words = T5Tokenizer.from_pretrained(arguments.start / "flux", subfolder="tokenizer_2")
    words.save_pretrained(arguments.output / "tokenizer")  # where ``export.py`` looks for it
    kept = keep_attention(nano)
    pictures = taught(arguments.latents, nano, kept, tokenizer)  # before any step
    average = copy.deepcopy(nano).requires_grad_(False)
    trained = free(nano)
    optimiser = torch.optim.AdamW(trained, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0)
    first = resume(checkpoint, [optimiser], model=nano, average=average)
    losses: list[tuple[float, float]] = []
    flow = torch.zeros(())
    started = time.time()
    for step in range(first, arguments.steps):
        batch = draw_batch(pictures, tokenizer, arguments.batch, np.random.default_rng((arguments.seed, step)))
        level = LEAST + torch.rand(len(batch.clean)) * (MOST - LEAST)
        noise = torch.randn_like(batch.clean)
        kept.wanted = None if step % 2 == 0 else FIRST + 1
        with autocast():
            out = look(nano, kept, torch.lerp(batch.clean, noise, level[:, None, None]), level, batch.ids)
        reading = reading_loss(shared_out(kept.layers[FIRST:], batch.ids.shape[1]), batch.counts, batch.places)
        loss = reading
        if out is not None:
            velocity, logits = out
            flow = (velocity.float() - (noise - batch.clean)).square().mean()
            last = batch.counts & (batch.counts.cumsum(1) == batch.counts.sum(1, keepdim=True))
            true = binary_cross_entropy_with_logits(logits[last].float(), batch.there.float())
            loss = reading + flow + 0.2 * true
        factor = rate_factor(step, arguments.steps, warm_up=WARM_UP, decay=arguments.decay)
        set_rate([optimiser], arguments.rate * factor)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        move_average(average, nano, step, keep=0.99)
        losses.append((reading.item(), flow.item()))
        if (step + 1) % 25 == 0:
            seconds = (time.time() - started) / (step + 1 - first)
            shown, pictured = np.mean(losses[-25:], axis=0).round(4).tolist()
            record = {"step": step + 1, "reading": shown, "picture": pictured, "seconds": round(seconds, 3)}
            print(json.dumps(record), flush=True)
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            state: dict[str, Any] = {"model": nano.state_dict(), "average": average.state_dict()}
            shape = {
                "heads": nano.transformer.config.num_attention_heads,
                "double": nano.transformer.config.num_layers,
                "single": nano.transformer.config.num_single_layers,
            }
            save(checkpoint, step=step + 1, **state, optimisers=[optimiser.state_dict()], shape=shape)


if __name__ == "__main__":
    main()
