"""The settings of RefAM."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from groundkit.attention.choices import AttentionDirection, Normalisation, Reduction
from groundkit.language.magnets import DEFAULT_MAGNETS
from groundkit.masks.choose import MaskRule
from groundkit.pipelines.shared_config import SharedSettings


class RefAMConfig(SharedSettings):
    """Every choice of the method, also where the paper leaves it open. ``--set key=value`` sets any of them."""

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
    filter_stop_words: bool = Field(
        True,
        description="drop the maps of stop words; without it every word of the phrase is kept, and the next three have "
        "no effect",
    )
    filter_sinks: bool = Field(True, description="drop the maps of content words that are global attention sinks")
    noun_phrase: bool = Field(True, description="keep the words of the head noun phrase only")
    drop_directions: bool = Field(True, description="drop the maps of direction words, which the spatial bias replaces")
    spatial_bias: bool = Field(
        True, description="weight the map by a ramp for left, right, top, bottom, middle; let sizes choose among masks"
    )
    direction: AttentionDirection = Field(
        AttentionDirection.IMAGE_TO_TEXT, description="image_to_text or text_to_image attention"
    )
    normalisation: Normalisation = Field(Normalisation.TOKENS, description="tokens, image or none")
    reduction: Reduction = Field("sum", description="how the kept tokens' maps become one")
    layers: str = Field("all", description="all, late, double, single, a range such as 10-18, or names")
    heads: tuple[int, ...] | None = Field(None, description="heads that are averaged; all by default")
    noise_level: float = Field(0.3, gt=0, lt=1, description="s in x_s = (1 - s) x_0 + s eps")
    noise_seeds: int = Field(1, ge=1, le=64, description="noise samples whose attention is averaged")
    guidance: float = Field(3.5, ge=0, description="guidance value of guidance-distilled models")
    max_peaks: int = Field(
        1, ge=1, le=32, description="maximum number of objects to point at; 1 takes the argmax alone"
    )
    min_peak_distance: float = Field(
        0.15, gt=0, lt=1, description="minimum distance of peaks, as a share of the picture's diagonal"
    )
    min_peak_height: float = Field(
        0.5, ge=0, le=1, description="minimum height of a further peak, as a share of the first"
    )
    peak_radius: float = Field(
        0.0,
        ge=0,
        le=8,
        description="radius in patches around a peak within which the centre of heat becomes the point; 0 keeps the "
        "peak",
    )
    refine_point: bool = Field(
        False,
        description="move each point to the place inside its mask where heat times depth is highest, and segment again",
    )
    mask_rule: MaskRule = Field("agreement", description="agreement, score, largest or middle")


class RefAMClipConfig(RefAMConfig):
    """Every choice of the method on a clip, and how many frames the model sees."""

    frames: int = Field(19, ge=1, description="maximum number of frames that the model sees, evenly spaced")


PRESETS: dict[str, dict[str, object]] = {
    "refam": {},
    "cross-attention": {  # what RefAM starts from, with nothing of it: the gain is measured against this
        "magnets": (),
        "filter_stop_words": False,
        "filter_sinks": False,
        "noun_phrase": False,
        "drop_directions": False,
        "spatial_bias": False,
        "normalisation": Normalisation.NONE,
        "mask_rule": "score",
    },
}


read_config = RefAMConfig.read
read_clip_config = RefAMClipConfig.read
