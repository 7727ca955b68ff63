"""What a report shows of a video: a strip of frames, evenly spread, and the score over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from groundkit.masks.rle import area
from groundkit.report.layers import Layers, draw_layers

if TYPE_CHECKING:
    from groundkit.pipelines.video import AnyFrame, FrameMask, VideoGrounding

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


def draw_strip(
    found: VideoGrounding, frames: Iterable[AnyFrame], chart: Chart, heat: npt.NDArray[np.uint8] | None
) -> list[StripFrame]:
    """Make the strip; the key frame has the heatmap and the points of the phrase.

    Args:
        found: what was found in the video.
        frames: the video once more; reading stops at the last frame that is needed.
        chart: what the frames have their place on.
        heat: from ``shrink_heat``, of the key frame.
    """
    places = [frame.index for frame in found.frames]
    wanted = {
        found.frames[place].index: found.frames[place] for place in sample(len(places), places.index(found.key_frame))
    }
    strip: list[StripFrame] = []
    for frame in frames:
        if frame.index not in wanted:
            continue
        strip.append(_strip_frame(found, frame, wanted[frame.index], chart, heat))
        if len(strip) == len(wanted):
            break
    return strip


def _strip_frame(
    found: VideoGrounding, frame: AnyFrame, record: FrameMask, chart: Chart, heat: npt.NDArray[np.uint8] | None
) -> StripFrame:
    key = record.index == found.key_frame
    mask = record.mask
    return StripFrame(
        name=record.name,
        seconds=float(record.seconds),
        score=record.score,
        seen=bool(mask.any()),
        grounded=record.grounded,
        key=key,
        x=_place(float(record.seconds), chart.start, chart.end),
        layers=draw_layers(
            frame.image,
            mask[None] if mask.any() else (),
            found.key.points if key else None,
            heat if key else None,
            longest=_LONGEST_SIDE,
        ),
    )


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
