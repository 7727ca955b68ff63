"""What a method saw on its way from a phrase to masks, the same for every method; ``groundkit explain`` draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from groundkit.kept import keep_small
from groundkit.language import Phrase

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps
    from groundkit.masks.candidates import Candidate

PICTURE = "picture"  # the name of the only layer after the stage of this name


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
class Member:
    """What one member of an ensemble found.

    Attributes:
        name: of its method.
        heatmap: float32 ``(height, width)`` in [0, 1]; it may be kept smaller, see :mod:`groundkit.kept`.
        agreement: how well it agrees with the mask that was taken.
    """

    name: str
    heatmap: npt.NDArray[np.float32]
    agreement: float


keep_small(Member, "heatmap")


@dataclass(frozen=True, eq=False)
class Trace:
    """The steps from a phrase to its masks.

    Attributes:
        phrase: the phrase, taken apart.
        steps: the reading and each stage, in their order.
        notes: lines for people, such as the words that a model was made to say.
        candidates: the points that were tried, with the masks that were proposed for each, of the working size.
        members: of an ensemble, what each member found.
        page: the kind of page on which ``groundkit explain`` draws it.
    """

    phrase: Phrase
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    members: tuple[Member, ...] = ()
    page: Literal["tokens", "answer"] = "tokens"

    @property
    def decided_by(self) -> str | None:
        """The member of an ensemble whose heatmap agrees best with the mask; None for other methods."""
        if not self.members:
            return None
        return max(self.members, key=lambda member: member.agreement).name

    def without_pixels(self, candidates: tuple[Candidate, ...]) -> Trace:
        """The trace as a result keeps it: with the candidates, and with no map as large as the picture."""
        steps = tuple(replace(step, maps=_small(step.maps), beside=_all_small(step.beside)) for step in self.steps)
        return replace(self, steps=steps, candidates=tuple(replace(each, logits=None) for each in candidates))

    def after(self, name: str) -> AttentionMaps:
        """The maps after a stage.

        Raises:
            KeyError: there is no such step.
        """
        return self.step(name).maps

    def step(self, name: str) -> Step:
        """The step of a name.

        Raises:
            KeyError: there is no such step.
        """
        found = next((step for step in self.steps if step.name == name), None)
        if found is None:
            raise KeyError(f"no step named {name!r}: there are {', '.join(step.name for step in self.steps)}")
        return found


def _small(maps: AttentionMaps) -> AttentionMaps:
    """Without the grid of the picture's pixels, which the stage ``picture`` adds."""
    if maps.layers != (PICTURE,):
        return maps
    return maps.on(maps.grids[1:], maps.by_grid()[1:])


def _all_small(beside: Mapping[str, AttentionMaps]) -> dict[str, AttentionMaps]:
    return {name: _small(maps) for name, maps in beside.items()}
