"""Global attention sinks: text tokens that every token looks at, and whose own map says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from groundkit.attention.maps import AttentionMaps

MASS_FACTOR = 5.0
MAXIMUM_VARIATION = 1.0
MINIMUM_FLATNESS = 0.97


class Sinks(Stage):
    """Mark the text tokens that are global attention sinks; the stage ``words`` drops them."""

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        marked = zip(maps.tokens, find_sinks(maps).tolist(), strict=True)
        return replace(maps, tokens=tuple(replace(token, sink=sink) for token, sink in marked))


def find_sinks(attention: AttentionMaps) -> Tensor:
    """Which tokens are global attention sinks, bool ``(T,)``.

    RefAM describes them ("attract disproportionately high and nearly uniform attention across all text and image
    tokens", in deeper blocks) but publishes no criterion; this one is ours. In a layer, with A the text->text attention
    (rows scaled to sum to 1) and a_j token j's map over P patches, token j is a sink where

        mass_j = mean_i A[i, j]             > 5 median(mass)    everyone looks at it,
        std_i A[i, j] / mass_j              < 1                 and about equally,
        entropy(a_j / sum a_j) / log P      > 0.97              and its map is flat,

    and it is a sink of the model if it is one in at least half of the later half of the layers. Where words do not look
    at words (cross-attention), everyone is the patches: A[i, j] is then patch i's attention to token j.
    """
    import torch

    late = len(attention.layers) // 2
    maps = attention.values[late:].mean(dim=1)
    looks = maps.transpose(1, 2) if attention.text is None else _shares(attention.text[late:])
    mass = looks.mean(dim=1)
    variation = looks.std(dim=1, correction=0) / mass.clamp_min(1e-12)
    share = _shares(maps)
    patches = share.shape[-1]
    entropy = torch.special.entr(share).sum(dim=-1)
    flat = entropy > MINIMUM_FLATNESS * torch.log(torch.tensor(float(patches), dtype=torch.float32))
    heavy = mass > MASS_FACTOR * mass.median(dim=-1, keepdim=True).values
    votes: Tensor = (heavy & (variation < MAXIMUM_VARIATION) & flat).float().mean(dim=0)
    return votes >= 0.5


def _shares(attention: Tensor) -> Tensor:
    """Scaled to sum to 1 over the last axis. What a token gives to the text need not: the rest went to the picture."""
    return attention / attention.sum(dim=-1, keepdim=True).clamp_min(1e-12)


STAGE = Sinks
