"""Along which axis token maps compete, and how layers become one."""

from torch import Tensor

from groundkit.attention.choices import Normalisation as Normalisation
from groundkit.attention.choices import Reduction as Reduction


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
