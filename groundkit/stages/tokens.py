"""The maps of several tokens become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from groundkit.attention.choices import Reduction
from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Tokens(Stage):
    """Combine the kept tokens' maps: their sum, mean, or geometric mean (``product``).

    What a phrase leaves out is always the product: it is where all of its words look, not what has a part of them; for
    "the red cup", no other cup.
    """

    reduction: Reduction = Field("sum", description="how the kept tokens' maps become one: sum, mean or product")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        values, reduction = maps.values, "product" if scene.excluded else self.reduction
        if reduction == "product":
            return maps.combined(values.clamp_min(1e-12).log().mean(dim=2, keepdim=True).exp())
        combined = values.mean(dim=2, keepdim=True) if reduction == "mean" else values.sum(dim=2, keepdim=True)
        return maps.combined(combined)


STAGE = Tokens
