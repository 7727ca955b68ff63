"""What every vision-language model offers to a pipeline that asks it questions and reads where its words look.

A family (one file each) adds what cannot be known in general: where the picture's tokens stand in the sequence, which
part of the picture each grid of them shows, and whether words see later words.
"""

from __future__ import annotations

import copy
import functools
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from groundkit import clock
from groundkit.attention.grids import WHOLE, Box, TokenGrid
from groundkit.attention.heads import HeadWeights, WeighedHeads
from groundkit.attention.layers import LayerAttention
from groundkit.attention.prefix import ReadRows, join
from groundkit.attention.select import select_layers
from groundkit.attention.tap import AttentionTap, Reading, Selection
from groundkit.batches import BatchSize, in_batches
from groundkit.errors import ConfigError, ImageError, ModelError, PhraseError
from groundkit.exclusive import exclusive, seeded
from groundkit.models.loading import explain_loading_errors
from groundkit.models.locate import VISION_LANGUAGE, Located, locate
from groundkit.models.offload import check_offload, offload_blocks, refuse_offloaded, stage_of
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.picture_sizes import PICTURE_SIZES, Framing, PictureSize
from groundkit.models.vision_language.prefix import (
    Kept,
    Pass,
    Prefix,
    Wanted,
    cache_argument,
    go_on,
    keeps_every_key,
    later_keys,
)
from groundkit.models.weights_check import load_weights

# A thought that a template opens for the model ("<think>\n"), and how Qwen3's templates write one that is empty.
_OPEN_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>\s*\Z")
# What a checkpoint's own generation settings say of its tokens; the rest of them (penalties, top_k) is not taken over.
_TOKEN_SETTINGS = ("bos_token_id", "eos_token_id", "pad_token_id", "bad_words_ids", "suppress_tokens")


@dataclass(frozen=True)
class PlacedGrid:
    """A grid of image tokens, and where they stand in the model's sequence.

    Attributes:
        positions: int64 ``(P,)``, row by row.
        grid: their grid.
    """

    positions: Tensor
    grid: TokenGrid

    def __post_init__(self) -> None:
        if self.positions.shape != (self.grid.size,):
            raise ValueError(f"positions must be ({self.grid.size},), got {tuple(self.positions.shape)}")


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as a model takes it, encoded once for every question.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB, what its processor is given: the picture itself, perhaps padded.
        features: what the model's ``get_image_features`` returned.
        box: where ``image`` lies, XYXY in shares of the picture's width and height; beyond 0 and 1 where it was padded.
        processor: the model's processor, which has processed the picture and does not do so again.
        kept: what is kept of it in the language model, for further questions.
    """

    image: npt.NDArray[np.uint8]
    features: Any
    box: Box = WHOLE
    processor: Any = field(default=None, repr=False, compare=False)
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)

    def place(self, view: PlacedGrid) -> PlacedGrid:
        """A view of ``image`` as one of the picture."""
        if self.box == WHOLE:
            return view
        left, top, right, bottom = self.box
        x1, y1, x2, y2 = view.grid.box
        across, down = right - left, bottom - top
        box = (left + x1 * across, top + y1 * down, left + x2 * across, top + y2 * down)
        return replace(view, grid=replace(view.grid, box=box))


@dataclass(frozen=True)
class Conversation:
    """A question about a picture, perhaps with its answer, as one sequence of N tokens.

    Attributes:
        picture: the picture.
        inputs: the model's keyword arguments, ``input_ids`` ``(1, N)`` among them, without the picture's pixels.
        views: the grids of image tokens.
        answer: where the answer's tokens stand; empty at the end of the sequence when there is none yet.
    """

    picture: EncodedPicture
    inputs: Mapping[str, Tensor]
    views: tuple[PlacedGrid, ...]
    answer: range

    @property
    def grids(self) -> tuple[TokenGrid, ...]:
        """The grids of image tokens, without their positions."""
        return tuple(view.grid for view in self.views)

    @property
    def image_positions(self) -> Tensor:
        """int64 ``(P,)``: the tokens of all views."""
        return torch.cat([view.positions for view in self.views])

    @property
    def ids(self) -> Tensor:
        """int64 ``(N,)``: the tokens."""
        return self.inputs["input_ids"][0]

    @property
    def marks(self) -> Tensor:
        """int64 ``(K, N)``: all that the model is told of each token, its id first."""
        others = [value[0] for key, value in sorted(self.inputs.items()) if key != "input_ids"]
        return torch.stack([self.ids, *(each for each in others if each.shape == self.ids.shape)])


class _Once:
    """An image processor that is given one picture and processes it once."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._found: Any = None

    def __call__(self, images: Any, **options: Any) -> Any:
        if self._found is None:
            self._found = self._processor(images, **options)
        return copy.copy(self._found)  # processors take entries out of it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


def once(processor: Any) -> Any:
    """A processor of a model for several texts about one picture, which is processed once."""
    of_one = copy.copy(processor)
    of_one.image_processor = _Once(processor.image_processor)
    return of_one


def tiles_then_whole(positions: Tensor, grid: tuple[int, int], rows: int, columns: int) -> tuple[PlacedGrid, ...]:
    """Views of ``rows * columns`` equal tiles, row by row, then of the whole picture; of this alone when not split."""
    tiles = range(rows * columns if rows * columns > 1 else 0)
    boxes = [
        (tile % columns / columns, tile // columns / rows, (tile % columns + 1) / columns, (tile // columns + 1) / rows)
        for tile in tiles
    ]
    boxes.append((0.0, 0.0, 1.0, 1.0))
    parts = positions.reshape(len(boxes), -1)
    return tuple(PlacedGrid(part, TokenGrid(grid, box)) for part, box in zip(parts, boxes, strict=True))


class VisionLanguageModel(ABC):
    """A vision-language model of transformers, loaded by its own class and processor.

    Attributes:
        name: the hub id or folder it came from.
        tokenizer: its tokenizer.
        layer_names: the language model's layers, first to last.
        picture_size: how large a picture it is given, where its image tokens grow with the picture; else None.
        causal: whether a token sees none of the tokens after it, image tokens included.
        keeps_prefix: whether further questions go on from what is kept of a picture; not where its tokens see later
            ones. A checkpoint whose layers have sliding windows or states is found out by itself.
        answer_marks: what the model's masks and types, named as its processor names them, say of an answer's token; 0
            where they are not named here.
        listing_questions: what makes it name the objects of a picture, for a family that knows set tasks alone.
        phrase_question: what it is asked where a given phrase is to be its answer, for such a family; may hold
            ``{phrase}``.
    """

    causal: ClassVar[bool] = True
    keeps_prefix: ClassVar[bool] = True
    answer_marks: ClassVar[Mapping[str, int]] = {"attention_mask": 1}
    listing_questions: ClassVar[tuple[str, ...]] = ()
    phrase_question: ClassVar[str] = ""

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, *, offload: bool = False) -> None:
        if offload:
            offload_blocks(model, stage_of(device))
            stage_of(device).lock_with(self)
        elif not getattr(model, "is_quantized", False):  # what is quantised was loaded to its device, and stays there
            model.to(device)
        self.model = model.eval()
        clock.watch(model, "language model", passes=0)  # with the head, which a decoder has not
        clock.watch(model.get_decoder(), "language model")
        self.model.generation_config = GenerationConfig(
            **{name: getattr(model.generation_config, name, None) for name in _TOKEN_SETTINGS}
        )
        self.offload = offload
        self.processor = processor
        self.tokenizer = processor.tokenizer
        if not processor.chat_template:  # older checkpoints keep it with the tokenizer
            processor.chat_template = self.tokenizer.chat_template
        self.name = name
        self.device = device
        self._layers: dict[str, nn.Module] = {
            f"layers.{i}": layer for i, layer in enumerate(model.get_decoder().layers)
        }
        self.layer_names = tuple(self._layers)
        kinds = (model.config.model_type, model.config.vision_config.model_type)
        self.picture_size: PictureSize | None = next((PICTURE_SIZES[k] for k in kinds if k in PICTURE_SIZES), None)

    @exclusive
    def to(self, device: torch.device) -> None:
        """Move the model to a device.

        Raises:
            ConfigError: its blocks move by themselves, or it is quantised.
        """
        refuse_offloaded(self.offload)
        if getattr(self.model, "is_quantized", False):
            raise ConfigError(f"{self.name} is quantised, and stays on {self.device}: load it where it shall run")
        self.model.to(device)
        self.device = device

    @classmethod
    def beside(cls, model: Any, processor: Any) -> Self:
        """The family of a model that is somebody else's, for where its tokens stand: nothing of it is changed."""
        family = cls.__new__(cls)
        family.model, family.processor, family.tokenizer = model, processor, processor.tokenizer
        family._layers = {f"layers.{i}": layer for i, layer in enumerate(model.get_decoder().layers)}
        family.layer_names = tuple(family._layers)
        return family

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on {self.device}, {str(self.dtype).removeprefix('torch.')}>"

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Located,
        options: LoadOptions | None = None,
    ) -> Self:
        """Load model and processor.

        Args:
            source: a hub id, a folder, or what ``locate`` found there.
            options: where it goes, and which files are read. With ``offload`` each block of the model waits in main
                memory until it runs.

        Raises:
            ModelError: with one line that says what is missing or refused, and what to do.
        """
        options = options or LoadOptions()
        located = source if isinstance(source, Located) else locate(source, VISION_LANGUAGE, options)
        source, device = located.source, options.device
        if options.offload:
            check_offload(device)
        where: dict[str, Any] = {"revision": options.revision, "local_files_only": located.local_files_only}
        # A checkpoint that was saved quantised.
        placed: dict[str, Any] = {"device_map": {"": str(device)}} if "quantization_config" in located.config else {}
        with explain_loading_errors(source):
            processor = AutoProcessor.from_pretrained(source, **where)
            # Values of its configuration without a meaning show when a picture is read, and not before.
            if image_processor := getattr(processor, "image_processor", None):
                image_processor(images=[Image.new("RGB", (64, 64), "grey")], return_tensors="pt")
            # The tap needs it where the words are read; vision towers without any attention would refuse it.
            attention = {"text_config": "sdpa"}
            model = load_weights(
                AutoModelForImageTextToText,
                source,
                source=source,
                dtype=options.dtype,
                attn_implementation=attention,
                variant=options.variant,
                **placed,
                **where,
            )
        loaded = cls(model, processor, options.name or str(source), device, offload=options.offload)
        loaded.chat("")  # better refused here than at the first picture
        return loaded

    @abstractmethod
    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        """Where the picture's tokens are, from what the processor returned for a question about it."""

    def image_tokens(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """int64 ``(P,)``: where the picture's tokens stand, as the processor laid them out."""
        of_picture: Tensor = inputs["input_ids"][0] == self.model.config.image_token_id
        return of_picture.nonzero()[:, 0]

    def chat(self, question: str) -> str:
        """The question about one picture in the model's own chat template, up to where its answer begins.

        A model that thinks first is given an empty thought: what is read of its answer is no thought.

        Raises:
            ModelError: the checkpoint has no chat template, or one that takes no picture.
        """
        return self._render(question)

    def _render(self, question: str, answer: str | None = None) -> str:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        # Said only to the templates that know it: the others would take it for an option of the processor.
        options = {"enable_thinking": False} if "enable_thinking" in str(self.processor.chat_template) else {}
        try:
            text: str = self.processor.apply_chat_template(
                messages, add_generation_prompt=answer is None, tokenize=False, **options
            )
        except (ValueError, TypeError, TemplateError) as error:
            if self.processor.chat_template:
                raise ModelError(f"{self.name}: its chat template takes no picture ({error})") from error
            raise ModelError(
                f"{self.name}: a base model without a chat template, which answers no questions; use the checkpoint "
                "that was trained on conversations (its name often ends in -it or -Instruct)"
            ) from error
        return _OPEN_THOUGHT.sub(r"<\1>\n\n</\1>\n\n", text)

    def answer_ids(self, text: str) -> list[int]:
        """The token ids of a text at the place of the model's answer, as it would write the text there itself.

        Raises:
            PhraseError: the text holds a mark of the model's own, such as ``<image>``.
        """
        self._refuse_marks(text)
        if self._gap:
            prompt = self.chat("")
            begun, whole = self.tokenizer([prompt, prompt + self._gap + text], add_special_tokens=False).input_ids
            if whole[: len(begun)] == begun:
                return list(whole[len(begun) :])
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    @functools.cached_property
    def _gap(self) -> str:
        """The space that the chat template writes between the prompt and an answer, as in "Assistant: a cup"."""
        prompt, probe = self.chat(""), "answer"
        written = self._render("", probe)
        gap = written[len(prompt) :].partition(probe)[0] if written.startswith(prompt) else ""
        return gap if gap.isspace() else ""

    @exclusive
    @torch.inference_mode()
    def encode(self, image: npt.NDArray[np.uint8], framing: Framing = "pad") -> EncodedPicture:
        """Encode an RGB picture, uint8 ``(height, width, 3)``, once for all questions.

        ``framing`` is for models whose processor cuts the middle out of the picture: ``pad`` shows them all of it.
        """
        processor = once(self.processor)
        inputs = self._process(image, "", processor)
        # Most vision towers cast pixels themselves, but not all of them.
        inputs = {
            name: value.to(self.device, self.model.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
            if name in self.pixel_inputs(inputs)
        }
        with clock.part("vision tower", passes=1):
            features = self.model.get_image_features(**inputs, return_dict=True)
        return EncodedPicture(image, features, processor=processor)

    def _refuse_marks(self, text: str) -> None:
        if mark := next((mark for mark in self._marks if mark in text), None):
            raise PhraseError(f"{mark!r} is a mark of {self.name} and no word: leave it out")

    @functools.cached_property
    def _marks(self) -> frozenset[str]:
        """The tokens for a picture, a turn or an end in the model's input; they would act as such in a question too."""
        added = self.tokenizer.added_tokens_decoder.values()
        return frozenset(token.content for token in added if token.special and token.content.strip())

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> tuple[str, ...]:
        """The processor's outputs that ``get_image_features`` takes."""
        return ("pixel_values",)

    @exclusive
    def ask(self, picture: EncodedPicture, question: str, answer: Sequence[int] = ()) -> Conversation:
        """Lay a question, and perhaps the token ids of its answer, beside a picture.

        Raises:
            PhraseError: the question holds a mark of the model's own, such as ``<image>``.
        """
        self._refuse_marks(question)
        inputs = self._process(picture.image, question, picture.processor)
        views = tuple(picture.place(view) for view in self.views(inputs, picture.image))
        asked = {key: value for key, value in inputs.items() if not key.startswith("pixel_")}
        length = inputs["input_ids"].shape[1]
        return self.add_answer(Conversation(picture, asked, views, range(length, length)), answer)

    def add_answer(self, conversation: Conversation, answer: Sequence[int]) -> Conversation:
        """Lay the token ids of an answer behind a question that has none; the picture is not processed again."""
        length = conversation.answer.start
        extended = {}
        for key, value in conversation.inputs.items():
            if value.shape[:2] == (1, length):  # ids, masks and token types
                more = [list(answer) if key == "input_ids" else [self.answer_marks.get(key, 0)] * len(answer)]
                value = torch.cat([value, torch.tensor(more, dtype=value.dtype)], dim=1)
            extended[key] = value
        return replace(conversation, inputs=extended, answer=range(length, length + len(answer)))

    def _process(self, image: npt.NDArray[np.uint8], question: str, processor: Any = None) -> dict[str, Tensor]:
        text = self.chat(question)
        begun = self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)
        options = {"add_special_tokens": False} if begun else {}
        try:
            process = processor or self.processor
            return dict(process(images=[Image.fromarray(image)], text=[text], return_tensors="pt", **options))
        except ValueError as error:  # Qwen-VL's, say, of a strip 200 times as long as it is wide
            height, width = image.shape[:2]
            reason = str(error).splitlines()[0]
            raise ImageError(f"{self.name} takes no picture of {width} x {height} pixels here ({reason})") from error

    def _arguments(self, conversation: Conversation) -> dict[str, Any]:
        inputs = {name: value.to(self.device) for name, value in conversation.inputs.items()}
        return {**inputs, "mm_encoder_outputs": {"image": conversation.picture.features}}

    @exclusive
    @torch.inference_mode()
    def generate(
        self,
        conversation: Conversation,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[int]:
        """The ids of the model's answer, without the token that ends it. Temperature 0 takes the likeliest words.

        Only the special tokens of the checkpoint's own generation settings apply: no penalty, no ``top_k``. The global
        random state is left as it is.
        """
        if self.offload:
            warnings.warn(
                "with offload=True every word of an answer moves the whole model to the GPU, so that naming objects is "
                "very slow: prefer a smaller model that fits without it",
                stacklevel=2,
            )
        length, asked = len(conversation.ids), self._arguments(conversation)
        if self._keeps(conversation):
            if not self._known(conversation, run=1):
                self._fill(conversation)
            if known := self._known(conversation, run=1):
                prefix, start = known
                asked = {name: asked[name] for name in ("input_ids", "attention_mask")}
                asked |= {cache_argument(self.model): prefix.cache(start)}
                if prefix.offset:
                    asked |= {"position_ids": prefix.positions(0, length, self.device)}
        asked |= {"max_new_tokens": max_tokens}
        if temperature > 0:
            with seeded(seed, self.device):
                ids = self.model.generate(**asked, do_sample=True, temperature=temperature, top_p=top_p, top_k=0)
        else:
            ids = self.model.generate(**asked, do_sample=False)
        answer: list[int] = ids[0, length:].tolist()
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends, self.tokenizer.eos_token_id]
        return next((answer[:i] for i, token in enumerate(answer) if token in ends), answer)

    def read_layers(self, conversation: Conversation, **how: Any) -> list[LayerAttention]:
        """The same as :meth:`read_layers_each` of one conversation."""
        return self.read_layers_each([conversation], **how)[0]

    @exclusive
    @torch.inference_mode()
    def read_layers_each(
        self,
        conversations: Sequence[Conversation],
        *,
        weights: HeadWeights = HeadWeights.MAX,
        heads: tuple[int, ...] | None = None,
        layers: str = "all",
        direct: bool = False,
        batch_size: BatchSize = "auto",
    ) -> list[list[LayerAttention]]:
        """The attention of each layer over whole conversations about one picture, with its heads weighed.

        Args:
            weights: how heads are weighed.
            heads: those that take part; by default all.
            layers: those that are read, see :func:`~groundkit.attention.select.select_layers`.
            direct: whether only rows of tokens behind the picture are asked for, so that others need not be kept.
            batch_size: how many conversations go on from the picture's tokens at once.

        Raises:
            ConfigError: a layer that does not exist.
            AttentionError: a layer whose attention could not be read, or a head that it does not have.
        """
        names, first = select_layers(self.layer_names, layers), conversations[0]
        places = [self.layer_names.index(name) for name in names]
        weighed, wanted = WeighedHeads(first.image_positions, weights, heads), Wanted(names, weights, direct)
        found: list[list[LayerAttention]] = []
        if self._keeps(first) and not self._known(first, names, wanted):
            first.picture.kept.wanted = wanted
            if prefix := self._fill(first, stop=True)[0]:
                found = [[join(prefix.rows[names[i]], prefix.keys[place], weighed) for i, place in enumerate(places)]]

        def run(batch: Sequence[Conversation]) -> list[list[LayerAttention]]:
            begun = self._begun(batch, names, wanted)
            if begun is None:
                return [self._whole(each, names, weighed) for each in batch]
            prefix, start = begun
            cache, tap = prefix.beside(start, len(batch)), self._tap(names, ReadRows(start, start))
            with tap:
                go_on(self.model, prefix, cache, [each.ids[start:] for each in batch])
            rows, later = tap.read_layers("read"), later_keys(cache)
            return [
                [
                    join(
                        prefix.rows[names[i]].before(start),
                        prefix.keys[place][:, :, :start],
                        weighed,
                        rows[i].of(row, len(each.ids)),
                        later[place][row : row + 1, :, : len(each.ids) - start],
                    )
                    for i, place in enumerate(places)
                ]
                for row, each in enumerate(batch)
            ]

        return found + in_batches(conversations[len(found) :], run, limit=batch_size, device=self.device)

    @exclusive
    @torch.inference_mode()
    def read_rows(
        self, conversation: Conversation, positions: Sequence[int], *, layers: str = "all"
    ) -> tuple[tuple[str, ...], Tensor]:
        """How much of some tokens' attention goes to each image token.

        Args:
            positions: where the T tokens stand in the conversation.

        Returns:
            The names of the layers, and float32 ``(L, H, T, P)``.

        Raises:
            ConfigError: a layer that does not exist.
            AttentionError: a layer whose attention could not be read, or layers with different numbers of heads.
        """
        names, rows = select_layers(self.layer_names, layers), torch.tensor(list(positions))
        prefix, start = self._known(conversation, names, first=min(positions)) or (None, 0)
        tap = self._tap(names, Selection(rows - start, conversation.image_positions, "all"))
        with tap:
            if prefix is None:
                self.model(**self._arguments(conversation), use_cache=False, logits_to_keep=1)
            else:
                go_on(self.model, prefix, prefix.beside(start, 1), [conversation.ids[start:]])
        return names, tap.read("read")[:, 0].cpu()

    def _whole(self, conversation: Conversation, names: Sequence[str], reading: Reading) -> list[Any]:
        """What is read of some layers in a pass over all tokens, of which nothing is kept."""
        tap = self._tap(names, reading)
        with tap:
            self.model(**self._arguments(conversation), use_cache=False, logits_to_keep=1)
        return tap.read_layers("read")

    def _tap(self, names: Sequence[str], reading: Reading, *, stop: bool = True) -> AttentionTap:
        """A tap for a pass that ends at the last of some layers, unless it is to go on."""
        return AttentionTap({name: self._layers[name] for name in names}, {"read": reading}, stop=stop)

    def _keeps(self, conversation: Conversation) -> bool:
        """Whether something may be kept of a conversation's picture."""
        kept = conversation.picture.kept
        return self._keeps_every_key and kept.max_bytes > 0 and not kept.refused

    @functools.cached_property
    def _keeps_every_key(self) -> bool:
        return self.keeps_prefix and keeps_every_key(self.model)

    def _known(
        self,
        conversation: Conversation,
        layers: Sequence[str] = (),
        wanted: Wanted | None = None,
        *,
        first: int | None = None,
        run: int = 2,
    ) -> tuple[Prefix, int] | None:
        """What is kept of a conversation's picture, and how many of its tokens the conversation begins with.

        None where they do not reach behind the picture, or where less was kept of them than is needed.

        Args:
            layers: which must have been run; by default all.
            wanted: what must have been read.
            first: the first token that must be run again; by default any.
            run: how many tokens must be run again at least. A pass of one counts as a step of decoding, in which some
                models lay out their heads in another way.
        """
        prefix = conversation.picture.kept.prefix
        if prefix is None or (wanted is not None and wanted != prefix.wanted):
            return None
        if self.layer_names.index((layers or self.layer_names)[-1]) >= len(prefix.keys):
            return None
        start = min(prefix.common(conversation.marks), len(conversation.ids) - run)
        start = start if first is None else min(start, first)
        return (prefix, start) if start > int(conversation.image_positions.max()) else None

    def _begun(
        self, conversations: Sequence[Conversation], layers: Sequence[str] = (), wanted: Wanted | None = None
    ) -> tuple[Prefix, int] | None:
        """What is kept of the picture of several conversations, and with how many of its tokens all of them begin."""
        known = [self._known(each, layers, wanted) for each in conversations]
        shortest = min((each for each in known if each), key=lambda each: each[1], default=None)
        return None if None in known else shortest

    def _fill(self, conversation: Conversation, *, stop: bool = False) -> tuple[Prefix | None, Tensor | None]:
        """Run a whole conversation, and keep it for others about the picture.

        Args:
            stop: end at the last layer that is wanted.

        Returns:
            What may be kept, if anything; and the last layer's states ``(1, N, width)``, if it was run.
        """
        kept, image = conversation.picture.kept, conversation.image_positions
        wanted, whole, states, rows = kept.wanted, Pass(self.model), None, {}
        if wanted is None:
            states = whole.run(self._arguments(conversation))
        else:
            tap = self._tap(wanted.layers, wanted.reading(image), stop=stop)
            with tap:
                states = whole.run(self._arguments(conversation))
            rows = dict(zip(wanted.layers, tap.read_layers("read"), strict=True))
        prefix = whole.prefix(conversation.marks, image, rows, wanted)
        if prefix is None:
            kept.refused = True
        else:
            kept.keep(prefix, self.name)
        return prefix, states

    @exclusive
    @torch.inference_mode()
    def logits(self, conversation: Conversation) -> Tensor:
        """Float32 ``(V,)``: what the model would say next."""
        (state,) = self._last([conversation])
        logits: Tensor = self.model.get_output_embeddings()(state[None, None])
        return logits[0, 0].float().cpu()

    def _last(self, conversations: Sequence[Conversation], batch_size: BatchSize = "auto") -> list[Tensor]:
        """The last layer's state ``(width,)`` of the last token of each conversation about one picture."""
        found, first = [], conversations[0]
        if self._keeps(first) and not self._known(first):
            _, states = self._fill(first)
            assert states is not None
            found = [states[0, -1]]

        def run(batch: Sequence[Conversation]) -> list[Tensor]:
            begun = self._begun(batch)
            if begun is None:
                outputs = [self.model.base_model(**self._arguments(each), use_cache=False) for each in batch]
                return [each.last_hidden_state[0, -1] for each in outputs]
            prefix, start = begun
            states = go_on(self.model, prefix, prefix.beside(start, len(batch)), [each.ids[start:] for each in batch])
            return [state[len(each.ids) - start - 1] for state, each in zip(states, batch, strict=True)]

        return found + in_batches(conversations[len(found) :], run, limit=batch_size, device=self.device)

    def agrees(self, conversation: Conversation) -> float:
        """The same as :meth:`agrees_each` of one conversation."""
        return self.agrees_each([conversation])[0]

    @exclusive
    @torch.inference_mode()
    def agrees_each(self, conversations: Sequence[Conversation], *, batch_size: BatchSize = "auto") -> list[float]:
        """How likely each answer is to begin with "yes" rather than "no", in [0, 1], however either is spelled.

        One half where the tokenizer knows neither.

        Args:
            conversations: about one picture.
            batch_size: how many of them go on from the picture's tokens at once.
        """
        yes, no = self._yes_and_no
        if not conversations or not (yes or no):
            return [0.5] * len(conversations)
        said = self._says(torch.stack(self._last(conversations, batch_size)), [*yes, *no]).softmax(dim=-1)
        return said[:, : len(yes)].sum(dim=-1).tolist()

    def _says(self, states: Tensor, ids: Sequence[int]) -> Tensor:
        """Float32 ``(B, len(ids))``: the logits of some words alone, of the last layer's states ``(B, width)``."""
        head = self.model.get_output_embeddings()
        if type(head) is nn.Linear and not head.weight.is_meta:
            bias = None if head.bias is None else head.bias[list(ids)]
            return torch.nn.functional.linear(states, head.weight[list(ids)], bias).float()
        said: Tensor = head(states[:, None])[:, 0, list(ids)]
        return said.float()

    @functools.cached_property
    def _yes_and_no(self) -> tuple[list[int], list[int]]:
        """The tokens with which "yes" and "no" can begin an answer, without those of both."""
        yes, no = self._beginnings("yes"), self._beginnings("no")
        return sorted(yes - no), sorted(no - yes)

    def _beginnings(self, word: str) -> set[int]:
        """The tokens with which a word can begin an answer."""
        spellings = [before + each for before in ("", " ") for each in (word, word.capitalize(), word.upper())]
        encoded: list[list[int]] = self.tokenizer(spellings, add_special_tokens=False).input_ids
        return {ids[0] for ids in encoded if ids}

    @exclusive
    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Float32 ``(texts, width)``: the mean of each text's token embeddings, less the mean of the vocabulary."""
        table = self.model.get_input_embeddings().weight
        centre = table.float().mean(dim=0)
        vectors = []
        for text in texts:
            ids = torch.tensor(self.tokenizer(text, add_special_tokens=False).input_ids, device=table.device)
            vectors.append(table[ids].float().mean(dim=0) - centre)
        return torch.stack(vectors).cpu()
