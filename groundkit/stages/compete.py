"""Tokens compete for each patch: the softmax along the token axis in RefAM's pipeline figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Compete(Stage):
    """Scale the maps to sum to one along an axis: over the tokens at each patch, or over the patches."""

    normalisation: Literal["tokens", "image"] = Field(
        "tokens", description="what sums to one: the tokens at each patch (tokens), or each token's patches (image)"
    )

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        axis = 2 if self.normalisation == "tokens" else 3
        return replace(maps, values=maps.values / maps.values.sum(dim=axis, keepdim=True).clamp_min(1e-12))


def words_compete(stages: Sequence[Stage]) -> bool:
    """Whether the words share each patch: then the maps of two texts can be compared as they are."""
    return any(isinstance(stage, Compete) and stage.normalisation == "tokens" for stage in stages)


STAGE = Compete
