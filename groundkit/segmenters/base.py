"""What every promptable segmenter offers, and the rule that picks one of its masks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from groundkit.segmenters.points import PointPrompts

_AT_ONCE = 16


@dataclass(frozen=True)
class MaskProposals:
    """The masks a segmenter proposes for one object.

    Attributes:
        masks: bool ``(C, height, width)`` over the whole picture, at its size or another one.
        scores: float32 ``(C,)``, the segmenter's own estimate of each mask's IoU.
        logits: float32 ``(C, s, s)``, the masks as the decoder made them, in its own small square: a mask prompt.
    """

    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or self.masks.dtype != np.bool_:
            raise ValueError(f"masks must be bool (C, height, width), got {self.masks.dtype} {self.masks.shape}")
        if self.scores.shape != (len(self.masks),):
            raise ValueError(f"scores must be ({len(self.masks)},), got {self.scores.shape}")


class Propose(Protocol):
    """A segmenter that is asked about one picture, which it has embedded; see ``Segmenter.segment``."""

    def __call__(
        self,
        prompts: PointPrompts,
        *,
        mask: npt.NDArray[np.float32] | None = None,
        box: npt.NDArray[np.float32] | None = None,
        several: bool = True,
        size: tuple[int, int] | None = None,
    ) -> MaskProposals: ...


class Segmenter(Protocol):
    """Points to masks. The picture is embedded once, then asked about as often as needed; see also ``segment_each``."""

    name: str

    def embed(self, image: npt.NDArray[np.uint8]) -> Any:
        """Embed an RGB picture, uint8 ``(height, width, 3)``. What comes back is for ``segment`` only."""

    def segment(
        self,
        embedding: Any,
        prompts: PointPrompts,
        *,
        mask: npt.NDArray[np.float32] | None = None,
        box: npt.NDArray[np.float32] | None = None,
        several: bool = True,
        size: tuple[int, int] | None = None,
    ) -> MaskProposals:
        """Propose masks for the one object that ``prompts`` describe.

        Args:
            mask: float32 ``(s, s)``, one of the ``logits`` of an earlier proposal, to refine.
            box: float32 ``(4,)``, XYXY pixels, around the object.
            several: False for the one mask that fits best, whether it is a part or the whole.
            size: (height, width) of the masks; the picture's by default. Points and box stay in the picture's pixels.
        """

    def enlarge(self, embedding: Any, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """One of the ``logits`` of a proposal, ``(s, s)``, as a mask of the picture's size, bool ``(height, width)``.

        It is the very mask that ``segment`` proposes at that size.
        """


def segment_each(
    segmenter: Segmenter, embedding: Any, prompts: Sequence[PointPrompts], **prompt: Any
) -> list[MaskProposals]:
    """What ``segmenter.segment`` proposes for each of several objects, one ``PointPrompts`` each.

    In one call where the segmenter has a method ``segment_each``, as SAM has; else one by one.
    """
    together = getattr(segmenter, "segment_each", None)
    if together is not None:
        found: list[MaskProposals] = together(embedding, prompts, **prompt)
        return found
    return [segmenter.segment(embedding, each, **prompt) for each in prompts]


def propose_each(propose: Propose, prompts: Sequence[PointPrompts]) -> Iterator[MaskProposals]:
    """Proposals for each of several objects, a few at a time: masks take much memory.

    Where ``propose`` has a method ``each``, as that of a look has, it is asked about several at once.
    """
    together: Callable[[Sequence[PointPrompts]], Iterable[MaskProposals]]
    together = getattr(propose, "each", lambda few: map(propose, few))
    for start in range(0, len(prompts), _AT_ONCE):
        yield from together(prompts[start : start + _AT_ONCE])
