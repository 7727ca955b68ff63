"""Settings that every method has."""

from __future__ import annotations

from pydantic import Field, SerializeAsAny

from groundkit.language.phrase import Phrase
from groundkit.language.selection import Selection
from groundkit.settings import Settings
from groundkit.stages.base import Stage
from groundkit.stages.places import Places


class EvidenceSettings(Settings):
    """What every method, and several together, can be told about evidence (``groundkit.masks.evidence``)."""

    evidence: bool = Field(
        True, description="measure the evidence that the object is in the picture at all (one more pass per picture)"
    )
    min_evidence: float = Field(0.0, ge=0, le=1, description="minimum evidence; below it, nothing is reported")
    max_mask_side: int = Field(
        1024,
        ge=0,
        description="maximum length in pixels of the longer side at which heatmaps, points and masks are compared and "
        "chosen; only the chosen mask is made at the size of the picture, from the segmenter's logits, which are no "
        "finer (IoU 0.999 with the same proposal at full size). 0 for the picture's own size",
    )

    @property
    def weighs_evidence(self) -> bool:
        """Whether evidence is asked for, or needed."""
        return self.evidence or self.min_evidence > 0

    def selection_of(self, phrase: Phrase) -> Selection:
        """Which of the objects a phrase means."""
        return phrase.selection


class StagedSettings(EvidenceSettings):
    """Those of a method that is a list of stages and a prompter."""

    stages: tuple[SerializeAsAny[Stage], ...] = Field(
        (), description="the steps from attention to heatmap, in their order; -NAME leaves one out, +NAME adds one"
    )

    def selection_of(self, phrase: Phrase) -> Selection:
        """Which of the objects a phrase means; sizes choose only with the stage ``places``."""
        return phrase.selection if self.weighs_places else phrase.selection.without_sizes()

    @property
    def weighs_places(self) -> bool:
        """Whether the stage ``places`` is on."""
        return any(isinstance(stage, Places) for stage in self.stages)
