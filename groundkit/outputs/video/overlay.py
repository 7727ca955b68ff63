"""A video with what was found drawn in, as a film."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundkit.media.videos import Frame
from groundkit.outputs.formats.overlay import draw_overlay
from groundkit.outputs.video.mp4 import TICKS, Mp4Writer, open_mp4


@contextmanager
def open_overlay(path: Path, phrase: str = "") -> Iterator[OverlayWriter]:
    """Begin a film of a video with what was found drawn in; the place and errors are those of ``open_mp4``."""
    with open_mp4(path) as film:
        yield OverlayWriter(film, phrase)


class OverlayWriter:
    """Takes the frames and masks of a film; made by ``open_overlay``."""

    def __init__(self, film: Mp4Writer, phrase: str) -> None:
        self._film = film
        self._phrase = phrase
        self._start: Fraction | None = None
        self._last = Fraction(-1)

    def add(self, frame: Frame, masks: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32] | None = None) -> None:
        """Draw and add the next frame.

        Args:
            frame: the picture and its time.
            masks: bool ``(K, height, width)``, one an object, all False where the object is not seen. An object keeps
                its colour when it keeps its place.
            scores: float32 ``(K,)``.

        The film begins with its first frame, whatever that one's time is; where a broken file shows two frames at once,
        the second comes as soon after as can be told. The phrase stands at every object when all of them are seen, and
        says that nothing was found when none is.
        """
        seen = masks.any(axis=(1, 2))
        masks = masks if seen.any() else masks[:0]
        # A label finds its place by its mask: with one object out of sight, they are left out.
        phrase = self._phrase if seen.all() or not seen.any() else ""
        none = np.zeros((0, 3), np.float32)
        self._start = frame.seconds if self._start is None else self._start
        self._last = max(frame.seconds - self._start, self._last + Fraction(1, TICKS))
        self._film.add(draw_overlay(frame.image, masks, none, phrase, scores), self._last, frame.pixel_aspect)
