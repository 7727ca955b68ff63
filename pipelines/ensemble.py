"""Several methods on one phrase: their heatmaps become one, from which the points are drawn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError
from groundkit.language import Phrase, Role, Token, parse_phrase
from groundkit.masks.evidence import mean_evidence
from groundkit.masks.geometry import agreement
from groundkit.masks.heat import FusedHeat
from groundkit.media.images import ImageSource, read_image
from groundkit.models.look import Look
from groundkit.pipelines.base import Pipeline, attempt
from groundkit.pipelines.ensemble_config import PRESETS, EnsembleConfig, read_config
from groundkit.pipelines.method import Method, union
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.prompting.peaks import Peaks
from groundkit.results import Failure, Grounding, Making
from groundkit.segmenters.base import MaskProposals, Segmenter, segment_each
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.base import Scene, Stage
from groundkit.stages.fuse import Fuse
from groundkit.stages.trace import Member, Trace

if TYPE_CHECKING:
    from groundkit.loaded import Family

__all__ = ["PRESETS", "EmbeddedOnce", "Ensemble", "EnsembleConfig", "read_config"]


class EmbeddedOnce:
    """A segmenter that several pipelines share: the same picture is embedded once."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.name = segmenter.name
        self.dtype = getattr(segmenter, "dtype", torch.float32)
        self._segmenter = segmenter
        self._last: tuple[npt.NDArray[np.uint8], Any] | None = None

    @property
    def model(self) -> Any:
        """The segmenter's own; what was embedded is forgotten, since who asks may move it."""
        self._last = None
        return getattr(self._segmenter, "model", None)

    def embed(self, image: npt.NDArray[np.uint8]) -> Any:
        last = self._last  # read once: another thread may put another picture's there
        if last is None or last[0] is not image:
            last = self._last = (image, self._segmenter.embed(image))
        return last[1]

    def segment(self, embedding: Any, prompts: PointPrompts, **prompt: Any) -> MaskProposals:
        return self._segmenter.segment(embedding, prompts, **prompt)

    def segment_each(self, embedding: Any, prompts: Sequence[PointPrompts], **prompt: Any) -> list[MaskProposals]:
        return segment_each(self._segmenter, embedding, prompts, **prompt)

    def enlarge(self, embedding: Any, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        return self._segmenter.enlarge(embedding, logits)


class EnsembleLook(Look):
    """A picture as the members of an ensemble see it: a heatmap of each."""

    def __init__(self, image: npt.NDArray[np.uint8], segmenter: Segmenter, members: Sequence[Grounding] = ()) -> None:
        super().__init__(image, segmenter)
        self.members = members

    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        """The members' heatmaps, in place of layers."""
        heats = [member.heatmap_at(self.working_size).reshape(1, 1, -1) for member in self.members]
        values = torch.from_numpy(np.stack(heats))
        names = tuple(member.pipeline for member in self.members)
        token = Token(-1, phrase.text, None, Role.CONTENT, phrase.text)
        return AttentionMaps(values, names, ("mean",), (token,), (TokenGrid(self.working_size),))


class Ensemble(Method):
    """Members that share one segmenter, see :class:`EmbeddedOnce`, and a configuration."""

    config: EnsembleConfig

    def __init__(
        self, members: Sequence[Pipeline], segmenter: EmbeddedOnce, config: EnsembleConfig, *, name: str = "ensemble"
    ) -> None:
        self.members = list(members)
        self.segmenter = segmenter
        self.config = config
        self.name = name
        self.model = " + ".join(member.model for member in members)

    @property
    def families(self) -> tuple[Family, ...]:
        return () if self._closed else tuple(family for member in self.members for family in member.families)

    def with_config(self, **changes: object) -> Self:
        changed = super().with_config(**changes)
        if changed.config.members != self.config.members:
            raise ConfigError("members: other members are other models; load them")
        changed.members = [member.with_config(**changed.config.of_member(member.name)) for member in self.members]
        return changed

    @property
    def stages(self) -> list[Stage]:
        return [Fuse.of(self.config)]

    @property
    def prompter(self) -> Prompter:
        return Peaks.of(self.config)

    def open(self, image: npt.NDArray[np.uint8]) -> EnsembleLook:
        return self.bounded(EnsembleLook(image, self.segmenter), image.shape)

    def made_by(self) -> Making:
        return {"segmenter": self.segmenter.name, "settings": self.config.flat(), "origins": self.config.origins}

    def attention(self, image: ImageSource, phrase: str, *, seed: int = 0) -> tuple[AttentionMaps, ...]:
        """The attention that each member reads, in their order, before any stage.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB.
            phrase: what to look for.
            seed: of the noise, 0 to 2**62.

        Raises:
            ImageError, PhraseError: an input that cannot be used.

        Example:
            >>> import groundkit
            >>> words, answer = groundkit.load("ensemble", model="nano,nano").attention("scene.png", "the red cup")
            >>> words["cup"].tokens[0].spelling, answer["cup"].tokens[0].spelling
            ('cup', 'cup')
        """
        pixels = read_image(image)
        maps = [member.attention(pixels, phrase, seed=seed) for member in self.members]
        return tuple(each for found in maps for each in (found if isinstance(found, tuple) else (found,)))

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        look = self.open(image)
        each = [member.ground_each(image, phrases, seed=seed) for member in self.members]
        for text, found in zip(phrases, zip(*each, strict=True), strict=True):
            failed = [outcome for outcome in found if isinstance(outcome, Failure)]
            yield failed[0] if failed else attempt(text, self._fuse, look, text, cast(tuple[Grounding, ...], found))

    def _fuse(self, look: EnsembleLook, text: str, members: tuple[Grounding, ...]) -> Grounding:
        config, started = self.config, time.perf_counter() - sum(member.seconds for member in members)
        phrase = parse_phrase(text)
        look.members = members
        maps, _ = Scene(look, phrase, self.stages).run()
        (heat,) = maps.by_grid()
        evidence = mean_evidence(
            [member.evidence for member in members], np.array(config.weights or [1.0] * len(members))
        )
        small = FusedHeat(look.size, tuple(member.small_heat for member in members), Fuse.of(config))
        heatmap = Heatmap(heat[0, 0, 0], heat[0, 0, 0], small)
        found = self.point(
            look,
            text,
            heatmap,
            Trace(phrase, page="answer"),
            started,
            evidence=(lambda mask: evidence) if config.weighs_evidence else None,
        )
        trace = cast(Trace, found.steps)
        mask = union(trace.candidates, look.working_size)
        seen = tuple(
            Member(each.pipeline, cast(Any, each.small_heat), agreement(mask, each.heatmap_at(mask.shape)))
            for each in members
        )
        return replace(
            found,
            device=_joined(member.device for member in members),
            dtype=_joined(member.dtype for member in members),
            steps=replace(trace, members=seen),
        )


def _joined(names: Iterable[str]) -> str:
    """Each once, in their order."""
    return " + ".join(dict.fromkeys(names))
