"""One layer's attention as attention flow needs it: a matrix that rows are multiplied by, kept in one of two ways.

Letters: H heads, G key heads (H is a multiple of G), N tokens of the joint sequence, D head size, R rows. S_h is the
attention of head h, rows summing to one. A = sum_h s_h S_h, ``(N, N)``, for shares s_h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from groundkit.attention.softmax import AttentionCall, RowReader

Block = tuple[int, Tensor]
"""The first of some rows, and their entries ``(..., rows, columns)``, columns from 0 on; entries beyond them are 0."""

_HALF_SCALE = 2.0**15  # of entries kept in float16, which lie in [0, 1]: unscaled, those below 6e-5 would lose digits


@dataclass(frozen=True)
class LayerAttention(ABC):
    """One layer's attention with its heads reduced to the matrix A.

    Attributes:
        size: N.
        weights: float32 ``(H,)``, the heads' weights, on the CPU; float64 of a model in float64.
    """

    size: int
    weights: Tensor

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of tensors that are kept; a mask that all layers share is not among them."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where they are."""

    @abstractmethod
    def blocks_of(self, wanted: Tensor | None = None) -> Iterator[Block]:
        """A, block by block ``(rows, columns)``; without blocks that hold no wanted row, bool ``(N,)`` on the CPU."""

    def times(self, rows: Tensor) -> Tensor:
        """``rows @ A``, ``(R, N)`` to ``(R, N)``, in the dtype and on the device of ``rows``."""
        moved = rows.to(self.device)
        product = torch.zeros_like(moved)
        for start, block in self.blocks_of((rows != 0).any(dim=0).cpu()):
            product[:, : block.shape[1]] += moved[:, start : start + len(block)] @ block.to(rows.dtype)
        return product.to(rows.device)

    def dense(self) -> Tensor:
        """The whole matrix, ``(N, N)``, on the device where it is kept."""
        matrix = None
        for start, block in self.blocks_of():
            if matrix is None:
                matrix = block.new_zeros(self.size, self.size)
            matrix[start : start + len(block), : block.shape[1]] = block
        assert matrix is not None
        return matrix


@dataclass(frozen=True)
class KeptMatrix(LayerAttention):
    """A itself, of which a causal mask leaves half. The smaller one for a short sequence: N^2 numbers at most.

    Attributes:
        starts: first row of each block; a block ends where the next begins, the last one at N.
        blocks: ``(rows, columns)`` each, columns from 0 on; entries beyond them are 0.
        scale: what the kept entries were multiplied by.
    """

    starts: tuple[int, ...]
    blocks: tuple[Tensor, ...]
    scale: float = 1.0

    @property
    def nbytes(self) -> int:
        return sum(block.nbytes for block in self.blocks)

    @property
    def device(self) -> torch.device:
        return self.blocks[0].device

    def blocks_of(self, wanted: Tensor | None = None) -> Iterator[Block]:
        for start, block in zip(self.starts, self.blocks, strict=True):
            if wanted is None or wanted[start : start + len(block)].any():
                yield start, block if self.scale == 1 else block.float() / self.scale


@dataclass(frozen=True)
class KeptQueries(LayerAttention):
    """The queries and keys of A, from which a block of rows is computed again on each request.

    The smaller one for a long sequence: (H + G) N D numbers in the model's own dtype, and H N of the log-sum-exp.

    Attributes:
        call: the attention call without its values: queries ``(1, H, N, D)`` and keys ``(1, G, N, D)`` as the model
            handed them to its attention, rotated, with mask and scale.
        log_sum_exp: ``(1, H, N)``, the natural log of each row's softmax denominator; None where the kernel does not
            return it (see :func:`~groundkit.attention.fused.attend`): whole rows are then computed.
        shares: ``(H,)`` on the CPU, s_h.
        row_chunk: rows computed at a time, of all heads.
    """

    call: AttentionCall
    log_sum_exp: Tensor | None
    shares: Tensor
    row_chunk: int = 128

    @property
    def nbytes(self) -> int:
        call = self.call
        kept = [call.query, call.key]
        if self.log_sum_exp is not None:
            kept.append(self.log_sum_exp)
        if call.attn_mask is not None and call.attn_mask.ndim == 4 and call.attn_mask.shape[1] > 1:
            kept.append(call.attn_mask)  # of its heads, and so of its layer
        return sum(tensor.nbytes for tensor in kept)

    @property
    def device(self) -> torch.device:
        return self.call.query.device

    def heads(self, wanted: Tensor | None = None) -> Iterator[Block]:
        """The attention of each head, block by block ``(H, rows, columns)``; see ``blocks_of``."""
        reader = RowReader(self.call, slice(None), self.log_sum_exp)
        for start in range(0, self.size, self.row_chunk):
            rows = torch.arange(start, min(start + self.row_chunk, self.size))
            if wanted is None or wanted[rows].any():
                yield start, reader.read(rows, start + len(rows) if self.call.is_causal else self.size)[0]

    def blocks_of(self, wanted: Tensor | None = None) -> Iterator[Block]:
        shares = self.shares.to(self.device)
        for start, entries in self.heads(wanted):
            yield start, torch.einsum("h,hrc->rc", shares.to(entries.dtype), entries)

    def as_matrix(self, dtype: torch.dtype) -> KeptMatrix:
        """The same with A itself kept, in a dtype of its own."""
        scale = _HALF_SCALE if dtype is torch.float16 else 1.0
        starts, blocks = zip(*((start, (block * scale).to(dtype)) for start, block in self.blocks_of()), strict=True)
        return KeptMatrix(self.size, self.weights, starts, blocks, scale)

    def matrix_bytes(self, dtype: torch.dtype) -> int:
        """What ``as_matrix`` would keep."""
        stops = [min(start + self.row_chunk, self.size) for start in range(0, self.size, self.row_chunk)]
        rows = [stop - start for start, stop in zip([0, *stops], stops, strict=False)]
        columns = stops if self.call.is_causal else [self.size] * len(stops)
        return dtype.itemsize * sum(r * c for r, c in zip(rows, columns, strict=True))

    def detached(self) -> KeptQueries:
        """The same with copies that hold on to nothing else of the model's memory."""
        call = replace(self.call, query=_copy(self.call.query), key=_copy(self.call.key))
        return replace(self, call=call, log_sum_exp=None if self.log_sum_exp is None else _copy(self.log_sum_exp))


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def without_repeats(key: Tensor) -> Tensor:
    """Keys ``(1, G, N, D)`` of keys that the model has repeated for its groups of query heads, ``(1, H, N, D)``."""
    heads = key.shape[1]
    changes = 1 + (key[0, 1:] != key[0, :-1]).flatten(1).any(dim=1).nonzero()[:, 0]
    run = heads // (len(changes) + 1)
    return key[:, ::run] if changes.tolist() == list(range(run, heads, run)) else key
