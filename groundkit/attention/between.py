"""The attention between words and picture, or clip, read from one pass of a diffusion transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from groundkit.attention.choices import AttentionDirection
from groundkit.attention.grids import TokenGrid
from groundkit.attention.heads import check_heads
from groundkit.attention.maps import AttentionMaps
from groundkit.attention.softmax import Heads
from groundkit.attention.tap import AttentionTap, Selection
from groundkit.errors import ConfigError
from groundkit.language.tokens import Token
from groundkit.language.words import Role


class Across:
    """Reads the attention between words and patches of some layers: run the model inside ``tap``, then ask for maps.

    Args:
        layers: a name for each module that makes one attention call.
        words: where the T words stand in the sequence.
        patches: where the patches stand, as many as the grid has.
        grid: of the patches.
        heads: indices of the heads that are read; all of them by default.
        direction: patches looking at words, or words looking at patches.
        joint: whether words and patches are one sequence. Where they are not, words are keys of a cross-attention and
            look at nothing themselves.
        keep_heads: keep every head by itself instead of their mean.
        stop: end the pass once all is read, see :class:`~groundkit.attention.tap.AttentionTap`.

    Raises:
        ConfigError: words that look at nothing.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        *,
        words: slice,
        patches: slice,
        grid: TokenGrid,
        heads: Sequence[int] | None = None,
        direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT,
        joint: bool = True,
        keep_heads: bool = False,
        stop: bool = False,
    ) -> None:
        self._to_text = direction is AttentionDirection.IMAGE_TO_TEXT
        if not joint and not self._to_text:
            raise ConfigError(
                f"direction={direction}: words of this model look at no patch, they are only looked at; use "
                f"direction={AttentionDirection.IMAGE_TO_TEXT}"
            )
        self._layers, self._grid, self._joint = tuple(layers), grid, joint
        self._heads, self._keep_heads = heads, keep_heads
        reduction: Heads = "mean" if heads is None and not keep_heads else "all"
        rows, columns = (patches, words) if self._to_text else (words, patches)
        selections = {"across": Selection(rows=rows, columns=columns, heads=reduction)}
        if joint:
            selections["text"] = Selection(rows=words, columns=words, heads="mean" if heads is None else "all")
        self.tap = AttentionTap(layers, selections, stop=stop)

    def maps(self, tokens: Sequence[Token] = (), *, row: int = 0) -> AttentionMaps:
        """What was read of one row of the batch.

        Args:
            tokens: the words, or the first of them; by default they are numbered.
            row: of the batch.

        Raises:
            ConfigError: a head that does not exist.
            AttentionError: a layer whose attention could not be read.
        """
        entries = self.tap.read("across", row=row)
        names: tuple[str, ...]
        if entries.ndim == 3:
            across, names = entries.unsqueeze(1), ("mean",)
        else:
            chosen = list(range(entries.shape[1])) if self._heads is None else list(self._heads)
            check_heads(chosen, entries.shape[1])
            across, names = entries[:, chosen], tuple(map(str, chosen))
            if not self._keep_heads:
                across, names = across.mean(dim=1, keepdim=True), ("mean",)
        if self._to_text:
            across = across.transpose(2, 3)
        count = len(tokens) or across.shape[2]
        text = _mean_heads(self.tap.read("text", row=row), self._heads)[:, :count, :count] if self._joint else None
        return AttentionMaps(
            values=across[:, :, :count].cpu().contiguous(),
            layers=self._layers,
            heads=names,
            tokens=tuple(tokens) or tuple(Token(-1, str(i), None, Role.CONTENT) for i in range(count)),
            grids=(self._grid,),
            text=text,
        )


def _mean_heads(entries: Tensor, heads: Sequence[int] | None) -> Tensor:
    """``(L, R, C)``, or ``(L, H, R, C)`` and a choice of heads, to ``(L, R, C)``."""
    return (entries if heads is None else entries[:, list(heads)].mean(dim=1)).cpu()
