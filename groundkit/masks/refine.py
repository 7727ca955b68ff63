"""A mask asked for again with what was learnt of it: PerSAM's cascade, VL-SAM's first round of refinement."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundkit.masks.geometry import boxes_of
from groundkit.segmenters.base import MaskProposals, Segmenter
from groundkit.segmenters.points import PointPrompts


def cascade(segmenter: Segmenter, embedding: Any, prompts: PointPrompts) -> MaskProposals:
    """One mask for the points; again with its logits as a mask prompt; and again with its box (Zhang et al. 2023).

    Returns:
        The last proposals; those of an earlier step where a mask came out empty.
    """
    proposals = segmenter.segment(embedding, prompts, several=False)
    for with_box in (False, True):
        best = int(proposals.scores.argmax())
        if proposals.logits is None or not proposals.masks[best].any():
            return proposals
        box = boxes_of(proposals.masks[best : best + 1])[0] if with_box else None
        proposals = segmenter.segment(embedding, prompts, mask=proposals.logits[best], box=box)
    return proposals


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: list[str], *, overlap: float) -> list[int]:
    """Non-maximum suppression within each label: indices of the boxes that stay, highest score first.

    Args:
        boxes: float32 ``(K, 4)`` XYXY.
        scores: float32 ``(K,)``.
        labels: K names; boxes of different names never suppress each other.
        overlap: IoU from which the lower one of two goes.
    """
    import torch
    from torchvision.ops import batched_nms

    if not labels:
        return []
    names = sorted(set(labels))
    groups = torch.tensor([names.index(label) for label in labels])
    kept: list[int] = batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), groups, overlap).tolist()
    return kept
