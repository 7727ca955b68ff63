"""Tokens: the maps of a phrase's tokens become one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from groundkit.attention.choices import Reduction
from groundkit.stages.base import Scene, Stage
from groundkit.stages.compete import words_compete

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Tokens(Stage):
    """Combine the maps of all tokens into one.

    The part of a phrase that says what to leave out is always combined by the geometric mean where the others are added
    or averaged: "red cup" is left out where both of its words look, so that no other cup is. Where words compete it is
    combined as the phrase is, and the stage ``negation`` compares the two shares of each patch.
    """

    reduction: Reduction | Literal["last"] = Field(
        "sum", description="sum, mean, geometric mean (product), or the map of the last token alone"
    )

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        per_token = maps.values.movedim(2, 0)
        by_mean = scene.excluded and not words_compete(scene.stages)
        match self.reduction:
            case "last":
                combined = per_token[-1]
            case "mean" if not by_mean:
                combined = per_token.mean(dim=0)
            case "sum" if not by_mean:
                combined = per_token.sum(dim=0)
            case _:
                combined = per_token.clamp_min(1e-12).log().mean(dim=0).exp()
        return maps.combined(combined.unsqueeze(2))


STAGE = Tokens
