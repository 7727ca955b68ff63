"""Attention written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from tiny_parts import t5_tokenizer
from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.language import Role, Token, parse_phrase
from groundkit.models.diffusion.base import EncodedClip, Text
from groundkit.models.options import ReadOptions
from groundkit.stages.trace import Step, Trace


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


class PlantedModel:
    """A diffusion model whose attention is written by hand: one bright patch per word, also in magnets.

    Args:
        places: (row, column), or of a clip (slice, row, column), where all of a word's pieces look.
        faint: the same for a second, fainter place.
        flat: words that are sinks: every token looks at them, and their map is flat.
        noisy: whether noise is added to the maps.
        clips: whether it looks at clips, with three frames per slice but the first, by a cross-attention.
    """

    name = "planted"
    tokenizer = t5_tokenizer()
    max_tokens = 512
    layer_names = ("a", "b")
    offload = False

    def __init__(
        self,
        places: Mapping[str, tuple[int, ...]],
        faint: Mapping[str, tuple[int, ...]] | None = None,
        *,
        side: int = 8,
        flat: Sequence[str] = (),
        noisy: bool = False,
        clips: bool = False,
    ) -> None:
        self.places, self.faint, self.flat = places, faint or {}, flat
        self.side, self.noisy, self.clips, self.joint = side, noisy, clips, not clips
        self.seen: list[int] = []  # frames of each clip
        self.pieces: list[list[list[str]]] = []

    def clip_length(self, frames: int) -> int:
        return max(0, frames - 1) // 3 * 3 + 1 if self.clips else 1

    def encode(self, frames: npt.NDArray[np.uint8]) -> EncodedClip:
        count = len(frames)
        self.seen.append(count)
        ends = [1 + 3 * index for index in range((count + 1) // 3 + 1 if count > 1 else 1)]
        shown = tuple(range(min(a, count), min(b, count)) for a, b in zip([0, *ends], ends, strict=False))
        grid = TokenGrid((len(shown), self.side, self.side), frames=shown)
        return EncodedClip(torch.zeros(1, 1, *grid.shape), grid)

    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> Text:
        self.pieces.append([self.tokenizer.convert_ids_to_tokens(list(piece)) for piece in pieces])
        ids = [identifier for piece in pieces for identifier in piece]
        return Text(torch.tensor(ids)[None, :, None].float(), slice(0, len(ids)))

    def words(self, text: Text) -> list[str]:
        pieces: list[str] = self.tokenizer.convert_ids_to_tokens(text.states[0, :, 0].long().tolist())
        return [piece.removeprefix("▁") for piece in pieces]

    def read_each(
        self, clip: EncodedClip, items: Sequence[tuple[Text, int]], options: ReadOptions
    ) -> list[AttentionMaps]:
        return [self.read_attention(clip, text, replace(options, seed=seed)) for text, seed in items]

    def read_attention(self, clip: EncodedClip, text: Text, options: ReadOptions) -> AttentionMaps:
        words, slices = self.words(text), clip.grid.shape[0]
        maps = torch.full((2, len(words), *clip.grid.shape), 0.01)
        mixed = torch.full((2, len(words), len(words)), 1.0)
        for index, word in enumerate(words):
            for planted, height in ((self.places, 1.0), (self.faint, 0.05)):
                if word in planted:
                    slice_, row, column = (0, 0, *planted[word])[-3:]
                    if slice_ < slices:
                        maps[:, index, slice_, row, column] = height
            if word in self.flat:
                maps[:, index] = 3.0
                mixed[:, :, index] = 100.0
        if self.noisy:
            maps += 0.2 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(options.seed))
        text_maps = mixed / mixed.sum(dim=-1, keepdim=True) if self.joint else None
        return attention_maps(maps, text_maps, layers=self.layer_names, frames=clip.grid.frames)


def planted_trace(
    phrase: str, maps: Tensor, tokens: Sequence[Token], kept: Sequence[bool], *, bias: Tensor | None = None
) -> Trace:
    """A trace of maps ``(T, h, w)``, of which some are kept and added."""
    read = attention_maps(maps[None], tokens=tokens)
    words = read.keep(kept)
    combined = words.combined(words.values.sum(dim=2, keepdim=True))
    beside = {} if bias is None else {"spatial bias": attention_maps(bias[None, None])}
    steps = (Step("read", read), Step("words", words), Step("tokens", combined), Step("places", combined, beside))
    return Trace(parse_phrase(phrase), steps)
