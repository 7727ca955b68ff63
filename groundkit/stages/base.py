"""Stages: the steps from attention to heatmap, shared by all methods."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from groundkit.errors import ConfigError, GroundkitError, StageError
from groundkit.memory import is_out_of_memory
from groundkit.plugins import Registry
from groundkit.settings import Chosen

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from groundkit.attention.maps import AttentionMaps
    from groundkit.language import Phrase
    from groundkit.models.look import Look
    from groundkit.stages.trace import Step

    _Known = dict[tuple[Look, Phrase, bool, tuple["Stage", ...]], tuple[AttentionMaps | None, Step]]


STAGES = Registry(
    Path(__file__).parent,
    __package__ or "",
    "STAGE",
    "groundkit.stages",
    frozenset({"base", "trace"}),
)
"""All stages by their names, those of files and of the entry point group ``groundkit.stages``."""


class Stage(Chosen):
    """One step from attention to heatmap. Its fields are its settings, its docstring is its help.

    A stage keeps the shape and the dtype of the maps, unless its job is to reduce one axis. It is a file of its own,
    which holds the class as ``STAGE``; one of another package is an entry point of the group ``groundkit.stages``.

    >>> class Sharpen(Stage):
    ...     '''Raise every map to a power.'''
    ...     power: float = 2.0
    ...     def __call__(self, maps, scene):
    ...         return replace(maps, values=maps.values**self.power)
    """

    registry = STAGES
    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        """The maps after this step.

        Args:
            maps: what the stage before left.
            scene: the picture and the phrase, and other texts seen through the stages before this one.
        """


class Scene:
    """One phrase in one picture, seen through a list of stages.

    Attributes:
        look: the picture.
        phrase: the phrase, taken apart.
        stages: the stages, in their order; for a stage that runs, those before it.
        seed: of the noise.
        excluded: whether the phrase is what another one leaves out, as "the red cup" of "the cup that is not red".
        nested: whether a stage of another scene has asked for this one, see ``maps_of``.
    """

    nested = False

    def __init__(
        self, look: Look, phrase: Phrase, stages: Sequence[Stage], *, seed: int = 0, excluded: bool = False
    ) -> None:
        self.look = look
        self.phrase = phrase
        self.stages = tuple(stages)
        self.seed = seed
        self.excluded = excluded
        self._known: _Known = {}
        self._beside: dict[str, AttentionMaps] = {}

    def through(self, stages: Sequence[Stage]) -> Scene:
        """The same phrase through other stages; what was computed by the same first stages is not computed again."""
        return self._with(stages=tuple(stages), _beside={})

    def maps_of(
        self,
        text: str | Phrase | None = None,
        *,
        image: npt.NDArray[np.uint8] | None = None,
        look: Look | None = None,
        excluded: bool = False,
    ) -> AttentionMaps:
        """Another text, or a transformed picture, taken through the stages before the one that asks; remembered.

        Args:
            text: such as a null phrase or a general prompt; by default the phrase itself.
            image: uint8 ``(height, width, 3)`` RGB, of the picture's own size; by default the picture.
            look: another look at the picture, such as one of another size.
            excluded: whether the text is what the phrase leaves out.

        Raises:
            PhraseError: a text that cannot be read.
        """
        from groundkit.language import parse_phrase

        phrase = self.phrase if text is None else parse_phrase(text) if isinstance(text, str) else text
        look = look or (self.look if image is None else self.look.seen_as(image))
        excluded = excluded or self.excluded
        maps = self._with(look=look, phrase=phrase, excluded=excluded, nested=True, _beside={}).run()[0]
        if text is not None:
            self.show(phrase.text, maps)
        return maps

    def show(self, name: str, maps: AttentionMaps) -> None:
        """Have ``groundkit explain`` draw maps beside the result of the stage that runs."""
        self._beside[name] = maps

    def run(self) -> tuple[AttentionMaps, tuple[Step, ...]]:
        """Read the phrase and take it through all stages.

        Returns:
            The maps after the last stage; and those after the reading and after each stage, averaged over layers and
            heads: they are kept for as long as a result is.

        Raises:
            ConfigError: a stage that needs what the model cannot give; nothing has run by then.
            StageError: a stage that fails, or returns what no stage may.
            PhraseError, AttentionError: see ``Look.read``.
        """
        from groundkit.stages.trace import Step

        check_needs(self.stages, self.look)
        keys = [(self.look, self.phrase, self.excluded, self.stages[:count]) for count in range(len(self.stages) + 1)]
        kept = [count for count, key in enumerate(keys) if key in self._known and self._known[key][0] is not None]
        maps, steps = None, []
        for count, key in enumerate(keys):
            if kept and count <= kept[-1]:
                maps, step = self._known[key]
            else:
                before = self._with(stages=self.stages[: count - 1], _beside={})
                if maps is None:
                    name, maps = "read", self.look.read(self.phrase, seed=self.seed, excluded=self.excluded)
                else:
                    name, maps = (
                        self.stages[count - 1].kind_name(),
                        _taken_through(self.stages[count - 1], maps, before),
                    )
                is_merged = maps.values.shape[:2] == (1, 1)
                step = Step(name, maps if is_merged else maps.mean_layers(), before._beside)
                self._known[key] = (maps if is_merged else None, step)  # the maps of all layers may fill the memory
            steps.append(step)
        assert maps is not None
        return maps, tuple(steps)

    def _with(self, **changes: object) -> Scene:
        other = copy.copy(self)
        vars(other).update(changes)
        return other


def _taken_through(stage: Stage, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
    """What a stage makes of maps. Raises StageError, which names the stage, where that is not what it should be."""
    import torch

    from groundkit.attention.maps import AttentionMaps

    name = stage.kind_name()
    try:
        after: object = stage(maps, scene)
    except GroundkitError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise StageError(f"the stage {name} fails ({type(error).__name__}: {error}); {_mend(name)}") from error
    if not isinstance(after, AttentionMaps):
        raise StageError(f"the stage {name} must return AttentionMaps, not {type(after).__name__}; {_mend(name)}")
    if after.values.dtype != torch.float32:
        dtype = str(after.values.dtype).removeprefix("torch.")
        raise StageError(f"the stage {name} must return values in float32, not in {dtype}; {_mend(name)}")
    if after.values is not maps.values and not bool(after.values.isfinite().all()):
        raise StageError(f"the stage {name} makes values that are not finite; {_mend(name)}")
    return after


def _mend(name: str) -> str:
    return f"mend the stage, or leave it out with stages=-{name}"


def check_needs(stages: Sequence[Stage], look: Look) -> None:
    """Raises ConfigError where a stage needs what a look cannot give."""
    for stage in stages:
        if missing := stage.needs - look.can:
            raise ConfigError(
                f"the stage {stage.kind_name()} needs {' and '.join(sorted(missing))}, which this model does not give: "
                "leave the stage out, or use another model"
            )
