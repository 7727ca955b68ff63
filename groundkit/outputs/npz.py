"""Attention maps in NumPy's own archive, ``.npz``: every array by its name, none of them pickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from groundkit.errors import InputError
from groundkit.outputs.atomic import atomic_path

Made = TypeVar("Made")


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write arrays, compressed; return ``path``.

    Raises:
        InputError: when the place cannot be written to.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path


def read_npz(path: Path, make: Callable[[Any], Made]) -> Made:
    """What ``make`` makes of the arrays of a file.

    Raises:
        InputError: the file is missing, damaged, or holds other arrays than ``make`` needs.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return make(arrays)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, ValueError, TypeError, BadZipFile, EOFError, AttributeError) as error:
        raise InputError(f"{path} holds no attention maps: give a file that AttentionMaps.save has written") from error
