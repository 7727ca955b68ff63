"""Three guesses that never read the phrase. A method that does not beat them has not understood it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

_SALIENCY_WIDTH = 64  # pixels; the scale the paper works at
_SALIENCY_THRESHOLD = 3.0  # times the mean, as in the paper


@dataclass(frozen=True)
class Guess:
    """A mask, bool ``(height, width)``, and a point (x, y) in pixels."""

    mask: npt.NDArray[np.bool_]
    point: tuple[float, float]


def centre_blob(image: npt.NDArray[np.uint8]) -> Guess:
    """An ellipse in the middle, half as high and half as wide as the picture (20 % of its area)."""
    height, width = image.shape[:2]
    y, x = np.ogrid[:height, :width]
    inside = ((x + 0.5 - width / 2) / (width / 4)) ** 2 + ((y + 0.5 - height / 2) / (height / 4)) ** 2 <= 1
    return Guess(inside, (width / 2, height / 2))


def whole_image(image: npt.NDArray[np.uint8]) -> Guess:
    """Every pixel, and the point in the middle."""
    height, width = image.shape[:2]
    return Guess(np.ones((height, width), dtype=np.bool_), (width / 2, height / 2))


def saliency(image: npt.NDArray[np.uint8]) -> Guess:
    """The salient region, by the spectral residual (Hou and Zhang, CVPR 2007), and its highest place.

    Equations (3) to (5) of the paper: with the Fourier transform's log amplitude L and phase P, the residual is
    R = L - (3x3 mean of L), and the saliency map is a Gaussian blur of |inverse transform of exp(R + iP)|^2. The object
    is where the map exceeds three times its mean.
    """
    height, width = image.shape[:2]
    size = (_SALIENCY_WIDTH, max(1, round(_SALIENCY_WIDTH * height / width)))
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float64)
    spectrum = np.fft.fft2(grey)
    log_amplitude = np.log(np.abs(spectrum) + 1e-8)
    residual = log_amplitude - cv2.blur(log_amplitude, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    transformed = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    small = cv2.GaussianBlur(transformed, (0, 0), sigmaX=2.5)
    heat = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    # A picture without any structure has nothing above the threshold; its highest place is still a guess.
    mask = heat >= min(_SALIENCY_THRESHOLD * heat.mean(), heat.max())
    return Guess(mask, (float(x) + 0.5, float(y) + 0.5))


CONTROLS: dict[str, Callable[[npt.NDArray[np.uint8]], Guess]] = {
    "centre_blob": centre_blob,
    "whole_image": whole_image,
    "saliency": saliency,
}
