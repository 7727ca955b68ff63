"""A picture or clip, opened once for a model and a segmenter, and read as often as needed."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import cv2
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
    needed, nothing is encoded twice, and the model is independent of the segmenter.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB.
        can: what ``read`` can give beside the maps: of ``heads`` (each by itself), ``text`` (text to text),
            ``gradients``, ``hidden states``, ``image queries``, ``sizes`` (see ``at``). Stages say what they need.
        mask_scale: the size at which masks are compared and chosen, relative to the picture's, at most 1. Heatmaps,
            points and proposed masks have that working size; ``enlarge`` and ``in_picture`` lead to the picture's.
        known: what stages remember as long as the picture is open.
    """

    can: frozenset[str] = frozenset()
    mask_scale: float = 1.0

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

    @property
    def working_size(self) -> tuple[int, int]:
        """(height, width) of heatmaps and of proposed masks."""
        height, width = (max(1, round(side * self.mask_scale)) for side in self.size)
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
        """Masks of the working size for the one object that points of that size describe.

        The further arguments are those of ``Segmenter.segment``; a box has that size, too.
        """
        if prompt.get("box") is not None:
            prompt["box"] = self.in_picture(prompt["box"].reshape(2, 2)).reshape(4)
        return self.segmenter.segment(self.embedding, self._of_picture(prompts), **prompt, **self._sized)

    def propose_each(self, prompts: Sequence[PointPrompts], **prompt: Any) -> list[MaskProposals]:
        """What ``propose`` gives for each of several objects, in as few calls of the segmenter as possible."""
        together = getattr(self.segmenter, "segment_each", None)
        if together is None:
            return [self.propose(each, **prompt) for each in prompts]
        return list(together(self.embedding, [self._of_picture(each) for each in prompts], **prompt, **self._sized))

    @property
    def _sized(self) -> dict[str, Any]:
        return {} if self.working_size == self.size else {"size": self.working_size}

    def _of_picture(self, prompts: PointPrompts) -> PointPrompts:
        return prompts if self.working_size == self.size else replace(prompts, xy=self.in_picture(prompts.xy))

    def in_picture(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Points of the working size, float32 ``(M, 2)`` or with further columns, in pixels of the picture."""
        (height, width), (rows, columns) = self.size, self.working_size
        scaled = points.copy()
        scaled[:, :2] *= np.array([width / columns, height / rows], np.float32)
        return scaled

    def enlarge(
        self, mask: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.bool_]:
        """A mask of the working size as one of the picture's, from its logits ``(s, s)`` if it has any."""
        if mask.shape == self.size:
            return mask
        if logits is not None:
            return self.segmenter.enlarge(self.embedding, logits)
        height, width = self.size
        soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(soft > 0.5)


class Asked:
    """The segmenter as prompters ask it about a look's picture: see ``Propose`` and ``propose_each`` of segmenters."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def __call__(self, prompts: PointPrompts, **prompt: Any) -> MaskProposals:
        return self.look.propose(prompts, **prompt)

    def each(self, prompts: Sequence[PointPrompts], **prompt: Any) -> list[MaskProposals]:
        """Proposals for each of several objects."""
        return self.look.propose_each(prompts, **prompt)
