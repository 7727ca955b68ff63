"""Weigh the heads of a layer by how sharply they look, and make one N x N matrix of them, block by block of rows.

Letters: B batch, H heads, N tokens of the joint sequence. S is a layer's attention, rows summing to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundkit.attention.choices import HeadWeights as HeadWeights
from groundkit.attention.softmax import AttentionCall, attention_entries, positions_of
from groundkit.errors import AttentionError, ConfigError


def check_heads(heads: Sequence[int], available: int) -> None:
    """Raises ConfigError where no head is chosen, or one that is not among the ``available`` ones."""
    if not heads or not all(0 <= head < available for head in heads):
        raise ConfigError(f"heads: this model has heads 0 to {available - 1}, got {list(heads)}")


@dataclass(frozen=True)
class LayerAttention:
    """One layer's attention with its heads reduced: blocks of rows, under a causal mask without the empty upper part.

    Attributes:
        size: N.
        starts: first row of each block; a block ends where the next begins, the last one at N.
        blocks: ``(rows, columns)`` each, columns from 0 on; what lies beyond is 0.
        weights: float32 ``(H,)``, the heads' weights, on the CPU.
    """

    size: int
    starts: tuple[int, ...]
    blocks: tuple[Tensor, ...]
    weights: Tensor

    def times(self, rows: Tensor) -> Tensor:
        """``rows @ A``, ``(R, N)`` to ``(R, N)``, in the dtype and on the device of ``rows``."""
        moved = rows.to(self.blocks[0].device)
        product = torch.zeros_like(moved)
        for start, block in zip(self.starts, self.blocks, strict=True):
            product[:, : block.shape[1]] += moved[:, start : start + len(block)] @ block.to(rows.dtype)
        return product.to(rows.device)

    def dense(self) -> Tensor:
        """The whole matrix, ``(N, N)``."""
        matrix = torch.zeros(self.size, self.size, dtype=self.blocks[0].dtype, device=self.blocks[0].device)
        for start, block in zip(self.starts, self.blocks, strict=True):
            matrix[start : start + len(block), : block.shape[1]] = block
        return matrix


@dataclass(frozen=True)
class WeighedHeads:
    """What an ``AttentionTap`` reads for attention flow: one :class:`LayerAttention` of each layer.

    Equation 2 of VL-SAM: A = mean_h(w_h S_h). The weights are not scaled to sum to one, so that a layer without any
    sharp head moves little. Two passes over the rows, one for the weights and one for the mean; beside the result no
    more than ``row_chunk`` rows of all heads are alive at a time.

    Attributes:
        image: positions of the image tokens, a slice or int64 or bool ``(N,)``; read by ``image_max`` only.
        weights: how the heads are weighed.
        heads: those that take part, each layer's counted from 0; by default all. Few heads of a model point well
            (Kang et al., arXiv 2503.06287).
        dtype: what the result is kept in. float16 halves the memory at a relative error of about 0.001.
    """

    image: Tensor | slice
    weights: HeadWeights = HeadWeights.MAX
    heads: tuple[int, ...] | None = None
    dtype: torch.dtype = torch.float32

    def read(self, call: AttentionCall, log_sum_exp: Tensor | None, row_chunk: int) -> LayerAttention:
        """Reduce the heads of one call.

        Raises:
            AttentionError: more than one sequence in the batch, or fewer queries than keys (a decoding step).
            ConfigError: a head that the layer does not have.
        """
        size = call.query.shape[2]
        if call.query.shape[0] != 1 or call.key.shape[2] != size:
            raise AttentionError(
                f"attention flow needs one forward pass over one whole sequence, got {call.query.shape[0]} sequences "
                f"of {size} queries and {call.key.shape[2]} keys: run the model without a key cache"
            )

        def chunks() -> Iterator[tuple[int, Tensor]]:
            for start in range(0, size, row_chunk):
                rows = slice(start, min(start + row_chunk, size))
                columns = slice(0, rows.stop if call.is_causal else size)
                yield (
                    start,
                    attention_entries(call, rows, columns, heads="all", log_sum_exp=log_sum_exp, row_chunk=row_chunk)[
                        0
                    ],
                )

        weights = self._weigh(chunks(), call.query.shape[1], size)
        taken = self._taken(len(weights))
        weights = weights * taken
        starts, blocks = [], []
        for start, entries in chunks():
            starts.append(start)
            shares = (weights / taken.sum()).to(entries.device)
            blocks.append(torch.einsum("h,hrc->rc", shares, entries).to(self.dtype))
        return LayerAttention(size, tuple(starts), tuple(blocks), weights)

    def _taken(self, heads: int) -> Tensor:
        """1 for each head that takes part, else 0."""
        if self.heads is None:
            return torch.ones(heads)
        check_heads(self.heads, heads)
        return torch.zeros(heads).index_fill(0, torch.tensor(self.heads), 1.0)

    def _weigh(self, chunks: Iterator[tuple[int, Tensor]], heads: int, size: int) -> Tensor:
        if self.weights is HeadWeights.UNIFORM:
            return torch.ones(heads)
        image = positions_of(self.image, size)
        total = torch.zeros(heads)
        for _, entries in chunks:
            if self.weights is HeadWeights.IMAGE_MAX:
                entries = entries[..., image[image < entries.shape[-1]].to(entries.device)]
            if entries.shape[-1]:
                total += entries.amax(-1).sum(-1).cpu()
        weights = total / size
        if self.weights is HeadWeights.IMAGE_MAX:
            weights /= weights.max().clamp_min(1e-12)
        return weights
