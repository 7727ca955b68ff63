"""A picture or clip in front of a diffusion transformer: encoded once, read with one text after the other."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch

from groundkit import clock
from groundkit.attention.maps import AttentionMaps, check_finite
from groundkit.language import Phrase, Role, Token, tokenize
from groundkit.language.tokens import MagnetTokenisation
from groundkit.models.diffusion.base import DiffusionModel, EncodedClip, Text
from groundkit.models.look import Look
from groundkit.models.options import ReadOptions

if TYPE_CHECKING:
    from groundkit.segmenters.base import Segmenter


class DiffusionLook(Look):
    """A clip, or a picture as a clip of one frame, and how texts are put beside it.

    Args:
        model: what reads.
        frames: uint8 ``(F, height, width, 3)`` RGB; the first one is shown to the segmenter.
        segmenter: what draws masks.
        options: which attention is read, and at which noise.
        noise_seeds: how many noise samples are averaged.
        magnets, magnet_tokenisation: words behind each phrase, see :func:`~groundkit.language.tokens.tokenize`.
        magnet_encoding: ``separate`` encodes every magnet by itself.
    """

    def __init__(
        self,
        model: DiffusionModel,
        frames: Sequence[npt.NDArray[np.uint8]],
        segmenter: Segmenter,
        *,
        options: ReadOptions,
        noise_seeds: int = 1,
        magnets: Sequence[str] = (),
        magnet_tokenisation: MagnetTokenisation = "separate",
        magnet_encoding: Literal["joint", "separate"] = "joint",
    ) -> None:
        super().__init__(frames[0], segmenter)
        self.frames = frames
        self.can = frozenset({"heads", "text"} if model.joint else {"heads"})
        self._model = model
        self._options = options
        self._noise_seeds = noise_seeds
        self._magnets = magnets
        self._tokenisation: MagnetTokenisation = magnet_tokenisation
        self._encoding = magnet_encoding
        self._texts: dict[Phrase, tuple[tuple[Token, ...], Text]] = {}

    @functools.cached_property
    def encoded(self) -> EncodedClip:
        """The clean latents."""
        return self._model.encode(np.stack(self.frames))

    def encode(self, phrase: Phrase) -> tuple[tuple[Token, ...], Text]:
        """The tokens and the states of a phrase with its magnets, and of what it leaves out; remembered."""
        if phrase.negated is not None:
            self.encode(phrase.negated)
        if phrase not in self._texts:
            tokens = tokenize(
                phrase,
                self._model.tokenizer,
                magnets=self._magnets,
                magnet_tokenisation=self._tokenisation,
                max_tokens=self._model.max_tokens,
            )
            pieces = self._pieces(tokens)
            with clock.part("text encoder", passes=len(pieces), tokens=len(tokens)):
                self._texts[phrase] = tokens, self._model.encode_text(pieces, phrase.text)
        return self._texts[phrase]

    def _pieces(self, tokens: Sequence[Token]) -> list[list[int]]:
        ids = [token.id for token in tokens]
        if self._encoding == "joint":
            return [ids]
        own = sum(token.role is not Role.MAGNET for token in tokens)
        ends = [own, *(i + 1 for i in range(own, len(ids)) if ids[i] == self._model.tokenizer.eos_token_id)]
        return [ids[:own], *(ids[first:end] for first, end in itertools.pairwise(ends))]

    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        tokens, text = self.encode(phrase)
        read = self._model.read_each(
            self.encoded, [(text, seed + index) for index in range(self._noise_seeds)], self._options
        )
        for each in read:
            check_finite(each.values, self._model)
        texts = [each.text for each in read if each.text is not None]
        (grid,) = read[0].grids
        if grid.shape[0] == 1:  # one slice is a picture
            grid = replace(grid, shape=grid.shape[1:])
        return replace(
            read[0],
            values=torch.stack([each.values for each in read]).mean(dim=0),
            text=torch.stack(texts).mean(dim=0) if texts else None,
            tokens=tokens,
            grids=(grid,),
        )
