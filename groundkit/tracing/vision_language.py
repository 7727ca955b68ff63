"""Reads a vision-language model of transformers inside its own forward pass or ``generate``: where its words look."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from groundkit.attention.grids import TokenGrid
from groundkit.attention.heads import check_heads
from groundkit.attention.maps import AttentionMaps
from groundkit.attention.select import select_layers
from groundkit.attention.softmax import AttentionCall, attention_entries
from groundkit.attention.tap import AttentionTap
from groundkit.errors import AttentionError, ConfigError
from groundkit.language.running import running_tokens
from groundkit.models.vision_language.base import VisionLanguageModel


@dataclass
class _Picture:
    """A batch row: a text about a picture, and the tokens generated after it.

    Attributes:
        columns: int64 ``(P,)``, where the image tokens stand.
        grids: of these tokens.
        steps: the maps of each pass.
        ended: whether its answer is complete, and what follows is padding.
    """

    columns: Tensor
    grids: tuple[TokenGrid, ...]
    steps: list[AttentionMaps]
    ended: bool = False


class VisionLanguageWatch:
    """Hooks on a model, for as long as the ``with`` block lasts.

    A pass whose ids hold image tokens begins new pictures, one per row; passes without any, as in a decoding loop with
    a cache, are further words about them.
    """

    def __init__(
        self,
        model: Any,
        family: VisionLanguageModel,
        *,
        layers: str,
        heads: tuple[int, ...] | None,
        keep_heads: bool,
        images: Sequence[npt.NDArray[np.uint8]] | None = None,
    ) -> None:
        self.pictures: list[list[AttentionMaps]] = []
        self._model = model
        self._family = family
        self._images = images
        self._keep_heads = keep_heads
        self._heads = heads
        self._layers = {name: family._layers[name] for name in select_layers(family.layer_names, layers)}
        ends = getattr(model.generation_config, "eos_token_id", None)
        self._ends = set(ends) if isinstance(ends, list) else {ends}
        self._rows: list[_Picture] = []
        self._ids: list[list[int]] = []
        self._shown: dict[str, Any] = {}
        self._marks: tuple[_Marks, ...] = ()
        self._reading: _Reading | None = None
        self._tap: AttentionTap | None = None
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        self.pictures.clear()
        before = self._model.register_forward_pre_hook(self._before, with_kwargs=True)
        after = self._model.register_forward_hook(self._after, always_call=True)
        self._hooks.callback(before.remove)
        self._hooks.callback(after.remove)
        # generate() encodes pictures by this method, before the first pass and outside of any module's.
        owner = self._model.base_model
        plain = owner.get_image_features

        @functools.wraps(plain)
        def get_image_features(*args: Any, **kwargs: Any) -> Any:
            self._shown = dict(inspect.signature(plain).bind_partial(*args, **kwargs).arguments)
            return plain(*args, **kwargs)

        owner.get_image_features = get_image_features
        self._hooks.callback(delattr, owner, "get_image_features")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.close()
        self._rows = []

    def whole(self, steps: Sequence[AttentionMaps]) -> AttentionMaps:
        """All words of all steps side by side."""
        ids = [token.id for each in steps for token in each.tokens]
        return dataclasses.replace(
            steps[0],
            values=torch.cat([each.values for each in steps], dim=2),
            tokens=running_tokens(self._family.tokenizer, ids),
        )

    def _before(self, model: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        """The model begins a pass."""
        given = inspect.signature(model.forward).bind_partial(*args, **kwargs).arguments
        given = {**given, **given.pop("kwargs", {})}
        ids = given.get("input_ids")
        self._reading = None
        if ids is None:
            raise AttentionError("the model was given no input_ids: words cannot be told apart; give it token ids")
        pictures = ids == model.config.image_token_id
        cache = given.get("cache", given.get("past_key_values"))  # transformers has had both names
        goes_on = bool(self._rows) and cache is not None and cache.get_seq_length() > 0
        if bool(pictures.any()) and not goes_on:
            self._rows = [self._row(given, row) for row in range(len(ids))]
            self.pictures += [each.steps for each in self._rows]
            real = given.get("attention_mask")
            wanted = ~pictures if real is None or real.ndim != 2 else ~pictures & real[:, -ids.shape[1] :].bool()
        elif not self._rows:
            return  # no picture so far
        elif len(ids) != len(self._rows):
            raise AttentionError(
                f"a pass over {len(ids)} texts follows one over {len(self._rows)}: it cannot be told which picture "
                "each is about"
            )
        else:
            wanted = torch.ones_like(pictures)
        rows = [each.nonzero()[:, 0].cpu() for each in wanted]
        before = self._marks if goes_on else ()
        self._reading = _Reading(rows, [each.columns for each in self._rows], self._heads, self._keep_heads, before)
        self._ids = [of_row[positions].tolist() for of_row, positions in zip(ids.cpu(), rows, strict=True)]
        self._tap = AttentionTap(self._layers, {"rows": self._reading})
        self._tap.__enter__()

    def _after(self, model: nn.Module, args: Any, output: Any) -> None:
        """The model has ended a pass; ``output`` is None where it failed."""
        tap, self._tap = self._tap, None
        if tap is None or self._reading is None:
            return
        if output is None:
            tap.__exit__(RuntimeError, None, None)
            return
        tap.__exit__(None, None, None)
        entries: list[list[Tensor]] = tap.read_layers("rows")
        self._marks = tuple(self._reading.marks)
        for row, (picture, ids) in enumerate(zip(self._rows, self._ids, strict=True)):
            if picture.ended:
                continue
            values = torch.stack([layer[row] for layer in entries])
            picture.steps.append(
                AttentionMaps(
                    values=values,
                    layers=tuple(self._layers),
                    heads=self._reading.names(values.shape[1]),
                    tokens=running_tokens(self._family.tokenizer, ids),
                    grids=picture.grids,
                )
            )
            picture.ended = len(picture.steps) > 1 and ids[-1] in self._ends

    def _row(self, given: Mapping[str, Any], row: int) -> _Picture:
        """Where the picture of one text stands."""
        count = len(given["input_ids"])
        own = {
            name: value[row * len(value) // count, None] if count % len(value) == 0 else value
            for name, value in {**self._shown, **given}.items()
            if isinstance(value, Tensor) and value.ndim
        }
        image: Any = _Unknown() if self._images is None else self._images[row * len(self._images) // count]
        try:
            views = self._family.views(own, image)
        except KeyError as error:
            raise AttentionError(
                f"the model was not shown {error} inside the `with groundkit.trace` block: call it there with all that "
                "its processor returned"
            ) from error
        return _Picture(torch.cat([view.positions for view in views]).cpu(), tuple(view.grid for view in views), [])


@dataclass(frozen=True)
class _Marks:
    """Two keys of each row of one layer: of its first image token, and of the last token.

    A cache only grows behind them. In beam search rows take over each other's keys, and a sliding window drops the
    oldest ones: then the columns of the picture are no longer where they were.

    Attributes:
        positions: int64 ``(B, 2)``.
        keys: ``(B, 2, D)`` of the first head.
    """

    positions: Tensor
    keys: Tensor

    @classmethod
    def of(cls, key: Tensor, columns: Sequence[Tensor]) -> Self:
        """For a layer's keys ``(B, G, S, D)``."""
        positions = torch.tensor([[int(each[0]), key.shape[2] - 1] for each in columns])
        return cls(positions, _at(key, positions).clone())

    def check(self, key: Tensor) -> None:
        """Raises AttentionError where the keys of the next pass do not begin with these."""
        if int(self.positions.max()) >= key.shape[2] or not torch.equal(_at(key, self.positions), self.keys):
            raise AttentionError(
                "the keys of the picture have changed their places in the cache, as in beam search (num_beams) or with "
                "a sliding window: generate without these"
            )


def _at(key: Tensor, positions: Tensor) -> Tensor:
    return torch.stack([of_row[0, places] for of_row, places in zip(key, positions.to(key.device), strict=True)])


@dataclass(frozen=True)
class _Reading:
    """For each row of a batch, the attention of its own words to its own image tokens.

    Attributes:
        rows: per row, int64 ``(R,)``, the queries that are read.
        columns: per row, int64 ``(P,)``, the keys that are read.
        heads: indices of the heads; None for all of them.
        keep_heads: whether every head is kept by itself.
        before: marks of each layer in the pass before, if this one goes on with its cache.
        marks: those of this pass.
    """

    rows: Sequence[Tensor]
    columns: Sequence[Tensor]
    heads: tuple[int, ...] | None
    keep_heads: bool
    before: Sequence[_Marks] = ()
    marks: list[_Marks] = field(default_factory=list)

    def read(self, call: AttentionCall, log_sum_exp: Tensor | None, row_chunk: int) -> list[Tensor]:
        """Per row of the batch float32 ``(H, R, P)`` on the CPU."""
        if self.before:
            self.before[len(self.marks)].check(call.key)
        self.marks.append(_Marks.of(call.key, self.columns))
        plain = self.heads is None and not self.keep_heads
        found = []
        for index, (rows, columns) in enumerate(zip(self.rows, self.columns, strict=True)):
            one = slice(index, index + 1)
            mask = call.attn_mask
            own = dataclasses.replace(
                call,
                query=call.query[one],
                key=call.key[one],
                value=call.value[one],
                attn_mask=mask[one] if mask is not None and mask.ndim == 4 and len(mask) > 1 else mask,
            )
            entries = attention_entries(
                own,
                rows,
                columns,
                heads="mean" if plain else "all",
                log_sum_exp=None if log_sum_exp is None else log_sum_exp[one],
                row_chunk=row_chunk,
            )[0]
            if plain:
                found.append(entries[None].cpu())
                continue
            if self.heads is not None:
                check_heads(self.heads, len(entries))
                entries = entries[list(self.heads)]
            found.append((entries if self.keep_heads else entries.mean(dim=0, keepdim=True)).cpu())
        return found

    def names(self, count: int) -> tuple[str, ...]:
        """The names of the heads that were read."""
        if not self.keep_heads:
            return ("mean",)
        return tuple(map(str, range(count) if self.heads is None else self.heads))


class _Unknown:
    """A picture that nobody gave."""

    @property
    def shape(self) -> NoReturn:
        raise ConfigError(
            "how this model cuts a picture depends on its size: groundkit.trace(model, processor, images=[...]) needs "
            "the pictures, one per text"
        )
