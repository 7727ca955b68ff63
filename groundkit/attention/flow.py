"""How attention flows from a word back through the layers to the picture, one row at a time.

Letters: L layers, N tokens, R wanted rows. A^l is layer l's attention with its heads reduced (layers.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from groundkit.attention.choices import Flow as Flow
from groundkit.attention.choices import Regulariser as Regulariser
from groundkit.attention.layers import LayerAttention


def column_factor(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """VL-SAM's factor against attention collapse, ``(N,)``: 1 - (L_0 - 1) / L for column j.

    Under a causal mask column j has L_0 = N - j open entries of L = N, so the factor is (j + 1) / N: near 0 for the
    first tokens, on which everything piles up, and 1 for the last.
    """
    return (torch.arange(size, dtype=dtype) + 1) / size


def flow_rows(
    layers: Sequence[LayerAttention], rows: Tensor, flow: Flow = Flow.FLOW, factor: Tensor | None = None
) -> Tensor:
    """Rows of the flow through all layers, exactly, in O(R L N^2) instead of the O(L N^3) of the whole matrix.

    A row v of F^L is followed downwards: v F^L = u + u F^(L-1) with u = v (I + A^L).

    Args:
        layers: first to last.
        rows: float ``(R, N)``, what to start from: one-hot for a token, a mean of several for a word. Its dtype is the
            precision of the result.
        flow: how layers are joined.
        factor: ``(N,)``, multiplies the columns of every layer's attention; see :func:`column_factor`.

    Returns:
        ``(R, N)``: how much of each row's attention arrives at each token.
    """
    if factor is None:
        factor = torch.ones(rows.shape[1], dtype=rows.dtype)
    factor = factor.to(rows)
    if flow is Flow.MEAN:
        return torch.stack([layer.times(rows) * factor for layer in layers]).mean(dim=0)
    if flow is Flow.ROLLOUT:
        for layer in reversed(layers):
            rows = (rows + layer.times(rows) * factor) / 2
        return rows
    total = torch.zeros_like(rows)
    for layer in reversed(layers[1:]):
        rows = rows + layer.times(rows) * factor
        total = total + rows
    return total + layers[0].times(rows) * factor


def image_flow(
    layers: Sequence[LayerAttention],
    rows: Tensor,
    image: Tensor,
    *,
    flow: Flow = Flow.FLOW,
    regulariser: Regulariser = Regulariser.END,
) -> Tensor:
    """What arrives at the image tokens: ``(R, P)`` for their positions ``image``, int64 ``(P,)``. See ``flow_rows``."""
    factor = column_factor(rows.shape[1], rows.dtype)
    arrived = flow_rows(layers, rows, flow, factor if regulariser is Regulariser.LAYER else None)
    if regulariser is Regulariser.END:
        arrived = arrived * factor.to(arrived)
    return arrived[:, image]
