"""One object, seen in many views: masks that lie on the same place are fused, and their views vote.

Weighted boxes fusion (Solovyev et al. 2021, arXiv 1910.13302), of masks. What most views that show a place claim of it
is likelier there than what one of them does, and their common mask is better than that of the surest one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundkit.masks.packed import PackedMask
from groundkit.media.crops import Crop

SAME = 0.5  # IoU from which two masks are of one object


@dataclass(frozen=True)
class Candidate:
    """A mask with a name.

    Attributes:
        label: the name, such as ``red cup``.
        mask: of a view, or of the whole picture.
        score: how sure it is, at least 0.
        points: float32 ``(M, 3)``, x, y and label, that the mask was asked for with.
        agreement: how well the mask agrees with the heatmap that it comes from, at most 1.
    """

    label: str
    mask: PackedMask
    score: float
    points: npt.NDArray[np.float32]
    agreement: float = 1.0

    @property
    def noun(self) -> str:
        return self.label.split()[-1]


@dataclass(frozen=True)
class _Vote:
    view: int
    weight: float
    candidate: Candidate


def fuse_views(
    views: Sequence[tuple[Crop, Sequence[Candidate]]], *, least: float, overlap: float, power: float = 1.0
) -> list[Candidate]:
    """The objects that the views agree on, the highest score first.

    A vote weighs its candidate's score times a power of its agreement. Each vote, the heaviest first, joins the object
    whose heaviest mask it overlaps most, by an IoU of 0.5 at least, or begins another. An object has the noun, and of
    this noun's labels the one, with most weight; its mask is where masks of more than half of the weight lie; and its
    score is the weight of this noun, of each view's heaviest vote, over the number of views that show the place::

        score = sum over views of max(weight) / number of views that show all of the heaviest mask

    Args:
        views: what was found in each; the same part of a picture may be viewed several times.
        least: objects of a lower score are left out.
        overlap: mask IoU from which the lower one of two objects goes.
        power: of the agreement, floored at 0.
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
    kept: list[Candidate] = []
    for fused in sorted((_agree(each, crops) for each in objects), key=lambda c: -c.score):
        if fused.score >= least and all(fused.mask.iou(other.mask) < overlap for other in kept):
            kept.append(fused)
    return kept


def _agree(votes: Sequence[_Vote], crops: Sequence[Crop]) -> Candidate:
    """What an object's votes, the heaviest first, make of it."""
    noun = _favourite(votes, lambda candidate: candidate.noun)
    named = [vote for vote in votes if vote.candidate.noun == noun]
    heaviest = {vote.view: vote.weight for vote in reversed(named)}
    first = votes[0].candidate
    boxes = np.array([vote.candidate.mask.box for vote in votes])
    left, top = boxes[:, :2].min(axis=0).astype(int).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).astype(int).tolist()
    covered = np.zeros((bottom - top, right - left))
    for vote in votes:
        covered[vote.candidate.mask.inside(left, top)] += vote.weight * vote.candidate.mask.part()
    mask = PackedMask.of(covered > sum(vote.weight for vote in votes) / 2)
    return Candidate(
        _favourite(named, lambda candidate: candidate.label),
        mask.placed(left, top, first.mask.size),
        sum(heaviest.values()) / sum(crop.shows(first.mask.box) for crop in crops),
        first.points,
    )


def _favourite(votes: Sequence[_Vote], name: Callable[[Candidate], str]) -> str:
    """The name with most weight."""
    weights: defaultdict[str, float] = defaultdict(float)
    for vote in votes:
        weights[name(vote.candidate)] += vote.weight
    return max(weights, key=weights.__getitem__)
