"""Refinement: a mask proposed again from its own logits and box, and duplicates of a name removed."""

from __future__ import annotations

import numpy as np

from groundkit.masks.geometry import boxes_of
from groundkit.segmenters.base import MaskProposals, Propose
from groundkit.segmenters.points import PointPrompts


def cascade(propose: Propose, prompts: PointPrompts) -> MaskProposals:
    """PerSAM's cascade (Zhang et al. 2023): one mask, again with its logits as a mask prompt, again with its box too.

    Returns:
        The last proposals; those of an earlier step where a mask came out empty.
    """
    proposals = propose(prompts, several=False)
    for with_box in (False, True):
        best = int(proposals.scores.argmax())
        if proposals.logits is None or not proposals.masks[best].any():
            return proposals
        box = boxes_of(proposals.masks[best : best + 1])[0] if with_box else None
        proposals = propose(prompts, mask=proposals.logits[best], box=box)
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
