"""The masks of a video as folders of PNG files, one per frame, in the layouts of the benchmarks.

Folders are written frame by frame, in ``with`` blocks, and appear under their names only when the block ends well.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.errors import InputError
from groundkit.outputs.atomic import os_errors_as_input_errors, temporary_name
from groundkit.outputs.formats.png import grey_of, save_png
from groundkit.outputs.ours import png_mark, remove_ours

_MAX_OBJECTS = 255  # ids in a picture with 8-bit indices, of which 0 is the background


class _PictureFolder:
    """A folder of PNG files that is filled under a temporary name, beside ``root``'s other folders.

    When the ``with`` block ends well, the folder takes its own name; if that is there already, the new files are moved
    into it one by one, over those of the same names. Pictures of an earlier result that the new one lacks are removed;
    files that groundkit has not written stay.

    Raises:
        InputError: for a name that cannot be a part of a path, and when the place cannot be written to.
    """

    def __init__(self, root: Path, *parts: str) -> None:
        self.folder = root.joinpath(*(_part(part) for part in parts))
        self._temporary = root / temporary_name()

    def __enter__(self) -> Self:
        with os_errors_as_input_errors(self.folder):
            self._temporary.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with os_errors_as_input_errors(self.folder):
                    self._publish()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    @contextmanager
    def _file(self, name: str) -> Iterator[Path]:
        with os_errors_as_input_errors(self.folder):
            yield self._temporary / f"{_part(name)}.png"

    def _publish(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if not self.folder.exists():
            self._temporary.rename(self.folder)
            return
        new = [path.replace(self.folder / path.name) for path in sorted(self._temporary.iterdir())]
        remove_ours(list(self.folder.glob("*.png")), new)


class MaskFolder(_PictureFolder):
    """``<root>/<video>/<expression>/<frame>.png``, 255 on the object and 0 off it, as Ref-YouTube-VOS and MeViS want.

    A context manager; see ``add``. Folders appear when the block ends well.
    """

    def __init__(self, root: Path, video: str, *expression: str) -> None:
        super().__init__(root, video, *expression)

    def add(self, name: str, mask: npt.NDArray[np.bool_]) -> None:
        """Write the mask of one frame, bool ``(height, width)``; ``name`` is that of the frame, such as ``00005``."""
        with self._file(name) as file:
            save_png(file, grey_of(mask))


class IndexedFolder(_PictureFolder):
    """``<root>/<video>/<frame>.png``, 8-bit indices (the objects' ids, 0 off them) with DAVIS's palette.

    A context manager; see ``add``. Folders appear when the block ends well.
    """

    def __init__(self, root: Path, video: str) -> None:
        super().__init__(root, video)

    def add(self, name: str, masks: npt.NDArray[np.bool_], ids: Sequence[int] | None = None) -> None:
        """Write one frame.

        Args:
            name: that of the frame, such as ``00005``.
            masks: bool ``(K, height, width)``; where several overlap, the first counts.
            ids: the objects' ids, 1 to K unless given.

        Raises:
            InputError: for an id that is not in 1 to 255.
        """
        numbers = ids or range(1, len(masks) + 1)
        if any(not 1 <= number <= _MAX_OBJECTS for number in numbers):
            raise InputError(f"cannot write {self.folder}: the ids of its objects must be in 1 to {_MAX_OBJECTS}")
        labels = np.zeros(masks.shape[1:], np.uint8)
        for number, mask in reversed(list(zip(numbers, masks, strict=True))):
            labels[mask] = number
        picture = Image.fromarray(labels)
        picture.putpalette(davis_palette().tobytes())
        with self._file(name) as file:
            picture.save(file, format="PNG", pnginfo=png_mark())


def davis_palette() -> npt.NDArray[np.uint8]:
    """The colours of DAVIS and PASCAL VOC, uint8 ``(256, 3)`` RGB.

    The bits of an id go in turn to red, green and blue, and fill each from its highest bit down.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((ids >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def _part(name: str) -> str:
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise InputError(f"{name!r} cannot name a file or folder; give a name without slashes")
    return name
