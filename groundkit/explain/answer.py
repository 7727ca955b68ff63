"""The steps of VL-SAM, and of an ensemble, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.explain.about import about, draw_settings
from groundkit.explain.tiles import FAINT, GROUND, INK, INNER, MARGIN, WIDTH, Tile, draw_row, paint, shrink, stack
from groundkit.outputs.drawing import MASK_COLOURS, POSITIVE, fit_text
from groundkit.outputs.formats.heatmap import draw_heatmap, stretch
from groundkit.outputs.letters import font, legible
from groundkit.results import Grounding
from groundkit.wording import count_of

if TYPE_CHECKING:
    from groundkit.pipelines.ensemble import EnsembleTrace
    from groundkit.pipelines.vlsam import VLSAMTrace


def draw_answer_explanation(grounding: Grounding, trace: VLSAMTrace) -> npt.NDArray[np.uint8]:
    """The words in the model's mouth, what flowed from them to the picture, the positive area, points and mask.

    Returns:
        uint8 RGB, 1600 pixels wide.
    """
    image = shrink(grounding.image)
    tiles = [
        Tile(image, "Picture", _size(grounding)),
        Tile(draw_heatmap(image, stretch(trace.heat)), "Attention flow", "{} x {} tokens".format(*trace.heat.shape)),
    ]
    if trace.area is not None:
        area = image.copy()
        paint(area, trace.area, MASK_COLOURS[1])
        tiles.append(Tile(area, "Positive area", f"{100 * trace.area.mean():.1f} % of the picture"))
    tiles += _result(grounding, image)
    said = f"read from: {' '.join(trace.tokens)}" if trace.tokens else "read from the last token of the question"
    return stack([_header(grounding, said), draw_row("From the answer to the mask", tiles), draw_settings(grounding)])


def draw_ensemble_explanation(grounding: Grounding, trace: EnsembleTrace) -> npt.NDArray[np.uint8]:
    """Each member's heatmap and its agreement with the mask that was taken, then the fused heatmap and the mask."""
    image = shrink(grounding.image)
    tiles = [
        Tile(
            draw_heatmap(image, member.heatmap),
            member.pipeline,
            f"agreement with the mask {agreement:.2f}",
            badge="decided" if member.pipeline == trace.decided_by else "",
            badge_colour=POSITIVE,
        )
        for member, agreement in zip(trace.members, trace.agreements, strict=True)
    ]
    return stack(
        [
            _header(grounding, f"decided by {trace.decided_by}"),
            draw_row("What each member sees", tiles),
            draw_row("Together", [Tile(image, "Picture", _size(grounding)), *_result(grounding, image)]),
            draw_settings(grounding),
        ]
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
