"""Clips of moving objects with exact masks: drawn for evaluation, from seeds that training never saw.

python -m groundkit.weights.training.clips --emoji ... --cutouts ... --backgrounds ... --steps 50 --output runs/clips
groundkit eval --video runs/clips/video_cases.jsonl

The film in ``samples/`` is one of them, of drawings alone:

python -m groundkit.weights.training.clips --emoji ... --steps 1 --seed 18 --name red ball --film samples/clip.mp4
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.outputs.video.folders import IndexedFolder
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.weights.training.captions import Referral, referrals
from groundkit.weights.training.scenes import Pixels, Scene, SceneMaker, SceneObject, SceneStyle
from groundkit.weights.training.sources import argument_parser
from groundkit.weights.training.sprites import tint

FRAMES, RATE = 24, 12
STYLE = SceneStyle(objects=(2, 4), sides=(0.2, 0.42), plain=0.4)
FIRST_SEED = 5_000_000  # cases.py counts up from 0, training from ten million
_LEAVES_EACH, _CROSSES = 4, 0.5  # each fourth clip; share of the others
_IN_SIGHT = 0.7  # of every object on the first frame
_LEAST_PIXELS = 300  # of every object on the first frame


@dataclass(frozen=True)
class Clip:
    """A short film and what moves in it.

    Attributes:
        frames: uint8 ``(F, height, width, 3)`` RGB.
        masks: bool ``(K, F, height, width)``, where each object is seen; no two overlap.
        objects: K of them as they are on the first frame.
        target: index of the object that ``phrase`` names.
        phrase: true of that object alone, on every frame.
        leaves: whether the target leaves the picture and comes back.
    """

    frames: Pixels
    masks: npt.NDArray[np.bool_]
    objects: tuple[SceneObject, ...]
    target: int
    phrase: str
    leaves: bool


@dataclass(frozen=True)
class Motion:
    """How one object moves, in pixels of the picture.

    Attributes:
        path: float64 ``(4, 2)``, x and y of the control points of a cubic Bezier curve, run through once; its ends lie
            in the picture.
        side: its longest side, at first and at last.
        turn: degrees, at first and at last.
    """

    path: npt.NDArray[np.float64]
    side: tuple[float, float]
    turn: tuple[float, float]

    def place(self, time: float) -> npt.NDArray[np.float64]:
        """x and y of its middle at a time in [0, 1]."""
        rest = 1 - time
        weights = np.array([rest**3, 3 * rest**2 * time, 3 * rest * time**2, time**3])
        return np.asarray(weights @ self.path)

    def through(self, place: npt.NDArray[np.float64]) -> Motion:
        """The same ends, but at ``place`` halfway."""
        path = self.path.copy()
        path[1:3] += (place - self.place(0.5)) * 4 / 3
        return replace(self, path=path)


class ClipMaker(SceneMaker):
    """Draws clips; the same seed gives the same clip. See :class:`SceneMaker` for the folders of pictures."""

    def clip(self, seed: int, *, leaves: bool = False, first: tuple[str, str] | None = None) -> Clip:
        """Draw the clip of one seed.

        On the first frame at least 70 % of every object is in sight.

        Args:
            seed: of everything.
            leaves: whether the target leaves the picture and comes back; else, in half of the clips, another object
                meets the target halfway, before or behind it.
            first: noun and colour of an object that must be there and is the target; any, when None.
        """
        rng = np.random.default_rng(seed)
        while True:
            names = self._names(rng, STYLE)
            if first is not None:
                names[0] = first
            clip = self._film(names, rng, leaves, first)
            if clip is not None:
                return clip

    def _film(
        self,
        names: list[tuple[str, str | None]],
        rng: np.random.Generator,
        leaves: bool,
        first: tuple[str, str] | None,
    ) -> Clip | None:
        """A clip of these objects, or None where chance made one that does not hold what ``clip`` promises."""
        size = STYLE.size
        sprites = [self._sprite(noun, rng, STYLE) for noun, _ in names]
        rgba = [
            sprite.rgba if colour is None else tint(sprite.rgba, colour)
            for sprite, (_, colour) in zip(sprites, names, strict=True)
        ]
        motions = [_motion(rng, size) for _ in names]
        target = 0 if first is not None else int(rng.integers(len(names)))
        if leaves:
            motions[target] = _out_and_back(motions[target], rng, size)
        elif rng.random() < _CROSSES:
            other = int(rng.choice([index for index in range(len(names)) if index != target]))
            motions[other] = motions[other].through(motions[target].place(0.5))
        order = rng.permutation(len(names))  # from back to front
        ground = self._ground(rng, STYLE).astype(np.float32)
        gain, offset, noise = rng.uniform(0.85, 1.1), rng.uniform(-12, 12), rng.uniform(0, 3)
        frames = np.zeros((FRAMES, size, size, 3), np.uint8)
        masks = np.zeros((len(names), FRAMES, size, size), np.bool_)
        for frame in range(FRAMES):
            time = 0.5 - 0.5 * float(np.cos(np.pi * frame / (FRAMES - 1)))  # slow at both ends
            image = ground.copy()
            whole = np.zeros(len(names))
            for index in order:
                layer = _layer(rgba[index], motions[index], time, size)
                solid = layer[..., 3] > 0.5
                image = image * (1 - layer[..., 3:]) + layer[..., :3]
                masks[:, frame] &= ~solid
                masks[index, frame] = solid
                whole[index] = solid.sum()
            seen = masks[:, frame].sum(axis=(1, 2))
            if frame == 0 and ((seen < _IN_SIGHT * whole) | (seen < _LEAST_PIXELS)).any():
                return None
            lit = image * gain + offset + rng.normal(0, noise, image.shape)
            frames[frame] = np.clip(lit, 0, 255).astype(np.uint8)
        if leaves and not _is_gone_and_back(masks[target]):
            return None
        objects = tuple(
            SceneObject(noun, colour, masks[index, 0], motions[index].side[0] / size)
            for index, (noun, colour) in enumerate(names)
        )
        chosen = _phrase(Scene(frames[0], objects), target, rng, first)
        return None if chosen is None else Clip(frames, masks, objects, target, chosen.phrase, leaves)


def _motion(rng: np.random.Generator, size: int) -> Motion:
    side = size * float(np.exp(rng.uniform(*np.log(STYLE.sides))))
    margin = 0.45 * side
    angle = rng.normal(0, 12)
    return Motion(
        path=rng.uniform(margin, size - margin, (4, 2)),
        side=(side, side * float(np.exp(rng.uniform(-0.3, 0.3)))),
        turn=(angle, angle + rng.normal(0, 20)),
    )


def _out_and_back(motion: Motion, rng: np.random.Generator, size: int) -> Motion:
    """It begins and ends near a border, and halfway it is past that border by more than half its size."""
    axis, far = int(rng.integers(2)), bool(rng.integers(2))
    side = max(motion.side)
    path = motion.path.copy()
    path[[0, 3], axis] = 0.45 * side + rng.uniform(0, 0.15 * size, 2)
    halfway = motion.place(0.5)
    halfway[axis] = -0.75 * side - 0.05 * size
    moved = replace(motion, path=path).through(halfway)
    if far:
        moved.path[:, axis] = size - moved.path[:, axis]
    return moved


def _is_gone_and_back(masks: npt.NDArray[np.bool_]) -> bool:
    """Whether an object, bool ``(F, height, width)``, is away for three frames and seen before and after."""
    areas = masks.sum(axis=(1, 2))
    return int((areas == 0).sum()) >= 3 and int(areas[[0, 1, 2, -3, -2, -1]].min()) > _LEAST_PIXELS


def _layer(rgba: Pixels, motion: Motion, time: float, size: int) -> npt.NDArray[np.float32]:
    """The cut-out in its place at a time: float32 ``(size, size, 4)``, premultiplied, alpha 0-1."""
    height, width = rgba.shape[:2]
    side, turn = (ends[0] + time * (ends[1] - ends[0]) for ends in (motion.side, motion.turn))
    alpha = rgba[..., 3:].astype(np.float32) / 255
    pixels = np.concatenate([rgba[..., :3] * alpha, alpha], axis=-1)
    scale = side / max(height, width)
    if scale < 0.7:  # warpAffine alone would alias; blurred, not resized, so that its size changes smoothly
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.35 / scale)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    matrix[:, 2] += motion.place(time) - (width / 2, height / 2)
    return np.asarray(cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR), dtype=np.float32)


def _phrase(scene: Scene, target: int, rng: np.random.Generator, first: tuple[str, str] | None) -> Referral | None:
    """A phrase for the target by its name or colour, which stay; places and sizes do not."""
    wanted = None if first is None else f"the {first[1]} {first[0]}"
    found = [
        each
        for each in referrals(scene)
        if each.target == target and each.kind in ("noun", "colour") and wanted in (None, each.phrase)
    ]
    return found[int(rng.integers(len(found)))] if found else None


def write_case(clip: Clip, name: str, folder: Path) -> dict[str, object]:
    """Write the frames and the numbered masks of a clip, as DAVIS has them, and return its line of the case file."""
    frames = folder / "JPEGImages" / name
    frames.mkdir(parents=True, exist_ok=True)
    with IndexedFolder(folder / "Annotations", name) as annotations:
        for index, frame in enumerate(clip.frames):
            Image.fromarray(frame).save(frames / f"{index:05d}.jpg", quality=95)
            annotations.add(f"{index:05d}", clip.masks[:, index])
    return {
        "id": name,
        "frames": f"JPEGImages/{name}",
        "masks": f"Annotations/{name}",
        "object_id": clip.target + 1,
        "phrase": clip.phrase,
        "phrase_type": "leaves and returns" if clip.leaves else "stays",
    }


def main() -> None:
    """Write ``JPEGImages/``, ``Annotations/`` and ``video_cases.jsonl``, or a film of one clip."""
    parser = argument_parser("Draw clips to evaluate on.", "runs/clips")
    parser.add_argument("--film", type=Path, help="write one clip to this MP4 instead")
    parser.add_argument("--name", nargs=2, metavar=("COLOUR", "NOUN"), help="an object that must be in it")
    arguments: argparse.Namespace = parser.parse_args()
    maker = ClipMaker(arguments.emoji, arguments.cutouts, arguments.backgrounds)
    seeds = count(FIRST_SEED + 1000 * arguments.seed)
    first = (arguments.name[1], arguments.name[0]) if arguments.name else None
    if arguments.film:
        write_mp4(arguments.film, maker.clip(next(seeds), first=first).frames, rate=RATE)
        return
    lines = []
    for index in range(arguments.steps):
        clip = maker.clip(next(seeds), leaves=index % _LEAVES_EACH == _LEAVES_EACH - 1, first=first)
        lines.append(json.dumps(write_case(clip, f"clip-{index:02d}", arguments.output)))
    (arguments.output / "video_cases.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
