"""Settings of a method, checked by name and value, and those that every method has."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from groundkit.errors import ConfigError, PhraseError, unknown
from groundkit.language.direction import Direction
from groundkit.language.phrase import Phrase
from groundkit.language.selection import Selection
from groundkit.stages.places import Heat, spatial_ramp, weigh_places

Config = TypeVar("Config", bound=BaseModel)


class EvidenceSettings(BaseModel):
    """What every method, and several together, can be told about evidence (``groundkit.masks.evidence``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    evidence: bool = Field(
        True, description="measure the evidence that the object is in the picture at all (one more pass per picture)"
    )
    min_evidence: float = Field(0.0, ge=0, le=1, description="with less evidence than this, nothing is found")

    @property
    def weighs_evidence(self) -> bool:
        """Whether evidence is asked for, or needed."""
        return self.evidence or self.min_evidence > 0


class SharedSettings(EvidenceSettings):
    """What every method can be told about evidence and places (``groundkit.prompting``: ``evidence``, ``spatial``)."""

    null_phrase: str = Field("thing", description="what a phrase's map is compared with for evidence")
    spatial_bias: bool = Field(False, description="weight the map by a ramp for left, right, top, bottom, middle")
    bias_floor: float = Field(0.2, ge=0, le=1, description="lowest weight of the spatial bias")
    bias_power: float = Field(
        1.0, gt=0, le=1, description="power of the map that the bias weights: below 1, weaker places have their chance"
    )

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


def validate(kind: type[Config], settings: Mapping[str, object]) -> Config:
    """Make a configuration; texts are read as numbers and truth values where the field is one, and as several, taken
    apart at commas, where it is a tuple.

    Raises:
        ConfigError: naming the first field that does not exist or cannot take its value.
    """
    try:
        return kind.model_validate({key: _several(kind, key, value) for key, value in settings.items()})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            own_first = sorted(kind.model_fields, key=SharedSettings.model_fields.__contains__)
            raise ConfigError(unknown("setting", field, own_first)) from None
        raise ConfigError(
            f"{field}={first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}{_hint(first)}"
        ) from None


def _hint(error: ErrorDetails) -> str:
    """Of a choice, the one that is most like what was written."""
    choices = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    close = difflib.get_close_matches(str(error["input"]).lower(), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _several(kind: type[BaseModel], key: str, value: Any) -> Any:
    """Several as one text: ``a, b``, ``(a, b)`` or ``[a, b]``; ``none`` and an empty text are none of them."""
    annotation = kind.model_fields[key].annotation if key in kind.model_fields else None
    kinds = (annotation, *get_args(annotation))
    if not any(get_origin(each) is tuple for each in kinds):
        return value
    if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
        return None if type(None) in kinds else ()
    if not isinstance(value, str):
        return value
    return [part.strip(" \"'") for part in value.strip("()[] ").split(",") if part.strip()]
