"""Attention written by hand."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.language import Role, Token


def attention_maps(
    maps: Tensor,
    text: Tensor | None = None,
    *,
    layers: Sequence[str] | None = None,
    tokens: Sequence[Token] | None = None,
    frames: Sequence[range] = (),
) -> AttentionMaps:
    """Maps with their heads averaged, ``(L, T, h, w)``, of a clip ``(L, T, t, h, w)``."""
    count = maps.shape[1]
    return AttentionMaps(
        values=maps.flatten(2)[:, None].clone(),
        layers=tuple(layers or map(str, range(len(maps)))),
        heads=("mean",),
        tokens=tuple(tokens or (Token(-1, f"▁{i}", i, Role.CONTENT, str(i)) for i in range(count))),
        grids=(TokenGrid(tuple(maps.shape[2:]), frames=tuple(frames)),),
        text=text,
    )
