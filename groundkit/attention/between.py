"""The attention between words and picture, or clip, read from one pass of a diffusion transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from groundkit.attention.choices import AttentionDirection
from groundkit.attention.heads import check_heads
from groundkit.attention.maps import AttentionMaps
from groundkit.attention.softmax import Heads
from groundkit.attention.tap import AttentionTap, Selection
from groundkit.errors import ConfigError


def read_across(
    layers: Mapping[str, nn.Module],
    run: Callable[[], object],
    *,
    words: slice,
    patches: slice,
    grid: tuple[int, ...],
    heads: Sequence[int] | None = None,
    direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT,
    joint: bool = True,
) -> AttentionMaps:
    """Run a transformer once and read the attention between words and patches of some of its layers.

    Args:
        layers: a name for each module that makes one attention call.
        run: the forward pass that owns those layers.
        words: where the T words stand in the sequence.
        patches: where the patches stand, as many as the grid has.
        grid: (h, w) of a picture or (t, h, w) of a clip; patches are ordered with the last axis fastest.
        heads: indices of the heads that are averaged; all of them by default.
        direction: patches looking at words, or words looking at patches.
        joint: whether words and patches are one sequence. Where they are not, words are keys of a cross-attention and
            look at nothing themselves.

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
    reduction: Heads = "mean" if heads is None else "all"
    rows, columns = (patches, words) if to_text else (words, patches)
    selections = {"across": Selection(rows=rows, columns=columns, heads=reduction)}
    if joint:
        selections["text"] = Selection(rows=words, columns=words, heads=reduction)
    tap = AttentionTap(layers, selections)
    with tap:
        run()
    across = _reduce_heads(tap.read("across"), heads)
    if to_text:
        across = across.transpose(1, 2)
    return AttentionMaps(
        tuple(layers),
        across.reshape(len(layers), across.shape[1], *grid),
        _reduce_heads(tap.read("text"), heads) if joint else None,
    )


def _reduce_heads(entries: Tensor, heads: Sequence[int] | None) -> Tensor:
    """``(L, 1, R, C)``, or ``(L, 1, H, R, C)`` and a choice of heads, to ``(L, R, C)``."""
    if heads is None:
        return entries[:, 0].cpu()
    check_heads(heads, entries.shape[2])
    return entries[:, 0, list(heads)].mean(dim=1).cpu()
