"""One picture that shows every step from phrase to mask."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.attention.maps import AttentionMaps
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
    tile_beside,
)
from groundkit.language import Role, Token
from groundkit.outputs.drawing import MASK_COLOURS, POSITIVE, WHITE, Colour, fit_text, text_width
from groundkit.outputs.formats.heatmap import draw_heatmap, stretch
from groundkit.outputs.letters import Font, font, legible
from groundkit.results import Grounding
from groundkit.stages.trace import Trace

_MOST_LINES = 4  # of words in the header; a longer phrase ends with an ellipsis
_ROLE_COLOURS: dict[Role, Colour] = {
    Role.CONTENT: (37, 99, 235),
    Role.STOP: (148, 163, 184),
    Role.MAGNET: (192, 38, 211),
    Role.SPECIAL: (71, 85, 105),
}
_COMBINES = ("tokens",)  # stages that make one map of several tokens
_ROLE_NAMES = {Role.CONTENT: "content word", Role.STOP: "stop word", Role.MAGNET: "magnet", Role.SPECIAL: "special"}


def draw_explanation(grounding: Grounding) -> npt.NDArray[np.uint8]:
    """Draw every step from the phrase to the mask on one page; the trace of the steps says on which kind of page.

    Args:
        grounding: a result whose pipeline left a trace.

    Returns:
        uint8 RGB, 1600 pixels wide and as high as needed.

    Raises:
        GroundkitError: when the result carries no trace.
    """
    from groundkit.explain.answer import draw_answer

    if not isinstance(grounding.steps, Trace):
        raise GroundkitError(f"pipeline {grounding.pipeline} leaves no trace of its steps to explain")
    return {"tokens": draw_tokens, "answer": draw_answer}[grounding.steps.page](grounding, grounding.steps)


def draw_tokens(grounding: Grounding, trace: Trace) -> npt.NDArray[np.uint8]:
    """The words with their roles, each token's map, the sinks, what each stage looked at, the points and the masks."""
    image = shrink(grounding.image)
    sections = [
        _header(grounding, trace),
        draw_row("From attention to mask", _steps(grounding, trace, image)),
        draw_row("What the segmenter proposed for the point", _proposals(trace, image)),
        draw_row("One map per token, each stretched from its lowest to its highest value", _token_maps(trace, image)),
        draw_settings(grounding),
    ]
    return stack(sections)


def _steps(grounding: Grounding, trace: Trace, image: npt.NDArray[np.uint8]) -> list[Tile]:
    height, width = grounding.image.shape[:2]
    points = grounding.points * np.array([image.shape[1] / width, image.shape[0] / height, 1], dtype=np.float32)
    found = image.copy()
    for index, mask in enumerate(grounding.masks):
        paint(found, mask, MASK_COLOURS[index % len(MASK_COLOURS)])
    tiles = [Tile(image, "Picture", f"{width} x {height} pixels")]
    combined = [step for step in trace.steps if len(step.maps.tokens) == 1]
    if combined:
        together = f"{len(_kept(trace))} of {len(trace.steps[0].maps.tokens)} tokens"
        tiles.append(Tile(_drawn(combined[0].maps, image), "Kept maps together", together))
    for step in combined:
        for name, maps in step.beside.items():
            tiles.append(tile_beside(step.name, name, _drawn(maps, image)))
    tiles.append(Tile(draw_heatmap(image, grounding.heatmap), "Heatmap and points", _count(points), points=points))
    scores = ", ".join(f"{score:.2f}" for score in grounding.scores[:4])
    note = f"score {scores}" if scores else "nothing found"
    tiles.append(Tile(found, "Mask" if len(grounding.masks) < 2 else "Masks", note, points=points, frame=POSITIVE))
    return tiles


def _proposals(trace: Trace, image: npt.NDArray[np.uint8]) -> list[Tile]:
    first = trace.candidates[0] if trace.candidates else None
    tiles = []
    for index, (mask, score) in enumerate(first.proposals if first else ()):
        picture = image.copy()
        paint(picture, mask.whole(), MASK_COLOURS[0])
        frame, badge = (POSITIVE, "chosen") if first and index == first.chosen else (None, "")
        tiles.append(
            Tile(
                picture,
                f"Score {score:.2f}",
                f"{mask.percent:.1f} % of the picture",
                frame=frame,
                badge=badge,
                badge_colour=POSITIVE,
            )
        )
    return tiles


def _token_maps(trace: Trace, image: npt.NDArray[np.uint8]) -> list[Tile]:
    count = len(trace.steps[0].maps.tokens)
    maps = [step.maps for step in trace.steps if len(step.maps.tokens) == count][-1]  # before any is dropped
    tiles, kept = [], _kept(trace)
    for index, token in enumerate(maps.tokens):
        colour, is_kept = _ROLE_COLOURS[_role(token)], token in kept
        one = maps.keep([other == index for other in range(count)])
        tiles.append(
            Tile(
                _drawn(one, image),
                token.text,
                f"{'kept' if is_kept else 'dropped'}, peak {float(one.values.max()):.2g}",
                chip=colour,
                frame=colour if is_kept else None,
                badge="sink" if token.sink else "",
                faded=not is_kept,
            )
        )
    return tiles


def _role(token: Token) -> Role:
    """Its role, and special for the end token that a magnet brings along."""
    is_special = token.text.startswith("<") and token.text.endswith(">")
    return Role.SPECIAL if token.role is Role.MAGNET and is_special else token.role


def _kept(trace: Trace) -> tuple[Token, ...]:
    """The tokens whose maps were combined."""
    before = [step.maps.tokens for step in itertools.takewhile(lambda step: step.name not in _COMBINES, trace.steps)]
    return before[-1]


def _drawn(maps: AttentionMaps, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One map over the picture, stretched from its lowest to its highest value."""
    heat = maps.numpy()[0, 0, 0] if len(maps.grids) == 1 else maps.over(image.shape[:2])
    return draw_heatmap(image, stretch(heat))


def _header(grounding: Grounding, trace: Trace) -> Image.Image:
    """The phrase as chips coloured by role, the magnets behind it, and the legend."""
    chips = [(word.text, _ROLE_COLOURS[word.role], bool(word.in_head)) for word in trace.phrase.words]
    # A magnet also brings spaces along, which have tiles of their own but are no words.
    magnets = [token.text.lstrip("▁Ġ") for token in trace.steps[0].maps.tokens if _role(token) is Role.MAGNET]
    chips += [(text, _ROLE_COLOURS[Role.MAGNET], False) for text in magnets if text]
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
