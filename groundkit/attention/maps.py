"""The attention between the words of a text and a picture, from the model that it was read from to the heatmap."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundkit.attention.grids import Heat, TokenGrid, finest_grid, lay_over
from groundkit.attention.select import select_layers
from groundkit.errors import AttentionError, unknown
from groundkit.language.tokens import Token
from groundkit.language.words import Role
from groundkit.shown import Shown


def check_finite(maps: Tensor, model: object) -> None:
    """Refuse maps that hold NaN or infinity, which would become a mask like any other.

    Raises:
        AttentionError: naming the dtype that helps: float16 overflows in many text encoders and autoencoders.
    """
    if bool(maps.isfinite().all()):
        return
    dtype = str(getattr(model, "dtype", "")).removeprefix("torch.")
    remedy = 'use dtype="bfloat16" or dtype="float32"'
    if dtype == "float32":
        remedy = "the model's weights are damaged or do not fit; download them again"
    raise AttentionError(f"the attention is not finite in {dtype or 'this dtype'}: {remedy}")


@dataclass(frozen=True, eq=False)
class AttentionMaps(Shown):
    """Attention between text tokens and image tokens, as one reading of a model gave it.

    Every selection returns maps of the same kind, so selections chain:

    >>> import groundkit
    >>> maps = groundkit.load("refam").attention("scene.png", "the red cup")
    >>> maps["cup"].numpy().shape
    (2, 1, 1, 16, 16)

    Attributes:
        values: float32 ``(L, H, T, P)`` on the CPU: layers, heads, text tokens, image tokens. H is 1 where heads were
            averaged while reading, L is 1 after a merge or a flow, T is 1 once tokens are combined. In a reading in the
            direction image to text, entry ``[l, h, t, p]`` is the share of image token p's attention that goes to text
            token t; of text to image, the share of t's attention that goes to p.
        layers: names of the L layers, first to last; ``mean`` or ``flow`` after a merge.
        heads: names of the H heads; ``mean`` where they were averaged.
        tokens: the T text tokens, with their text, word and role.
        grids: the grids of the P image tokens, in the order of P.
        text: float32 ``(L, T, T)``, text to text: row i is how token i's attention is spread over the text. None for a
            model whose words are the keys of a cross-attention, and after a merge.

    Raises:
        ValueError: names, tokens or grids that do not fit the shape of ``values``.
    """

    columns: ClassVar[tuple[str, ...]] = ("layer", "head", "token", "mean", "peak", "focus")

    values: Tensor
    layers: tuple[str, ...]
    heads: tuple[str, ...]
    tokens: tuple[Token, ...]
    grids: tuple[TokenGrid, ...]
    text: Tensor | None = None

    def __post_init__(self) -> None:
        sizes = (len(self.layers), len(self.heads), len(self.tokens), sum(grid.size for grid in self.grids))
        if self.values.shape != sizes:
            raise ValueError(f"values must be (layers, heads, tokens, patches) {sizes}, got {tuple(self.values.shape)}")
        square = (sizes[0], sizes[2], sizes[2])
        if self.text is not None and self.text.shape != square:
            raise ValueError(f"text must be {square}, got {tuple(self.text.shape)}")

    def __repr__(self) -> str:
        words = " ".join(token.text for token in self.tokens)
        grids = " + ".join("x".join(map(str, grid.shape)) for grid in self.grids)
        layers, heads, tokens = self.values.shape[:3]
        return f"<AttentionMaps: {layers} layers, {heads} heads, {tokens} tokens ({words[:60]}), grid {grids}>"

    def __getitem__(self, word: str) -> AttentionMaps:
        """The maps of the tokens that belong to a word, or that read so themselves; of all words in ``"red cup"``.

        Raises:
            KeyError: no token belongs to it.
            TypeError: not a word: layers and heads are selected by ``layer`` and ``head``.
        """
        if not isinstance(word, str):
            raise TypeError(
                f'maps are selected by a word, maps["cup"], not by {word!r}; layers and heads by maps.layer(0) and '
                "maps.head(0), and maps.values is the tensor (layers, heads, tokens, patches)"
            )
        wanted = word.casefold().split()
        kept = [any(_names(token, each) for each in wanted) for token in self.tokens]
        if not any(kept):
            known = dict.fromkeys(token.spelling or token.text for token in self.tokens)
            raise KeyError(unknown("word", word, known))
        return self.keep(kept)

    def keep(self, tokens: Sequence[bool]) -> AttentionMaps:
        """The maps of some tokens: one truth value per token."""
        index = torch.tensor(list(tokens), dtype=torch.bool)
        return replace(
            self,
            values=self.values[:, :, index],
            tokens=tuple(token for token, kept in zip(self.tokens, tokens, strict=True) if kept),
            text=None if self.text is None else self.text[:, index][:, :, index],
        )

    def layer(self, wanted: str | int) -> AttentionMaps:
        """The maps of some layers: an index, or ``all``, ``late``, a range such as ``10-18``, or names with commas.

        Raises:
            ConfigError: a layer that these maps do not have.
        """
        names = select_layers(self.layers, f"{wanted}-{wanted}" if isinstance(wanted, int) else wanted)
        index = [self.layers.index(name) for name in names]
        return replace(
            self, values=self.values[index], layers=names, text=None if self.text is None else self.text[index]
        )

    def head(self, *wanted: int) -> AttentionMaps:
        """The maps of some heads, counted from 0.

        Raises:
            IndexError: a head that these maps do not have: read them with ``keep_heads=True``.
        """
        count = len(self.heads)
        if not wanted or not all(0 <= head < count for head in wanted):
            raise IndexError(f"these maps have heads 0 to {count - 1}; keep_heads=True reads every head by itself")
        return replace(self, values=self.values[:, list(wanted)], heads=tuple(self.heads[head] for head in wanted))

    def mean_layers(self) -> AttentionMaps:
        """The mean over layers and heads; the text-to-text attention is left out."""
        heads = self.values.mean(dim=1, keepdim=True) if len(self.heads) > 1 else self.values
        return self.merged(heads.mean(dim=0, keepdim=True) if len(self.layers) > 1 else heads)

    def merged(self, values: Tensor, name: str = "mean") -> AttentionMaps:
        """These maps with their layers and heads reduced to the given values ``(1, 1, T, P)``."""
        return replace(self, values=values, layers=(name,), heads=("mean",), text=None)

    def combined(self, values: Tensor) -> AttentionMaps:
        """These maps with their tokens reduced to one: values ``(L, H, 1, P)``; it stands for all of their words."""
        words = " ".join(token.text.lstrip("▁Ġ") for token in self.tokens)
        token = Token(-1, words, None, Role.CONTENT, words)
        return replace(self, values=values, tokens=(token,), text=None)

    def map_grids(self, change: Callable[[Heat], Heat]) -> AttentionMaps:
        """Change every map by itself: ``change`` takes and returns float32 ``(h, w)``, or ``(t, h, w)`` of a clip."""
        parts = [np.stack([change(heat) for heat in part.reshape(-1, *part.shape[3:])]) for part in self._split()]
        return self.on(self.grids, parts)

    def on(self, grids: Sequence[TokenGrid], parts: Sequence[npt.NDArray[np.float32]]) -> AttentionMaps:
        """These maps on other grids: one array per grid, which holds the values of all layers, heads and tokens."""
        flat = [part.reshape(*self.values.shape[:3], -1) for part in parts]
        values = torch.from_numpy(np.concatenate(flat, axis=-1).astype(np.float32, copy=False))
        return replace(self, values=values, grids=tuple(grids))

    def _split(self) -> list[npt.NDArray[np.float32]]:
        parts = torch.split(self.values, [grid.size for grid in self.grids], dim=-1)
        return [
            part.reshape(*part.shape[:3], *grid.shape).numpy() for part, grid in zip(parts, self.grids, strict=True)
        ]

    def numpy(self) -> npt.NDArray[np.float32]:
        """Float32 ``(L, H, T, h, w)``, of a clip ``(L, H, T, t, h, w)``.

        Raises:
            ValueError: the picture was read in several grids (tiles): ``by_grid`` returns one array per grid.
        """
        if len(self.grids) != 1:
            raise ValueError(f"the picture was read in {len(self.grids)} grids: use by_grid()")
        return self._split()[0]

    def by_grid(self) -> list[npt.NDArray[np.float32]]:
        """One array per grid, as ``numpy`` returns it."""
        return self._split()

    def over(self, size: tuple[int, int], *, interpolation: int = cv2.INTER_CUBIC) -> Heat:
        """The one map that is left, laid over the picture: float32 ``size``, at least 0.

        Args:
            size: (height, width) in pixels.
            interpolation: of OpenCV.

        Raises:
            ValueError: more than one map is left: select or combine layers, heads and tokens first.
        """
        if self.values.shape[:3] != (1, 1, 1):
            raise ValueError(f"one map can be laid over a picture, there are {math.prod(self.values.shape[:3])}")
        return lay_over(self.values[0, 0, 0], self.grids, size, interpolation=interpolation)

    def on_finest_grid(self) -> Heat:
        """The one map that is left, laid over the picture in the finest tokens of all grids: float32 ``(h, w)``."""
        return self.over(finest_grid(self.grids), interpolation=cv2.INTER_LINEAR)

    def grid(self, by: Literal["layer", "head", "token"] = "token") -> npt.NDArray[np.uint8]:
        """A picture of small coloured maps, one per layer, head or token: uint8 ``(height, width, 3)`` RGB.

        What is not told apart is averaged; each map is stretched from its lowest to its highest value.
        """
        from groundkit.explain.maps import draw_maps

        return draw_maps(self, by)

    def picture(self) -> npt.NDArray[np.uint8]:
        """One small map per token, averaged over layers and heads."""
        return self.grid()

    def rows(self) -> list[dict[str, object]]:
        """One row per layer, head and token: their names, ``mean`` and ``peak`` of the attention, and its ``focus``.

        Focus is 1 - H / log P, of the entropy H of the map scaled to sum to one: 0 for a flat map, 1 for one peak.
        """
        spread = self.values / self.values.sum(dim=-1, keepdim=True).clamp(min=1e-12)
        entropy = -torch.xlogy(spread, spread).sum(dim=-1)
        focus = 1 - entropy / math.log(max(self.values.shape[-1], 2))
        mean, peak = self.values.mean(dim=-1), self.values.amax(dim=-1)
        names = itertools.product(self.layers, self.heads, (token.text for token in self.tokens))
        figures = zip(*(each.flatten().tolist() for each in (mean, peak, focus)), strict=True)
        return [dict(zip(self.columns, (*name, *each), strict=True)) for name, each in zip(names, figures, strict=True)]

    def save(self, path: str | Path) -> Path:
        """Write everything to an ``.npz`` file that ``load`` and NumPy read; return its path.

        Raises:
            InputError: the place cannot be written to.
        """
        from groundkit.outputs.npz import write_npz

        return write_npz(Path(path), self.arrays())

    @classmethod
    def load(cls, path: str | Path) -> AttentionMaps:
        """Read what ``save`` wrote.

        Raises:
            InputError: the file is missing, damaged, or holds no attention maps.
        """
        from groundkit.outputs.npz import read_npz

        return read_npz(Path(path), cls.from_arrays)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """As arrays by name, without pickled objects: ``values``, ``layers``, ``heads``, ``tokens`` and ``grids`` (JSON
        texts), and ``text`` where there is any."""
        found: dict[str, npt.NDArray[np.generic]] = {
            "values": self.values.numpy(),
            "layers": np.array(self.layers),
            "heads": np.array(self.heads),
            "tokens": np.array([json.dumps(asdict(token)) for token in self.tokens]),
            "grids": np.array([grid.to_json() for grid in self.grids]),
        }
        return found if self.text is None else {**found, "text": self.text.numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> AttentionMaps:
        """The way back from ``arrays``.

        Raises:
            KeyError, ValueError: the arrays are none of attention maps.
        """
        tokens = [json.loads(str(each)) for each in arrays["tokens"]]
        return cls(
            values=torch.from_numpy(np.asarray(arrays["values"], np.float32)),
            layers=tuple(map(str, arrays["layers"])),
            heads=tuple(map(str, arrays["heads"])),
            tokens=tuple(Token(**{**each, "role": Role(each["role"])}) for each in tokens),
            grids=tuple(TokenGrid.from_json(str(each)) for each in arrays["grids"]),
            text=torch.from_numpy(np.asarray(arrays["text"], np.float32)) if "text" in arrays else None,
        )


def _names(token: Token, word: str) -> bool:
    spellings = (token.spelling, token.text, token.text.lstrip("▁Ġ"))
    return word in [each.casefold() for each in spellings]
