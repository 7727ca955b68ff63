"""A picture or clip, opened once for a model and a segmenter, and read as often as needed."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from groundkit.attention.maps import AttentionMaps

if TYPE_CHECKING:
    from groundkit.language import Phrase
    from groundkit.segmenters.base import MaskProposals, Segmenter
    from groundkit.segmenters.points import PointPrompts


class Look(ABC):
    """One picture, with everything that is computed of it once: by the model, and by the segmenter.

    A method opens it, reads it with one text after the other, and asks it for masks. Nothing is encoded before it is
    needed, nothing is encoded twice, and the model is independent of the segmenter. There is room for a kept prefix
    and for texts read in one batch: both belong into ``read`` of a subclass.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB.
        can: what ``read`` can give beside the maps: of ``heads`` (each by itself), ``text`` (text to text),
            ``gradients``, ``hidden states``, ``image queries``, ``sizes`` (see ``at``). Stages say what they need.
        known: what stages remember as long as the picture is open.
    """

    can: frozenset[str] = frozenset()

    def __init__(self, image: npt.NDArray[np.uint8], segmenter: Segmenter) -> None:
        self.image = image
        self.segmenter = segmenter
        self.known: dict[tuple[object, ...], AttentionMaps] = {}

    @abstractmethod
    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        """The attention of a text, before any stage.

        Args:
            phrase: the text, taken apart.
            seed: of the noise, if there is any.
            excluded: whether the text is what another phrase leaves out, as "the red cup" of "the cup that is not red".

        Raises:
            PhraseError: a text that the model cannot read.
            AttentionError: a layer whose attention could not be read.
        """

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        height, width = self.image.shape[:2]
        return height, width

    def showing(self, image: npt.NDArray[np.uint8]) -> Self:
        """The same look with another picture for the segmenter, such as one frame of a clip."""
        other = copy.copy(self)
        vars(other).pop("embedding", None)
        other.image = image
        return other

    def seen_as(self, image: npt.NDArray[np.uint8]) -> Look:
        """A look at a transformed picture of the same size, with the same settings.

        Raises:
            NotImplementedError: this kind of look has none.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot look at a transformed picture")

    def at(self, scale: float) -> Look:
        """A look at the same picture, which the model is given at another size, relative to its own.

        Raises:
            NotImplementedError: this kind of look has one size.
        """
        raise NotImplementedError(f"{type(self).__name__} sees a picture at one size")

    @functools.cached_property
    def embedding(self) -> Any:
        """The segmenter's encoding of the picture, for ``propose``."""
        return self.segmenter.embed(self.image)

    def propose(self, prompts: PointPrompts, **prompt: Any) -> MaskProposals:
        """Masks for the one object that points describe; the further arguments are those of ``Segmenter.segment``."""
        return self.segmenter.segment(self.embedding, prompts, **prompt)
