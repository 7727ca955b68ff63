"""The attention of a sequence of which only the last tokens were run, on the keys and values kept of those before.

Letters: H heads, G key heads, N tokens of the sequence, n of them in a pass, D head size. See layers.py for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from groundkit.attention.choices import HeadWeights
from groundkit.attention.heads import WeighedHeads, largest
from groundkit.attention.layers import Block, LayerAttention
from groundkit.attention.softmax import AttentionCall, RowReader, positions_of


@dataclass(frozen=True)
class Rows:
    """Rows of one layer's causal attention, as queries from which their entries are computed again on each request.

    Attributes:
        start: the first token of the pass.
        first: the first token whose row is kept.
        query: ``(B, H, n, D)`` as the model handed it to its attention, rotated.
        log_sum_exp: ``(B, H, n)``; None where the kernel does not return it.
        peaks: ``(B, H, m)``, the largest entry of each row from ``start`` on; None where no weight needs them.
        scale: of the scores; None for ``1 / sqrt(D)``.
        row_chunk: rows computed at a time, of all heads.
    """

    start: int
    first: int
    query: Tensor
    log_sum_exp: Tensor | None
    peaks: Tensor | None
    scale: float | None
    row_chunk: int = 128

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        kept = (self.query, self.log_sum_exp, self.peaks)
        return sum(tensor.nbytes for tensor in kept if tensor is not None)

    def before(self, stop: int) -> Rows:
        """The rows of the tokens before ``stop``."""
        kept, counted = max(stop - self.first, 0), max(stop - self.start, 0)
        return replace(
            self,
            query=self.query[:, :, :kept],
            log_sum_exp=None if self.log_sum_exp is None else self.log_sum_exp[:, :, :kept],
            peaks=None if self.peaks is None else self.peaks[:, :, :counted],
        )

    def of(self, row: int, stop: int) -> Rows:
        """Those of one row of the batch, of the tokens before ``stop``."""
        query, log_sum_exp, peaks = (
            None if tensor is None else tensor[row : row + 1] for tensor in (self.query, self.log_sum_exp, self.peaks)
        )
        assert query is not None
        return replace(self, query=query, log_sum_exp=log_sum_exp, peaks=peaks).before(stop)

    def heads(self, key: Tensor, wanted: Tensor | None = None) -> Iterator[Block]:
        """The attention of each head, block by block ``(H, rows, columns)``.

        Args:
            key: ``(1, G, S, D)`` of all tokens up to the last row, as the model handed them to its attention.
            wanted: bool ``(N,)`` on the CPU; blocks without any wanted row are left out.
        """
        count = self.query.shape[2]
        starts = [
            start
            for start in range(0, count, self.row_chunk)
            if wanted is None or wanted[self.first + start : self.first + min(start + self.row_chunk, count)].any()
        ]
        if not starts:
            return
        key, mask = key[:, :, : self.first + count], None
        if self.first:
            places = torch.arange(key.shape[2], device=key.device)
            mask = (places <= places[self.first :, None])[None, None]
        call = AttentionCall(
            self.query, key, key.new_empty(0), mask, is_causal=self.first == 0, scale=self.scale, enable_gqa=True
        )
        reader = RowReader(call, slice(None), self.log_sum_exp)
        for start in starts:
            rows = torch.arange(start, min(start + self.row_chunk, count))
            yield self.first + start, reader.read(rows, start + len(rows) if self.first == 0 else None)[0]


@dataclass(frozen=True)
class ReadRows:
    """What an ``AttentionTap`` keeps of one causal pass, so that a later pass can go on from it.

    Attributes:
        start: the first token of the pass; there are keys of all tokens before it.
        first: the first token whose row is kept.
        columns: the keys among which a row's largest entry is looked for; None to look for none.
    """

    start: int = 0
    first: int = 0
    columns: Tensor | slice | None = None

    def read(self, call: AttentionCall, log_sum_exp: Tensor | None, row_chunk: int) -> Rows:
        """Keep the queries of one call, with copies that hold on to nothing else of the model's memory."""
        kept = slice(self.first - self.start, None)
        peaks = None if self.columns is None else _peaks(call, self.columns, log_sum_exp, row_chunk)
        return Rows(
            self.start,
            self.first,
            call.query[:, :, kept].detach().clone(memory_format=torch.contiguous_format),
            None if log_sum_exp is None else log_sum_exp[:, :, kept].detach().clone(),
            peaks,
            call.scale,
            row_chunk,
        )


def _peaks(call: AttentionCall, columns: Tensor | slice, log_sum_exp: Tensor | None, row_chunk: int) -> Tensor:
    """``(B, H, n)``: the largest entry of each row among some columns; 0 where it sees none of them."""
    count, wanted = call.query.shape[2], positions_of(columns, call.key.shape[2])
    reader, found = RowReader(call, slice(None), log_sum_exp), []
    for start in range(0, count, row_chunk):
        rows = torch.arange(start, min(start + row_chunk, count))
        entries = reader.read(rows, start + len(rows) if call.is_causal else None)
        found.append(largest(entries, wanted))
    return torch.cat(found, dim=-1)


@dataclass(frozen=True)
class ContinuedLayer(LayerAttention):
    """One layer's attention, whose first rows are those of an earlier pass and whose last ones are a matrix.

    Attributes:
        shares: float32 ``(H,)`` on the CPU, s_h.
        before: the rows of the earlier pass.
        key: ``(1, G, S, D)``, the keys of that pass.
        first: the first row of ``block``.
        block: ``(N - first, N)``, the last rows of A.
    """

    shares: Tensor
    before: Rows
    key: Tensor
    first: int
    block: Tensor

    @property
    def nbytes(self) -> int:
        return self.before.nbytes + self.key.nbytes + self.block.nbytes

    @property
    def device(self) -> torch.device:
        return self.block.device

    def blocks_of(self, wanted: Tensor | None = None) -> Iterator[Block]:
        shares = self.shares.to(self.device)
        for start, entries in self.before.heads(self.key, wanted):
            yield start, torch.einsum("h,hrc->rc", shares.to(entries.dtype), entries)
        if len(self.block) and (wanted is None or wanted[self.first :].any()):
            yield self.first, self.block


def join(
    before: Rows, key: Tensor, weighed: WeighedHeads, after: Rows | None = None, later_key: Tensor | None = None
) -> ContinuedLayer:
    """The attention of one layer over a whole sequence.

    Args:
        before: of an earlier pass.
        key: ``(1, G, S, D)``, that pass's keys, up to its last row.
        weighed: how the heads are weighed.
        after: of the pass that went on from it; None where the earlier pass was over the whole sequence.
        later_key: ``(1, G, N - S, D)``, the keys of the pass that went on.

    Raises:
        ConfigError: a head that the layer does not have.
    """
    size, heads = key.shape[2], before.query.shape[1]
    first, found = size, key.new_zeros(heads, 0, size, dtype=torch.promote_types(key.dtype, torch.float32))
    if after is not None and later_key is not None:
        whole = torch.cat([key, later_key], dim=2)
        size, found = whole.shape[2], torch.cat([entries for _, entries in after.heads(whole)], dim=1)
    taken = weighed.taken(heads)
    if before.peaks is None:
        weights = torch.ones(heads)
    else:
        columns = weighed.image if weighed.weights is HeadWeights.IMAGE_MAX else slice(None)
        total = before.peaks[0].sum(-1) + largest(found, positions_of(columns, size)).sum(-1)
        weights = weighed.of_peaks(total.cpu(), size)
    weights = weights * taken
    shares = weights / taken.sum()
    block = torch.einsum("h,hrc->rc", shares.to(found), found)
    return ContinuedLayer(size, weights, shares, before, key, first, block)
