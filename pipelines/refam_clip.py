"""RefAM on a clip: the same steps as on a picture, but the words look at many frames at once.

The model is a video diffusion transformer (the paper's is Mochi). The map of a phrase has t slices of h x w patches,
and a slice shows one or several frames; one slice points at the object, on the frame in its middle. From there a
tracker carries the mask: see ``refam_video``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundkit.memory import explain_out_of_memory
from groundkit.models.diffusion.clips import VideoDiffusionModel
from groundkit.pipelines.base import attempt
from groundkit.pipelines.refam import Map, RefAMSteps
from groundkit.pipelines.refam_config import RefAMClipConfig
from groundkit.results import Failure, Grounding
from groundkit.segmenters.base import Segmenter

KeySlice = Literal["first", "middle", "strongest"]


class RefAMClip(RefAMSteps):
    """A video diffusion transformer, a segmenter and a configuration. A picture is to it a clip of one frame."""

    config: RefAMClipConfig

    def __init__(
        self,
        model: VideoDiffusionModel,
        segmenter: Segmenter,
        config: RefAMClipConfig | None = None,
        *,
        name: str = "refam",
    ) -> None:
        super().__init__(model, segmenter, config or RefAMClipConfig(), name=name)

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        for text in phrases:
            yield attempt(text, lambda text: self.ground_clip([image], text, seed=seed)[1], text)

    def places(self, count: int) -> list[int]:
        """Which frames of a video of ``count`` frames make the clip: as many as fill whole slices, evenly spaced."""
        wanted = min(count, self.diffusion.clip_length(self.config.frames))
        spaced = np.linspace(0, count - 1, wanted).round().astype(int)
        return [int(place) for place in spaced]

    @explain_out_of_memory()
    def ground_clip(
        self, frames: Sequence[npt.NDArray[np.uint8]], text: str, *, key: KeySlice = "strongest", seed: int = 0
    ) -> tuple[int, Grounding]:
        """Ground one phrase in a clip.

        Args:
            frames: uint8 ``(height, width, 3)`` RGB each, all of one size.
            text: what to look for.
            key: the slice that points at the object: the first, as in the paper; the one that shows the middle frame;
                or the one in which the map, weighted by the direction words, is highest.
            seed: of the noise.

        Returns:
            Which of the frames was chosen, and what was found on it.

        Raises:
            PhraseError: a phrase with nothing to look for.
        """
        started = time.perf_counter()
        words, null_words = self._words(text), self._null_words()  # with --offload, text encoders come here once
        phrase = words.phrase
        encoded = self.diffusion.encode_clip(np.stack(frames))
        # 1. and 2. The attention of the words that name the object, over the whole clip.
        read = self._read(words, encoded, seed)
        null: Map | None = None if null_words is None else self._read(null_words, encoded, seed).filtered
        shown = [slice_ for slice_, covered in enumerate(encoded.covers) if covered]
        if key == "strongest":
            heights = self._weigh(read, phrase)  # on one scale for the clip
            chosen = max(shown, key=lambda slice_: float(heights[slice_].max()))
        else:
            wanted = 0 if key == "first" else len(frames) // 2
            chosen = next(slice_ for slice_ in shown if wanted in encoded.covers[slice_])
        covered = encoded.covers[chosen]
        frame = covered[len(covered) // 2]
        # 3. to 5. What that slice points at.
        grounding = self._point(
            frames[frame],
            text,
            phrase,
            read.at(chosen),
            self.segmenter.embed(frames[frame]),
            None if null is None else null[chosen],
            started,
        )
        return frame, grounding
