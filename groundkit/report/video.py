"""What a report shows of a video: a strip of frames, evenly spread, and the score over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from groundkit.errors import InputError
from groundkit.masks.rle import area
from groundkit.report.layers import Layers, draw_layers, shrink_heat

if TYPE_CHECKING:
    from groundkit.pipelines.video import AnyFrame
    from groundkit.results import FrameMask, Grounding, VideoGrounding

MOST_FRAMES = 24  # on a strip
_LONGEST_SIDE = 360  # pixels of a frame; there are many
CHART_WIDTH, CHART_HEIGHT = 400, 100  # units of the chart's own, stretched by the browser


@dataclass(frozen=True)
class StripFrame:
    """One frame of the strip; ``x`` is its place on the chart."""

    name: str
    seconds: float
    score: float
    seen: bool
    grounded: bool
    key: bool
    x: float
    layers: Layers


@dataclass(frozen=True)
class Chart:
    """The score over time in a box of ``CHART_WIDTH`` x ``CHART_HEIGHT``, y down.

    Attributes:
        line: the points of an SVG polyline.
        gaps: where the object is not seen, ``(x, width)`` each.
        grounded: x of the frames on which the phrase was grounded.
        start, end: seconds of the first frame and of the last.
        lowest, highest, mean: of the scores.
        seen: on how many frames the object is.
    """

    line: str
    gaps: tuple[tuple[float, float], ...]
    grounded: tuple[float, ...]
    start: float
    end: float
    lowest: float
    highest: float
    mean: float
    seen: int


def sample(count: int, key: int) -> list[int]:
    """Places, rising, of at most ``MOST_FRAMES`` frames out of ``count``: evenly spread, ``key`` always among them."""
    places = np.linspace(0, count - 1, min(MOST_FRAMES, count)).round().astype(int)
    places[np.abs(places - key).argmin()] = key
    return [int(place) for place in places]


class Strip:
    """Keeps what a report shows of a video while its frames go by, once each and in order of time.

    Args:
        count: how many frames there are, as far as the file says.
        key_place: place of the key frame among them.
        key: what was found there.
        heat: from ``shrink_heat``, of the key frame.
    """

    def __init__(
        self, count: int | None, key_place: int, key: Grounding, heat: npt.NDArray[np.uint8] | None = None
    ) -> None:
        self._wanted = None if count is None or key_place >= count else set(sample(count, key_place))
        self._key_place = key_place
        self._key = key
        self._heat = shrink_heat(key.heatmap) if heat is None else heat
        self._layers: dict[int, Layers] = {}
        self._place = -1

    def add(self, frame: AnyFrame, found: FrameMask) -> None:
        """Take the next frame with its mask."""
        self._place += 1
        if self._wanted is None or self._place not in self._wanted:
            return
        mask, key = found.mask, self._place == self._key_place
        self._layers[found.index] = draw_layers(
            frame.image,
            mask[None] if mask.any() else (),
            self._key.points if key else None,
            self._heat if key else None,
            longest=_LONGEST_SIDE,
        )

    def frames(self, found: VideoGrounding, chart: Chart) -> list[StripFrame] | None:
        """The strip; None where the file did not say how many frames there are, or had fewer."""
        wanted = sample(len(found.frames), self._key_place)
        masks = [found.frames[place] for place in wanted]
        if {each.index for each in masks} != self._layers.keys():
            return None
        return [
            StripFrame(
                name=each.name,
                seconds=float(each.seconds),
                score=each.score,
                seen=area(each.rle) > 0,
                grounded=each.grounded,
                key=each.index == found.key_frame,
                x=_place(float(each.seconds), chart.start, chart.end),
                layers=self._layers[each.index],
            )
            for each in masks
        ]


def draw_strip(
    found: VideoGrounding, frames: Iterable[AnyFrame], chart: Chart, heat: npt.NDArray[np.uint8] | None = None
) -> list[StripFrame]:
    """Make the strip of a video that was followed before; ``frames`` is the video once more."""
    place = [frame.index for frame in found.frames].index(found.key_frame)
    strip = Strip(len(found.frames), place, found.key, heat)
    for mask, frame in zip(found.frames, frames, strict=False):  # no frame is read behind the last one
        strip.add(frame, mask)
    drawn = strip.frames(found, chart)
    if drawn is None:
        raise InputError("the video changed since it was followed; run it again")
    return drawn


def draw_chart(frames: tuple[FrameMask, ...]) -> Chart:
    """Chart the scores; where frames stand closer than a unit, the lowest of them counts, for dips are what matters."""
    start, end = float(frames[0].seconds), float(frames[-1].seconds)
    seen = 0
    lowest: dict[int, float] = {}
    unseen: dict[int, bool] = {}
    for frame in frames:
        column = int(_place(float(frame.seconds), start, end))
        lowest[column] = min(lowest.get(column, 1.0), max(0.0, frame.score))
        here = area(frame.rle) > 0
        seen += here
        unseen[column] = unseen.get(column, True) and not here
    columns = sorted(lowest)
    # Half the way to its neighbours belongs to each column.
    edges = [0.0, *((left + right) / 2 for left, right in pairwise(columns)), float(CHART_WIDTH)]
    scores = [frame.score for frame in frames]
    return Chart(
        line=" ".join(f"{column},{CHART_HEIGHT * (1 - lowest[column]):.1f}" for column in columns),
        gaps=tuple(
            (left, right - left)
            for column, (left, right) in zip(columns, pairwise(edges), strict=True)
            if unseen[column]
        ),
        grounded=tuple(sorted({round(_place(float(frame.seconds), start, end)) for frame in frames if frame.grounded})),
        start=start,
        end=end,
        lowest=min(scores),
        highest=max(scores),
        mean=sum(scores) / len(scores),
        seen=seen,
    )


def _place(seconds: float, start: float, end: float) -> float:
    return round(CHART_WIDTH * (seconds - start) / (end - start), 1) if end > start else CHART_WIDTH / 2
