"""One picture that shows every step from phrase to mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.errors import GroundkitError
from groundkit.explain.about import about, draw_settings
from groundkit.explain.tiles import (
    BADGE,
    FAINT,
    GROUND,
    INK,
    INNER,
    MARGIN,
    WIDTH,
    Tile,
    draw_chip,
    draw_row,
    paint,
    shrink,
    stack,
)
from groundkit.language.words import Role
from groundkit.outputs.drawing import MASK_COLOURS, POSITIVE, WHITE, Colour, fit_text, text_width
from groundkit.outputs.formats.heatmap import draw_heatmap, stretch
from groundkit.outputs.letters import Font, font, legible
from groundkit.results import Grounding

_MOST_LINES = 4  # of words in the header; a longer phrase ends with an ellipsis
_ROLE_COLOURS: dict[Role, Colour] = {
    Role.CONTENT: (37, 99, 235),
    Role.STOP: (148, 163, 184),
    Role.MAGNET: (192, 38, 211),
    Role.SPECIAL: (71, 85, 105),
}
_ROLE_NAMES = {Role.CONTENT: "content word", Role.STOP: "stop word", Role.MAGNET: "magnet", Role.SPECIAL: "special"}


class ExplainTrace(Protocol):
    """What a pipeline's trace must tell to be explained.

    ``tokens`` have ``text`` and ``role``; ``phrase.words`` have ``text``, ``role`` and ``in_head``. T tokens,
    C proposals, ``(h, w)`` the model's grid of patches.
    """

    @property
    def tokens(self) -> Sequence[Any]: ...
    @property
    def phrase(self) -> Any: ...
    @property
    def maps(self) -> npt.NDArray[np.float32]:
        """``(T, h, w)``."""

    @property
    def sinks(self) -> npt.NDArray[np.bool_]:
        """``(T,)``."""

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """``(T,)``."""

    @property
    def filtered(self) -> npt.NDArray[np.float32]:
        """``(h, w)``."""

    @property
    def bias(self) -> npt.NDArray[np.float32] | None:
        """``(h, w)``."""

    @property
    def proposals(self) -> npt.NDArray[np.bool_]:
        """``(C, height, width)``."""

    @property
    def proposal_scores(self) -> npt.NDArray[np.float32]:
        """``(C,)``."""

    @property
    def chosen(self) -> int: ...


def draw_explanation(grounding: Grounding) -> npt.NDArray[np.uint8]:
    """Draw the words with their roles, each token's map, the sinks, the heatmap, the points and the masks.

    Args:
        grounding: a result whose pipeline left a trace.

    Returns:
        uint8 RGB, 1600 pixels wide and as high as needed.

    Raises:
        GroundkitError: when the result carries no trace.
    """
    if grounding.steps is None:
        raise GroundkitError(f"pipeline {grounding.pipeline} leaves no trace of its steps to explain")
    from groundkit.explain.answer import draw_answer_explanation, draw_ensemble_explanation
    from groundkit.pipelines.ensemble import EnsembleTrace
    from groundkit.pipelines.vlsam import VLSAMTrace

    if isinstance(grounding.steps, VLSAMTrace):
        return draw_answer_explanation(grounding, grounding.steps)
    if isinstance(grounding.steps, EnsembleTrace):
        return draw_ensemble_explanation(grounding, grounding.steps)
    trace = cast(ExplainTrace, grounding.steps)
    image = shrink(grounding.image)
    sections = [
        _header(grounding, trace),
        draw_row("From attention to mask", _steps(grounding, trace, image)),
        draw_row("What the segmenter proposed for the point", _proposals(trace, image)),
        draw_row("One map per token, each stretched from its lowest to its highest value", _token_maps(trace, image)),
        draw_settings(grounding),
    ]
    return stack(sections)


def _steps(grounding: Grounding, trace: ExplainTrace, image: npt.NDArray[np.uint8]) -> list[Tile]:
    height, width = grounding.image.shape[:2]
    points = grounding.points * np.array([image.shape[1] / width, image.shape[0] / height, 1], dtype=np.float32)
    found = image.copy()
    for index, mask in enumerate(grounding.masks):
        paint(found, mask, MASK_COLOURS[index % len(MASK_COLOURS)])
    tiles = [
        Tile(image, "Picture", f"{width} x {height} pixels"),
        Tile(
            draw_heatmap(image, stretch(trace.filtered)),
            "Kept maps together",
            f"{int(trace.kept.sum())} of {len(trace.kept)} tokens",
        ),
    ]
    if trace.bias is not None:
        tiles.append(Tile(draw_heatmap(image, trace.bias), "Spatial bias", "from the direction word"))
    tiles.append(Tile(draw_heatmap(image, grounding.heatmap), "Heatmap and points", _count(points), points=points))
    scores = ", ".join(f"{score:.2f}" for score in grounding.scores[:4])
    note = f"score {scores}" if scores else "nothing found"
    tiles.append(Tile(found, "Mask" if len(grounding.masks) < 2 else "Masks", note, points=points, frame=POSITIVE))
    return tiles


def _proposals(trace: ExplainTrace, image: npt.NDArray[np.uint8]) -> list[Tile]:
    tiles = []
    for index, (mask, score) in enumerate(zip(trace.proposals, trace.proposal_scores, strict=True)):
        picture = image.copy()
        paint(picture, mask, MASK_COLOURS[0])
        frame, badge = (POSITIVE, "chosen") if index == trace.chosen else (None, "")
        tiles.append(
            Tile(
                picture,
                f"Score {score:.2f}",
                f"{100 * mask.mean():.1f} % of the picture",
                frame=frame,
                badge=badge,
                badge_colour=POSITIVE,
            )
        )
    return tiles


def _token_maps(trace: ExplainTrace, image: npt.NDArray[np.uint8]) -> list[Tile]:
    tiles = []
    for token, heat, sink, kept in zip(trace.tokens, trace.maps, trace.sinks, trace.kept, strict=True):
        colour = _ROLE_COLOURS[token.role]
        tiles.append(
            Tile(
                draw_heatmap(image, stretch(heat)),
                token.text,
                f"{'kept' if kept else 'dropped'}, peak {heat.max():.2g}",
                chip=colour,
                frame=colour if kept else None,
                badge="sink" if sink else "",
                faded=not kept,
            )
        )
    return tiles


def _header(grounding: Grounding, trace: ExplainTrace) -> Image.Image:
    """The phrase as chips coloured by role, the magnets behind it, and the legend."""
    chips = [(word.text, _ROLE_COLOURS[word.role], bool(word.in_head)) for word in trace.phrase.words]
    # A magnet also brings spaces and an end token along, which have tiles of their own but are no words.
    pieces = [token.text.lstrip("▁Ġ") for token in trace.tokens if token.role is Role.MAGNET]
    magnets = [piece for piece in pieces if piece and not (piece.startswith("<") and piece.endswith(">"))]
    chips += [(text, _ROLE_COLOURS[Role.MAGNET], False) for text in magnets]
    height, pad, between = 46, 14, 10
    placed: list[tuple[int, int, int, str, Font, Colour, bool]] = []
    left, line = 0, 0
    for text, colour, in_head in chips:
        text, face = legible(text, 26, bold=True)
        text = fit_text(text, face, INNER // 2) or "?"
        width = text_width(text, face) + 2 * pad
        if left + width > INNER - 40:
            if line + 1 == _MOST_LINES:
                placed.append((left, line, 40, "…", font(26, bold=True), FAINT, False))
                break
            left, line = 0, line + 1
        placed.append((left, line, width, text, face, colour, in_head))
        left += width + between
    row = height + 16
    top = 62
    section = Image.new("RGB", (WIDTH, top + (line + 1) * row + 34), GROUND)
    brush = ImageDraw.Draw(section)
    brush.text((MARGIN, 0), "groundkit explain", font=font(30, bold=True), fill=INK)
    brush.text(
        (WIDTH - MARGIN, 6), fit_text(about(grounding), font(20), INNER - 400), font=font(20), fill=FAINT, anchor="ra"
    )
    for left, line_number, width, text, face, colour, in_head in placed:
        x, y = MARGIN + left, top + line_number * row
        draw_chip(section, (x, y, width, height), colour)
        brush.text((x + width / 2, y + height / 2), text, font=face, fill=WHITE, anchor="mm")
        if in_head:
            brush.rectangle((x + 4, y + height + 4, x + width - 4, y + height + 7), fill=INK)
    _legend(section, top + (line + 1) * row + 4)
    return section


def _legend(section: Image.Image, top: int) -> None:
    brush, face, x = ImageDraw.Draw(section), font(18), MARGIN
    for role, colour in _ROLE_COLOURS.items():
        name = _ROLE_NAMES[role]
        draw_chip(section, (x, top + 3, 18, 18), colour)
        brush.text((x + 26, top + 12), name, font=face, fill=INK, anchor="lm")
        x += 26 + text_width(name, face) + 28
    draw_chip(section, (x, top + 3, 18, 18), BADGE)
    brush.text((x + 26, top + 12), "global attention sink", font=face, fill=INK, anchor="lm")
    x += 26 + text_width("global attention sink", face) + 28
    brush.rectangle((x, top + 16, x + 18, top + 19), fill=INK)
    brush.text((x + 26, top + 12), "head noun phrase", font=face, fill=INK, anchor="lm")


def _count(points: npt.NDArray[np.float32]) -> str:
    positive = int((points[:, 2] == 1).sum())
    return f"{positive} on the object, {len(points) - positive} off it"
