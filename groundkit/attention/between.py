"""The attention between words and picture, or clip, read from one pass of a diffusion transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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


def read_across(
    layers: Mapping[str, nn.Module],
    run: Callable[[], object],
    *,
    words: slice,
    patches: slice,
    grid: TokenGrid,
    heads: Sequence[int] | None = None,
    direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT,
    joint: bool = True,
    keep_heads: bool = False,
    tokens: Sequence[Token] = (),
) -> AttentionMaps:
    """Run a transformer once and read the attention between words and patches of some of its layers.

    Args:
        layers: a name for each module that makes one attention call.
        run: the forward pass that owns those layers.
        words: where the T words stand in the sequence.
        patches: where the patches stand, as many as the grid has.
        grid: of the patches.
        heads: indices of the heads that are read; all of them by default.
        direction: patches looking at words, or words looking at patches.
        joint: whether words and patches are one sequence. Where they are not, words are keys of a cross-attention and
            look at nothing themselves.
        keep_heads: keep every head by itself instead of their mean.
        tokens: the T words; by default they are numbered.

    Raises:
        ConfigError: a head that does not exist, or words that look at nothing.
        AttentionError: a layer whose attention could not be read.
    """
    to_text = direction is AttentionDirection.IMAGE_TO_TEXT
    if not joint and not to_text:
        raise ConfigError(
            f"direction={direction}: words of this model look at no patch, they are only looked at; use "
            f"direction={AttentionDirection.IMAGE_TO_TEXT}"
        )
    reduction: Heads = "mean" if heads is None and not keep_heads else "all"
    rows, columns = (patches, words) if to_text else (words, patches)
    selections = {"across": Selection(rows=rows, columns=columns, heads=reduction)}
    if joint:
        selections["text"] = Selection(rows=words, columns=words, heads="mean" if heads is None else "all")
    tap = AttentionTap(layers, selections)
    with tap:
        run()
    entries = tap.read("across")[:, 0]
    names: tuple[str, ...]
    if reduction == "mean":
        across, names = entries.unsqueeze(1), ("mean",)
    else:
        chosen = list(range(entries.shape[1])) if heads is None else list(heads)
        check_heads(chosen, entries.shape[1])
        across, names = entries[:, chosen], tuple(map(str, chosen))
        if not keep_heads:
            across, names = across.mean(dim=1, keepdim=True), ("mean",)
    if to_text:
        across = across.transpose(2, 3)
    return AttentionMaps(
        values=across.cpu().contiguous(),
        layers=tuple(layers),
        heads=names,
        tokens=tuple(tokens) or tuple(Token(-1, str(i), None, Role.CONTENT) for i in range(across.shape[2])),
        grids=(grid,),
        text=_mean_heads(tap.read("text")[:, 0], heads) if joint else None,
    )


def _mean_heads(entries: Tensor, heads: Sequence[int] | None) -> Tensor:
    """``(L, R, C)``, or ``(L, H, R, C)`` and a choice of heads, to ``(L, R, C)``."""
    return (entries if heads is None else entries[:, list(heads)].mean(dim=1)).cpu()
