"""Resizing pictures for a model's input."""

import numpy as np
import numpy.typing as npt
from PIL import Image


def resize(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize an RGB picture, uint8 ``(h, w, 3)``, to ``(height, width, 3)`` with antialiasing."""
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
