"""Train nano's vision-language model: LLaVA's class, from nothing, on pictures and words. No mask is ever read here.

Each step draws conversations anew from what a picture's captions may say: what is in it, whether something is there,
and where, in words. Only the answers' tokens are learnt. Several conversations share one picture: none sees another.

One of them lists things of which some are not there. None of its words is learnt; each name has to say whether it is
true (replaced token detection, ELECTRA, Clark et al., arXiv 2003.10555). A name that is asked whether it is true looks
for what it names. The small head that answers is no part of the exported model.

A picture smaller than the frame of 256x256 pixels is a part of it, anywhere, of which the rest is not seen: its patches
take the positions that they have there in the language model, and its places are those of the frame. So small pictures,
which cost little, teach exactly the weights that read whole frames later. Some whole frames are zoomed into, as
pipelines do that look at crops: what has its centre outside is then not named, and where nothing is left, that is said.

With ``--latents`` the words learn to read the autoencoder's latents while, elsewhere, a tower learns to tell them
(``vision.py``); ``--start`` and ``--tower`` then put the two together.

python -m groundkit.weights.training.vlm --pictures runs/single.pictures.pt --output runs/vlm --steps 3000
python -m groundkit.weights.training.vlm --pictures runs/easy.pictures.pt runs/dense.pictures.pt --output runs/vlm \
    --steps 8000  (goes on)

A run that is stopped goes on from its last checkpoint, with the same weights as if it had never stopped; ``--steps``
counts from the very beginning, over all sittings. At the end, ``<output>/llava`` is a plain LLaVA folder.
"""

import argparse
import copy
import json
import string
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, unfold
from transformers import (
    CLIPImageProcessor,
    FocalNetConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from groundkit.language.objects import with_article
from groundkit.pipelines.vlsam import ASK_FOR_QUESTIONS, QUESTIONS
from groundkit.weights.training.captions import Mention
from groundkit.weights.training.optimisers import (
    autocast,
    build_optimisers,
    move_average,
    rate_factor,
    set_rate,
    take_step,
)
from groundkit.weights.training.saving import resume, save
from groundkit.weights.training.tokenizers import vocabulary_words
from groundkit.weights.training.vae import LATENT_CHANNELS
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

SIZE, PATCH = 256, 16
GRID = SIZE // PATCH
HELD_OUT = 200  # the last pictures of each file are never trained on; as many in all are asked at each checkpoint
WARM_UP = 200
IGNORED = -100
TOWER, READER = "tower.safetensors", "reader.safetensors"  # of vision.py: what sees, and what reads latents from it
MATRICES = r"^(?!.*focal_).*layers\.\d+\."  # kernels of one channel are none

MORE_QUESTIONS = (
    "What is in the picture?",
    "What do you see in this picture?",
    "What is shown here?",
    "Which objects are there in the picture?",
    "Which things can be seen here?",
    "What are all the things in this scene?",
    "Can you name all the objects in the picture?",
    "What is there, from the left to the right?",
    "What is there, from the top to the bottom?",
)
LISTING = (*QUESTIONS, *MORE_QUESTIONS)
# A line that begins with a space begins with a whole word, as the tokenizer marks it.
WRITTEN = "\n ".join(question for question in LISTING if question.endswith("?"))

PLURAL = ("glasses", "scissors")
LISTED, PLACED = 0.5, 0.25  # shares of the conversations that list everything and ask where; the rest: is it there?
ABSENT = 1 / 3  # of the questions where something is
COLOURED = 0.75  # of the names of coloured objects
ONLY_COLOUR = 0.8  # of the absent things with a colour: about half of all absent things
ZOOMED = 0.4  # of the whole frames, a part of which fills the frame
ZOOM = (0.4, 0.75)  # the part's share of each side
NOTHING = "There are no things."
ASKED = 0.04  # of the batches, in which one conversation asks for questions: that is long

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<user>", "<assistant>")
PAD, START, END, UNKNOWN, IMAGE, USER, ASSISTANT = range(len(SPECIAL))
CHAT_TEMPLATE = (
    "<s>{% for message in messages %}{{ '<user>' if message['role'] == 'user' else '<assistant>' }}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)

Talk = tuple[str, str]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Lower case; a word of the questions and answers is one piece, any other is spelled."""
    texts = (*LISTING, ASK_FOR_QUESTIONS, "Is are there yes no where an things")
    words = {word.strip(string.punctuation) for text in texts for word in text.lower().split()}
    words |= set(vocabulary_words())
    characters = string.ascii_lowercase + string.digits + string.punctuation + "\n"
    pieces = [(token, 0.0) for token in SPECIAL] + [("▁", -3.0)]
    pieces += [(f"▁{word}", -2.0) for word in sorted(words)] + [(character, -8.0) for character in characters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def build_processor() -> LlavaProcessor:
    """The processor that fits any whole picture into the frame, and writes conversations as they are trained."""
    return LlavaProcessor(
        CLIPImageProcessor(
            size={"height": SIZE, "width": SIZE}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
        ),
        build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
    )


def build(vocabulary: int, vision: int, vision_layers: int, text: int, text_layers: int) -> Any:
    """LLaVA's class, small and untrained: a FocalNet that sees a token in 16x16 pixels, and heads of 32 values."""
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=FocalNetConfig(
                image_size=SIZE,
                embed_dim=vision // 4,
                depths=[1, 2, vision_layers],
                focal_levels=[2, 2, 2],
                focal_windows=[3, 3, 3],
                use_conv_embed=True,
                drop_path_rate=0.0,
                hidden_size=vision,  # where LLaVA looks for it
            ),
            text_config=LlamaConfig(
                vocab_size=vocabulary,
                hidden_size=text,
                intermediate_size=8 * text // 3,
                num_hidden_layers=text_layers,
                num_attention_heads=text // 32,
                num_key_value_heads=text // 32,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
                pad_token_id=PAD,
                bos_token_id=START,
                eos_token_id=END,
            ),
            image_token_id=IMAGE,
            image_seq_length=GRID**2,
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=True,
        )
    )
    model.generation_config.update(pad_token_id=PAD, bos_token_id=START, eos_token_id=END)
    return model


@torch.no_grad()
def begin(model: Any, trained: Any, tower: Path | None) -> None:
    """Let ``model`` begin with all of ``trained``, or with its words alone where another tower sees.

    What has learnt to read latents reads them from a tower that tells them (``vision.py``).
    """
    old, new = trained.model.multi_modal_projector, model.model.multi_modal_projector
    state = trained.state_dict()
    if old.linear_1.weight.shape != new.linear_1.weight.shape:
        seeing = ("model.vision_tower.", "model.multi_modal_projector.")
        words = {name: value for name, value in state.items() if not name.startswith(seeing)}
        state = {**model.state_dict(), **words}
    model.load_state_dict(state)
    if tower and old.linear_1.in_features == 4 * LATENT_CHANNELS:
        read = load_file(tower / READER)
        new.linear_1.weight.copy_(old.linear_1.weight @ read["weight"])
        new.linear_1.bias.copy_(old.linear_1.bias + old.linear_1.weight @ read["bias"])
        new.linear_2.load_state_dict(old.linear_2.state_dict())
    if tower:
        model.model.vision_tower.load_state_dict(load_file(tower / TOWER))


def name_of(item: Mention, coloured: bool = True) -> str:
    return f"{item.colour} {item.noun}" if coloured and item.colour else item.noun


def _verb(name: str) -> str:
    return "are" if name.endswith(PLURAL) else "is"


def list_all(mentions: Sequence[Mention], rng: np.random.Generator) -> Talk:
    """A question for everything, and every object's name in any order."""
    question = LISTING[rng.integers(len(QUESTIONS) if rng.random() < 0.8 else len(LISTING))]
    names = [with_article(name_of(mentions[i])) for i in rng.permutation(len(mentions)).tolist()]
    return question, ", ".join(names) or NOTHING


def unique_names(mentions: Sequence[Mention]) -> list[tuple[Mention, bool]]:
    """Every object and whether its colour is said, where that name is true of this object alone."""
    nouns = Counter(m.noun for m in mentions)
    names = Counter(name_of(m) for m in mentions)
    natural = {m.noun for m in mentions if not m.colour}
    found = [(m, False) for m in mentions if nouns[m.noun] == 1]
    return found + [(m, True) for m in mentions if m.colour and names[name_of(m)] == 1 and m.noun not in natural]


def absent_name(item: Mention, coloured: bool, mentions: Sequence[Mention], rng: np.random.Generator) -> str:
    """What ``item``'s name becomes when its colour, or else its noun, is exchanged for one that makes it untrue."""
    colours = {m.colour for m in mentions if m.noun == item.noun}
    if coloured and item.colour and None not in colours and rng.random() < ONLY_COLOUR:
        return f"{rng.choice([colour for colour in COLOURS if colour not in colours])} {item.noun}"
    nouns = {m.noun for m in mentions}
    noun = str(rng.choice([noun for noun in NOUNS if noun not in nouns]))
    return name_of(replace(item, noun=noun), coloured)


def invented(rng: np.random.Generator) -> Mention:
    """Any noun and colour, for pictures in which nothing is."""
    return Mention(str(rng.choice(NOUNS)), str(rng.choice(list(COLOURS))), 0.0, 0.5, 0.5)


def is_there(mentions: Sequence[Mention], rng: np.random.Generator) -> Talk:
    """Whether something is there; half of the time it is not. The form of the question never tells."""
    item = mentions[int(rng.integers(len(mentions)))] if mentions else invented(rng)
    coloured = bool(rng.random() < COLOURED)
    there = bool(mentions) and bool(rng.random() < 0.5)
    name = name_of(item, coloured) if there else absent_name(item, coloured, mentions, rng)
    return f"{_verb(name).capitalize()} there {with_article(name)}?", "Yes." if there else "No."


def where_is(mentions: Sequence[Mention], rng: np.random.Generator) -> Talk | None:
    """Where something is of which there is one, or that it is not there; None where no name singles an object out."""
    names = unique_names(mentions)
    if not names:
        return None
    item, coloured = names[rng.integers(len(names))]
    name = name_of(item, coloured)
    answer = f"The {name} {_verb(name)} {item.place}."
    if rng.random() < ABSENT:
        name = absent_name(item, coloured, mentions, rng)
        answer = f"There {_verb(name)} no {name}."
    return f"Where is the {name}?", answer  # "is" for all, as pipelines ask


def converse(mentions: Sequence[Mention], rng: np.random.Generator) -> Talk:
    """One question about a picture and its answer."""
    kind = rng.random()
    if kind < LISTED:
        return list_all(mentions, rng)
    talk = where_is(mentions, rng) if kind < LISTED + PLACED else None
    return talk or is_there(mentions, rng)


def doubtful(mentions: Sequence[Mention], rng: np.random.Generator) -> tuple[Talk, list[bool]]:
    """A list in which some names are exchanged for untrue ones, and whether each is true."""
    names, truths = [], []
    items = mentions or [invented(rng), invented(rng)]
    for index in rng.permutation(len(items)).tolist():
        item, coloured = items[index], bool(rng.random() < COLOURED)
        true = bool(mentions) and bool(rng.random() < 0.5)
        names.append(name_of(item, coloured) if true else absent_name(item, coloured, mentions, rng))
        truths.append(true)
    return (LISTING[rng.integers(len(QUESTIONS))], ", ".join(map(with_article, names))), truths


@dataclass(frozen=True)
class Batch:
    """Pictures with their conversations, one after the other, padded at the right.

    Attributes:
        pixels: ``(B, 3, s, s)`` in -1 to 1.
        places: ``(B, P)``, which of the frame's patches a picture's patches are.
        ids, labels: ``(B, T)`` tokens, and the token that follows where it is an answer's (else ``IGNORED``).
        offsets, talks: ``(B, T)``, a token's place in its conversation, and the conversation's number from 1 on.
        truths: ``(B, T)``, 1 at the last token of a true name, 0 at that of an untrue one, elsewhere ``IGNORED``.
    """

    pixels: Tensor
    places: Tensor
    ids: Tensor
    labels: Tensor
    offsets: Tensor
    talks: Tensor
    truths: Tensor


def lay_out(
    talks: Sequence[Sequence[Talk]], tokenizer: Any, truths: Sequence[Sequence[bool]] | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Ids, labels, offsets, numbers and truths of each picture's conversations, as in ``Batch``.

    ``truths`` are those of the names of each picture's first answer; without any it is an answer like all others.
    """
    comma = tokenizer(",", add_special_tokens=False).input_ids[-1]
    texts = list({text for row in talks for talk in row for text in talk})
    ids_of = dict(zip(texts, tokenizer(texts, add_special_tokens=False).input_ids, strict=True))
    rows = []
    for row, doubted in zip(talks, truths or [()] * len(talks), strict=True):
        tokens: list[tuple[int, ...]] = []
        for number, (question, answer) in enumerate(row, start=1):
            asked, said = [*ids_of[question], ASSISTANT], [*ids_of[answer], END]
            learnt = [IGNORED] * (len(asked) - 1) + said + [IGNORED]
            judged = [IGNORED] * len(learnt)
            if number == 1 and doubted:
                learnt = [IGNORED] * len(learnt)
                ends = [len(asked) + i - 1 for i, token in enumerate(said) if token in (comma, END)]
                for end, true in zip(ends, doubted, strict=True):
                    judged[end] = int(true)
            tokens += zip(asked + said, learnt, range(len(learnt)), [number] * len(learnt), judged, strict=True)
        rows.append(tokens)
    length = max(map(len, rows))
    padded = torch.tensor([tokens + [(PAD, IGNORED, 0, 0, IGNORED)] * (length - len(tokens)) for tokens in rows])
    ids, labels, offsets, numbers, judged_names = padded.unbind(-1)
    return ids, labels, offsets, numbers, judged_names


def in_frame(item: Mention, x: float, y: float, share: float, flipped: bool = False) -> Mention:
    """A mention of a picture whose corner is at x and y of the frame, of which its side is a share."""
    across = 1 - item.x if flipped else item.x
    return replace(item, side=item.side * share, x=x + share * across, y=y + share * item.y)


def zoomed(pixels: Tensor, mentions: list[Mention], rng: np.random.Generator) -> tuple[Tensor, list[Mention]]:
    """A part of a picture ``(3, s, s)`` in the size of the whole, and what has its centre there."""
    side = pixels.shape[-1]
    part = int(side * rng.uniform(*ZOOM))
    y, x = rng.integers(0, side - part + 1, 2).tolist()
    pixels = nn.functional.interpolate(
        pixels[None, :, y : y + part, x : x + part], side, mode="bicubic", align_corners=False
    )[0].clamp(-1, 1)
    inside = [in_frame(item, -x / part, -y / part, side / part) for item in mentions]
    return pixels, [item for item in inside if 0 < item.x < 1 and 0 < item.y < 1]


class Pictures:
    """Drawn pictures, read from files where they are needed."""

    def __init__(self, paths: Sequence[Path], tokenizer: Any, latents: Sequence[Path] = ()) -> None:
        self.files = [torch.load(path, weights_only=True, mmap=True) for path in paths]
        self.latents = [torch.load(path, weights_only=True, mmap=True)["latents"] for path in latents]
        self.tokenizer = tokenizer
        self.seen, self.unseen = [], []
        for file in self.files:
            known = np.array([bool(mentions) for mentions in file["mentions"]])
            last = max(0, len(known) - HELD_OUT)
            self.seen.append(np.flatnonzero(known[:last]))
            self.unseen.append((last + np.flatnonzero(known[last:]))[: -(-HELD_OUT // len(self.files))])

    def next(self, batch: int, rng: np.random.Generator) -> Batch:
        """Pictures of one file and new conversations: ``batch`` of 64x64 pixels, or fewer of more pixels."""
        number, rows, corners = self.pick(batch, rng)
        flipped = bool(rng.random() < 0.5) and not self.latents  # a latent of a flipped picture is another one
        pixels, places, mentions = self.read(number, rows, corners, flipped)
        side = self.files[number]["images"].shape[1]
        if side == SIZE and not self.latents:
            for index in np.flatnonzero(rng.random(len(rows)) < ZOOMED).tolist():
                pixels[index], mentions[index] = zoomed(pixels[index], mentions[index], rng)
        doubts = [doubtful(items, rng) for items in mentions]
        talks = [
            [doubt[0], *(converse(items, rng) for _ in range(max(1, side // 64)))]
            for items, doubt in zip(mentions, doubts, strict=True)
        ]
        if rng.random() < ASKED:
            talks[0][1] = (ASK_FOR_QUESTIONS, WRITTEN)
        return Batch(pixels, places, *lay_out(talks, self.tokenizer, [truths for _, truths in doubts]))

    def pick(self, batch: int, rng: np.random.Generator) -> tuple[int, np.ndarray, np.ndarray]:
        """A file's number, rows of it as in ``next``, and a corner in the frame for each."""
        number = int(rng.integers(len(self.files)))
        side = self.files[number]["images"].shape[1]
        rows = rng.choice(self.seen[number], max(1, batch * 64**2 // side**2))
        return number, rows, rng.integers(0, GRID - side // PATCH + 1, (len(rows), 2))

    def read(
        self, number: int, rows: np.ndarray, corners: np.ndarray, flipped: bool = False
    ) -> tuple[Tensor, Tensor, list[list[Mention]]]:
        """Pixels (or latents), places and mentions of a file's pictures; ``corners`` ``(B, 2)``: rows, columns."""
        file = self.files[number]
        wanted = torch.from_numpy(rows)
        if self.latents:
            pixels = self.latents[number][wanted].float()
        else:
            pixels = file["images"][wanted].permute(0, 3, 1, 2).float() / 127.5 - 1
        side = file["images"].shape[1] // PATCH
        grid = torch.arange(side)[:, None] * GRID + torch.arange(side)
        places = torch.from_numpy(corners @ (GRID, 1))[:, None] + grid.flatten()
        mentions = [
            [in_frame(Mention(**m), x / GRID, y / GRID, side / GRID, flipped) for m in file["mentions"][row]]
            for row, (y, x) in zip(rows, corners, strict=True)
        ]
        return pixels.flip(-1) if flipped else pixels, places, mentions


def see(tower: Any, pixels: Tensor) -> Tensor:
    """What the vision tower makes of pictures of any size, ``(B, P, width)``, or latents, as it should tell them."""
    if pixels.shape[1] == LATENT_CHANNELS:
        return unfold(pixels, kernel_size=2, stride=2).transpose(1, 2)
    out: Tensor = tower(pixels, output_hidden_states=True).hidden_states[-1]
    return out


def look(model: Any, pixels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """All that comes before a question, ``(B, 2 + P, width)``, and its positions ``(B, 2 + P)``.

    For a whole frame, what LLaVA itself makes of it.
    """
    seen = see(model.model.vision_tower, pixels)
    opening = torch.tensor([[START, USER]]).expand(len(pixels), -1)
    embedded = torch.cat([model.get_input_embeddings()(opening), model.model.multi_modal_projector(seen)], dim=1)
    return embedded, torch.cat([torch.tensor([[0, 1]]).expand(len(pixels), -1), places + 2], dim=1)


def read(model: Any, batch: Batch) -> Tensor:
    """What becomes of each token, ``(B, T, width)``; a conversation sees the picture and itself, up to each token."""
    picture, positions = look(model, batch.pixels, batch.places)
    embedded = torch.cat([picture, model.get_input_embeddings()(batch.ids)], dim=1)
    talks = nn.functional.pad(batch.talks, (picture.shape[1], 0))
    shared = torch.arange(talks.shape[1]) < picture.shape[1]
    visible = (shared | (talks[:, :, None] == talks[:, None])).tril()[:, None]
    out = model.model.language_model(
        inputs_embeds=embedded,
        attention_mask=visible,
        position_ids=torch.cat([positions, 2 + GRID**2 + batch.offsets], dim=1),
        use_cache=False,
    )
    tokens: Tensor = out.last_hidden_state[:, picture.shape[1] :]
    return tokens


def answer_logits(model: Any, batch: Batch) -> Tensor:
    """Logits of the token that follows each, ``(B, T, vocabulary)``."""
    logits: Tensor = model.lm_head(read(model, batch))
    return logits


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED)


def truth_loss(logits: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy of true and untrue names, both ``(B, T)``."""
    named = truths != IGNORED
    return binary_cross_entropy_with_logits(logits[named].float(), truths[named].float())


@torch.no_grad()
def answer(model: Any, tokenizer: Any, pixels: Tensor, places: Tensor, question: str, longest: int = 64) -> list[str]:
    """The likeliest answer about each picture."""
    picture, positions = look(model, pixels, places)
    asked = torch.tensor([[*tokenizer(question, add_special_tokens=False).input_ids, ASSISTANT]])
    asked = asked.expand(len(pixels), -1)
    embedded = torch.cat([picture, model.get_input_embeddings()(asked)], dim=1)
    after = 2 + GRID**2 + torch.arange(asked.shape[1])
    ids = model.generate(
        inputs_embeds=embedded,
        attention_mask=torch.ones(embedded.shape[:2], dtype=torch.long),
        position_ids=torch.cat([positions, after.expand(len(pixels), -1)], dim=1),
        max_new_tokens=longest,
        do_sample=False,
    )
    texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


def nouns_in(text: str) -> Counter[str]:
    """The nouns of a list, each as often as it is named."""
    longest_first = sorted(NOUNS, key=len, reverse=True)
    parts = [part.strip() for part in text.split(",")]
    return Counter(next((n for n in longest_first if f" {part}".endswith(f" {n}")), part) for part in parts if part)


@torch.no_grad()
def examine(model: Any, data: Pictures) -> dict[str, float]:
    """On unseen pictures: nouns named of those there, there of those named, and right answers of yes and no."""
    rng = np.random.default_rng(0)
    hits = there = named = right = asked = 0
    for number, unseen in enumerate(data.unseen):
        for rows in np.array_split(unseen, -(-len(unseen) // 20)) if len(unseen) else ():
            middle = (GRID - data.files[number]["images"].shape[1] // PATCH) // 2
            pixels, places, mentions = data.read(number, rows, np.full((len(rows), 2), middle))
            texts = answer(model, data.tokenizer, pixels, places, QUESTIONS[0])
            for text, items in zip(texts, mentions, strict=True):
                true, said = Counter(m.noun for m in items), nouns_in(text)
                hits, there, named = hits + (true & said).total(), there + true.total(), named + said.total()
            batch = Batch(pixels, places, *lay_out([[is_there(items, rng)] for items in mentions], data.tokenizer))
            first = (batch.labels != IGNORED).int().argmax(dim=1, keepdim=True)
            likeliest = answer_logits(model, batch).argmax(-1).gather(1, first)
            right += int((likeliest == batch.labels.gather(1, first)).sum())
            asked += len(rows)
    shares = {"recall": hits / max(1, there), "precision": hits / max(1, named), "yes_no": right / max(1, asked)}
    return {kind: round(share, 4) for kind, share in shares.items()}


def export(model: Any, folder: Path) -> None:
    """Save in bfloat16, with its processor, as LLaVA's checkpoints are."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    build_processor().save_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train nano's vision-language model.")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--latents", type=Path, nargs="+", default=(), help="of each file, to be seen in its place")
    parser.add_argument("--output", type=Path, default=Path("runs/vlm"))
    parser.add_argument(
        "--start",
        type=Path,
        help="an exported folder to begin with, instead of nothing; with another --vision its words alone",
    )
    parser.add_argument("--tower", type=Path, help="the output of vision.py, whose tower to begin with")
    parser.add_argument("--steps", type=int, required=True, help="total steps, counted over all runs")
    parser.add_argument("--decay", type=int, default=0, help="of these, the last ones in which the rate falls")
    parser.add_argument("--batch", type=int, default=256, help="of 64x64 pixels; a quarter of it of 128x128")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--vision", type=int, nargs=2, default=(256, 6), help="width and last layers of the vision tower"
    )
    parser.add_argument("--text", type=int, nargs=2, default=(192, 4), help="width and layers of the language model")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--compile", action="store_true", help="faster after some minutes of compilation")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "checkpoint.pt"
    torch.manual_seed(arguments.seed)
    tokenizer = build_tokenizer()
    model = build(len(tokenizer), *arguments.vision, *arguments.text)
    if arguments.start and not checkpoint.exists():
        begin(
            model, LlavaForConditionalGeneration.from_pretrained(arguments.start, dtype=torch.float32), arguments.tower
        )
    elif arguments.tower:
        model.model.vision_tower.load_state_dict(load_file(arguments.tower / TOWER))
    trained = nn.ModuleDict({"llava": model, "true": nn.Linear(arguments.text[0], 1)})
    average = copy.deepcopy(trained).requires_grad_(False).eval()
    optimisers = build_optimisers(trained, arguments.rate, matrices=MATRICES)
    first = resume(checkpoint, optimisers, model=trained, average=average)
    data = Pictures(arguments.pictures, tokenizer, arguments.latents)
    trained.train()
    forward = torch.compile(read, dynamic=True) if arguments.compile else read
    losses: list[tuple[float, float]] = []
    spent = 0.0
    for step in range(first, arguments.steps):
        began = time.time()
        batch = data.next(arguments.batch, np.random.default_rng((arguments.seed, step)))
        with autocast():
            tokens = forward(model, batch)
            logits, true = model.lm_head(tokens), trained["true"](tokens)[..., 0]
        answers, names = answer_loss(logits, batch.labels), truth_loss(true, batch.truths)
        set_rate(
            optimisers, arguments.rate * rate_factor(step, arguments.steps, warm_up=WARM_UP, decay=arguments.decay)
        )
        trained.zero_grad()
        torch.autograd.backward(answers + names)
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        take_step(optimisers)
        move_average(average, trained, step)
        losses.append((answers.item(), names.item()))
        spent += time.time() - began
        if (step + 1) % 25 == 0:
            said, judged = np.mean(losses[-25:], axis=0).round(4).tolist()
            record = {"step": step + 1, "answers": said, "names": judged}
            print(json.dumps(record | {"seconds": round(spent / len(losses), 3)}), flush=True)
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            saved = [optimiser.state_dict() for optimiser in optimisers]
            save(checkpoint, step=step + 1, model=trained.state_dict(), average=average.state_dict(), optimisers=saved)
            print(json.dumps({"step": step + 1, **examine(average["llava"], data)}), flush=True)
    export(average["llava"], arguments.output / "llava")


if __name__ == "__main__":
    main()
