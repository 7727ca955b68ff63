"""What an ensemble of pipelines can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue, PrivateAttr, model_validator

from groundkit.errors import ConfigError, unknown
from groundkit.masks.choose import MaskRule
from groundkit.pipelines.shared_config import EvidenceSettings
from groundkit.settings import Given, Setting, Settings


class EnsembleConfig(EvidenceSettings):
    """Which pipelines are put together, and how.

    Each member has its own settings, evidence if the ensemble measures it, and what is given for it by name:
    ``refam.noise_level=0.4``.
    """

    _given: dict[str, Given] = PrivateAttr(default_factory=dict)

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

    @classmethod
    def read(cls, *layers: Mapping[str, object]) -> Self:
        """Check values by name; those of members are checked with the member."""
        own, given = [], Given()
        for layer in layers:
            rest = Given(lenient=getattr(layer, "lenient", False))
            for key, value in layer.items():
                origin = getattr(layer, "origins", {}).get(key, "given")
                if isinstance(value, Mapping):
                    given.add({f"{key}.{name}": each for name, each in value.items()}, origin)
                else:
                    (given if "." in key else rest).add({key: value}, origin)
            own.append(rest)
        settings = super().read(*own)
        for key, value in given.items():
            member, _, name = key.partition(".")
            if member not in settings.members:
                raise ConfigError(f"{key}: {unknown('member', member, settings.members)}")
            settings._given.setdefault(member, Given()).add({name: value}, given.origins[key])
        return settings

    def of_member(self, name: str) -> Given:
        """What is given for a member, evidence included."""
        given = Given({"evidence": self.weighs_evidence, "max_mask_side": self.max_mask_side}, "ensemble")
        if name in self._given:
            given.add(self._given[name], self._given[name].origins)
        return given

    def check_member(self, name: str, settings: Settings) -> None:
        """Hold what is given for a member as its settings have read it."""
        read = {key: each.value for each in settings.list_settings() for key in (each.name, each.full)}
        if name in self._given:
            self._given[name].update({key: read.get(key, value) for key, value in self._given[name].items()})

    def tables(self) -> dict[str, JsonValue]:
        return {**super().tables(), **{name: dict(given) for name, given in self._given.items()}}

    def list_settings(self) -> list[Setting]:
        """Every setting, and those that are given for members."""
        return [
            *super().list_settings(),
            *(
                Setting(f"{member}.{name}", f"{member}.{name}", value, given.origins[name], f"of the member {member}")
                for member, given in self._given.items()
                for name, value in given.items()
            ),
        ]


PRESETS: dict[str, dict[str, object]] = {"ensemble": {}}


read_config = EnsembleConfig.read
