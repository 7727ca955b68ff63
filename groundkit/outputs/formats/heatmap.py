"""Heat as colour, over the picture it belongs to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError
from groundkit.outputs.formats.base import Format, Part, Source
from groundkit.outputs.formats.png import write_png
from groundkit.results import Discovery, Grounding

_FAINTEST, _STRONGEST = 0.35, 0.8  # how much of the colour covers the picture at heat 0 and at heat 1


def colour_map(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour heat in [0, 1], float32 ``(h, w)``, with the turbo map (blue cold, red hot): uint8 ``(h, w, 3)`` RGB."""
    levels = np.rint(np.clip(np.nan_to_num(heat), 0, 1) * 255).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def draw_heatmap(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Lay coloured heat over a picture; hot places cover more of it.

    Args:
        image: uint8 ``(height, width, 3)`` RGB.
        heat: float32 in [0, 1] of any size; it is stretched over the picture.

    Returns:
        uint8 ``(height, width, 3)`` RGB.
    """
    height, width = image.shape[:2]
    heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
    cover = (_FAINTEST + (_STRONGEST - _FAINTEST) * np.clip(np.nan_to_num(heat), 0, 1))[..., None]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    blended: npt.NDArray[np.float32] = colour_map(heat) * cover + grey * (1 - cover)
    return np.rint(blended).astype(np.uint8)


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
        if isinstance(result, Discovery) or np.isnan(result.heatmap).all():
            raise ConfigError("heatmap: discovered objects have no heatmap; choose another format")
        return [write_png(path, draw_heatmap(result.image, result.heatmap), source.owner)]


FORMAT = Heatmap()
