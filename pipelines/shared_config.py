"""Settings that every method has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydantic import Field

from groundkit.errors import ConfigError, PhraseError
from groundkit.language.direction import Direction
from groundkit.language.phrase import Phrase
from groundkit.language.selection import Selection
from groundkit.settings import Settings
from groundkit.stages.places import Heat, spatial_ramp, weigh_places


class EvidenceSettings(Settings):
    """What every method, and several together, can be told about evidence (``groundkit.masks.evidence``)."""

    evidence: bool = Field(
        True, description="measure the evidence that the object is in the picture at all (one more pass per picture)"
    )
    min_evidence: float = Field(0.0, ge=0, le=1, description="minimum evidence; below it, nothing is reported")

    @property
    def weighs_evidence(self) -> bool:
        """Whether evidence is asked for, or needed."""
        return self.evidence or self.min_evidence > 0

    def selection_of(self, phrase: Phrase) -> Selection:
        """Which of the objects a phrase means."""
        return phrase.selection


class MethodSettings(EvidenceSettings):
    """What every method that reads a model can be told about evidence."""

    null_phrase: str = Field("thing", description="what a phrase's map is compared with for evidence")

    @contextmanager
    def reading_null_phrase(self) -> Iterator[None]:
        """Raise what is wrong with the null phrase as a ConfigError: nobody else knows this phrase."""
        try:
            yield
        except PhraseError as error:
            raise ConfigError(
                f"null_phrase={self.null_phrase!r}, which evidence is measured against, cannot be read ({error}): set "
                "another null_phrase, or evidence=false"
            ) from error


class SharedSettings(MethodSettings):
    """The same, and about places."""

    spatial_bias: bool = Field(False, description="weight the map by a ramp for left, right, top, bottom, middle")
    bias_floor: float = Field(0.2, ge=0, le=1, description="lowest weight of the spatial bias")
    bias_power: float = Field(
        1.0, gt=0, le=1, description="exponent of the map before the spatial bias; below 1, weaker peaks count more"
    )

    def selection_of(self, phrase: Phrase) -> Selection:
        """Which of the objects a phrase means; sizes choose only where the spatial bias is wanted."""
        return phrase.selection if self.spatial_bias else phrase.selection.without_sizes()

    def weigh(self, heat: Heat, phrase: Phrase) -> Heat:
        """The map of a phrase, ``(h, w)`` or ``(t, h, w)``, weighted by its places."""
        return weigh_places(heat, self.place_ramp(heat.shape[-2:], phrase.places), power=self.bias_power)

    def place_ramp(self, shape: tuple[int, ...], directions: Sequence[Direction]) -> Heat | None:
        """What place words put on a map ``(h, w)``; None without any, or unwanted."""
        height, width = shape
        return spatial_ramp(height, width, directions, floor=self.bias_floor) if self.spatial_bias else None
