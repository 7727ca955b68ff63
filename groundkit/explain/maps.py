"""Attention maps as a picture of small coloured squares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from groundkit.explain.tiles import Tile, draw_row, stack
from groundkit.outputs.formats.heatmap import colour_map, stretch

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps

_AXES = {"layer": 0, "head": 1, "token": 2}
_PIXELS = 2**16  # of one tile


def draw_maps(maps: AttentionMaps, by: Literal["layer", "head", "token"]) -> npt.NDArray[np.uint8]:
    """One tile per layer, head or token, the mean over what is not told apart, stretched from lowest to highest value.

    The frames of a clip lie side by side in a tile. Every tile is blue where the map is lowest and red where it is
    highest.

    Returns:
        uint8 RGB, 1600 pixels wide.
    """
    names = {"layer": maps.layers, "head": maps.heads, "token": [token.text for token in maps.tokens]}[by]
    others = tuple(axis for axis in _AXES.values() if axis != _AXES[by])
    tiles = []
    means = [part.mean(axis=others) for part in maps.by_grid()]
    for index, name in enumerate(names):
        for part in means:
            heat = part[index]
            flat = np.concatenate(list(heat), axis=-1) if heat.ndim == 3 else heat
            tiles.append(Tile(_enlarged(colour_map(stretch(flat))), name, f"peak {flat.max():.2g}"))
    heading = f"Attention by {by}, each map stretched from its lowest to its highest value"
    return stack([draw_row(heading, tiles)])


def _enlarged(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    times = max(1, round(math.sqrt(_PIXELS / (picture.shape[0] * picture.shape[1]))))
    return picture.repeat(times, axis=0).repeat(times, axis=1)
