"""The settings of RefAM."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializeAsAny

from groundkit.attention.choices import AttentionDirection
from groundkit.language.magnets import DEFAULT_MAGNETS
from groundkit.pipelines.shared_config import StagedSettings
from groundkit.prompting.base import Prompter
from groundkit.prompting.peaks import Peaks
from groundkit.settings import Settings
from groundkit.stages.base import Stage
from groundkit.stages.compete import Compete
from groundkit.stages.layers import Layers
from groundkit.stages.negation import Negation
from groundkit.stages.places import Places
from groundkit.stages.sinks import Sinks
from groundkit.stages.tokens import Tokens
from groundkit.stages.words import Words


class DiffusionReading(Settings):
    """Which attention of a diffusion model is read, and what it is given to read."""

    magnets: tuple[str, ...] = Field(
        DEFAULT_MAGNETS, description="words appended to soak up background, such as with,a; none for no words"
    )
    magnet_tokenisation: Literal["separate", "appended"] = Field(
        "separate",
        description="each magnet tokenised alone with its own end token (teaser figure), or all in one string",
    )
    magnet_encoding: Literal["joint", "separate"] = Field(
        "joint", description="magnets go through the text encoder with the phrase, or one by one"
    )
    direction: AttentionDirection = Field(
        AttentionDirection.IMAGE_TO_TEXT, description="image_to_text or text_to_image attention"
    )
    layers: str = Field("all", description="all, late, double, single, a range such as 10-18, or names")
    heads: tuple[int, ...] | None = Field(None, description="heads that are averaged; all by default")
    noise_level: float = Field(0.3, gt=0, lt=1, description="s in x_s = (1 - s) x_0 + s eps")
    noise_samples: int = Field(1, ge=1, le=64, description="number of noise samples whose attention is averaged")
    guidance: float = Field(3.5, ge=0, description="guidance value of guidance-distilled models")
    max_frames: int = Field(
        19, ge=1, description="maximum number of frames that a model for videos sees, evenly spaced"
    )


class RefAMConfig(StagedSettings):
    """Every choice of the method, also where the paper leaves it open: what is read, the stages, and the prompter."""

    usual_order = ("sinks", "layers", "compete", "words", "tokens", "negation", "places")

    reading: DiffusionReading = DiffusionReading()
    stages: tuple[SerializeAsAny[Stage], ...] = Field(
        (Sinks(), Layers(), Compete(), Words(), Tokens(), Negation(), Places()),
        description="the steps from attention to heatmap, in their order; -NAME leaves one out, +NAME adds one",
    )
    prompter: SerializeAsAny[Prompter] = Field(
        Peaks(), description="what draws points from the heatmap: peaks, point_pair or hot_cells"
    )
    null_phrase: str = Field("thing", description="what a phrase's map is compared with for evidence")


PRESETS: dict[str, dict[str, Any]] = {
    "refam": {},
    # What RefAM starts from, with nothing of it: the gain is measured against this.
    "cross-attention": {
        "magnets": (),
        "stages": ("layers", "words", "tokens", "negation"),
        "words.kept_words": "all",
        "prompter.mask_rule": "score",
    },
}


read_config = RefAMConfig.read
