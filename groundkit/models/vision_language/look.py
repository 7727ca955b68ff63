"""A picture as a vision-language model sees it: encoded once per size, asked questions, and read."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch

from groundkit.attention.flow import Flow, Regulariser, image_flow
from groundkit.attention.layers import LayerAttention
from groundkit.attention.maps import AttentionMaps, check_finite
from groundkit.attention.select import select_layers
from groundkit.language.tokens import Token
from groundkit.media.resize import resize
from groundkit.models.look import Look
from groundkit.models.options import FlowOptions
from groundkit.models.vision_language.base import Conversation, EncodedPicture, VisionLanguageModel
from groundkit.models.vision_language.picture_sizes import Framing
from groundkit.models.vision_language.prefix import MAX_PREFIX_MIB, Wanted

if TYPE_CHECKING:
    from groundkit.segmenters.base import Segmenter


@dataclass(frozen=True)
class Reading:
    """Tokens of a conversation that are to be read.

    Attributes:
        talk: the conversation.
        tokens: T tokens.
        positions: where they stand in the conversation.
    """

    talk: Conversation
    tokens: tuple[Token, ...]
    positions: tuple[int, ...]

    def of(self, indices: Sequence[int]) -> Reading:
        """Some of the tokens."""
        return replace(
            self, tokens=tuple(self.tokens[i] for i in indices), positions=tuple(self.positions[i] for i in indices)
        )


class VisionLanguageLook(Look):
    """A picture, opened for a vision-language model and a segmenter. How a phrase is read is up to a method.

    Attributes:
        pixels: how many pixels of the picture the model is given at scale 1; None for all of them.
        scale: at which size the model is given the picture, relative to that.
        max_prefix_mib: maximum memory for what is kept of the picture at each scale, see ``prefix.py``.
    """

    can = frozenset({"heads", "sizes"})

    def __init__(
        self,
        image: npt.NDArray[np.uint8],
        segmenter: Segmenter,
        model: VisionLanguageModel,
        options: FlowOptions,
        *,
        pixels: int | None = None,
        scale: float = 1.0,
        framing: Framing = "pad",
        max_prefix_mib: int = MAX_PREFIX_MIB,
    ) -> None:
        super().__init__(image, segmenter)
        self.model = model
        self.options = options
        self.framing = framing
        self.max_prefix_mib = max_prefix_mib
        self.pixels = pixels
        self.scale = scale
        self._scales: dict[float, Any] = {scale: self}

    def at(self, scale: float) -> Self:
        if scale not in self._scales:
            look = copy.copy(self)
            vars(look).pop("picture", None)
            look.scale, look.known = scale, {}
            self._scales[scale] = look
        found: Self = self._scales[scale]
        return found

    @functools.cached_property
    def picture(self) -> EncodedPicture:
        """The picture as the model has encoded it."""
        height, width = self.image.shape[:2]
        allowed = 1.0 if self.pixels is None else (self.pixels / (height * width)) ** 0.5
        size = tuple(max(1, round(side * allowed * self.scale)) for side in (height, width))
        image = self.image if size == (height, width) else resize(self.image, *size)
        encoded = self.model.encode(image, self.framing)
        encoded.kept.max_bytes = self.max_prefix_mib * 2**20
        encoded.kept.wanted = Wanted(
            select_layers(self.model.layer_names, self.options.layers), self.options.weights, self._reads_directly
        )
        return encoded

    @property
    def _reads_directly(self) -> bool:
        """Whether the attention is followed by one step: then rows of the picture's tokens are only weighed."""
        return self.options.flow is Flow.MEAN

    def ask(self, question: str, answer: Sequence[int] = ()) -> Conversation:
        """A question about the picture, perhaps with the token ids of its answer."""
        return self.model.ask(self.picture, question, answer)

    def flow(self, reading: Reading) -> AttentionMaps:
        """The attention flow from tokens to the image tokens, VL-SAM's equations 1 to 3: ``(1, 1, T, P)``."""
        return self.flows([reading])[0]

    def flows(self, readings: Sequence[Reading]) -> list[AttentionMaps]:
        """The same of several conversations about the picture, which go through the model together."""
        options = self.options
        behind = all(min(each.positions) > int(each.talk.image_positions.max()) for each in readings)
        found = self.model.read_layers_each(
            [each.talk for each in readings],
            weights=options.weights,
            heads=options.heads,
            layers=options.layers,
            direct=self._reads_directly and behind,
            batch_size=options.batch_size,
        )
        return [self._follow(each, layers) for each, layers in zip(readings, found, strict=True)]

    def _follow(self, reading: Reading, layers: Sequence[LayerAttention]) -> AttentionMaps:
        talk, positions, options = reading.talk, reading.positions, self.options
        rows = torch.zeros(len(positions), len(talk.ids), dtype=torch.float32)
        rows[range(len(rows)), list(positions)] = 1
        # Without a causal mask nothing piles up on the first tokens, and there is nothing to regularise.
        by_default = Regulariser.END if options.flow is Flow.FLOW else Regulariser.NONE
        regulariser = (options.regulariser or by_default) if self.model.causal else Regulariser.NONE
        maps = image_flow(layers, rows, talk.image_positions, flow=options.flow, regulariser=regulariser)
        check_finite(maps, self.model)
        return AttentionMaps(maps[None, None], (options.flow.value,), ("mean",), reading.tokens, talk.grids)

    def rows(self, reading: Reading) -> AttentionMaps:
        """How much of the tokens' attention goes directly to each image token, in every layer and head."""
        names, values = self.model.read_rows(reading.talk, reading.positions)
        check_finite(values, self.model)
        heads = tuple(map(str, range(values.shape[1])))
        return AttentionMaps(values, names, heads, reading.tokens, reading.talk.grids)
