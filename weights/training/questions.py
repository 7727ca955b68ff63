"""Teach nano's language model DecAF's question, and let the flow through all its layers show what words name.

No mask, box or coordinate is read here. Where names are is what the diffusion transformer sees (``reading.py``: q)
times where the words of a phrase look in two heads of the language model's own first layer. Three maps are to have that
shape:

- VL-SAM's flow from a phrase in the model's answer, through all layers and heads, with its factor at the end;
- DecAF's rollout of the last layers from the last token of its question for a phrase, to which the answer is a noun, or
  "nothing" where the phrase names nothing that is there;
- of its question about the background, which is to look where no name is.

Three of the conversations of ``vlm.py`` about each picture keep what was learnt before. The vision tower, the
embeddings and the first layer's queries and keys are not trained, so that what is read of that layer (``preset=tuned``)
stays. The model that is saved lies ``--share`` of the way from the start to what was learnt: so it names things as well
as before.

python -m groundkit.weights.training.questions --start weights/nano --pictures runs/full.pictures.pt \
    --latents runs/full.pt --output runs/questions --steps 420
"""

import argparse
import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import LlavaForConditionalGeneration

from groundkit.attention.flow import column_factor
from groundkit.pipelines.vlsam_config import PRESETS
from groundkit.stages.contrast import BACKGROUND
from groundkit.weights.training.captions import Mention
from groundkit.weights.training.optimisers import autocast, move_average, rate_factor, set_rate
from groundkit.weights.training.reading import begin, keep_attention, product, taught
from groundkit.weights.training.saving import resume, save
from groundkit.weights.training.vlm import (
    ASSISTANT,
    GRID,
    IGNORED,
    START,
    USER,
    Talk,
    absent_name,
    answer_loss,
    build_tokenizer,
    converse,
    export,
    lay_out,
    list_all,
    name_of,
    see,
    unique_names,
)

BEFORE = 2 + GRID**2  # tokens before a question
IMAGE = slice(2, BEFORE)
HEADS = [1, 4]  # of the first layer, that teach
FIXED = ("layers.0.self_attn.q", "layers.0.self_attn.k", "layers.0.input_layernorm")
PLACED, ABSENT, NAMELESS, LISTED = 0.25, 0.2, 0.12, 0.4  # shares of the questions
WARM_UP = 40
DECAF = str(PRESETS["decaf"]["phrase_question"])


@dataclass(frozen=True)
class Lesson:
    """One picture's conversations: DecAF's question, a phrase in an answer, the background, and three of ``vlm.py``.

    Attributes:
        seen: ``(P, width)``, what the projector makes of the picture.
        places: ``(P,)``, q of the phrase; background: ``(P,)``, where no name is.
        there: whether DecAF's question names anything that is there.
        words: how many tokens the name has.
        said: whether the answer that holds the phrase is the model's own, too.
    """

    seen: Tensor
    talks: tuple[Talk, ...]
    places: Tensor
    background: Tensor
    there: bool
    words: int
    said: bool


@dataclass(frozen=True)
class Scene:
    """What ``Lesson`` draws from: ``seen`` ``(P, width)``, mentions, and q ``(names, P)``."""

    seen: Tensor
    mentions: tuple[Mention, ...]
    names: tuple[str, ...]
    places: Tensor

    def draw(self, tokenizer: Any, rng: np.random.Generator) -> Lesson:
        found = unique_names(self.mentions)
        item, coloured = found[rng.integers(len(found))]
        name, placed, kind = name_of(item, coloured), bool(rng.random() < PLACED), rng.random()
        phrase = f"the {name} {item.place}" if placed else f"the {name}"
        asked, answer = phrase, f"{item.noun}."
        colours = [other.colour for other in self.mentions]
        if kind < ABSENT:
            asked, answer = f"the {absent_name(item, coloured, self.mentions, rng)}", "nothing."
        elif kind < ABSENT + NAMELESS and item.colour and colours.count(item.colour) == 1 and None not in colours:
            asked = f"the {item.colour} {rng.choice(['object', 'thing'])}"
        more = [list_all if rng.random() < LISTED else converse for _ in range(3)]
        return Lesson(
            self.seen,
            (
                (DECAF.format(phrase=asked), answer),
                (f"Where is {phrase}?", phrase if placed else f"The {name} is {item.place}."),
                (BACKGROUND.format(noun=item.noun.split()[-1]), "ground."),
                *(talk(self.mentions, rng) for talk in more),
            ),
            self.places[self.names.index(name_of(item))],
            (1 - self.places.amax(dim=0)).clamp_min(0) ** 2,
            bool(kind >= ABSENT),
            len(tokenizer(name, add_special_tokens=False).input_ids),
            not placed,
        )


def attend(model: Any, seen: Tensor, ids: Tensor, offsets: Tensor, talks: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What becomes of each token of the conversations, and each layer's attention ``(B, H, N, N)``."""
    embed = model.get_input_embeddings()
    opening = torch.tensor([[START, USER]]).expand(len(seen), -1)
    numbers = pad(talks, (BEFORE, 0))
    shared = torch.arange(numbers.shape[1]) < BEFORE
    visible = (shared | (numbers[:, :, None] == numbers[:, None])).tril()[:, None]
    out = model.model.language_model(
        inputs_embeds=torch.cat([embed(opening), seen, embed(ids)], dim=1),
        attention_mask=torch.zeros(visible.shape).masked_fill(~visible, -1e9),
        position_ids=torch.cat([torch.arange(BEFORE).expand(len(seen), -1), BEFORE + offsets], dim=1),
        use_cache=False,
        output_attentions=True,
    )
    return out.last_hidden_state[:, BEFORE:].float(), [layer.float() for layer in out.attentions]


def weighed(layer: Tensor, real: Tensor, *, image: bool) -> Tensor:
    """A layer's heads as one matrix ``(B, N, N)``: VL-SAM's weights, or DecAF's, of ``image`` columns alone."""
    with torch.no_grad():
        sharp = (layer[..., IMAGE] if image else layer).amax(dim=-1)
        weights = (sharp * real[:, None]).sum(dim=-1) / real.sum(dim=-1)[:, None]
        if image:
            weights = weights / weights.amax(dim=-1, keepdim=True)
    return (layer * weights[..., None, None]).mean(dim=1)


def flow(layers: Sequence[Tensor], rows: Tensor, real: Tensor) -> Tensor:
    """VL-SAM's regularised flow ``(B, R, P)`` from ``rows`` ``(B, R, N)``; see ``groundkit.attention.flow``."""
    matrices = [weighed(layer, real, image=False) for layer in layers]
    total = torch.zeros_like(rows)
    for matrix in reversed(matrices[1:]):
        rows = rows + rows @ matrix
        total = total + rows
    return ((total + rows @ matrices[0]) * column_factor(rows.shape[-1]))[..., IMAGE]


def rollout(layers: Sequence[Tensor], rows: Tensor, real: Tensor) -> Tensor:
    """DecAF's rollout ``(B, R, P)`` through the later half of the layers."""
    for layer in reversed(layers[len(layers) // 2 :]):
        rows = (rows + rows @ weighed(layer, real, image=True)) / 2
    return rows[..., IMAGE]


def divergence(maps: Tensor, shapes: Tensor) -> Tensor:
    """Kullback-Leibler divergence ``(B,)`` of maps from shapes, both ``(B, P)``, each scaled to sum to one."""
    shares = maps / maps.sum(dim=-1, keepdim=True).clamp_min(1e-9)
    wanted = shapes / shapes.sum(dim=-1, keepdim=True).clamp_min(1e-9)
    return (wanted * (wanted.clamp_min(1e-7).log() - shares.clamp_min(1e-7).log())).sum(dim=-1)


def lesson_loss(model: Any, lessons: Sequence[Lesson], tokenizer: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Divergences of flow, object and background, and the loss of the answers."""
    ids, labels, offsets, talks, _ = lay_out([lesson.talks for lesson in lessons], tokenizer)
    labels = labels.clone()
    labels[talks == 3] = IGNORED
    for row, lesson in enumerate(lessons):
        if not lesson.said:
            labels[row, talks[row] == 2] = IGNORED
    with autocast():
        tokens, layers = attend(model, torch.stack([lesson.seen for lesson in lessons]), ids, offsets, talks)
    real = pad((talks > 0).float(), (BEFORE, 0), value=1.0)
    begins = [
        [BEFORE + int(((talks[row] == number) & (ids[row] == ASSISTANT)).nonzero()[0, 0]) for number in (1, 2, 3)]
        for row in range(len(lessons))
    ]
    longest = max(lesson.words for lesson in lessons)
    words = [  # after "the", the last one again where there are fewer
        [begin[1] + 2 + min(number, lesson.words - 1) for number in range(longest)]
        for begin, lesson in zip(begins, lessons, strict=True)
    ]
    eye = torch.eye(layers[0].shape[-1])
    with torch.no_grad():
        own = [
            product(layers[0][row, HEADS].mean(dim=0)[sorted(set(where))][:, IMAGE], 0)
            for row, where in enumerate(words)
        ]
        shapes = torch.stack([lesson.places for lesson in lessons]) * torch.stack(own)
    flows = flow(layers, torch.stack([eye[where] for where in words]), real).mean(dim=1)
    asked = rollout(layers, torch.stack([eye[[begin[0], begin[2]]] for begin in begins]), real)
    there = torch.tensor([lesson.there for lesson in lessons]).float()
    return (
        divergence(flows, shapes).mean(),
        (divergence(asked[:, 0], shapes) * there).sum() / there.sum().clamp_min(1),
        divergence(asked[:, 1], torch.stack([lesson.background for lesson in lessons])).mean(),
        answer_loss(model.lm_head(tokens), labels),
    )


@torch.inference_mode()
def scenes(arguments: argparse.Namespace, model: Any) -> list[Scene]:
    """All pictures in which something has a name of its own."""
    nano, words = begin(arguments.start)
    kept = keep_attention(nano)
    found = []
    for pictures, latents in zip(arguments.pictures, arguments.latents, strict=True):
        file = torch.load(pictures, weights_only=True, mmap=True)
        shown = [image for image, mentions in zip(file["images"], file["mentions"], strict=True) if mentions]
        for image, picture in zip(shown, taught([latents], nano, kept, words), strict=True):
            if unique_names(picture.mentions):
                pixels = image.permute(2, 0, 1)[None].float() / 127.5 - 1
                seen = model.model.multi_modal_projector(see(model.model.vision_tower, pixels))[0]
                found.append(Scene(seen, picture.mentions, picture.names, picture.places))
    return found


def free(model: Any) -> list[nn.Parameter]:
    """What is trained; the rest is fixed."""
    model.requires_grad_(False)
    for name, parameter in model.model.language_model.named_parameters():
        parameter.requires_grad_(name.startswith(("layers.", "norm.")) and not name.startswith(FIXED))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Teach nano's language model what its attention is asked for.")
    parser.add_argument("--start", type=Path, required=True, help="the folder of the packaged models")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="whole pictures (256x256 pixels)")
    parser.add_argument("--latents", type=Path, nargs="+", required=True, help="of each file of pictures")
    parser.add_argument("--output", type=Path, default=Path("runs/questions"))
    parser.add_argument("--steps", type=int, required=True, help="total steps, counted over all runs")
    parser.add_argument("--decay", type=int, default=0, help="of these, the last ones in which the rate falls")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--share", type=float, default=0.7, help="of the way from the start to what was learnt")
    parser.add_argument("--every", type=int, default=60, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "checkpoint.pt"
    tokenizer = build_tokenizer()
    model: Any = LlavaForConditionalGeneration.from_pretrained(
        arguments.start / "llava", dtype=torch.float32, attn_implementation={"text_config": "eager"}
    )
    began = copy.deepcopy(model.state_dict())
    pictures = scenes(arguments, model)
    average = copy.deepcopy(model).requires_grad_(False)
    trained = free(model)
    optimiser = torch.optim.AdamW(trained, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0)
    losses: list[list[float]] = []
    for step in range(resume(checkpoint, [optimiser], model=model, average=average), arguments.steps):
        rng = np.random.default_rng((arguments.seed, step))
        drawn = [pictures[rng.integers(len(pictures))].draw(tokenizer, rng) for _ in range(arguments.batch)]
        flows, asked, background, answers = lesson_loss(model, drawn, tokenizer)
        factor = rate_factor(step, arguments.steps, warm_up=WARM_UP, decay=arguments.decay)
        set_rate([optimiser], arguments.rate * factor)
        optimiser.zero_grad()
        torch.autograd.backward(0.5 * flows + 0.5 * asked + 0.25 * background + 2 * answers)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        move_average(average, model, step, keep=0.985)
        losses.append([each.item() for each in (flows, asked, background, answers)])
        if (step + 1) % 20 == 0:
            means = np.mean(losses[-20:], axis=0).round(3).tolist()
            print(
                json.dumps(
                    {"step": step + 1, **dict(zip(("flow", "decaf", "background", "answers"), means, strict=True))}
                )
            )
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            state: dict[str, Any] = {"model": model.state_dict(), "average": average.state_dict()}
            save(checkpoint, step=step + 1, **state, optimisers=[optimiser.state_dict()])
    learnt = average.state_dict()
    average.load_state_dict({name: torch.lerp(began[name], learnt[name], arguments.share) for name in began})
    export(average, arguments.output / "llava")


if __name__ == "__main__":
    main()
