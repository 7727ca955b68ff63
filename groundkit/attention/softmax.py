"""Chosen entries of softmax(scale q k^T + mask), exactly, without ever holding the whole matrix.

Letters: B batch, H heads, G key heads (H is a multiple of G), N query positions, S key positions, D head size,
R wanted rows, C wanted columns.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Heads = Literal["mean", "all"]


@dataclass(frozen=True)
class AttentionCall:
    """The arguments of one ``scaled_dot_product_attention`` call, under its own names and in its own order.

    Attributes:
        query: ``(B, H, N, D)``.
        key: ``(B, G, S, D)``.
        value: ``(B, G, S, D)``.
        attn_mask: broadcastable to ``(B, H, N, S)``; bool, True where a query may attend, or float, added to scores.
        dropout_p: probability of dropping an entry.
        is_causal: query i sees keys 0..i, counted from the top left corner as torch does.
        scale: factor of the scores, ``1 / sqrt(D)`` when None.
        enable_gqa: each key head serves H / G consecutive query heads.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    def autocast(self) -> AttentionCall:
        """The call as ``torch.autocast`` hands it to the kernel; the call itself when autocast is off."""
        device = self.query.device.type
        if not torch.is_autocast_enabled(device):
            return self
        dtype = torch.get_autocast_dtype(device)

        def cast(tensor: Tensor) -> Tensor:
            return tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor

        return dataclasses.replace(
            self,
            query=cast(self.query),
            key=cast(self.key),
            value=cast(self.value),
            attn_mask=None if self.attn_mask is None else cast(self.attn_mask),
        )


def attention_entries(
    call: AttentionCall,
    rows: Tensor | slice,
    columns: Tensor | slice,
    *,
    heads: Heads = "mean",
    log_sum_exp: Tensor | None = None,
    row_chunk: int = 128,
) -> Tensor:
    """Entries of softmax(scale q k^T + mask) at the wanted rows and columns; the softmax runs over all S keys.

    With the rows' log-sum-exp an entry is exp(scale q.k + mask - lse) and no other column is touched: extra memory is
    O(H x row_chunk x (C + D)). Without it ``row_chunk`` rows at a time are computed whole: O(H x row_chunk x S). Either
    way comes a float32 copy of the keys that are scored, C or S of them.
    A row whose every key is masked is 0 throughout, as torch's own output of such a row is.

    Args:
        call: the attention call; its tensors are only read.
        rows: query positions, a slice or a 1-D int64 or bool tensor.
        columns: key positions, likewise.
        heads: "mean" averages the heads as they are computed, "all" keeps them.
        log_sum_exp: ``(B, H, N)``, the log of each row's softmax denominator, if the kernel returned it.
        row_chunk: rows worked on at a time.

    Returns:
        float32 ``(B, R, C)`` for "mean", ``(B, H, R, C)`` for "all"; never part of an autograd graph.

    Raises:
        IndexError: a position lies outside the queries or keys.
    """
    # A tensor made in inference mode could not be changed by its reader later.
    with torch.inference_mode(False), torch.no_grad():
        wanted = positions_of(rows, call.query.shape[2])
        reader = RowReader(call, columns, log_sum_exp)
        batch, head_count, column_count = reader.shape
        shape = (
            (batch, len(wanted), column_count) if heads == "mean" else (batch, head_count, len(wanted), column_count)
        )
        entries = torch.empty(shape, dtype=torch.float32, device=call.query.device)
        for start in range(0, len(wanted), row_chunk):
            weights = reader.read(wanted[start : start + row_chunk])
            entries[..., start : start + row_chunk, :] = weights.mean(1) if heads == "mean" else weights
        return entries


class RowReader:
    """Computes rows of softmax(scale q k^T + mask) of one call, some at a time; the keys are made ready once.

    See :func:`attention_entries`, also for the arguments.

    Attributes:
        shape: (B, H, C).
    """

    def __init__(self, call: AttentionCall, columns: Tensor | slice, log_sum_exp: Tensor | None) -> None:
        query_count, size = call.query.shape[2:]
        self._key_heads, key_count = call.key.shape[1:3]
        batch, head_count = (max(counts) for counts in zip(call.query.shape[:2], call.key.shape[:2], strict=True))
        self._call = call
        self._query = call.query.expand(batch, head_count, -1, -1)
        self._log_sum_exp = log_sum_exp
        self._dtype = torch.promote_types(call.query.dtype, torch.float32)
        mask = call.attn_mask
        self._mask = None if mask is None else mask.expand(batch, head_count, query_count, key_count)
        wanted = positions_of(columns, key_count)
        scored = wanted if log_sum_exp is not None else positions_of(slice(None), key_count)
        device = call.query.device
        self._columns, self._scored_index = (_index(positions, device) for positions in (wanted, scored))
        self._scored = scored.to(device)
        scale = 1 / math.sqrt(size) if call.scale is None else call.scale
        with torch.inference_mode(False), torch.no_grad():
            self._keys = call.key[:, :, self._scored_index].to(self._dtype).mul(scale).mT  # (B, G, D, C)
        self.shape = (batch, head_count, len(wanted))

    def read(self, rows: Tensor, before: int | None = None) -> Tensor:
        """The entries of some rows.

        Args:
            rows: int64 query positions on the CPU.
            before: leave out the wanted columns from this one on, for a call whose rows see none of the keys there;
                only where the columns are all keys.

        Returns:
            ``(B, H, r, C)``, float32, or float64 of queries in float64.
        """
        # Autocast would round the scores.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(self._query.device.type, enabled=False):
            device = self._query.device
            index, keys, scored = _index(rows, device), self._keys[..., :before], self._scored[:before]
            query = self._query[:, :, index].to(self._dtype)
            grouped = query.reshape(len(query), self._key_heads, -1, query.shape[-1])  # (B, G, H / G * r, D)
            scores: Tensor = (grouped @ keys).reshape(*query.shape[:3], len(scored))
            if self._mask is not None:
                _apply_mask(scores, self._mask[:, :, index][..., _part(self._scored_index, 0, len(scored))])
            if self._call.is_causal:
                scores.masked_fill_(scored > rows.to(device).unsqueeze(-1), -math.inf)
            if self._log_sum_exp is not None:
                return scores.sub_(self._log_sum_exp[:, :, index].unsqueeze(-1)).exp_()
            return _softmax(scores)[..., _part(self._columns, 0, self.shape[-1] if before is None else before)]


def _apply_mask(scores: Tensor, mask: Tensor) -> None:
    if mask.dtype == torch.bool:
        scores.masked_fill_(~mask, -math.inf)
    else:
        scores.add_(mask)


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis, in place; 0 throughout a row that is all -inf."""
    peak = scores.amax(-1, keepdim=True)
    scores.sub_(peak.masked_fill_(peak == -math.inf, 0)).exp_()
    total = scores.sum(-1, keepdim=True)
    return scores.div_(total.masked_fill_(total == 0, 1))


def positions_of(wanted: Tensor | slice, count: int) -> Tensor:
    """Int64 positions on the CPU, negative ones counted from the end."""
    return torch.arange(count, device="cpu")[wanted if isinstance(wanted, slice) else wanted.cpu()]


def _index(positions: Tensor, device: torch.device) -> Tensor | slice:
    """A slice wherever the positions are consecutive, because a slice is a view and an index tensor is a copy."""
    if len(positions) == 0:
        return slice(0, 0)
    if bool((positions.diff() == 1).all()):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions.to(device)


def _part(index: Tensor | slice, start: int, stop: int) -> Tensor | slice:
    """``index`` of the positions from the start-th to before the stop-th."""
    if isinstance(index, slice):
        return slice(index.start + start, min(index.start + stop, index.stop))
    return index[start:stop]
