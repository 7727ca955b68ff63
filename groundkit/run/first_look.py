"""Inputs that cannot be read are found before a model is loaded, as far as a look at them tells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from groundkit import clock
from groundkit.errors import InputError
from groundkit.media.inputs import VIDEO_SUFFIXES, Input

_MAX_FILES = 100  # files that are looked at; the others are read when it is their turn


@clock.timed("reading")
def find_unreadable(found: Sequence[Input], *, videos: bool) -> dict[Input, InputError]:
    """Why inputs cannot be used, for those of the first files whose beginning tells.

    Args:
        found: the inputs.
        videos: whether videos are taken.
    """
    refused: dict[Input, InputError] = {}
    for place, item in enumerate(found):
        try:
            if not videos and item.path is not None and item.path.suffix.lower() in VIDEO_SUFFIXES:
                raise InputError(f"{item.name}: a video; groundkit follow takes videos")
            if place < _MAX_FILES and item.path is not None and (item.path.is_file() or item.is_video):
                _look_at(item.path, is_video=item.is_video)
        except InputError as error:
            refused[item] = error
    return refused


def _look_at(path: Path, *, is_video: bool) -> None:
    """Raise the error that reading will raise, where the beginning of the file shows it."""
    if is_video:
        from groundkit.media.videos import read_video

        read_video(path)
        return
    from PIL import Image

    from groundkit.media.images import read_image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path).close()
    except Exception:  # Pillow lets exceptions of many kinds through; ours says what is wrong, if anything is
        read_image(path)
