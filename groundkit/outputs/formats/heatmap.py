"""Heat as colour, over the picture it belongs to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError
from groundkit.outputs.formats.base import Format, Part, Source
from groundkit.outputs.formats.png import write_png
from groundkit.results import Discovery, Grounding

_STRIP = 64  # rows that are blended at a time: they stay in the processor's cache
_FAINTEST, _STRONGEST = 0.35, 0.8  # how much of the colour covers the picture at heat 0 and at heat 1


def colour_map(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour heat in [0, 1], float32 ``(h, w)``, with the turbo map (blue cold, red hot): uint8 ``(h, w, 3)`` RGB."""
    return _turbo()[_levels(heat)]


def draw_heatmap(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Lay coloured heat over a picture; hot places cover more of it.

    Args:
        image: uint8 ``(height, width, 3)`` RGB.
        heat: float32 in [0, 1] of any size; it is stretched over the picture.

    Returns:
        uint8 ``(height, width, 3)`` RGB.
    """
    height, width = image.shape[:2]
    stretched: npt.NDArray[Any] = heat
    if heat.shape != (height, width):
        stretched = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    drawn = np.empty_like(image)
    for top in range(0, height, _STRIP):
        rows = np.s_[top : top + _STRIP]
        index = _levels(stretched[rows]).astype(np.intp) << 8
        index |= np.asarray(cv2.cvtColor(image[rows], cv2.COLOR_RGB2GRAY), np.uint8)
        np.take(_blends(), index, axis=0, out=drawn[rows])
    return drawn


def _levels(heat: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Heat in [0, 1] as 0 to 255; NaN is cold."""
    return np.asarray(np.rint(np.fmin(np.fmax(heat, 0), 1) * 255), np.uint8)


@cache
def _turbo() -> npt.NDArray[np.uint8]:
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[:, 0, ::-1], np.uint8)


@cache
def _blends() -> npt.NDArray[np.uint8]:
    """What a grey value becomes under heat, uint8 ``(65536, 3)``: 256 greys for each of 256 levels of heat."""
    cover = np.linspace(_FAINTEST, _STRONGEST, 256)[:, None, None]
    grey = np.arange(256)[None, :, None]
    return np.rint(_turbo()[:, None] * cover + grey * (1 - cover)).astype(np.uint8).reshape(-1, 3)


def stretch(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Stretch finite values to [0, 1]; a flat map becomes 0 everywhere, for it points nowhere."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros_like(values, dtype=np.float32)
    return ((values - low) / (high - low)).astype(np.float32)


class Heatmap(Format):
    """The heatmap in colour over the picture, as a PNG."""

    ending = "-heatmap.png"
    needs = frozenset[Part]({"image", "heatmap"})

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        heat = None if isinstance(result, Discovery) else result.heatmap  # made each time that it is asked for
        if heat is None or np.isnan(heat).all():
            raise ConfigError("heatmap: discovered objects have no heatmap; choose another format")
        return [write_png(path, draw_heatmap(result.image, heat), source.owner)]


FORMAT = Heatmap()
