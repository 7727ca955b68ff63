"""Pages of small captioned pictures: the layout of ``explain`` and of contact sheets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from groundkit.outputs.drawing import (
    WHITE,
    Colour,
    fit_inside,
    fit_text,
    mark_points,
    outline,
    stroke,
    text_width,
    tint,
)
from groundkit.outputs.letters import font, legible

WIDTH, MARGIN, _GAP = 1600, 40, 16
INNER = WIDTH - 2 * MARGIN
_MOST_COLUMNS, _WIDEST_TILE = 8, 300
_LARGEST_PICTURE = 2 * _WIDEST_TILE
INK: Colour = (15, 23, 42)
FAINT: Colour = (100, 116, 139)
GROUND: Colour = (248, 250, 252)
BADGE: Colour = (217, 119, 6)
_FRAME: Colour = (226, 232, 240)


@dataclass(frozen=True)
class Tile:
    """One small picture and its captions.

    Attributes:
        picture: uint8 ``(h, w, 3)`` RGB of any size.
        title: one line above it.
        note: one line below it.
        chip: colour behind the title; none for a plain title.
        frame: colour of a frame; none for no frame.
        badge: a word in the upper right corner.
        badge_colour: colour behind it.
        faded: whether the picture steps back behind the others.
        points: float32 ``(M, 3)``: x, y in pixels of ``picture`` and the label, drawn in the same size on every tile.
    """

    picture: npt.NDArray[np.uint8]
    title: str
    note: str = ""
    chip: Colour | None = None
    frame: Colour | None = None
    badge: str = ""
    badge_colour: Colour = BADGE
    faded: bool = False
    points: npt.NDArray[np.float32] | None = None


_BESIDE = {
    "places": ("Spatial bias", "from the direction word"),
    "negation": ("Without {}", "what the phrase excludes"),
    "contrast": ("Background", "a general prompt, subtracted"),
    "evidence": ("Null phrase: {}", "evidence is measured against it"),
}


def tile_beside(stage: str, name: str, picture: npt.NDArray[np.uint8], *, faded: bool = False) -> Tile:
    """A map that a stage looked at beside its own, with what it is for.

    Args:
        stage: name of the stage.
        name: what the map is of, such as the text that was read.
    """
    title, note = _BESIDE.get(stage, ("{}", f"for the stage {stage}"))
    return Tile(picture, title.format(name), note, faded=faded)


def shrink(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A copy no larger than a tile can show, uint8 ``(h, w, 3)``: dozens of tiles need no full resolution."""
    scale = min(1.0, _LARGEST_PICTURE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.array(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def paint(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: Colour) -> None:
    """Tint and outline a mask of any size on a smaller picture, in place."""
    size = (picture.shape[1], picture.shape[0])
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    tint(picture, small, colour)
    outline(picture, small, colour, stroke(picture))


def draw_row(title: str, tiles: Sequence[Tile]) -> Image.Image:
    """Tiles in a grid of equal cells under a heading."""
    if not tiles:
        return Image.new("RGB", (WIDTH, 0), GROUND)
    rows = math.ceil(len(tiles) / _MOST_COLUMNS)
    columns = math.ceil(len(tiles) / rows)
    width = min(_WIDEST_TILE, (INNER - (columns - 1) * _GAP) // columns)
    proportion = float(np.median([tile.picture.shape[0] / tile.picture.shape[1] for tile in tiles]))
    height = round(width * min(max(proportion, 0.25), 1.5))
    cell = height + 72
    section = Image.new("RGB", (WIDTH, 44 + rows * cell + (rows - 1) * _GAP), GROUND)
    ImageDraw.Draw(section).text((MARGIN, 0), title, font=font(22, bold=True), fill=INK)
    for index, tile in enumerate(tiles):
        line, column = divmod(index, columns)
        _draw_tile(section, tile, MARGIN + column * (width + _GAP), 44 + line * (cell + _GAP), width, height)
    return section


def _draw_tile(section: Image.Image, tile: Tile, x: int, y: int, width: int, height: int) -> None:
    brush = ImageDraw.Draw(section)
    small = font(14, bold=True)
    title, face = legible(tile.title[:100], 18, bold=True)
    if text_width(title, face) > width - 20:
        title, face = legible(tile.title[:100], 14, bold=True)
    title = fit_text(title, face, width - 20) or "?"
    if tile.chip is None:
        brush.text((x, y + 15), title, font=face, fill=INK, anchor="lm")
    else:
        draw_chip(section, (x, y, text_width(title, face) + 20, 30), tile.chip)
        brush.text((x + 10, y + 15), title, font=face, fill=WHITE, anchor="lm")

    top = y + 38
    placed = fit_inside(tile.picture, width, height)
    picture = np.array(placed.picture)
    if tile.points is not None:
        mark_points(picture, tile.points * np.array([placed.scale_x, placed.scale_y, 1], np.float32), radius=6)
    if tile.faded:
        picture = np.rint(picture * 0.55 + np.array(GROUND) * 0.45).astype(np.uint8)
    left_edge, top_edge = x + (width - picture.shape[1]) // 2, top + (height - picture.shape[0]) // 2
    brush.rectangle((x, top, x + width - 1, top + height - 1), fill=_FRAME)
    section.paste(Image.fromarray(picture), (left_edge, top_edge))
    if tile.frame is not None:
        brush.rectangle((x, top, x + width - 1, top + height - 1), outline=tile.frame, width=4)
    if tile.badge:
        badge = text_width(tile.badge, small) + 14
        draw_chip(section, (x + width - badge - 8, top + 8, badge, 24), tile.badge_colour)
        brush.text((x + width - badge / 2 - 8, top + 20), tile.badge, font=small, fill=WHITE, anchor="mm")
    note, face = legible(tile.note, 14)
    brush.text((x, top + height + 18), fit_text(note, face, width), font=face, fill=FAINT, anchor="lm")


def draw_chip(section: Image.Image, box: tuple[int, int, int, int], colour: Colour) -> None:
    """A filled box (x, y, width, height) with round corners, drawn four times as large for smooth edges."""
    x, y, width, height = box
    shape = Image.new("L", (4 * width, 4 * height), 0)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), radius=24, fill=255)
    section.paste(
        Image.new("RGB", (width, height), colour), (x, y), shape.resize((width, height), Image.Resampling.BOX)
    )


def stack(sections: Iterable[Image.Image]) -> npt.NDArray[np.uint8]:
    """Sections below each other, with margins and without the empty ones."""
    rows = [np.asarray(section) for section in sections if section.height]
    space = np.full((36, WIDTH, 3), GROUND, dtype=np.uint8)
    return np.concatenate([space, *[part for row in rows for part in (row, space)]])
