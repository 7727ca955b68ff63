"""Weigh the heads of a layer by how sharply they look, and make one N x N matrix of them.

Letters: B batch, H heads, N tokens of the joint sequence. S is a layer's attention, rows summing to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from groundkit.attention.choices import HeadWeights as HeadWeights
from groundkit.attention.layers import KeptQueries, LayerAttention, without_repeats
from groundkit.attention.softmax import AttentionCall, positions_of
from groundkit.errors import AttentionError, ConfigError


def check_heads(heads: Sequence[int], available: int) -> None:
    """Raises ConfigError where no head is chosen, or one that is not among the ``available`` ones."""
    if not heads or not all(0 <= head < available for head in heads):
        raise ConfigError(f"heads: this model has heads 0 to {available - 1}, got {list(heads)}")


def largest(entries: Tensor, columns: Tensor) -> Tensor:
    """``(..., rows)``: the largest of the entries ``(..., rows, columns)`` at some columns; 0 where there are none."""
    inside = columns[columns < entries.shape[-1]]
    if len(inside) < entries.shape[-1]:
        entries = entries[..., inside.to(entries.device)]
    return entries.amax(-1) if entries.shape[-1] else entries.new_zeros(entries.shape[:-1])


@dataclass(frozen=True)
class WeighedHeads:
    """What an ``AttentionTap`` reads for attention flow: one :class:`LayerAttention` of each layer.

    Equation 2 of VL-SAM: A = mean_h(w_h S_h). The weights are not scaled to sum to one, so that a layer without any
    sharp head moves little. Two passes over the rows, one for the weights and one for the mean; beside the result no
    more than ``row_chunk`` rows of all heads are alive at a time. Kept is whatever is smaller: the N x N matrix A, in
    float32, or of a model in half precision in float16; or queries and keys in the model's own dtype, from which A is
    computed again.

    Attributes:
        image: positions of the image tokens, a slice or int64 or bool ``(N,)``; read by ``image_max`` only.
        weights: how the heads are weighed.
        heads: those that take part, each layer's counted from 0; by default all. Few heads of a model point well
            (Kang et al., arXiv 2503.06287).
        keep: ``matrix`` or ``queries`` to keep this, whatever is smaller.
    """

    image: Tensor | slice
    weights: HeadWeights = HeadWeights.MAX
    heads: tuple[int, ...] | None = None
    keep: Literal["smaller", "matrix", "queries"] = "smaller"

    def read(self, call: AttentionCall, log_sum_exp: Tensor | None, row_chunk: int) -> LayerAttention:
        """Reduce the heads of one call.

        Raises:
            AttentionError: more than one sequence in the batch, or fewer queries than keys (a decoding step).
            ConfigError: a head that the layer does not have.
        """
        size, heads = call.query.shape[2], call.query.shape[1]
        if call.query.shape[0] != 1 or call.key.shape[2] != size:
            raise AttentionError(
                f"attention flow needs one forward pass over one whole sequence, got {call.query.shape[0]} sequences "
                f"of {size} queries and {call.key.shape[2]} keys: run the model without a key cache"
            )
        taken = self.taken(heads)
        call = replace(call, key=without_repeats(call.key), value=call.value.new_empty(0))
        layer = KeptQueries(size, taken, call, log_sum_exp, taken, row_chunk)
        weights = self._weigh(layer) * taken
        layer = replace(layer, weights=weights, shares=weights / taken.sum())
        dtype = call.query.dtype if call.query.dtype.itemsize >= 4 else torch.float16
        queries_are_smaller = layer.nbytes < layer.matrix_bytes(dtype)
        if self.keep == "queries" or (self.keep == "smaller" and queries_are_smaller):
            return layer.detached()
        return layer.as_matrix(dtype)

    def taken(self, heads: int) -> Tensor:
        """1 for each head that takes part, else 0."""
        if self.heads is None:
            return torch.ones(heads, dtype=torch.float32)
        check_heads(self.heads, heads)
        return torch.zeros(heads, dtype=torch.float32).index_fill(0, torch.tensor(self.heads), 1.0)

    def _weigh(self, layer: KeptQueries) -> Tensor:
        heads = len(layer.weights)
        if self.weights is HeadWeights.UNIFORM:
            return torch.ones(heads, dtype=torch.float32)
        columns = self.image if self.weights is HeadWeights.IMAGE_MAX else slice(None)
        wanted = positions_of(columns, layer.size)
        total = torch.zeros(heads, dtype=torch.float32)
        for _, entries in layer.heads():
            total = total + largest(entries, wanted).sum(-1).cpu()
        return self.of_peaks(total, layer.size)

    def of_peaks(self, total: Tensor, size: int) -> Tensor:
        """The weights ``(H,)`` of the heads, from the sum of the largest entries of their N rows."""
        weights = total / size
        return weights / weights.max().clamp_min(1e-12) if self.weights is HeadWeights.IMAGE_MAX else weights
