"""What is evaluated on videos: a phrase followed through them, or a tracker that is given the first mask."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groundkit.evaluation.videos.cases import VideoCase, read_true_masks
from groundkit.evaluation.videos.evaluate import Predict
from groundkit.media.images import read_image
from groundkit.media.videos import FOLDER_RATE, Frame
from groundkit.outputs.video.folders import MaskFolder
from groundkit.pipelines.video import VideoPipeline
from groundkit.tracking.base import Tracker


def follow_phrase(pipeline: VideoPipeline, *, seed: int = 0) -> Predict:
    """Ground the phrase of a case and follow what it names, as ``groundkit follow`` does."""

    def predict(case: VideoCase) -> npt.NDArray[np.bool_]:
        found = pipeline.ground(lambda: read_frames(case), case.phrase, seed=seed)
        return np.stack([frame.mask for frame in found.frames])

    return predict


def follow_given_mask(tracker: Tracker) -> Predict:
    """Follow the true mask of the first frame through the others: no phrase is read, and nothing else of the truth."""

    def predict(case: VideoCase) -> npt.NDArray[np.bool_]:
        frames = read_frames(case)
        given = read_true_masks(case)[0]
        track = tracker.start(next(frames).image, given)
        return np.stack([given, *(track.follow(frame.image).mask for frame in frames)])

    return predict


def write_masks(root: Path, case: VideoCase, masks: npt.NDArray[np.bool_]) -> None:
    """Write what was found to ``<root>/<id>/<frame>.png``; the id of a data set's case is ``<video>/<expression>``.

    Raises:
        InputError: when the place cannot be written to.
    """
    with MaskFolder(root, *case.id.split("/")) as folder:
        for path, mask in zip(case.frames, masks, strict=True):
            folder.add(path.stem, mask)


def read_frames(case: VideoCase) -> Iterator[Frame]:
    """The frames of a case, one in memory at a time.

    Raises:
        ImageError: when a frame cannot be read.
    """
    for index, path in enumerate(case.frames):
        yield Frame(index, Fraction(index, FOLDER_RATE), path.stem, read_image(path))
