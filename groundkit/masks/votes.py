"""Fuse what several views (crops and questions) found: masks on one place become one object, and the views vote.

Weighted boxes fusion (Solovyev et al. 2021, arXiv 1910.13302), for masks. A mask on which most of the views agree is
likelier, and more accurate, than the most confident single one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from groundkit.masks.candidates import Candidate
from groundkit.masks.geometry import apart
from groundkit.masks.packed import PackedMask
from groundkit.media.crops import Window

SAME = 0.5  # IoU from which two masks are of one object


@dataclass(frozen=True)
class _Vote:
    view: int
    weight: float
    candidate: Candidate


def fuse_views(
    views: Sequence[tuple[Window, Sequence[Candidate]]], *, min_score: float, overlap: float, power: float = 1.0
) -> list[Candidate]:
    """The objects that the views agree on, the highest score first.

    A vote's weight is its candidate's score times a power of its agreement. Votes are sorted by weight. Each joins the
    object whose first mask it overlaps most (IoU of at least 0.5) or starts a new one. The object's label is the
    heaviest label of its heaviest noun. Its mask covers the pixels that more than half of the weight covers. Its score
    is the noun's weight, counting one vote per view, divided by the number of views that show the object::

        score = sum over views of max(weight) / number of views that show all of the heaviest mask

    Args:
        views: the candidates of each view; several views may show the same part of the picture.
        min_score: minimum score of an object.
        overlap: mask IoU from which the lower-scoring one of two objects is dropped.
        power: exponent of the agreement, which is floored at 0.
    """
    crops = [crop for crop, _ in views]
    votes = [
        _Vote(view, c.score * max(0.0, c.agreement) ** power, c) for view, (_, found) in enumerate(views) for c in found
    ]
    objects: list[list[_Vote]] = []
    for vote in sorted((v for v in votes if v.weight > 0), key=lambda v: -v.weight):
        overlaps = [vote.candidate.mask.iou(others[0].candidate.mask) for others in objects]
        if overlaps and max(overlaps) >= SAME:
            objects[int(np.argmax(overlaps))].append(vote)
        else:
            objects.append([vote])
    fused = sorted((_agree(each, crops) for each in objects), key=lambda c: -c.score)
    supported = (each for each in fused if each.score >= min_score)
    return list(apart(supported, lambda first, second: first.mask.iou(second.mask) >= overlap))


def _agree(votes: Sequence[_Vote], crops: Sequence[Window]) -> Candidate:
    """What an object's votes, the heaviest first, make of it."""
    noun = _favourite(votes, lambda candidate: candidate.noun)
    named = [vote for vote in votes if vote.candidate.noun == noun]
    heaviest = {vote.view: vote.weight for vote in reversed(named)}
    candidates = [vote.candidate for vote in votes]
    first = candidates[0]
    return Candidate(
        _majority([each.mask for each in candidates], votes),
        sum(heaviest.values()) / sum(crop.shows(first.mask.box) for crop in crops),
        first.points,
        label=_favourite(named, lambda candidate: candidate.label),
        full=first.full and (lambda: _majority([each.full() for each in candidates if each.full], votes)),
    )


def _majority(masks: Sequence[PackedMask], votes: Sequence[_Vote]) -> PackedMask:
    """What more than half of the weight of the votes covers, of one mask per vote."""
    boxes = np.array([mask.box for mask in masks])
    left, top = boxes[:, :2].min(axis=0).astype(int).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).astype(int).tolist()
    covered = np.zeros((bottom - top, right - left))
    for mask, vote in zip(masks, votes, strict=True):
        covered[mask.inside(left, top)] += vote.weight * mask.part()
    most = PackedMask.of(covered > sum(vote.weight for vote in votes) / 2)
    return most.placed(left, top, masks[0].size)


def _favourite(votes: Sequence[_Vote], name: Callable[[Candidate], str]) -> str:
    """The name with most weight."""
    weights: defaultdict[str, float] = defaultdict(float)
    for vote in votes:
        weights[name(vote.candidate)] += vote.weight
    return max(weights, key=weights.__getitem__)
