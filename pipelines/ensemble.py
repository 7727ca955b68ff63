"""Several pipelines on one phrase: their heatmaps become one, which the segmenter is prompted with."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from groundkit.errors import ConfigError
from groundkit.language import parse_phrase
from groundkit.masks.choose import MaskRule
from groundkit.masks.evidence import mean_evidence
from groundkit.masks.geometry import agreement, boxes_of
from groundkit.pipelines.base import Pipeline, attempt
from groundkit.pipelines.shared_config import EvidenceSettings
from groundkit.prompting.base import Heatmap
from groundkit.prompting.objects import Objects
from groundkit.prompting.peaks import Peaks
from groundkit.results import Failure, Grounding, judged
from groundkit.segmenters.base import MaskProposals, Segmenter
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.places import minmax

if TYPE_CHECKING:
    from groundkit.loaded import Family


class EnsembleConfig(EvidenceSettings):
    """Which pipelines are put together, and how. Each member has the settings of its preset, and evidence if asked."""

    members: tuple[str, ...] = Field(("refam", "vlsam"), min_length=2, description="names of pipelines")
    weights: tuple[float, ...] = Field((), description="weight of each member's heatmap; equal by default")
    fusion: Literal["mean", "product"] = Field(
        "mean", description="how the heatmaps are fused, each stretched to [0, 1]"
    )
    mask_rule: MaskRule = Field("agreement", description="agreement, score, largest or middle")
    min_peak_height: float = Field(
        0.3, ge=0, le=1, description="minimum height of a peak that sizes choose among, as a share of the first"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if "ensemble" in self.members:
            raise ConfigError("members: ensemble joins other pipelines and cannot be a member itself")
        if self.weights and len(self.weights) != len(self.members):
            raise ConfigError(f"weights: give one for each of the {len(self.members)} members")
        if self.weights and (min(self.weights) < 0 or sum(self.weights) == 0):
            raise ConfigError("weights: none may be below 0, and one must be above")
        return self


PRESETS: dict[str, dict[str, object]] = {"ensemble": {}}


read_config = EnsembleConfig.read


@dataclass(frozen=True)
class EnsembleTrace:
    """What each member found.

    Attributes:
        members: each member's own result, in their order.
        agreements: how well each member's heatmap agrees with the mask that was taken; the best one decided.
        decided_by: the name of that member.
    """

    page: ClassVar[str] = "ensemble"  # of groundkit explain
    members: tuple[Grounding, ...]
    agreements: tuple[float, ...]
    decided_by: str


class EmbeddedOnce:
    """A segmenter that several pipelines share: the same picture is embedded once."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.name = segmenter.name
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


class Ensemble(Pipeline):
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
        weighs = changed.config.weighs_evidence
        changed.members = [member.with_config(evidence=weighs) for member in self.members]
        return changed

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        embedding: list[Any] = []

        def fuse(text: str, members: tuple[Grounding, ...], started: float) -> Grounding:
            if not embedding:
                embedding.append(self.segmenter.embed(image))
            return self._fuse(text, members, embedding[0], started)

        each = [member.ground_each(image, phrases, seed=seed) for member in self.members]
        for text, found in zip(phrases, zip(*each, strict=True), strict=True):
            started = time.perf_counter()
            failed = [outcome for outcome in found if isinstance(outcome, Failure)]
            yield failed[0] if failed else attempt(text, fuse, text, cast(tuple[Grounding, ...], found), started)

    def _fuse(self, text: str, members: tuple[Grounding, ...], embedding: Any, started: float) -> Grounding:
        config = self.config
        weights = np.array(config.weights or [1.0] * len(members))
        maps = np.stack([minmax(member.heatmap) for member in members])
        if config.fusion == "mean":
            fused = np.average(maps, axis=0, weights=weights)
        else:
            fused = np.exp(np.average(np.log(np.maximum(maps, 1e-6)), axis=0, weights=weights))
        heatmap = minmax(fused.astype(np.float32))
        # What the members' maps cannot tell, sizes and numbers, is told by the masks.
        peaks, selection = Peaks.of(config), parse_phrase(text).selection
        prompter = peaks if selection.is_best else Objects(selection=selection, peaks=peaks)
        found = prompter(Heatmap(heatmap, heatmap), functools.partial(self.segmenter.segment, embedding))
        seen = [each for each in found if each.mask.area]
        masks = np.array([each.mask.whole() for each in seen], np.bool_).reshape(-1, *heatmap.shape)
        union = np.asarray(masks.any(axis=0))
        agreements = tuple(agreement(union, member.heatmap) for member in members)
        grounding = Grounding(
            image=members[0].image,
            phrase=text,
            masks=masks,
            scores=np.array([each.score for each in seen], dtype=np.float32),
            boxes=boxes_of(masks),
            points=np.concatenate([np.zeros((0, 3), np.float32), *(each.points for each in seen or found[:1])]),
            heatmap=heatmap,
            pipeline=self.name,
            model=self.model,
            seconds=sum(member.seconds for member in members) + time.perf_counter() - started,
            segmenter=self.segmenter.name,
            device=_joined(member.device for member in members),
            dtype=_joined(member.dtype for member in members),
            settings=self.config.flat(),
            origins=self.config.origins,
            steps=EnsembleTrace(members, agreements, members[int(np.argmax(agreements))].pipeline),
        )
        if not config.weighs_evidence:
            return grounding
        return judged(grounding, mean_evidence([each.evidence for each in members], weights), config.min_evidence)


def _joined(names: Iterable[str]) -> str:
    """Each once, in their order."""
    return " + ".join(dict.fromkeys(names))
