"""Contrast: what a general prompt looks at, too, is subtracted (DecAF, arXiv 2510.19592, part D)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from groundkit.language import Phrase
from groundkit.language.objects import object_names
from groundkit.language.phrase import Prompt
from groundkit.settings import asks_for
from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from groundkit.attention.maps import AttentionMaps

BACKGROUND = "Describe the background of the picture without any {noun}, in a single word or phrase."


class Contrast(Stage):
    """Subtract the map of a general prompt, and cut off at 0."""

    prompt: Annotated[str, asks_for("noun")] = Field(
        BACKGROUND, description="what the phrase's map is compared with; {noun} is what the phrase names"
    )

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        other = scene.maps_of(Prompt.of(self.prompt.format(noun=named(scene.phrase))))
        return replace(maps, values=difference(maps.values, other.values))


def difference(object_map: Tensor, background_map: Tensor) -> Tensor:
    """What the object's map has and the background's has not: the difference, cut off at 0.

    Both are attention as the model has it, smoothed but not stretched.
    """
    return (object_map - background_map).clamp_min(0)


def named(phrase: Phrase) -> str:
    """The noun that a phrase names, in the singular: "cup" of "the red cups"."""
    return next((name.label for name in object_names(phrase.head)), phrase.head).split()[-1]


STAGE = Contrast
