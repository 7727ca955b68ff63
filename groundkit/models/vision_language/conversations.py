"""A question about a picture, as the tokens of a model: what they are, and where the picture's stand among them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundkit.attention.grids import WHOLE, Box, TokenGrid
from groundkit.models.vision_language.prefix import Kept


@dataclass(frozen=True)
class PlacedGrid:
    """A grid of image tokens, and where they stand in the model's sequence.

    Attributes:
        positions: int64 ``(P,)``, row by row.
        grid: their grid.
    """

    positions: Tensor
    grid: TokenGrid

    def __post_init__(self) -> None:
        if self.positions.shape != (self.grid.size,):
            raise ValueError(f"positions must be ({self.grid.size},), got {tuple(self.positions.shape)}")


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as a model takes it, encoded once for every question.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB, what its processor is given: the picture itself, perhaps padded.
        features: what the model's ``get_image_features`` returned.
        box: where ``image`` lies, XYXY in shares of the picture's width and height; beyond 0 and 1 where it was padded.
        processor: the model's processor, which has processed the picture and does not do so again.
        kept: what is kept of it in the language model, for further questions.
    """

    image: npt.NDArray[np.uint8]
    features: Any
    box: Box = WHOLE
    processor: Any = field(default=None, repr=False, compare=False)
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)

    def place(self, view: PlacedGrid) -> PlacedGrid:
        """A view of ``image`` as one of the picture."""
        if self.box == WHOLE:
            return view
        left, top, right, bottom = self.box
        x1, y1, x2, y2 = view.grid.box
        across, down = right - left, bottom - top
        box = (left + x1 * across, top + y1 * down, left + x2 * across, top + y2 * down)
        return replace(view, grid=replace(view.grid, box=box))


@dataclass(frozen=True)
class Conversation:
    """A question about a picture, perhaps with its answer, as one sequence of N tokens.

    Attributes:
        picture: the picture.
        inputs: the model's keyword arguments, ``input_ids`` ``(1, N)`` among them, without the picture's pixels.
        views: the grids of image tokens.
        answer: where the answer's tokens stand; empty at the end of the sequence when there is none yet.
    """

    picture: EncodedPicture
    inputs: Mapping[str, Tensor]
    views: tuple[PlacedGrid, ...]
    answer: range

    @property
    def grids(self) -> tuple[TokenGrid, ...]:
        """The grids of image tokens, without their positions."""
        return tuple(view.grid for view in self.views)

    @property
    def image_positions(self) -> Tensor:
        """int64 ``(P,)``: the tokens of all views."""
        return torch.cat([view.positions for view in self.views])

    @property
    def ids(self) -> Tensor:
        """int64 ``(N,)``: the tokens."""
        return self.inputs["input_ids"][0]

    @property
    def marks(self) -> Tensor:
        """int64 ``(K, N)``: all that the model is told of each token, its id first."""
        others = [value[0] for key, value in sorted(self.inputs.items()) if key != "input_ids"]
        return torch.stack([self.ids, *(each for each in others if each.shape == self.ids.shape)])


class _Once:
    """An image processor that is given one picture and processes it once."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._found: Any = None

    def __call__(self, images: Any, **options: Any) -> Any:
        if self._found is None:
            self._found = self._processor(images, **options)
        return copy.copy(self._found)  # processors take entries out of it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


def once(processor: Any) -> Any:
    """A processor of a model for several texts about one picture, which is processed once."""
    of_one = copy.copy(processor)
    of_one.image_processor = _Once(processor.image_processor)
    return of_one


def tiles_then_whole(positions: Tensor, grid: tuple[int, int], rows: int, columns: int) -> tuple[PlacedGrid, ...]:
    """Views of ``rows * columns`` equal tiles, row by row, then of the whole picture; of this alone when not split."""
    tiles = range(rows * columns if rows * columns > 1 else 0)
    boxes = [
        (tile % columns / columns, tile // columns / rows, (tile % columns + 1) / columns, (tile // columns + 1) / rows)
        for tile in tiles
    ]
    boxes.append((0.0, 0.0, 1.0, 1.0))
    parts = positions.reshape(len(boxes), -1)
    return tuple(PlacedGrid(part, TokenGrid(grid, box)) for part, box in zip(parts, boxes, strict=True))
