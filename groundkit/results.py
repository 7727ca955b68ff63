"""What a pipeline returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError
from groundkit.masks.geometry import boxes_of

if TYPE_CHECKING:
    from groundkit.masks.evidence import Evidence


@dataclass(frozen=True, eq=False)  # of arrays there is no one truth: a result equals itself
class Grounding:
    """Where a phrase was found in a picture.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB, the picture as it was grounded (upright, full resolution).
        phrase: the phrase as given.
        masks: bool ``(K, height, width)``; K is 0 when nothing was found.
        scores: float32 ``(K,)``, higher is better.
        boxes: float32 ``(K, 4)``, XYXY pixels, tight around each mask (x2 and y2 exclusive).
        points: float32 ``(M, 3)``: x, y in pixels and the label, 1 on the object and 0 off it.
        heatmap: float32 ``(height, width)`` in [0, 1]; NaN everywhere where none was kept, as of a discovery.
        pipeline: name of the method, such as ``refam``.
        model: id or folder of the model that was read.
        seconds: wall-clock time that this phrase took.
        evidence: how much speaks for the object being there at all (its ``score`` is in [0, 1]); None when it was not
            asked for.
        segmenter: id or folder of the segmenter that drew the masks; empty when that is not known.
        device, dtype: where the model ran and in which type it computed, such as ``cuda`` and ``bfloat16``; empty when
            that is not known.
        settings: every setting of the pipeline as it ran, in the types of JSON.
        trace: what each step saw, for ``explain`` (family-specific objects; not part of the stable interface).

    Raises:
        ValueError: when an array has another shape or dtype than stated here.
    """

    image: npt.NDArray[np.uint8] = field(repr=False)
    phrase: str
    masks: npt.NDArray[np.bool_] = field(repr=False)
    scores: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32]
    points: npt.NDArray[np.float32]
    heatmap: npt.NDArray[np.float32] = field(repr=False)
    pipeline: str
    model: str
    seconds: float
    evidence: Evidence | None = None
    segmenter: str = ""
    device: str = ""
    dtype: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    trace: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        height, width = self.image.shape[:2]
        count = len(self.masks)
        _check("image", self.image, np.uint8, (height, width, 3))
        _check("masks", self.masks, np.bool_, (count, height, width))
        _check("scores", self.scores, np.float32, (count,))
        _check("boxes", self.boxes, np.float32, (count, 4))
        _check("points", self.points, np.float32, (len(self.points), 3))
        _check("heatmap", self.heatmap, np.float32, (height, width))

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """All masks in one, bool ``(height, width)``; all False when nothing was found."""
        union: npt.NDArray[np.bool_] = np.logical_or.reduce(self.masks, axis=0)
        return union

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Draw masks, contours, points and the phrase over the picture: uint8 ``(height, width, 3)`` RGB."""
        from groundkit.outputs.formats.overlay import draw_overlay

        return draw_overlay(self.image, self.masks, self.points, self.phrase, self.scores)

    def cutout(self, index: int = 0, *, crop: bool = True) -> npt.NDArray[np.uint8]:
        """Cut one object out of the picture.

        Args:
            index: which mask, 0 to K - 1.
            crop: cut to the mask's box; otherwise the size of the picture is kept.

        Returns:
            uint8 RGBA of the box or of the picture, ``(h, w, 4)``; alpha is 255 on the object and 0 off it.

        Raises:
            IndexError: when there is no such mask, as when nothing was found.
        """
        from groundkit.outputs.formats.cutout import cut_out

        return cut_out(self.image, self.masks[index], crop=crop)

    def save(self, path: str | Path, formats: str | Sequence[str] = ("png",)) -> list[Path]:
        """Write files, each under a temporary name first, so that a half-written one never stays.

        Args:
            path: a folder (made if missing; files are named after the phrase), or a file name ending in ``.png`` or
                ``.json``. With one format and at most one mask that very file is written; further files get an
                ending: ``cup.png``, ``cup-overlay.png``, ``cup-mask2.png``.
            formats: one or several of ``png`` (one black-and-white picture a mask), ``overlay``, ``cutout`` (RGBA, one
                a mask), ``heatmap``, ``json`` and ``coco``.

        Returns:
            The files written, in the order of ``formats``.

        Raises:
            ConfigError: for an unknown format, one that the file name's ending does not fit, or the heatmap of a result
                that has none.
            InputError: when the place cannot be written to.
        """
        from groundkit.outputs.save import save_grounding

        return save_grounding(self, Path(path), formats)

    def to_coco(self, file_name: str = "") -> dict[str, Any]:
        """A COCO data set of this one picture and phrase: RLE masks with ``counts`` as str, XYWH boxes, ids from 1."""
        from groundkit.outputs.formats.coco import CocoDataset

        dataset = CocoDataset()
        dataset.add(self, file_name)
        return dataset.to_dict()

    def to_supervision(self) -> Any:
        """The same as ``supervision.Detections``: one class, number 0, whose ``data["class_name"]`` is the phrase.

        Raises:
            GroundkitError: when supervision is not installed.
        """
        try:
            from supervision import Detections
        except ImportError as error:
            raise GroundkitError('supervision is not installed: pip install "groundkit-vision[supervision]"') from error
        return Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=np.zeros(len(self.masks), dtype=int),
            data={"class_name": np.array([self.phrase] * len(self.masks), dtype=str)},
        )


@dataclass(frozen=True, eq=False)
class Discovery:
    """What was found in a picture without being asked for.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB.
        labels: K names, those of the same name several times.
        masks: bool ``(K, height, width)``.
        scores: float32 ``(K,)``, falling.
        points: K arrays, float32 ``(M, 3)`` each: x, y in pixels and the label, 1 on the object and 0 off it.
        answers: what the model said, in the order it was asked.
        pipeline, model, segmenter, seconds, device, dtype, settings: as in :class:`Grounding`.

    Raises:
        ValueError: when an array has another shape or dtype than stated here.
    """

    image: npt.NDArray[np.uint8] = field(repr=False)
    labels: tuple[str, ...]
    masks: npt.NDArray[np.bool_] = field(repr=False)
    scores: npt.NDArray[np.float32]
    points: tuple[npt.NDArray[np.float32], ...]
    answers: tuple[str, ...]
    pipeline: str
    model: str
    seconds: float
    segmenter: str = ""
    device: str = ""
    dtype: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        count = len(self.labels)
        _check("masks", self.masks, np.bool_, (count, *self.image.shape[:2]))
        _check("scores", self.scores, np.float32, (count,))
        if len(self.points) != count:
            raise ValueError(f"there must be {count} arrays of points, got {len(self.points)}")

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """Float32 ``(K, 4)``, XYXY pixels."""
        return boxes_of(self.masks)

    def groundings(self) -> list[Grounding]:
        """One :class:`Grounding` a label, in the order of their best scores. They have no heatmap."""
        found, boxes = [], self.boxes
        for label in dict.fromkeys(self.labels):
            rows = [index for index, other in enumerate(self.labels) if other == label]
            found.append(
                Grounding(
                    image=self.image,
                    phrase=label,
                    masks=self.masks[rows],
                    scores=self.scores[rows],
                    boxes=boxes[rows],
                    points=np.concatenate([self.points[row] for row in rows]),
                    heatmap=np.full(self.image.shape[:2], np.nan, np.float32),
                    pipeline=self.pipeline,
                    model=self.model,
                    seconds=self.seconds,
                    segmenter=self.segmenter,
                    device=self.device,
                    dtype=self.dtype,
                    settings=self.settings,
                )
            )
        return found

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Draw masks, contours and labels over the picture: uint8 ``(height, width, 3)`` RGB."""
        from groundkit.outputs.formats.overlay import draw_labelled

        return draw_labelled(self.image, self.masks, self.labels, self.scores)


def judged(grounding: Grounding, evidence: Evidence, least: float) -> Grounding:
    """The grounding with its evidence; without masks and points where there is less than ``least``."""
    grounding = replace(grounding, evidence=evidence)
    if evidence.score >= least:
        return grounding
    none = np.zeros(0, np.float32)
    empty = np.zeros((0, *grounding.image.shape[:2]), np.bool_)
    return replace(grounding, masks=empty, scores=none, boxes=none.reshape(0, 4), points=none.reshape(0, 3))


def _check(name: str, array: npt.NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
