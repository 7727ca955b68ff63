"""What an ensemble of pipelines can be told."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from groundkit.errors import ConfigError
from groundkit.masks.choose import MaskRule
from groundkit.pipelines.shared_config import EvidenceSettings


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
