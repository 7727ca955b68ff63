"""What a pipeline returns: data alone. Drawing and writing lie in ``groundkit.outputs``."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, TypeVar, cast

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError
from groundkit.kept import keep_small
from groundkit.masks.heat import NoHeat, PixelHeat, SmallHeat
from groundkit.masks.rle import RunLength, RunLengths, decode
from groundkit.masks.rle import area as rle_area
from groundkit.shown import Shown

if TYPE_CHECKING:
    from pydantic import JsonValue
    from supervision import Detections

    from groundkit.masks.evidence import Evidence
    from groundkit.media.videos import Video


Result = TypeVar("Result", bound="Grounding | Discovery")


_BOX = ("x1", "y1", "x2", "y2", "area")
Rows = int | slice | Sequence[int] | npt.NDArray[np.bool_] | npt.NDArray[np.int64]
"""What selects some of a result's masks."""


class Making(TypedDict, total=False):
    """The fields of a result that say how it was made; see :class:`Grounding`."""

    segmenter: str
    device: str
    dtype: str
    settings: Mapping[str, JsonValue]
    origins: Mapping[str, str]


@dataclass(frozen=True, eq=False, repr=False)  # of arrays there is no one truth: a result equals itself
class Grounding(Shown):
    """Where a phrase was found in a picture.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB, the picture as it was grounded (upright, full resolution).
        phrase: the phrase as given.
        masks: bool ``(K, height, width)``; K is 0 when nothing was found. They are kept as run lengths, decoded each
            time they are asked for, and cannot be written to.
        scores: float32 ``(K,)`` in [0, 1], higher is better. A segmenter's own estimates can lie a little outside; they
            are clipped.
        boxes: float32 ``(K, 4)``, XYXY pixels, tight around each mask (x2 and y2 exclusive).
        points: float32 ``(M, 3)``: x, y in pixels and the label, 1 on the object and 0 off it.
        heatmap: float32 ``(height, width)`` in [0, 1]; NaN everywhere where none was kept, as of a discovery. It
            is kept at the size of the image tokens, and laid over the picture each time it is asked for.
        pipeline: name of the method, such as ``refam``.
        model: id or folder of the model that was read.
        seconds: wall-clock time that this phrase took.
        evidence: for the object being there at all (its ``score`` is in [0, 1]); None when it was not
            asked for.
        segmenter: id or folder of the segmenter that drew the masks; empty when that is not known.
        device, dtype: where the model ran and in which type it computed, such as ``cuda`` and ``bfloat16``; empty when
            that is not known.
        settings: every setting of the pipeline as it ran, in the types of JSON.
        origins: where those that have not their default come from, such as ``checkpoint`` or ``--set``.
        steps: what each step saw, for ``groundkit explain``; its type is not part of the stable interface.
        source: the path of the picture's file as it was given; empty for a picture that was none.

    Raises:
        ValueError: when an array has another shape or dtype than stated here.

    Example:
        >>> import groundkit
        >>> found = groundkit.load("refam")("scene.png", "the red cup")
        >>> found.masks.shape, found.masks.dtype
        ((1, 256, 256), dtype('bool'))
        >>> x1, y1, x2, y2 = found.boxes[0]
        >>> bool(found.mask[int(found.points[0, 1]), int(found.points[0, 0])])
        True
    """

    columns: ClassVar[tuple[str, ...]] = ("phrase", "score", "evidence", *_BOX)

    image: npt.NDArray[np.uint8]
    phrase: str
    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32]
    points: npt.NDArray[np.float32]
    heatmap: npt.NDArray[np.float32]
    pipeline: str
    model: str
    seconds: float
    evidence: Evidence | None = None
    segmenter: str = ""
    device: str = ""
    dtype: str = ""
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    steps: object = None
    source: str = ""

    def __post_init__(self) -> None:
        height, width = self.image.shape[:2]
        _check("image", self.image, np.uint8, (height, width, 3))
        count = len(_keep_run_lengths(self, self.image))
        _keep_scores(self, count)
        _check("boxes", self.boxes, np.float32, (count, 4))
        _check("points", self.points, np.float32, (len(self.points), 3))
        heat = vars(self)["heatmap"]
        if not isinstance(heat, SmallHeat):
            _check("heatmap", heat, np.float32, (height, width))

    def __repr__(self) -> str:
        count = len(self.run_lengths)
        told = f", score {self.scores.max():.2f}" if count else ""
        told += "" if self.evidence is None else f", evidence {self.evidence.score:.2f}"
        return (
            f"<Grounding {self.phrase!r}: {_count(count, 'mask')}{told}, {_size(self.image)}, "
            f"{self.pipeline} on {self.model}, {self.seconds:.2f} s>"
        )

    @property
    def run_lengths(self) -> tuple[RunLength, ...]:
        """The masks as COCO run-length encodings, as they are kept."""
        return run_lengths_of(self).masks

    def heatmap_at(self, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The heatmap over the whole picture, but of another size: float32 ``(height, width)`` in [0, 1].

        Args:
            size: (height, width).
        """
        return self.small_heat.at(size)

    @property
    def small_heat(self) -> SmallHeat:
        """The heatmap as it is kept; its type is not part of the stable interface."""
        heat: SmallHeat | npt.NDArray[np.float32] = vars(self)["heatmap"]
        return heat if isinstance(heat, SmallHeat) else PixelHeat((heat.shape[0], heat.shape[1]), heat)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """All masks in one, bool ``(height, width)``; all False when nothing was found."""
        union: npt.NDArray[np.bool_] = np.logical_or.reduce(self.masks, axis=0)
        return union

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Draw masks, contours, points and the phrase over the picture.

        Returns:
            uint8 ``(height, width, 3)`` RGB.

        Example:
            >>> import groundkit
            >>> groundkit.load("refam")("scene.png", "the red cup").overlay().shape
            (256, 256, 3)
        """
        from groundkit.outputs.formats.overlay import draw_overlay

        return draw_overlay(self.image, self.masks, self.points, self.phrase, self.scores)

    def picture(self) -> npt.NDArray[np.uint8]:
        """The overlay."""
        return self.overlay()

    def rows(self) -> list[dict[str, object]]:
        """One row per mask: ``phrase``, ``score``, ``evidence``, the box ``x1`` to ``y2``, and ``area`` in pixels."""
        evidence = None if self.evidence is None else self.evidence.score
        head = {"phrase": self.phrase}
        return _rows(self, ({**head, "score": float(score), "evidence": evidence} for score in self.scores))

    def cutout(self, index: int = 0, *, crop: bool = True) -> npt.NDArray[np.uint8]:
        """Cut one object out of the picture.

        Args:
            index: which mask, 0 to K - 1.
            crop: cut to the mask's box; otherwise the size of the picture is kept.

        Returns:
            uint8 RGBA of the box or of the picture, ``(h, w, 4)``; alpha is 255 on the object and 0 off it.

        Raises:
            IndexError: when there is no such mask, as when nothing was found.

        Example:
            >>> import groundkit
            >>> found = groundkit.load("refam")("scene.png", "the red cup")
            >>> found.cutout(crop=False).shape
            (256, 256, 4)
        """
        from groundkit.outputs.formats.cutout import cut_out

        return cut_out(self.image, decode(self.run_lengths[index]), crop=crop)

    def save(self, path: str | Path, formats: str | Sequence[str] = ("png",)) -> list[Path]:
        """Write files. Each is written under a temporary name first, so that no half-written file stays.

        In a folder they are named ``<picture>-<phrase>``, or ``<phrase>`` where the picture was not given as a file.
        Saving the same picture and phrase again replaces them. Where the process has saved another picture under that
        name, ``-2``, ``-3`` and so on is added; a warning tells of a PNG of another picture from an earlier process.

        Args:
            path: a folder, made if missing; or a file name ending in ``.png`` or ``.json``, which is written over.
                With one format and at most one mask that very file is written; further files get an ending:
                ``cup.png``, ``cup-overlay.png``, ``cup-mask2.png``.
            formats: one or several of ``png`` (one black-and-white picture per mask), ``overlay``, ``cutout`` (RGBA,
                one per mask), ``heatmap``, ``json``, ``coco``, ``yolo`` and ``npz`` (the attention maps).

        Returns:
            The files written, in the order of ``formats``.

        Raises:
            ConfigError: for an unknown format, one that the file name's ending does not fit, or the heatmap of a result
                that has none.
            InputError: when the place cannot be written to.

        Example:
            >>> import groundkit
            >>> found = groundkit.load("refam")("scene.png", "the red cup")
            >>> [path.name for path in found.save("out", formats=("png", "json"))]
            ['scene-the-red-cup.png', 'scene-the-red-cup.json']
        """
        from groundkit.outputs.save import save_result

        return save_result(self, Path(path), formats)

    def to_coco(self, file_name: str = "") -> dict[str, JsonValue]:
        """A COCO data set of this one picture and phrase.

        Args:
            file_name: what the data set calls the picture.

        Returns:
            ``images``, ``categories`` and ``annotations``, ids from 1. An annotation has an RLE mask whose ``counts``
            is a str, and a box in XYWH pixels.

        Example:
            >>> import groundkit
            >>> found = groundkit.load("refam")("scene.png", "the red cup")
            >>> len(found.to_coco("scene.png")["annotations"])
            1
        """
        from groundkit.outputs.formats.coco import to_coco

        return to_coco(self, file_name)

    def to_supervision(self, classes: Sequence[str] = ()) -> Detections:
        """The masks as ``supervision.Detections``, with ``data["class_name"]``, the phrase, and ``class_id``.

        Args:
            classes: names whose places are the numbers of the classes; without them the phrase is number 0.

        Raises:
            ConfigError: when ``classes`` lack the phrase.
            GroundkitError: when supervision is not installed.

        Example:
            >>> import groundkit
            >>> found = groundkit.load("refam")("scene.png", "the red cup")
            >>> len(found.to_supervision())
            1
        """
        from groundkit.outputs.detections import to_supervision

        return to_supervision(self, classes)

    def __getitem__(self, rows: Rows) -> Grounding:
        """The result with some of its masks, scores and boxes, as NumPy selects rows.

        Args:
            rows: bool ``(K,)``, indices, one index, or a slice.

        Example:
            >>> import groundkit
            >>> found = groundkit.load("refam")("scene.png", "the red cup")
            >>> len(found[found.scores > 0.99].masks) <= len(found.masks)
            True
        """
        chosen = np.atleast_1d(np.arange(len(self.run_lengths))[rows])
        kept = run_lengths_of(self).rows(chosen.tolist())
        return changed(self, masks=kept, scores=self.scores[chosen], boxes=self.boxes[chosen])


@dataclass(frozen=True, eq=False, repr=False)
class Discovery(Shown):
    """What was found in a picture without being asked for.

    Attributes:
        image: uint8 ``(height, width, 3)`` RGB.
        labels: K names, those of the same name several times.
        masks: bool ``(K, height, width)``.
        scores: float32 ``(K,)`` in [0, 1], falling.
        points: K arrays, float32 ``(M, 3)`` each: x, y in pixels and the label, 1 on the object and 0 off it.
        answers: what the model said, in the order it was asked.
        pipeline, model, segmenter, seconds, device, dtype, settings, origins, source: as in :class:`Grounding`.

    Raises:
        ValueError: when an array has another shape or dtype than stated here.

    Example:
        >>> import groundkit
        >>> found = groundkit.load("vlsam").discover("scene.png")
        >>> len(found.labels) == len(found.masks) == len(found.scores)
        True
    """

    columns: ClassVar[tuple[str, ...]] = ("label", "score", *_BOX)

    image: npt.NDArray[np.uint8]
    labels: tuple[str, ...]
    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    points: tuple[npt.NDArray[np.float32], ...]
    answers: tuple[str, ...]
    pipeline: str
    model: str
    seconds: float
    segmenter: str = ""
    device: str = ""
    dtype: str = ""
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        count = len(self.labels)
        if len(_keep_run_lengths(self, self.image)) != count:
            raise ValueError(f"there must be {count} masks, got {len(self.run_lengths)}")
        _keep_scores(self, count)
        if len(self.points) != count:
            raise ValueError(f"there must be {count} arrays of points, got {len(self.points)}")

    def __repr__(self) -> str:
        few = ", ".join(self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        return (
            f"<Discovery: {_count(len(self.labels), 'object')}{f' ({few})' if few else ''}, {_size(self.image)}, "
            f"{self.pipeline} on {self.model}, {self.seconds:.2f} s>"
        )

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """Float32 ``(K, 4)``, XYXY pixels."""
        return run_lengths_of(self).boxes()

    @property
    def run_lengths(self) -> tuple[RunLength, ...]:
        """The masks as COCO run-length encodings, as they are kept."""
        return run_lengths_of(self).masks

    def groundings(self) -> list[Grounding]:
        """One :class:`Grounding` per label, in the order of their best scores. They have no heatmap."""
        found, masks, boxes = [], run_lengths_of(self), self.boxes
        nothing: Any = NoHeat((self.image.shape[0], self.image.shape[1]))
        for label in dict.fromkeys(self.labels):
            rows = [index for index, other in enumerate(self.labels) if other == label]
            found.append(
                Grounding(
                    image=self.image,
                    phrase=label,
                    masks=cast(Any, masks.rows(rows)),
                    scores=self.scores[rows],
                    boxes=boxes[rows],
                    points=np.concatenate([self.points[row] for row in rows]),
                    heatmap=nothing,
                    pipeline=self.pipeline,
                    model=self.model,
                    seconds=self.seconds,
                    segmenter=self.segmenter,
                    device=self.device,
                    dtype=self.dtype,
                    settings=self.settings,
                    origins=self.origins,
                    source=self.source,
                )
            )
        return found

    def picture(self) -> npt.NDArray[np.uint8]:
        """The overlay."""
        return self.overlay()

    def rows(self) -> list[dict[str, object]]:
        """One row per object: ``label``, ``score``, the box ``x1`` to ``y2``, and ``area`` in pixels."""
        each = zip(self.labels, self.scores, strict=True)
        return _rows(self, ({"label": label, "score": float(score)} for label, score in each))

    def overlay(self) -> npt.NDArray[np.uint8]:
        """Draw masks, contours and labels over the picture: uint8 ``(height, width, 3)`` RGB."""
        from groundkit.outputs.formats.overlay import draw_labelled

        return draw_labelled(self.image, self.masks, self.labels, self.scores)

    def __getitem__(self, rows: Rows) -> Discovery:
        """The result with some of its objects, as NumPy selects rows; see ``Grounding``."""
        chosen = np.atleast_1d(np.arange(len(self.labels))[rows]).tolist()
        labels, points = (tuple(each[row] for row in chosen) for each in (self.labels, self.points))
        kept = run_lengths_of(self).rows(chosen)
        return changed(self, masks=kept, scores=self.scores[chosen], labels=labels, points=points)

    def to_supervision(self, classes: Sequence[str] = ()) -> Detections:
        """The objects as ``supervision.Detections``, see ``Grounding``; without ``classes`` labels count as they come.

        Raises:
            ConfigError: when ``classes`` lack a label.
            GroundkitError: when supervision is not installed.
        """
        from groundkit.outputs.detections import to_supervision

        return to_supervision(self, classes)

    def save(self, path: str | Path, formats: str | Sequence[str] = ("overlay",)) -> list[Path]:
        """Write files as :meth:`Grounding.save` does; ``png`` and ``cutout`` give files for each label.

        Args:
            path: a folder (files are named ``<picture>-discovery``, see :meth:`Grounding.save`), or a file name.
            formats: see :meth:`Grounding.save`; not ``heatmap`` and ``npz``, which need a phrase.

        Returns:
            The files written.

        Raises:
            ConfigError, InputError: see :meth:`Grounding.save`.
        """
        from groundkit.outputs.save import save_result

        return save_result(self, Path(path), formats)


keep_small(Grounding, "masks", "heatmap")
keep_small(Discovery, "masks")


def _rows(found: Grounding | Discovery, heads: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Each head with the box and the area of its mask."""
    boxes, areas = found.boxes.tolist(), map(rle_area, found.run_lengths)
    return [
        {**head, **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)), "area": area}
        for head, box, area in zip(heads, boxes, areas, strict=True)
    ]


def run_lengths_of(found: Grounding | Discovery) -> RunLengths:
    """The masks of a result as they are kept."""
    masks: RunLengths = vars(found)["masks"]
    return masks


def _keep_run_lengths(found: Grounding | Discovery, image: npt.NDArray[np.uint8]) -> tuple[RunLength, ...]:
    """Check the masks that a result was made with, and keep them as run lengths."""
    masks, size = vars(found)["masks"], (image.shape[0], image.shape[1])
    if not isinstance(masks, RunLengths):
        _check("masks", masks, np.bool_, (len(masks), *size))
        masks = vars(found)["masks"] = RunLengths.of(masks, size)
    elif masks.size != size:
        raise ValueError(f"masks must be of {size} like the picture, got {masks.size}")
    return masks.masks


@dataclass(frozen=True)
class FrameMask:
    """The object on one frame.

    Attributes:
        index, seconds, name: of the frame, as in :class:`groundkit.media.videos.Frame`.
        rle: its mask as COCO run-length encoding; all zero where it is not seen.
        score: in [0, 1]; the tracker's, or the segmenter's on a frame where the phrase was grounded.
        grounded: whether the mask is from the phrase itself.

    Example:
        >>> import groundkit
        >>> frame = groundkit.follow("clip.mp4", "the red cup", max_frames=2).frames[1]
        >>> frame.index, frame.grounded, frame.mask.shape
        (1, False, (256, 256))
    """

    index: int
    seconds: Fraction
    name: str
    rle: RunLength
    score: float
    grounded: bool

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool ``(height, width)``."""
        return decode(self.rle)

    def __repr__(self) -> str:
        return f"<FrameMask {self.index} at {float(self.seconds):.2f} s, score {self.score:.2f}>"


@dataclass(frozen=True, eq=False, repr=False)
class VideoGrounding(Shown):
    """Where a phrase was found in a video.

    Attributes:
        phrase: the phrase as given.
        frames: one per frame of the video, in order of time.
        key_frame: index of the frame on which the phrase was grounded first.
        key: what was found there.
        pipeline, model, tracker: what grounded and what followed.
        seconds: wall-clock time.

    Example:
        >>> import groundkit
        >>> found = groundkit.follow("clip.mp4", "the red cup", max_frames=3)
        >>> found.key_frame, [frame.index for frame in found.frames]
        (0, [0, 1, 2])
    """

    columns: ClassVar[tuple[str, ...]] = ("frame", "seconds", "score", "grounded", "area")

    phrase: str
    frames: tuple[FrameMask, ...]
    key_frame: int
    key: Grounding
    pipeline: str
    model: str
    tracker: str
    seconds: float

    def __repr__(self) -> str:
        return (
            f"<VideoGrounding {self.phrase!r}: {_count(len(self.frames), 'frame')} of {_size(self.key.image)}, "
            f"{self.pipeline} on {self.model}, {self.tracker}, {self.seconds:.2f} s>"
        )

    def picture(self) -> npt.NDArray[np.uint8]:
        """The overlay of the key frame."""
        return self.key.overlay()

    def rows(self) -> list[dict[str, object]]:
        """One row per frame: ``frame``, ``seconds``, ``score``, ``grounded``, and ``area`` of the mask in pixels."""
        return [
            {
                "frame": each.index,
                "seconds": float(each.seconds),
                "score": each.score,
                "grounded": each.grounded,
                "area": rle_area(each.rle),
            }
            for each in self.frames
        ]

    def save(
        self, path: str | Path, video: str | Path | Video | Sequence[npt.NDArray[np.uint8]] | None = None
    ) -> list[Path]:
        """Write the files of ``groundkit follow``: a film with the mask drawn in, run lengths, and one mask per frame.

        Args:
            path: a folder, or the name of the film alone, ending in ``.mp4``.
            video: the video that was followed, for the film: a file, a folder of frames, or frames, all of them also
                where a ``stride`` left some out. Without it no film is written, and files are named ``video``.

        Returns:
            ``<video>-<phrase>.mp4``, ``<video>-<phrase>.jsonl`` and the folder ``<video>/<phrase>``.

        Raises:
            ConfigError: a film without the video.
            ImageError, InputError: the video cannot be read or is another one, or the place cannot be written to.

        Example:
            >>> import groundkit
            >>> found = groundkit.follow("clip.mp4", "the red cup", max_frames=3)
            >>> [path.name for path in found.save("out", "clip.mp4")]
            ['clip-the-red-cup.mp4', 'clip-the-red-cup.jsonl', 'the-red-cup']
        """
        from groundkit.outputs.video.files import save_video

        return save_video(self, Path(path), video)


@dataclass(frozen=True)
class Failure:
    """The outcome where a phrase could not be grounded in a picture.

    Attributes:
        phrase: the phrase as given.
        error: what went wrong, in one line that says what to do.

    Example:
        >>> import groundkit
        >>> missed = groundkit.load("refam")("scene.png", "the of", on_error="return")
        >>> missed.phrase, type(missed.error).__name__
        ('the of', 'PhraseError')
    """

    phrase: str
    error: GroundkitError

    def record(self, source: str = "") -> dict[str, JsonValue]:
        """As JSON-ready values: ``input``, ``phrase`` and ``error``."""
        from groundkit.outputs.record import failure

        return failure(source, self.phrase, self.error)


def changed(result: Result, **fields: object) -> Result:
    """A copy with some fields set, which does not touch the others."""
    other = copy.copy(result)
    vars(other).update(fields)
    return other


def _keep_scores(result: Grounding | Discovery, count: int) -> None:
    """Clip scores to [0, 1]: what chooses among masks sees them as they are, and who reads results need not."""
    _check("scores", result.scores, np.float32, (count,))
    object.__setattr__(result, "scores", np.clip(result.scores, 0, 1))


def _check(name: str, array: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _size(image: npt.NDArray[np.uint8]) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"
