"""The steps from the attention of a model, or of several, to a mask, as one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.attention.maps import AttentionMaps
from groundkit.explain.about import about, draw_settings
from groundkit.explain.tiles import (
    FAINT,
    GROUND,
    INK,
    INNER,
    MARGIN,
    WIDTH,
    Tile,
    draw_row,
    paint,
    shrink,
    stack,
    tile_beside,
)
from groundkit.outputs.drawing import MASK_COLOURS, POSITIVE, fit_text
from groundkit.outputs.formats.heatmap import draw_heatmap, stretch
from groundkit.outputs.letters import font, legible
from groundkit.results import Grounding
from groundkit.stages.trace import Member, Step, Trace
from groundkit.wording import count_of


def draw_answer(grounding: Grounding, trace: Trace) -> npt.NDArray[np.uint8]:
    """The maps after each step from the model's attention to the mask, with the positive area and the points.

    For an ensemble: each member's heatmap, its agreement with the chosen mask, and the fused heatmap.

    Returns:
        uint8 RGB, 1600 pixels wide.
    """
    image = shrink(grounding.image)
    picture, result = Tile(image, "Picture", _size(grounding)), _result(grounding, image)
    if trace.members:
        members = [_member(image, member, trace) for member in trace.members]
        rows = [draw_row("What each member sees", members), draw_row("Together", [picture, *result])]
        return stack([_header(grounding, f"decided by {trace.decided_by}"), *rows, draw_settings(grounding)])
    read, *others = trace.steps
    words = [
        Tile(_heat(image, read.maps, token), each.text.lstrip("▁Ġ")) for token, each in enumerate(read.maps.tokens)
    ]
    steps = list(_tiles(image, others))
    area = trace.candidates[0].area if trace.candidates else None
    if area is not None:
        steps.append(Tile(_painted(image, area.whole()), "Positive area", f"{area.percent:.1f} % of the picture"))
    said = " ".join(token.text.lstrip("▁Ġ") for token in read.maps.tokens if token.word is not None)
    line = f"read from: {said}" if said else "read from the last token of the question"
    rows = [draw_row("From the answer to the mask", [picture, *steps, *result])]
    if len(words) > 1:
        rows.append(draw_row("One map per token, each stretched from its lowest to its highest value", words))
    return stack([_header(grounding, line), *rows, draw_settings(grounding)])


def _tiles(image: npt.NDArray[np.uint8], steps: Sequence[Step]) -> Iterator[Tile]:
    """The map that each step left, if it changed it, and those that the step compared it with."""
    drawn = np.zeros((0, 0), np.float32)
    for step in steps:
        if step.maps.values.shape[2] > 1:  # several tokens are drawn by themselves
            continue
        heat = stretch(step.maps.on_finest_grid())
        if heat.shape != drawn.shape or not np.allclose(heat, drawn, atol=1e-5):
            yield Tile(draw_heatmap(image, heat), step.name.capitalize(), "{} x {} tokens".format(*heat.shape))
        drawn = heat
        for name, maps in step.beside.items():
            if maps.values.shape[2] == 1:
                yield tile_beside(step.name, name, _heat(image, maps), faded=True)


def _heat(image: npt.NDArray[np.uint8], maps: AttentionMaps, token: int = 0) -> npt.NDArray[np.uint8]:
    kept = maps.keep([index == token for index in range(len(maps.tokens))])
    return draw_heatmap(image, stretch(kept.on_finest_grid()))


def _painted(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    painted = image.copy()
    paint(painted, mask, MASK_COLOURS[1])
    return painted


def _member(image: npt.NDArray[np.uint8], member: Member, trace: Trace) -> Tile:
    return Tile(
        draw_heatmap(image, member.heatmap),
        member.name,
        f"agreement with the mask {member.agreement:.2f}",
        badge="decided" if member.name == trace.decided_by else "",
        badge_colour=POSITIVE,
    )


def _size(grounding: Grounding) -> str:
    height, width = grounding.image.shape[:2]
    return f"{width} x {height} pixels"


def _result(grounding: Grounding, image: npt.NDArray[np.uint8]) -> list[Tile]:
    height, width = grounding.image.shape[:2]
    points = grounding.points * np.array([image.shape[1] / width, image.shape[0] / height, 1], dtype=np.float32)
    found = image.copy()
    for mask in grounding.masks:
        paint(found, mask, MASK_COLOURS[0])
    note = f"score {grounding.scores[0]:.2f}" if len(grounding.scores) else "nothing found"
    return [
        Tile(
            draw_heatmap(image, grounding.heatmap), "Heatmap and points", count_of(len(points), "point"), points=points
        ),
        Tile(found, "Mask", note, points=points, frame=POSITIVE),
    ]


def _header(grounding: Grounding, line: str) -> Image.Image:
    section = Image.new("RGB", (WIDTH, 110), GROUND)
    brush = ImageDraw.Draw(section)
    brush.text((MARGIN, 0), "groundkit explain", font=font(30, bold=True), fill=INK)
    brush.text(
        (WIDTH - MARGIN, 6), fit_text(about(grounding), font(20), INNER - 400), font=font(20), fill=FAINT, anchor="ra"
    )
    for text, size, top, colour in ((grounding.phrase, 26, 48, INK), (line, 18, 84, FAINT)):
        written, face = legible(text, size, bold=size == 26)
        brush.text((MARGIN, top), fit_text(written, face, INNER), font=face, fill=colour)
    return section
