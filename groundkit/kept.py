"""Fields that hold less than the array that they give."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Small(Protocol):
    """What is kept in the place of an array."""

    def whole(self) -> Array:
        """The array."""


class Kept:
    """A field of a dataclass that is set to an array, or to something small, and always gives an array.

    The array of something small is made each time it is asked for, and cannot be written to: what is written would be
    lost. Set to another object of the class, as ``dataclasses.replace`` does, it is the same small thing again.

    Args:
        name: of the field.
    """

    _given: ClassVar[dict[int, tuple[weakref.ref[Array], Small]]] = {}  # the arrays given out, for as long as they live

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        kept = vars(instance)[self.name]
        if isinstance(kept, np.ndarray):
            return kept
        array = kept.whole()
        array.flags.writeable = False
        key = id(array)
        self._given[key] = (weakref.ref(array, lambda _: self._given.pop(key, None)), kept)
        return array

    def __set__(self, instance: object, value: Array | Small) -> None:
        array, kept = self._given.get(id(value), (lambda: None, None))
        vars(instance)[self.name] = kept if array() is value else value


def keep_small(owner: type, *names: str) -> None:
    """Make some fields of a dataclass :class:`Kept` ones."""
    for name in names:
        setattr(owner, name, Kept(name))
