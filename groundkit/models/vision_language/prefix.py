"""What is kept of a model's pass over a picture, so that every further question about it costs its own tokens alone.

In a causal model the keys and values of the picture's tokens do not depend on what comes after them. They are kept with
the picture, as far as two questions have the same tokens; so are the queries that attention flow goes through.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from groundkit.attention.choices import HeadWeights
from groundkit.attention.prefix import ReadRows, Rows

MAX_PREFIX_MIB = 4096

_log = logging.getLogger("groundkit")


@dataclass(frozen=True)
class Wanted:
    """What attention flow needs of the tokens that are kept.

    Attributes:
        layers: whose attention is read.
        weights: how heads are weighed; each row's largest entry is kept for all weights but ``uniform``.
        direct: whether the rows of the picture's tokens, and of those before them, are only weighed.
    """

    layers: tuple[str, ...]
    weights: HeadWeights
    direct: bool

    def reading(self, image: Tensor) -> ReadRows:
        """For a pass over a whole sequence whose image tokens stand at ``image``."""
        columns: Tensor | slice | None = image if self.weights is HeadWeights.IMAGE_MAX else slice(None)
        columns = None if self.weights is HeadWeights.UNIFORM else columns
        return ReadRows(first=int(image.max()) + 1 if self.direct else 0, columns=columns)


@dataclass(frozen=True, eq=False)
class Prefix:
    """The N tokens of a pass.

    Attributes:
        tokens: int64 ``(K, N)``: ids, masks and types of the tokens. Two conversations about one picture begin alike
            as far as all of them are equal.
        shape: of position ids, without the axis of tokens.
        offset: what is added to the position of a token behind the picture to get its position id.
        keys: ``(1, G, N, D)`` of each layer, up to the last one that was run.
        values: the same.
        rows: what was read of the layers in ``wanted``.
        wanted: what was read.
    """

    tokens: Tensor
    shape: tuple[int, ...]
    offset: int
    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    rows: Mapping[str, Rows]
    wanted: Wanted | None

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        read = sum(rows.nbytes for rows in self.rows.values())
        return read + sum(each.nbytes for each in (*self.keys, *self.values))

    def common(self, tokens: Tensor) -> int:
        """How many tokens of another conversation about the picture are the same, from the first on."""
        count = min(tokens.shape[1], self.tokens.shape[1])
        if len(tokens) != len(self.tokens):
            return 0
        other = (tokens[:, :count] != self.tokens[:, :count]).any(dim=0).nonzero()
        return int(other[0]) if len(other) else count

    def positions(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Position ids of tokens behind the picture, ``(1, n)`` or ``(3, 1, n)`` of a model with three axes."""
        return (torch.arange(start, stop, device=device) + self.offset).expand(*self.shape, -1)

    def cache(self, stop: int) -> DynamicCache:
        """The first tokens as a cache that grows, for generation; what is kept here stays as it is."""
        return _cache(
            _layer(DynamicLayer, *(each[:, :, :stop] for each in pair))
            for pair in zip(self.keys, self.values, strict=True)
        )

    def beside(self, stop: int, batch: int) -> DynamicCache:
        """The first tokens as a cache for one pass of several texts, of which only the new keys are kept."""
        return _cache(
            _layer(_Beside, *(each[:, :, :stop].expand(batch, -1, -1, -1) for each in pair))
            for pair in zip(self.keys, self.values, strict=True)
        )


@dataclass(eq=False)
class Kept:
    """What is kept of a picture; it is dropped with it.

    Attributes:
        max_bytes: a longer prefix is not kept, and every question is read from its first token on.
        wanted: what attention flow will need, read by whatever pass is the first.
        prefix: what is kept.
        refused: whether nothing can be kept.
    """

    max_bytes: int = MAX_PREFIX_MIB * 2**20
    wanted: Wanted | None = None
    prefix: Prefix | None = None
    refused: bool = False

    def keep(self, prefix: Prefix, model: str) -> None:
        """Keep a prefix, in place of what was kept, unless it takes more memory than it may."""
        size, self.prefix = prefix.nbytes, None
        if size > self.max_bytes:
            self.refused = True
            _log.info(
                "%s: %d tokens would take %.0f MiB, above max_prefix_mib=%d: nothing is kept of this picture",
                model,
                prefix.tokens.shape[1],
                size / 2**20,
                self.max_bytes // 2**20,
            )
            return
        _log.info("%s: %d tokens of the picture are kept in %.1f MiB", model, prefix.tokens.shape[1], size / 2**20)
        self.prefix = prefix


class Pass:
    """One pass of a model over a whole conversation, with the cache that it fills."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._positions: Tensor | None = None
        self.cache = DynamicCache()

    def run(self, arguments: Mapping[str, Any]) -> Tensor:
        """The last layer's states, ``(1, N, width)``."""
        decoder = self._model.get_decoder()
        hook = decoder.register_forward_pre_hook(self._see, with_kwargs=True)
        try:
            states: Tensor = run(self._model, self.cache, **arguments).last_hidden_state
        finally:
            hook.remove()
        return states

    def _see(self, decoder: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        self._positions = kwargs.get("position_ids")

    def prefix(self, tokens: Tensor, image: Tensor, rows: Mapping[str, Rows], wanted: Wanted | None) -> Prefix | None:
        """What it leaves to be kept; None where the tokens behind the picture do not count on by ones."""
        count, behind = tokens.shape[1], int(image.max()) + 1
        shape: tuple[int, ...] = (1,)
        offset = 0
        if self._positions is not None:
            places = self._positions[..., behind:].cpu()
            shape, offset = tuple(places.shape[:-1]), int(places.flatten()[0]) - behind
            if not bool((places == torch.arange(behind, count) + offset).all()):
                return None
        layers = [layer for layer in self.cache.layers if layer.is_initialized]
        return Prefix(
            tokens, shape, offset, [each.keys for each in layers], [each.values for each in layers], rows, wanted
        )


def run(model: Any, cache: DynamicCache, **arguments: Any) -> Any:
    """The output of a model without its head."""
    return model.base_model(**arguments, **{cache_argument(model): cache}, use_cache=True)


def go_on(model: Any, prefix: Prefix, cache: DynamicCache, texts: Sequence[Tensor]) -> Tensor:
    """One pass of B texts that go on from what is kept.

    Shorter texts are filled up at their end, where no token of a causal model sees it.

    Args:
        cache: of ``prefix.beside``.
        texts: int64 ``(n,)`` each, the ids of their tokens behind those in the cache.

    Returns:
        The last layer's states, ``(B, n, width)``.
    """
    length, start = max(map(len, texts)), cache.get_seq_length()
    device = prefix.keys[0].device
    ids = torch.stack([pad(each, (0, length - len(each))) for each in texts]).to(device)
    places = prefix.positions(start, start + length, device)
    places = places.expand(*places.shape[:-2], len(ids), -1)
    states: Tensor = run(model, cache, input_ids=ids, position_ids=places).last_hidden_state
    return states


def later_keys(cache: DynamicCache) -> list[Tensor]:
    """``(B, G, n, D)`` of each layer that was run, the keys of the texts in :func:`go_on`."""
    return [layer.later for layer in cache.layers if hasattr(layer, "later")]


def cache_argument(model: Any) -> str:
    """What a model calls its cache: transformers has had two names for it."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def keeps_every_key(model: Any) -> bool:
    """Whether each layer of a language model attends to all tokens before: none has a sliding window or a state."""
    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return all(type(layer) is DynamicLayer for layer in layers)


class _Beside(DynamicLayer):  # type: ignore[misc]
    """Keys and values that a pass goes on from and leaves as they are."""

    later: Tensor

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        self.later = key_states
        return torch.cat([self.keys, key_states], dim=2), torch.cat([self.values, value_states], dim=2)


def _layer(kind: type[DynamicLayer], keys: Tensor, values: Tensor) -> DynamicLayer:
    layer = kind()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _cache(layers: Any) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = list(layers)
    return cache
