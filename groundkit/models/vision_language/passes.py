"""What is read of a model's passes over conversations: words, attention, and how likely an answer is.

Where a picture's tokens are kept, see ``prefix.py``, a pass goes on from them.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from groundkit.attention.heads import HeadWeights, WeighedHeads
from groundkit.attention.layers import LayerAttention
from groundkit.attention.prefix import ReadRows, join
from groundkit.attention.select import select_layers
from groundkit.attention.tap import AttentionTap, Reading, Selection
from groundkit.batches import BatchSize, in_batches
from groundkit.exclusive import exclusive, seeded
from groundkit.models.vision_language.chat import ChatModel
from groundkit.models.vision_language.conversations import Conversation
from groundkit.models.vision_language.prefix import (
    Pass,
    Prefix,
    Wanted,
    cache_argument,
    go_on,
    keeps_every_key,
    later_keys,
)


class ReadModel(ChatModel):
    """The part of a vision-language model that answers and is read.

    Attributes:
        layer_names: the language model's layers, first to last.
        offload: whether the blocks of the model wait in main memory until they run.
        keeps_prefix: whether further questions go on from what is kept of a picture; not where its tokens see later
            ones. A checkpoint whose layers have sliding windows or states is found out by itself.
    """

    keeps_prefix: ClassVar[bool] = True
    layer_names: tuple[str, ...]
    offload: bool
    _layers: dict[str, nn.Module]

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
