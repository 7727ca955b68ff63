"""Along which axis token maps compete, and how layers become one."""

from enum import StrEnum
from typing import Literal

from torch import Tensor


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


def reduce_maps(maps: Tensor, reduction: Reduction) -> Tensor:
    """One map ``(...)`` of T maps ``(T, ...)``: their sum, mean, or geometric mean (``product``)."""
    if reduction == "product":
        return maps.clamp_min(1e-12).log().mean(dim=0).exp()
    return maps.mean(dim=0) if reduction == "mean" else maps.sum(dim=0)


def merge_layers(token_maps: Tensor, normalisation: Normalisation) -> Tensor:
    """Mean over layers, then scaling along one axis: ``(L, T, h, w)`` to ``(T, h, w)``, or with time likewise."""
    merged = token_maps.mean(dim=0)
    if normalisation is Normalisation.TOKENS:
        return merged / merged.sum(dim=0, keepdim=True).clamp_min(1e-12)
    if normalisation is Normalisation.IMAGE:
        return merged / merged.sum(dim=tuple(range(1, merged.ndim)), keepdim=True).clamp_min(1e-12)
    return merged
