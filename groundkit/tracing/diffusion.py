"""Reads a diffusers pipeline inside its own generation loop: every pass of its transformer, for every picture."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from groundkit.attention.between import Across
from groundkit.attention.maps import AttentionMaps
from groundkit.attention.select import select_layers
from groundkit.errors import AttentionError
from groundkit.language.running import running_tokens
from groundkit.language.tokens import Token
from groundkit.models.diffusion.base import DiffusionModel
from groundkit.models.options import ReadOptions

_CLOSE = 1e-2  # how far states may be from the encoder's, as a share of their size: casts to bfloat16 round


@dataclass(frozen=True)
class _Encoded:
    """One text as its encoder left it, without the padding behind it.

    Attributes:
        ids: its N token ids.
        states: ``(N, width)``.
        is_prompt: False for a negative prompt.
    """

    ids: tuple[int, ...]
    states: Tensor
    is_prompt: bool

    def match(self, states: Tensor) -> tuple[float, int]:
        """How far ``(S, width)`` is from these states, as a share of their size, and with which of them it begins.

        Pipelines may cut a template off at the beginning.
        """
        own, given = self.states.float(), states.to(self.states.device, torch.float32)
        start = int((own - given[0]).norm(dim=-1).argmin())
        own = own[start:]
        if len(given) < len(own):
            return float("inf"), start
        return float((given[: len(own)] - own).norm() / own.norm().clamp_min(1e-12)), start


class DiffusionWatch:
    """Hooks on text encoder and transformers, for as long as the ``with`` block lasts.

    A row of a batch belongs to the text whose states it holds, so that batches, several pictures of one prompt and
    classifier-free guidance, in one pass or two, need no rule. The first batch of texts that are encoded before a
    loop is the prompt, and the next one is the negative prompt, as in every pipeline of diffusers.
    """

    def __init__(self, model: DiffusionModel, options: ReadOptions) -> None:
        self.pictures: list[list[AttentionMaps]] = []
        self._model = model
        self._options = options
        select_layers(model.layer_names, options.layers)  # refuses what does not exist
        self._texts: list[_Encoded] = []
        self._loop: list[list[AttentionMaps]] = []  # the pictures of the loop that runs
        self._running = False
        self._reading: _Pass | None = None
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        self.pictures.clear()
        parts = self._model.pipeline.components
        encoder = parts[self._model.text_encoder]
        with ExitStack() as stack:
            stack.callback(encoder.register_forward_hook(self._encoded, with_kwargs=True).remove)
            for name, part in parts.items():
                if name.startswith("transformer") and part is not None:
                    before = part.register_forward_pre_hook(self._before, with_kwargs=True)
                    after = part.register_forward_hook(self._after, always_call=True)
                    stack.callback(before.remove)
                    stack.callback(after.remove)
            self._hooks = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.close()
        self._texts.clear()
        self._running = False

    def whole(self, steps: Sequence[AttentionMaps]) -> AttentionMaps:
        """The mean over all steps."""
        texts = [each.text for each in steps if each.text is not None]
        return replace(
            steps[0],
            values=torch.stack([each.values for each in steps]).mean(dim=0),
            text=torch.stack(texts).mean(dim=0) if texts else None,
        )

    def _encoded(self, encoder: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        """A batch of texts went through the encoder."""
        if self._running:  # a loop has ended since: these are the texts of the next one
            self._texts.clear()
            self._running = False
        is_prompt = not self._texts
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        padding = self._model.tokenizer.pad_token_id
        for row, states in zip(ids, self._model.states_of(output), strict=True):
            own = (row != padding).nonzero()
            length = int(own[-1]) + 1 if len(own) else 1
            self._texts.append(_Encoded(tuple(row[:length].tolist()), states[:length].detach().clone(), is_prompt))

    def _before(self, transformer: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """The transformer begins a pass."""
        given = inspect.signature(transformer.forward).bind_partial(*args, **kwargs).arguments
        states = given["encoder_hidden_states"]
        texts = [self._text_of(row) for row in states]
        rows = [row for row, (text, _) in enumerate(texts) if text.is_prompt]
        if not self._running:
            self._running, self._loop = True, []
        self._reading = None
        if not rows:  # a pass over the negative prompt alone
            return
        if self._model.row_by_row and len(texts) > 1:
            raise AttentionError(
                f"{type(transformer).__name__} attends to each row of a batch by itself, and one can be read: generate "
                "one video at a time, without classifier-free guidance (guidance_scale=1)"
            )
        tokens = [running_tokens(self._model.tokenizer, texts[row][0].ids[texts[row][1] :]) for row in rows]
        grid = self._model.patch_grid(given)
        words, patches = self._model.places(grid.size, states.shape[1])
        available = self._model.layers(transformer)
        names = select_layers(tuple(available), self._options.layers)
        across = Across(
            {name: available[name] for name in names},
            words=slice(words, words + max(map(len, tokens))),
            patches=slice(patches, patches + grid.size),
            grid=grid,
            heads=self._options.heads,
            direction=self._options.direction,
            keep_heads=self._options.keep_heads,
            joint=self._model.joint,
        )
        across.tap.__enter__()
        self._reading = _Pass(across, rows, tokens)

    def _after(self, transformer: nn.Module, args: Any, output: Any) -> None:
        """The transformer has ended a pass; ``output`` is None where it failed."""
        reading, self._reading = self._reading, None
        if reading is None:
            return
        if output is None:
            reading.across.tap.__exit__(RuntimeError, None, None)
            return
        reading.across.tap.__exit__(None, None, None)
        while len(self._loop) < len(reading.rows):
            self._loop.append([])
            self.pictures.append(self._loop[-1])
        for steps, row, tokens in zip(self._loop, reading.rows, reading.tokens, strict=True):
            steps.append(reading.across.maps(tokens, row=row))

    def _text_of(self, states: Tensor) -> tuple[_Encoded, int]:
        """The text that a row ``(S, width)`` of the transformer's input holds, and its first token there."""
        if not self._texts:
            raise AttentionError(
                "no text was encoded inside the `with groundkit.trace` block: give the pipeline its prompt, not "
                "prompt_embeds, or encode the prompt inside the block"
            )
        matches = [text.match(states) for text in self._texts]
        distance, index = min((distance, index) for index, (distance, _) in enumerate(matches))
        if distance > _CLOSE:
            raise AttentionError(
                "the transformer was given other text states than its text encoder made: words cannot be told apart; "
                "give the pipeline a plain prompt"
            )
        return self._texts[index], matches[index][1]


@dataclass(frozen=True)
class _Pass:
    """A pass that is being read: its tap, the rows of prompts, and their tokens."""

    across: Across
    rows: Sequence[int]
    tokens: Sequence[tuple[Token, ...]]
