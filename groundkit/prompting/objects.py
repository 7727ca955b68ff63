"""The objects that a phrase selects: one by its size, the second from the left, two of them, or all.

A map of patches knows neither sizes nor numbers. So objects are searched for one after the other, each outside the
masks of those before it, and their masks are sorted and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.language.selection import Selection
from groundkit.masks.candidates import Candidate
from groundkit.masks.choose import rank_masks
from groundkit.masks.geometry import apart
from groundkit.masks.rim import rim_width, with_rim
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.prompting.peaks import Peaks, find_peaks
from groundkit.segmenters.base import Propose
from groundkit.stages.places import minmax

Heat = npt.NDArray[np.float32]

MAX_OBJECTS = 16  # among which "all", ordinals and sizes choose
SAME = 0.5  # IoU from which two masks show one object


class Objects(Prompter):
    """The selected objects, in the order of the selection; there may be fewer than it asks for, or none.

    Attributes:
        selection: which of the objects are meant.
        peaks: how a point and a mask are drawn for each; the number of peaks and their separation have no effect.
    """

    selection: Selection
    peaks: Peaks

    def __call__(self, heatmap: Heatmap, propose: Propose) -> list[Candidate]:
        selection = self.selection
        wanted = MAX_OBJECTS if selection.by or selection.count is None else selection.count
        found = list(islice(self._search(heatmap, propose), wanted))
        if selection.by:
            masks = np.array([each.mask.whole() for each in found], np.bool_).reshape(-1, *heatmap.size)
            found = [found[index] for index in rank_masks(masks, selection.by)]
        return found[selection.of(len(found))]

    def _search(self, heatmap: Heatmap, propose: Propose) -> Iterator[Candidate]:
        """Objects that reach the threshold times the highest heat, each with its own mask, the hottest first."""
        heat, centre = minmax(heatmap.pixels), self.peaks.radius(heatmap)
        taken = np.zeros(heat.shape, np.bool_)

        def candidates() -> Iterator[Candidate]:
            for row, column in summits(heat, self.peaks.min_peak_height)[: 2 * MAX_OBJECTS]:
                if not taken[row, column]:
                    own = hill(heat, row, column)
                    (prompts,) = find_peaks(own, centre=centre)
                    candidate = self.peaks.mask_at(prompts, own, propose)
                    if candidate.mask.area:
                        yield candidate

        for each in apart(candidates(), lambda first, second: first.mask.iou(second.mask) >= SAME):
            taken |= with_rim(each.mask.whole())
            yield each


def summits(heatmap: Heat, threshold: float) -> list[tuple[int, int]]:
    """Row and column of each place that is the highest around and reaches ``threshold`` times the highest of all.

    The flanks that a mask leaves uncovered are none, so that an object's parts are not taken for further objects. A
    plateau, as enlarging leaves one in a corner of the picture, counts once.
    """
    around = np.ones((rim_width(heatmap.shape),) * 2, np.uint8)
    highest = heatmap >= cv2.dilate(heatmap, around)
    tops = highest & (heatmap >= threshold * heatmap.max()) & (heatmap > 0)
    _, labels = cv2.connectedComponents(tops.astype(np.uint8))
    rows, columns = np.nonzero(tops)
    order = np.argsort(-heatmap[rows, columns], kind="stable")
    highest_of_each = np.sort(np.unique(labels[rows, columns][order], return_index=True)[1])
    return [(int(rows[place]), int(columns[place])) for place in order[highest_of_each]]


def hill(heatmap: Heat, row: int, column: int) -> Heat:
    """The heat around a place, as far as it is connected at half its height, and no higher; 0 elsewhere.

    A mask that agrees with the hill is of one object, where one that agrees with the whole map may be of several.
    """
    height = heatmap[row, column]
    _, labels = cv2.connectedComponents((heatmap > height / 2).astype(np.uint8))
    return np.where(labels == labels[row, column], np.minimum(heatmap, height), 0).astype(np.float32)
