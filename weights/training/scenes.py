"""Scenes of named, coloured objects pasted over photographs and procedural grounds, with exact masks."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.weights.training.sprites import Sprite, load_sprites, tint
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

Pixels = npt.NDArray[np.uint8]
SMALL, LARGE = 0.24, 0.36  # longest side over the picture's side: below is "small", above is "large"


@dataclass(frozen=True)
class SceneObject:
    """One pasted object.

    Attributes:
        noun, colour: its names; colour is None when it keeps its natural colours.
        mask: bool ``(height, width)``, the pixels where it is seen.
        side: its longest side over the picture's side, before occlusion.
    """

    noun: str
    colour: str | None
    mask: npt.NDArray[np.bool_]
    side: float

    @property
    def centre(self) -> tuple[float, float]:
        """x and y of the mask's centre of mass, each in [0, 1]."""
        rows, columns = np.nonzero(self.mask)
        return float(columns.mean() / self.mask.shape[1]), float(rows.mean() / self.mask.shape[0])


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 ``(height, width, 3)`` RGB, and what is in it."""

    image: Pixels
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class SceneStyle:
    """What the scenes of one stage of training look like.

    Attributes:
        size: the picture's side in pixels.
        objects: fewest and most objects.
        sides: shortest and longest object side, over the picture's side.
        plain: share of pictures on a plain or procedural ground rather than a photograph.
        photographs: share of objects cut from a photograph, for nouns that have one.
        natural: share of objects that keep their natural colours.
    """

    size: int = 256
    objects: tuple[int, int] = (2, 5)
    sides: tuple[float, float] = (0.18, 0.5)
    plain: float = 0.4
    photographs: float = 0.15
    natural: float = 0.15


FULL = SceneStyle()
# A quarter of the area, the same size of objects in pixels: four times as many pictures in the same time.
EASY = SceneStyle(size=128, objects=(1, 3), sides=(0.36, 0.8), plain=0.5)
# One object that fills the picture: a quarter of the area again, and the words can only mean that object.
SINGLE = SceneStyle(size=64, objects=(1, 1), sides=(0.6, 1.0))
DENSE = SceneStyle(size=128, objects=(2, 4), sides=(0.33, 0.7))
CROWDED = SceneStyle(objects=(3, 6), sides=(0.11, 0.42))
STYLES = {"single": SINGLE, "easy": EASY, "dense": DENSE, "full": FULL, "crowded": CROWDED}


class SceneMaker:
    """Draws scenes; the same seed gives the same scene.

    Args:
        emoji: folder of the fluent-emoji-3d pictures, named by code point.
        cutouts: folder with a ``records.jsonl`` of further cut-outs, or None.
        backgrounds: folder of photographs, or None for procedural grounds only.
    """

    def __init__(self, emoji: Path, cutouts: Path | None, backgrounds: Path | None) -> None:
        self.sprites = load_sprites(emoji, cutouts)
        paths = sorted(backgrounds.glob("*.jpg")) if backgrounds else []
        self.backgrounds = [np.asarray(Image.open(path).convert("RGB")) for path in paths]

    def scene(self, seed: int, style: SceneStyle = FULL) -> Scene:
        """Draw the scene of one seed. Every object keeps at least 70 % of its area in sight."""
        rng = np.random.default_rng(seed)
        names = self._names(rng, style)
        image = self._ground(rng, style).astype(np.float32)
        owner = np.full((style.size, style.size), -1, dtype=np.int16)
        full_area: list[int] = []
        placed: list[tuple[str, str | None, float]] = []
        for noun, colour in names:
            sprite = self._sprite(noun, rng, style)
            pixels = sprite.rgba if colour is None else tint(sprite.rgba, colour)
            for _ in range(12):
                side = float(np.exp(rng.uniform(*np.log(style.sides))))
                layer = _place(pixels, side * style.size, rng, style.size)
                solid = layer[..., 3] > 0.5
                area = int(solid.sum())
                remaining = [int(((owner == i) & ~solid).sum()) for i in range(len(placed))]
                if area > 60 and all(left >= 0.7 * whole for left, whole in zip(remaining, full_area, strict=True)):
                    _shadow(image, layer[..., 3], rng)
                    image = image * (1 - layer[..., 3:]) + layer[..., :3]
                    owner[solid] = len(placed)
                    full_area.append(area)
                    placed.append((noun, colour, side))
                    break
        gain, offset = rng.uniform(0.85, 1.1), rng.uniform(-12, 12)
        image = np.clip(image * gain + offset + rng.normal(0, rng.uniform(0, 4), image.shape), 0, 255)
        objects = tuple(SceneObject(n, c, owner == i, side) for i, (n, c, side) in enumerate(placed))
        return Scene(image.astype(np.uint8), objects)

    def _names(self, rng: np.random.Generator, style: SceneStyle) -> list[tuple[str, str | None]]:
        """Nouns and colours, so that often the noun alone or the colour alone names two of the objects."""
        colours = list(COLOURS)
        names: list[tuple[str, str | None]] = []
        for _ in range(rng.integers(style.objects[0], style.objects[1] + 1)):
            noun, colour = str(rng.choice(NOUNS)), str(rng.choice(colours))
            if names:
                other_noun, other_colour = names[rng.integers(len(names))]
                chance = rng.random()
                if chance < 0.22:
                    noun = other_noun
                elif chance < 0.4 and other_colour is not None:
                    colour = other_colour
                elif chance < 0.5 and style.objects[1] > 2:
                    noun, colour = other_noun, other_colour or colour
            names.append((noun, None if rng.random() < style.natural else colour))
        return names

    def _sprite(self, noun: str, rng: np.random.Generator, style: SceneStyle) -> Sprite:
        photographs = [s for s in self.sprites[noun] if s.photograph]
        drawings = [s for s in self.sprites[noun] if not s.photograph]
        pool = photographs if photographs and rng.random() < style.photographs else drawings
        return pool[rng.integers(len(pool))]

    def _ground(self, rng: np.random.Generator, style: SceneStyle) -> Pixels:
        if not self.backgrounds or rng.random() < style.plain:
            return _procedural(rng, style.size)
        photograph = self.backgrounds[rng.integers(len(self.backgrounds))]
        side = int(min(photograph.shape[:2]) * rng.uniform(0.4, 1.0))
        y = rng.integers(photograph.shape[0] - side + 1)
        x = rng.integers(photograph.shape[1] - side + 1)
        crop: Pixels = photograph[y : y + side, x : x + side]
        if rng.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
        return np.asarray(cv2.resize(crop, (style.size,) * 2, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _procedural(rng: np.random.Generator, size: int) -> Pixels:
    """A muted ground: a gradient, smooth noise, or stripes."""
    first, second = rng.uniform(40, 230, 3), rng.uniform(40, 230, 3)
    first, second = (0.6 * c.mean() + 0.4 * c for c in (first, second))
    kind = rng.integers(3)
    if kind == 0:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[:size, :size] / size - 0.5
        weight = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)
    elif kind == 1:
        cells = int(rng.integers(2, 24))
        weight = cv2.resize(rng.random((cells, cells)), (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    else:
        angle, period = rng.uniform(0, np.pi), rng.uniform(size / 16, size / 3)
        y, x = np.mgrid[:size, :size]
        weight = 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    ground: Pixels = (first + weight[..., None] * (second - first)).astype(np.uint8)
    return ground


def _place(rgba: Pixels, side: float, rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """The cut-out, turned and scaled, on a canvas: float32 ``(size, size, 4)``, premultiplied, alpha 0-1."""
    height, width = rgba.shape[:2]
    scale = side / max(height, width)
    margin = 0.42 * side
    x, y = rng.uniform(margin, size - margin, 2)
    pixels = rgba[:, ::-1] if rng.random() < 0.5 else rgba
    alpha = pixels[..., 3:].astype(np.float32) / 255
    premultiplied = np.concatenate([pixels[..., :3] * alpha, alpha], axis=-1)
    if scale < 0.7:  # warpAffine alone would alias
        premultiplied = cv2.resize(premultiplied, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width, scale = *premultiplied.shape[:2], 1.0
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 12), scale)
    matrix[:, 2] += (x - width / 2, y - height / 2)
    return np.asarray(cv2.warpAffine(premultiplied, matrix, (size, size), flags=cv2.INTER_LINEAR))


def _shadow(image: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Darken the ground, in place, where the object throws a soft shadow."""
    if rng.random() < 0.4:
        return
    size = len(alpha)
    shift = np.array([[1, 0, rng.uniform(-0.03, 0.03) * size], [0, 1, rng.uniform(0, 0.04) * size]], dtype=np.float32)
    soft = cv2.GaussianBlur(cv2.warpAffine(alpha, shift, (size, size)), (0, 0), size * rng.uniform(0.008, 0.03))
    image *= 1 - rng.uniform(0.2, 0.5) * soft[..., None]
