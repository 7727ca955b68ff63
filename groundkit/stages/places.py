"""Direction words turned into a weight over the picture: RefAM's spatial bias."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundkit.language.direction import Direction

Heat = npt.NDArray[np.float32]


def minmax(heat: Heat) -> Heat:
    """Scale to [0, 1]; a constant map becomes all zero."""
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


def weigh_places(heat: Heat, ramp: Heat | None, *, power: float) -> Heat:
    """The map, from 0 to 1, to a power (below 1, weaker places have their chance), times the ramp, if there is one."""
    return heat if ramp is None else np.asarray(minmax(heat) ** power * ramp, dtype=np.float32)


def spatial_ramp(height: int, width: int, directions: Sequence[Direction], *, floor: float) -> Heat | None:
    """The weight that direction words put on each patch, float32 ``(height, width)`` in [floor, 1].

    ``left`` falls linearly from 1 at the left border to ``floor`` at the right one, and so on for each side; ``middle``
    is a tent in both axes, or, beside a side word ("top middle"), in the other axis alone. Several directions
    multiply. Size words have no ramp. None when no word has one. RefAM names a spatial bias without defining it; the
    ramp over a min-max scaled map follows HybridGL's.
    """
    across = np.linspace(0, 1, width, dtype=np.float32) if width > 1 else np.full(1, 0.5, np.float32)
    down = np.linspace(0, 1, height, dtype=np.float32) if height > 1 else np.full(1, 0.5, np.float32)
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
