"""What VL-SAM can be told, and what it asks its model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny

from groundkit.attention.choices import Flow, HeadWeights, Regulariser
from groundkit.models.vision_language.picture_sizes import Framing
from groundkit.pipelines.shared_config import StagedSettings
from groundkit.prompting.base import Prompter
from groundkit.prompting.point_pair import PointPair
from groundkit.settings import Settings, asks_for
from groundkit.stages.base import Stage
from groundkit.stages.evidence import Evidence
from groundkit.stages.negation import Negation
from groundkit.stages.picture import Picture
from groundkit.stages.tokens import Tokens

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


class AnswerReading(Settings):
    """Which attention of a vision-language model is followed, and what it is given to read."""

    layers: str = Field("all", description="all, late, a range such as 14-27, or names")
    heads: tuple[int, ...] | None = Field(None, description="heads of each layer that take part; all by default")
    head_weights: HeadWeights = Field(HeadWeights.MAX, description="max (equation 1), image_max (DecAF) or uniform")
    flow: Flow = Field(Flow.FLOW, description="flow (equation 3), rollout or mean")
    regulariser: Regulariser | None = Field(
        None,
        description="where columns are damped: at the end, in each layer, or none; by default at the end of a flow "
        "and nowhere else",
    )
    phrase_question: Annotated[str, asks_for("phrase")] | None = Field(
        None,
        description=f"the question for a given phrase, with {{phrase}} in it; by default {PHRASE_QUESTION!r}, for "
        "PaliGemma 'caption en'",
    )
    scale: Annotated[float, Field(gt=0, le=4)] = Field(
        1.0, description="size at which the picture is read, relative to its own; the stage sizes adds further ones"
    )
    max_pixels: int | None = Field(
        None,
        ge=1,
        description="maximum number of pixels; a larger picture is scaled down first. By default 1280 tokens for "
        "Qwen-VL, as its authors advise, and no limit for other models; DecAF takes 400 tokens of 28 x 28",
    )
    max_prefix_mib: int = Field(
        4096,
        ge=0,
        description="maximum memory in MiB for what the language model keeps of a picture, so that further phrases and "
        "questions about it cost their own tokens alone; 0 keeps nothing, and so does a picture that needs more",
    )
    framing: Framing = Field(
        "pad",
        description="how LLaVA-1.5 gets a picture that is not square: pad it to a square, as its authors do, or "
        "crop it to its middle, which hides the borders; other models always see all of it",
    )


class DiscoverySettings(Settings):
    """How objects that the model names are found and merged; phrases need none of it."""

    questions: Literal["one", "built_in", "model"] = Field(
        "built_in", description="ask one question, a built-in set, or ten that the model writes itself (the paper)"
    )
    crop_shares: tuple[Share, ...] = Field(
        (0.5,),
        description="sides of the corner crops that are searched beside the whole picture, over its own, four crops "
        "each; above 0.5 they overlap; none for the whole picture alone",
    )
    count_repeats: bool = Field(
        False,
        description="treat a repeated name as another object: search for it outside the masks found so far, "
        "and keep at most as many masks as one answer had the name, unless votes decide",
    )
    min_verification: float = Field(
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
    suppression: Literal["same_name", "all", "votes"] = Field(
        "same_name",
        description="which overlapping masks are dropped for a better one: those of the same name, or all; or votes: "
        "overlapping masks are fused, and stay if enough of the questions and crops that show it agree",
    )
    max_overlap: float = Field(
        0.7,
        gt=0,
        le=1,
        description="maximum box IoU of two objects of a name; above it, the one with the lower score is dropped; mask "
        "IoU for hot cells and votes",
    )
    min_support: float = Field(
        0.05, ge=0, le=1, description="minimum support for a fused object: mean vote over the crops that cover it"
    )
    agreement_power: float = Field(
        1.0, ge=0, le=8, description="power of a mask's agreement with its map where it votes; 0 leaves it out"
    )
    vote_with_all_proposals: bool = Field(
        False, description="whether all masks that the segmenter proposes for a point vote, beside the refined one"
    )
    max_tokens: int = Field(256, ge=1, description="maximum length of an answer, in tokens")
    temperature: float = Field(
        0.0, ge=0, description="sampling temperature; 0 takes the most probable words; the paper has 0.8"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="nucleus of the sampling, for a temperature above 0; the paper has 0.1"
    )


class VLSAMConfig(StagedSettings):
    """Every choice of the method, also where the paper leaves it open: what is read, the stages, and the prompter."""

    usual_order = ("smooth", "tokens", "contrast", "evidence", "sizes", "picture", "places", "negation")

    reading: AnswerReading = AnswerReading()
    stages: tuple[SerializeAsAny[Stage], ...] = Field(
        (Tokens(reduction="mean"), Evidence(), Picture(), Negation()),
        description="the steps from attention to heatmap, in their order; -NAME leaves one out, +NAME adds one",
    )
    prompter: SerializeAsAny[Prompter] = Field(
        PointPair(), description="what draws points from the heatmap: point_pair, hot_cells or peaks"
    )
    discovery: DiscoverySettings = DiscoverySettings()


PRESETS: dict[str, dict[str, Any]] = {
    "vlsam": {},
    # Decomposed Attention Fusion, arXiv 2510.19592, for one picture: two sizes of it, no video pass.
    "decaf": {
        "head_weights": "image_max",
        "flow": "rollout",
        "regulariser": "none",
        "layers": "late",
        "phrase_question": "{phrase}. Name the main object referred to, in a single word.",
        "max_pixels": 400 * 28 * 28,
        "stages": ("smooth", "contrast", "evidence", "sizes", "picture", "negation"),
        "prompter": "hot_cells",
    },
}


read_config = VLSAMConfig.read
