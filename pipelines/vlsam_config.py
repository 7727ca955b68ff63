"""What VL-SAM can be told, and what it asks its model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from groundkit.attention.choices import Flow, HeadWeights, Regulariser
from groundkit.masks.choose import MaskRule
from groundkit.models.vision_language.picture_sizes import Framing
from groundkit.pipelines.shared_config import SharedSettings
from groundkit.prompting.point_pair import Part, Threshold
from groundkit.settings import asks_for

Size = Annotated[float, Field(gt=0, le=4)]
Share = Annotated[float, Field(gt=0, lt=1)]


# The first is asked alone when the ensemble is off.
QUESTIONS = (
    "List all the objects in this picture, separated by commas.",
    "What objects are in the picture? Name every one of them.",
    "Name everything that can be seen here, also small things and things in the background.",
    "Which things are at the left, in the middle and at the right of the picture?",
)
PHRASE_QUESTION = "Where is {phrase}?"
ASK_FOR_QUESTIONS = (
    "Write ten different questions that ask a person to list all the objects in a picture. One question a line."
)


class VLSAMConfig(SharedSettings):
    """Every choice of the method, also where the paper leaves it open. ``--set key=value`` sets any of them."""

    questions: Literal["one", "built_in", "model"] = Field(
        "built_in", description="ask one question, a built-in set, or ten that the model writes itself (the paper)"
    )
    multi_scale: bool = Field(True, description="look at the four corner crops too")
    crop_shares: tuple[Share, ...] = Field(
        (0.5,),
        min_length=1,
        description="sides of the corner crops, over the picture's, four crops each; above 0.5 they overlap",
    )
    verify: float = Field(
        0.0,
        ge=0,
        le=1,
        description="minimum probability of yes when asked whether a named object is there, which weights its score; "
        "0 does not ask",
    )
    verify_on: Literal["crop", "whole", "both"] = Field(
        "crop",
        description="which picture is asked about: the crop in which something was named, always the whole, or both, "
        "whose answers are averaged",
    )
    verify_question: Annotated[str, asks_for("name")] = Field(
        "Is there {name} in the image?", description="what is asked (POPE, arXiv 2305.10355)"
    )
    head_weights: HeadWeights = Field(HeadWeights.MAX, description="max (equation 1), image_max (DecAF) or uniform")
    heads: tuple[int, ...] | None = Field(None, description="heads of each layer that take part; all by default")
    flow: Flow = Field(Flow.FLOW, description="flow (equation 3), rollout or mean")
    regulariser: Regulariser | None = Field(
        None,
        description="where columns are damped: at the end, in each layer, or none; by default at the end of a flow "
        "and nowhere else",
    )
    layers: str = Field("all", description="all, late, a range such as 14-27, or names")
    word_tokens: Literal["mean", "product", "last"] = Field(
        "mean", description="the maps of a name's tokens: their mean, geometric mean (product), or the last one's"
    )
    phrase_question: Annotated[str, asks_for("phrase")] | None = Field(
        None,
        description=f"the question for a given phrase, with {{phrase}} in it; by default {PHRASE_QUESTION!r}, for "
        "PaliGemma 'caption en'",
    )
    smoothing: float = Field(
        0.0, ge=0, le=8, description="standard deviation of the Gaussian that smooths a map, in tokens"
    )
    smoothing_kernel: Literal[3, 5, 7, 9, 11, 13, 15] = Field(7, description="side of the Gaussian's kernel, in tokens")
    resolutions: tuple[Size, ...] = Field(
        (1.0,), min_length=1, description="sizes at which the picture is read, over its own; their maps are fused"
    )
    most_pixels: int | None = Field(
        None,
        ge=1,
        description="maximum number of pixels; a larger picture is scaled down first. By default 1280 tokens for "
        "Qwen-VL, as its authors advise, and no limit for other models; DecAF takes 400 tokens of 28 x 28",
    )
    framing: Framing = Field(
        "pad",
        description="how LLaVA-1.5 gets a picture that is not square: pad it to a square, as its authors do, or "
        "crop it to its middle, which hides the borders; other models always see all of it",
    )
    points: Literal["pair", "positive", "cells"] = Field(
        "pair",
        description="the hottest place of the positive area and the coldest outside, the former alone, or each hot "
        "cell of the map as a point for a mask of its own (DecAF)",
    )
    min_cell_heat: float = Field(0.8, gt=0, le=1, description="minimum heat of a cell that becomes a point")
    max_cells: int = Field(100, ge=1, description="maximum number of cells that become points, the hottest first")
    map_consistency: bool = Field(True, description="score the masks of cells by the whole heatmap, too")
    min_mask_score: float = Field(
        0.8, ge=0, le=1, description="minimum score of a cell's mask; without any, the best one is kept"
    )
    region_threshold: Threshold = Field(
        "otsu",
        description="threshold of the positive region: otsu, or a share of the way from the lowest to the highest "
        "heat, 0 to 1",
    )
    positive_region: Part = Field(
        "largest",
        description="which connected component above the threshold is the positive region: the largest, or the one "
        "with the peak (hottest)",
    )
    mask_rule: MaskRule = Field("score", description="which mask is taken: agreement, score, largest or middle")
    min_peak_height: float = Field(
        0.3, ge=0, le=1, description="minimum height of a peak that sizes choose among, as a share of the first"
    )
    refinement: Literal["none", "cascade", "mask_in", "mask_out"] = Field(
        "mask_in",
        description="refine the mask by mask and box prompts (cascade), then prompt again from the heatmap inside "
        "(mask_in) or outside (mask_out) that mask; none keeps the first mask",
    )
    max_overlap: float = Field(
        0.7,
        gt=0,
        le=1,
        description="maximum box IoU of two objects of a name; above it, the one with the lower score is dropped; mask "
        "IoU for hot cells and votes",
    )
    count: bool = Field(
        False,
        description="treat a repeated name as another object: search for it outside the masks found so far, "
        "and keep at most as many masks as one answer had the name, unless votes decide",
    )
    suppression: Literal["same_name", "all", "votes"] = Field(
        "same_name",
        description="which overlapping masks are dropped for a better one: those of the same name, or all; or votes: "
        "overlapping masks are fused, and stay if enough of the questions and crops that show it agree",
    )
    least_votes: float = Field(
        0.05, ge=0, le=1, description="minimum support for a fused object: mean vote over the crops that cover it"
    )
    agreement_power: float = Field(
        1.0, ge=0, le=8, description="power of a mask's agreement with its map where it votes; 0 leaves it out"
    )
    rivals: bool = Field(
        False, description="whether all masks that the segmenter proposes for a point vote, beside the refined one"
    )
    max_tokens: int = Field(256, ge=1, description="maximum length of an answer, in tokens")
    temperature: float = Field(
        0.0, ge=0, description="sampling temperature; 0 takes the most probable words; the paper has 0.8"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="nucleus of the sampling, for a temperature above 0; the paper has 0.1"
    )


PRESETS: dict[str, dict[str, object]] = {
    "vlsam": {},
    "decaf": {  # Decomposed Attention Fusion, arXiv 2510.19592, for one picture: two sizes of it, no video pass
        "head_weights": HeadWeights.IMAGE_MAX,
        "flow": Flow.ROLLOUT,
        "regulariser": Regulariser.NONE,
        "layers": "late",
        "phrase_question": "{phrase}. Name the main object referred to, in a single word.",
        "smoothing": 1.0,
        "resolutions": (1.0, 2.0),
        "most_pixels": 400 * 28 * 28,
        "points": "cells",
    },
}


read_config = VLSAMConfig.read
