"""What a method saw on its way from a phrase to masks, the same for every method; ``groundkit explain`` draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from groundkit.attention.maps import AttentionMaps
from groundkit.language import Phrase

if TYPE_CHECKING:
    from groundkit.masks.candidates import Candidate


@dataclass(frozen=True, eq=False)
class Step:
    """What one stage left.

    Attributes:
        name: of the stage; ``read`` for the reading itself.
        maps: the maps after it, averaged over layers and heads.
        beside: further maps that it looked at, by what they are of: an excluded part, a general prompt, a weight.
    """

    name: str
    maps: AttentionMaps
    beside: Mapping[str, AttentionMaps] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trace:
    """The steps from a phrase to its masks.

    Attributes:
        phrase: the phrase, taken apart.
        steps: the reading and each stage, in their order.
        candidates: the points that were tried, with the masks that were proposed for each.
        area: bool ``(height, width)``, the part of the heatmap that points were drawn from, if a method has one.
        notes: lines for people, such as the words that a model was made to say.
        members: of an ensemble, each member's heatmap, float32 ``(height, width)``, by its name and note.
        page: the kind of page on which ``groundkit explain`` draws it.
    """

    page: ClassVar[str] = "tokens"
    phrase: Phrase
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...] = ()
    area: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    members: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def after(self, name: str) -> AttentionMaps:
        """The maps after a stage.

        Raises:
            KeyError: there is no such step.
        """
        for step in self.steps:
            if step.name == name:
                return step.maps
        raise KeyError(f"no step named {name!r}: there are {', '.join(step.name for step in self.steps)}")
