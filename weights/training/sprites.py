"""Named cut-outs: RGBA pictures cropped to their alpha, from drawings and from photographs with masks."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.weights.training.vocabulary import COLOURS, EMOJI, SYNONYMS

SPRITE_SIDE = 144
PHOTOGRAPHS_PER_NOUN = 12
# Photographs that samples/ shows: nothing is learnt from them.
HELD_OUT = ("coco_val2017_000000311303", "coco_val2017_000000555009", "coco_val2017_000000030213")


@dataclass(frozen=True)
class Sprite:
    """One cut-out.

    Attributes:
        noun: what it shows.
        rgba: uint8 ``(height, width, 4)``, longest side ``SPRITE_SIDE``.
        photograph: cut from a photograph rather than drawn.
    """

    noun: str
    rgba: npt.NDArray[np.uint8]
    photograph: bool


def _crop(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    rows, columns = np.nonzero(rgba[..., 3] > 127)
    if len(rows) < 400:
        return None
    rgba = rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = SPRITE_SIDE / max(rgba.shape[:2])
    size = (max(1, round(rgba.shape[1] * scale)), max(1, round(rgba.shape[0] * scale)))
    return np.asarray(Image.fromarray(rgba).resize(size, Image.Resampling.LANCZOS))


def _from_emoji(folder: Path) -> list[Sprite]:
    sprites = []
    for noun, codes in EMOJI.items():
        for code in codes:
            rgba = _crop(np.asarray(Image.open(folder / f"{code}.webp").convert("RGBA")))
            if rgba is not None:
                sprites.append(Sprite(noun, rgba, photograph=False))
    return sprites


def _from_records(folder: Path, rng: np.random.Generator) -> list[Sprite]:
    noun_of = {name: noun for noun in EMOJI for name in (noun, *SYNONYMS.get(noun, ()))}
    by_noun: dict[str, list[dict[str, object]]] = {}
    sprites = []
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        noun = noun_of.get(record["name"])
        if noun is None or not record["mask"] or record.get("pseudo_quality", 1.0) < 0.83:
            continue
        if Path(record["image"]).stem in HELD_OUT:
            continue
        if record["mask_kind"] == "human" and record["area_frac"] < 0.03:
            continue  # too few pixels to show what it is
        by_noun.setdefault(noun, []).append(record)
    for noun, records in by_noun.items():
        drawings = [r for r in records if r.get("kind") == "drawing"]
        photographs = [r for r in records if r.get("kind") != "drawing"]
        chosen = [photographs[i] for i in rng.permutation(len(photographs))[:PHOTOGRAPHS_PER_NOUN]]
        for record in drawings + chosen:
            image = np.asarray(Image.open(folder / str(record["image"])).convert("RGB"))
            mask = np.asarray(Image.open(folder / str(record["mask"])).convert("L"))
            rgba = _crop(np.dstack([image, cv2.GaussianBlur(mask, (0, 0), 0.7)]))
            if rgba is not None:
                sprites.append(Sprite(noun, rgba, photograph=record.get("kind") != "drawing"))
    return sprites


def load_sprites(emoji: Path, cutouts: Path | None) -> dict[str, list[Sprite]]:
    """Read every cut-out whose name is in the vocabulary, by noun; drawings first, then photographs."""
    sprites = _from_emoji(emoji)
    if cutouts is not None:
        sprites += _from_records(cutouts, np.random.default_rng(0))
    by_noun: dict[str, list[Sprite]] = {}
    for sprite in sprites:
        by_noun.setdefault(sprite.noun, []).append(sprite)
    return by_noun


def tint(rgba: npt.NDArray[np.uint8], colour: str) -> npt.NDArray[np.uint8]:
    """Recolour a cut-out: its brightness, stretched, is mapped to the colour's ramp from dark over full to light."""
    luminance = cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2GRAY).astype(np.float32)
    solid = luminance[rgba[..., 3] > 127]
    low, high = np.percentile(solid, (3, 97))
    position = np.clip((luminance - low) / max(high - low, 25.0), 0, 1)
    ramp = np.array(COLOURS[colour], dtype=np.float32)
    tinted = np.stack([np.interp(position, (0.0, 0.55, 1.0), ramp[:, channel]) for channel in range(3)], axis=-1)
    mixed = 0.88 * tinted + 0.12 * rgba[..., :3]
    return np.dstack([mixed.astype(np.uint8), rgba[..., 3]])
