"""Direction words turned into a weight over the picture: RefAM's spatial bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from groundkit.language.direction import Direction
from groundkit.stages.base import Scene, Stage
from groundkit.stages.trace import PICTURE

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps

Heat = npt.NDArray[np.float32]


class Places(Stage):
    """Weight the map by the direction words: a ramp for left, right, top, bottom, middle."""

    bias_floor: float = Field(0.2, ge=0, le=1, description="lowest weight of the spatial bias")
    bias_power: float = Field(
        1.0, gt=0, le=1, description="exponent of the map before the weight: below 1, weaker peaks count more"
    )

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        import torch

        directions = scene.phrase.places
        ramps = [
            spatial_ramp(grid.shape[-2], grid.shape[-1], directions, floor=self.bias_floor, box=grid.box)
            for grid in maps.grids
        ]
        whole = [
            np.broadcast_to(ramp, grid.shape).ravel()
            for ramp, grid in zip(ramps, maps.grids, strict=True)
            if ramp is not None
        ]
        if not whole:
            return maps
        weight = np.concatenate(whole)
        one = maps if maps.layers == (PICTURE,) else maps.mean_layers()
        scene.show("spatial bias", one.combined(torch.from_numpy(weight).reshape(1, 1, 1, -1)))
        if maps.layers == (PICTURE,):  # each grid shows the whole picture
            parts = zip(maps.by_grid(), ramps, strict=True)
            return maps.on(maps.grids, [weigh_places(part, ramp, power=self.bias_power) for part, ramp in parts])
        return replace(maps, values=torch.from_numpy(weigh_places(maps.values.numpy(), weight, power=self.bias_power)))


def minmax(heat: Heat) -> Heat:
    """Scale to [0, 1]; a constant map becomes all zero."""
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


def weigh_places(heat: Heat, ramp: Heat | None, *, power: float) -> Heat:
    """The map, from 0 to 1, to a power (below 1, weaker peaks count more), times the ramp, if there is one."""
    return heat if ramp is None else np.asarray(minmax(heat) ** power * ramp, dtype=np.float32)


def spatial_ramp(
    height: int,
    width: int,
    directions: Sequence[Direction],
    *,
    floor: float,
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> Heat | None:
    """The weight that direction words put on each patch, float32 ``(height, width)`` in [floor, 1].

    ``left`` falls linearly from 1 at the left border to ``floor`` at the right one, and so on for each side; ``middle``
    is a tent in both axes, or, beside a side word ("top middle"), in the other axis alone. Several directions
    multiply. Size words have no ramp. None when no word has one. RefAM names a spatial bias without defining it; the
    ramp over a min-max scaled map follows HybridGL's. ``box`` is the part of the picture that the patches show, XYXY in
    shares of its width and height.
    """
    across, down = _places(width, box[0], box[2]), _places(height, box[1], box[3])
    tent_across, tent_down = 1 - np.abs(2 * across - 1), 1 - np.abs(2 * down - 1)
    sideways = {Direction.LEFT: 1 - across, Direction.RIGHT: across}
    upright = {Direction.TOP: 1 - down, Direction.BOTTOM: down}
    row, column = np.ones(width, np.float32), np.ones(height, np.float32)
    found = False
    for direction in directions:
        if direction in sideways:
            row, found = row * sideways[direction], True
        elif direction in upright:
            column, found = column * upright[direction], True
        elif direction is Direction.MIDDLE:
            found = True
            if not sideways.keys() & set(directions):
                row = row * tent_across
            if not upright.keys() & set(directions):
                column = column * tent_down
    if not found:
        return None
    return (floor + (1 - floor) * np.outer(column, row)).astype(np.float32)


def _places(count: int, start: float, end: float) -> Heat:
    """Where ``count`` patches stand between two shares of a side, within the picture."""
    places = np.linspace(0, 1, count, dtype=np.float32) if count > 1 else np.full(1, 0.5, np.float32)
    return np.asarray(np.clip(start + (end - start) * places, 0, 1), dtype=np.float32)


STAGE = Places
