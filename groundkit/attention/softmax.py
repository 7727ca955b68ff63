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
    # A tensor made in inference mode could not be changed by its reader later, and autocast would round the scores.
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(call.query.device.type, enabled=False):
        return _entries(call, rows, columns, heads, log_sum_exp, row_chunk)


def _entries(
    call: AttentionCall,
    wanted_rows: Tensor | slice,
    wanted_columns: Tensor | slice,
    heads: Heads,
    log_sum_exp: Tensor | None,
    row_chunk: int,
) -> Tensor:
    query_count, size = call.query.shape[2:]
    key_heads, key_count = call.key.shape[1:3]
    batch, head_count = (max(counts) for counts in zip(call.query.shape[:2], call.key.shape[:2], strict=True))
    query = call.query.expand(batch, head_count, -1, -1)
    device = query.device
    dtype = torch.promote_types(query.dtype, torch.float32)
    scale = 1 / math.sqrt(size) if call.scale is None else call.scale
    mask = None if call.attn_mask is None else call.attn_mask.expand(batch, head_count, query_count, key_count)

    rows = positions_of(wanted_rows, query_count)
    columns = positions_of(wanted_columns, key_count)
    scored = columns if log_sum_exp is not None else positions_of(slice(None), key_count)
    row_index, column_index, scored_index = (_index(positions, device) for positions in (rows, columns, scored))
    scaled_key = call.key[:, :, scored_index].to(dtype).mul(scale).mT.unsqueeze(2)
    scaled_key = scaled_key.expand(-1, -1, head_count // key_heads, -1, -1).flatten(1, 2)  # (B, H, D, C)
    shape = (batch, len(rows), len(columns)) if heads == "mean" else (batch, head_count, len(rows), len(columns))
    entries = torch.empty(shape, dtype=torch.float32, device=device)
    # Rows outside and heads inside: the heads of one position lie side by side in the queries most models pass.
    for start in range(0, len(rows), row_chunk):
        index = _part(row_index, start, start + row_chunk)
        scores = query[:, :, index].to(dtype) @ scaled_key  # (B, H, r, C), or (B, H, r, S) without log_sum_exp
        if mask is not None:
            _apply_mask(scores, mask[:, :, index][..., scored_index])
        if call.is_causal:
            later = scored > rows[start : start + row_chunk].unsqueeze(-1)
            scores.masked_fill_(later.to(device), -math.inf)
        if log_sum_exp is not None:
            weights = scores.sub_(log_sum_exp[:, :, index].unsqueeze(-1)).exp_()
        else:
            weights = _softmax(scores)[..., column_index]
        entries[..., start : start + row_chunk, :] = weights.mean(1) if heads == "mean" else weights
    return entries


def _apply_mask(scores: Tensor, mask: Tensor) -> None:
    if mask.dtype == torch.bool:
        scores.masked_fill_(~mask, -math.inf)
    else:
        scores.add_(mask)


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis, in place; 0 throughout a row of nothing but -inf."""
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
