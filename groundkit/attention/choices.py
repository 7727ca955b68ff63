"""What settings of attention choose among. Imports no torch, so that settings are checked before it is imported."""

from enum import StrEnum
from typing import Literal


class AttentionDirection(StrEnum):
    """Which block of the joint attention is read: patches looking at words, or words looking at patches."""

    IMAGE_TO_TEXT = "image_to_text"
    TEXT_TO_IMAGE = "text_to_image"


class Normalisation(StrEnum):
    """The axis along which token maps are scaled to sum to one.

    ``tokens``: at each patch the tokens compete (the "softmax" along the token axis in RefAM's pipeline figure). Only
    so can an appended token take background away from a word. ``image``: each token's map sums to one over the patches.
    ``none``: probabilities as the model has them.
    """

    TOKENS = "tokens"
    IMAGE = "image"
    NONE = "none"


Reduction = Literal["sum", "mean", "product"]


class HeadWeights(StrEnum):
    """How much a head counts.

    ``max``: VL-SAM's equation 1, w_h = mean_i max_j S[h, i, j] over all keys j. ``image_max``: DecAF's, the maximum
    over image keys alone, divided by that of the strongest head. ``uniform``: every head counts 1.
    """

    MAX = "max"
    IMAGE_MAX = "image_max"
    UNIFORM = "uniform"


class Flow(StrEnum):
    """How the layers become one.

    ``flow``: VL-SAM's equation 3, F^1 = A^1, F^l = (I + A^l)(I + F^(l-1)). ``rollout``: attention rollout (Abnar and
    Zuidema 2020) and DecAF's, the product of (I + A^l) / 2. ``mean``: the plain mean of the layers, no flow at all.
    """

    FLOW = "flow"
    ROLLOUT = "rollout"
    MEAN = "mean"


class Regulariser(StrEnum):
    """Where the column factor (j + 1) / N is applied: to each ``layer`` before it is multiplied, once at the ``end``,
    or nowhere (``none``)."""

    LAYER = "layer"
    END = "end"
    NONE = "none"
