"""Videos to evaluate on: a JSON-lines file, or Ref-DAVIS17, Ref-YouTube-VOS or MeViS as they are handed out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.errors import InputError
from groundkit.evaluation.text import read_text
from groundkit.masks.rle import RunLength, decode
from groundkit.media.images import read_image
from groundkit.media.inputs import PICTURE_SUFFIXES

# Khoreva et al. let two people describe each object, from its first frame alone and from the full video.
_DAVIS_TEXTS = {
    "annot1": "first frame",
    "annot1_full_video": "full video",
    "annot2": "first frame",
    "annot2_full_video": "full video",
}
_DAVIS_MISSPELLED = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}


@dataclass(frozen=True)
class MaskFiles:
    """True masks in one PNG a frame.

    Attributes:
        paths: one for each frame.
        object_id: the pixel value of the object; None when every pixel that is not zero belongs to it.
    """

    paths: tuple[Path, ...]
    object_id: int | None = None


@dataclass(frozen=True)
class MaskRuns:
    """True masks in run lengths.

    Attributes:
        frames: for each frame the run lengths of what is seen there of the object; the mask is their union.
    """

    frames: tuple[tuple[RunLength, ...], ...]


@dataclass(frozen=True)
class VideoCase:
    """One phrase about one video, and what it means there.

    Attributes:
        id: the file's ``id`` or its line number; of a data set ``<video>/<expression>``.
        frames: paths of the pictures, at least one, in the order of time.
        phrase: the referring expression.
        truth: where the true masks are, one a frame; None when the data set keeps them to itself.
        phrase_type: a kind of phrase to report apart, if there is one.
    """

    id: str
    frames: tuple[Path, ...]
    phrase: str
    truth: MaskFiles | MaskRuns | None
    phrase_type: str | None = None


def read_video_cases(path: Path, limit: int | None = None) -> list[VideoCase]:
    """Read cases, one JSON object per line: ``frames`` and ``masks``, each a folder; ``phrase``; and optionally ``id``,
    ``phrase_type`` and ``object_id``. Folders are relative to the file. Empty lines and other fields are passed over.

    The frames are the pictures in ``frames``, sorted so that 2 stands before 10; the mask of ``frames/NAME.jpg`` is
    ``masks/NAME.png``. The object is where a mask is not zero, or, with ``object_id``, where it has that value.

    Args:
        path: the ``.jsonl`` file, in UTF-8.
        limit: read at most this many cases.

    Raises:
        InputError: when the file cannot be read, has no cases, or has a bad line; file and line are named.
    """
    cases: list[VideoCase] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip() and (limit is None or len(cases) < limit):
            try:
                cases.append(_case(line, path.parent, number))
            except InputError as error:
                raise InputError(f"{path}:{number}: {error}") from error
    if not cases:
        raise InputError(f"{path} has no cases: write one JSON object per line with frames, masks and phrase")
    return cases


def read_ref_davis(folder: Path, limit: int | None = None, split: str = "val") -> list[VideoCase]:
    """Read Ref-DAVIS17: one case for each line of its text files, sequence by sequence and object by object.

    The layout is that of the unpacked archives ``DAVIS-2017-trainval-480p.zip`` and ``davis_text_annotations.zip``::

        FOLDER/DAVIS/JPEGImages/480p/<sequence>/<frame>.jpg       (or all of it in FOLDER, without DAVIS/)
        FOLDER/DAVIS/Annotations/480p/<sequence>/<frame>.png      indexed, the value is the object's number
        FOLDER/DAVIS/ImageSets/2017/<split>.txt                   one sequence per line
        FOLDER/davis_text_annotations/Davis17_annot1.txt          <sequence> <object> "<phrase>"
                                     /Davis17_annot1_full_video.txt, Davis17_annot2.txt, Davis17_annot2_full_video.txt

    A text file that is not there is passed over. ``phrase_type`` is ``first frame`` or ``full video``: what its author
    had seen. Without ``davis_text_annotations`` the folder is read as ``read_ref_youtube_vos`` does, which is the
    layout that Ref-DAVIS17 is often converted to (split ``val`` becomes ``valid``).

    Raises:
        InputError: when a part of the layout is missing or cannot be read.
    """
    texts = folder / "davis_text_annotations"
    if not texts.is_dir():
        if (folder / "meta_expressions").is_dir():
            return read_ref_youtube_vos(folder, limit, "valid" if split == "val" else split)
        raise InputError(f"{folder} has neither davis_text_annotations nor meta_expressions")
    davis = folder / "DAVIS" if (folder / "DAVIS").is_dir() else folder
    phrases = _davis_phrases(texts)
    cases: list[VideoCase] = []
    for sequence in read_text(davis / "ImageSets" / "2017" / f"{split}.txt").split():
        if sequence not in phrases or (limit is not None and len(cases) >= limit):
            continue
        frames = _pictures(davis / "JPEGImages" / "480p" / sequence)
        masks = _masks(davis / "Annotations" / "480p" / sequence, frames)
        cases += [
            VideoCase(f"{sequence}/{number}/{text}", frames, phrase, MaskFiles(masks, number), _DAVIS_TEXTS[text])
            for number, text, phrase in sorted(phrases[sequence])
        ]
    return _some(cases, folder, limit)


def read_ref_youtube_vos(folder: Path, limit: int | None = None, split: str = "valid") -> list[VideoCase]:
    """Read Ref-YouTube-VOS: one case for each expression, in the order of the file.

    The layout::

        FOLDER/meta_expressions/<split>/meta_expressions.json
            {"videos": {<video>: {"expressions": {<id>: {"exp": <phrase>, "obj_id": "1"}}, "frames": ["00000", ...]}}}
        FOLDER/<split>/JPEGImages/<video>/<frame>.jpg     (or without <split>/)
        FOLDER/<split>/Annotations/<video>/<frame>.png    indexed, the value is the object's number; may be missing

    A case has a truth when its expression has an ``obj_id`` and each of the video's frames an annotation; in the split
    ``valid`` as it is handed out no case has. The file of ``valid`` also lists the videos of ``test``: they are left
    out when the file of that split is there.

    Raises:
        InputError: when a part of the layout is missing or cannot be read.
    """
    file = folder / "meta_expressions" / split / "meta_expressions.json"
    test = folder / "meta_expressions" / "test" / "meta_expressions.json"
    hidden = set(_videos(test)) if split == "valid" and test.is_file() else set()
    base = folder / split if (folder / split / "JPEGImages").is_dir() else folder
    cases: list[VideoCase] = []
    for video, fields in _videos(file).items():
        if video in hidden or (limit is not None and len(cases) >= limit):
            continue
        frames = _named_frames(fields, base / "JPEGImages" / video)
        masks, missing = _pair(base / "Annotations" / video, frames)
        for key, expression in _expressions(fields, f"{file}: video {video}"):
            number = expression.get("obj_id")
            truth = None
            if missing is None and number is not None:
                if not str(number).isdecimal():
                    raise InputError(f"{file}: video {video}: expression {key}: obj_id must be a whole number")
                truth = MaskFiles(masks, int(number))
            cases.append(VideoCase(f"{video}/{key}", frames, expression["exp"], truth))
    return _some(cases, folder, limit)


def read_mevis(folder: Path, limit: int | None = None) -> list[VideoCase]:
    """Read one split of MeViS: one case for each expression, in the order of the file.

    The layout, where FOLDER is for example ``MeViS/valid_u``::

        FOLDER/meta_expressions.json
            {"videos": {<video>: {"expressions": {<id>: {"exp": <phrase>, "anno_id": [3, 8]}}, "frames": [...]}}}
        FOLDER/mask_dict.json    {"3": [<COCO run lengths, or null where it is not seen>, one a frame], ...}
        FOLDER/JPEGImages/<video>/<frame>.jpg

    The true mask is the union of all ``anno_id``. Without ``mask_dict.json``, as in the split ``valid``, cases have no
    truth.

    Raises:
        InputError: when a part of the layout is missing or cannot be read.
    """
    file, masks = folder / "meta_expressions.json", folder / "mask_dict.json"
    annotations = _read_json(masks) if masks.is_file() else None
    cases: list[VideoCase] = []
    for video, fields in _videos(file).items():
        if limit is not None and len(cases) >= limit:
            break
        frames = _named_frames(fields, folder / "JPEGImages" / video)
        for key, expression in _expressions(fields, f"{file}: video {video}"):
            truth = None
            if annotations is not None:
                numbers = expression.get("anno_id")
                if not isinstance(numbers, list):
                    raise InputError(f"{file}: video {video}: expression {key}: anno_id must be a list")
                truth = _runs(annotations, numbers, len(frames), masks)
            cases.append(VideoCase(f"{video}/{key}", frames, expression["exp"], truth))
    return _some(cases, folder, limit)


def read_true_masks(case: VideoCase) -> npt.NDArray[np.bool_]:
    """The true masks, bool ``(F, height, width)``, F the number of frames and of the size of the first.

    A frame may be empty, and a case in run lengths may be empty throughout.

    Raises:
        InputError: when there is no truth, when it or a frame cannot be read, when a mask has another size than the
            first frame, or when all PNGs are empty of the object.
    """
    if case.truth is None:
        raise InputError("it has no true masks to compare with")
    missing = next((path for path in case.frames if not path.is_file()), None)
    if missing is not None:
        raise InputError(f"{missing}: no such file; check the path")
    height, width = read_image(case.frames[0]).shape[:2]
    masks = np.zeros((len(case.frames), height, width), dtype=np.bool_)
    for index, mask in enumerate(masks):
        if isinstance(case.truth, MaskFiles):
            path = case.truth.paths[index]
            seen, name = [_read_mask(path, case.truth.object_id)], str(path)
        else:
            name = f"of frame {case.frames[index].stem}"
            try:
                seen = [decode(runs) for runs in case.truth.frames[index]]
            except ValueError as error:
                raise InputError(f"mask {name} cannot be decoded: {error}") from error
        for each in seen:
            if each.shape != mask.shape:
                raise InputError(f"mask {name} is {each.shape[1]}x{each.shape[0]}, its video {width}x{height}")
            mask |= each
    if isinstance(case.truth, MaskFiles) and not masks.any():
        what = "not a pixel" if case.truth.object_id is None else f"no pixel of value {case.truth.object_id}"
        raise InputError(f"there is {what} in the masks {case.truth.paths[0].parent}")
    return masks


def _case(line: str, base: Path, number: int) -> VideoCase:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not a JSON object: {error.msg} at column {error.colno}") from error
    if not isinstance(fields, dict):
        raise InputError("not a JSON object")
    for name in ("frames", "masks", "phrase"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise InputError(f"{name} must be a text that is not empty")
    object_id = fields.get("object_id")
    if object_id is not None and (type(object_id) is not int or object_id < 1):
        raise InputError("object_id must be a whole number from 1")
    frames = _pictures(base / fields["frames"])
    phrase_type = fields.get("phrase_type")
    return VideoCase(
        id=str(fields.get("id", number)),
        frames=frames,
        phrase=fields["phrase"],
        truth=MaskFiles(_masks(base / fields["masks"], frames), object_id),
        phrase_type=None if phrase_type is None else str(phrase_type),
    )


def _davis_phrases(folder: Path) -> dict[str, list[tuple[int, str, str]]]:
    """Object, text file and phrase, for each sequence."""
    phrases: dict[str, list[tuple[int, str, str]]] = {}
    for text in _DAVIS_TEXTS:
        path = folder / f"Davis17_{text}.txt"
        if not path.is_file():
            continue
        # The second annotator's files are not in UTF-8.
        for number, line in enumerate(read_text(path, fallback="cp1252").split("\n"), start=1):
            if not line.strip():
                continue
            found = re.fullmatch(r"(\S+)\s+(\d+)\s+(.*)", line.strip())
            phrase = found[3].strip('" ') if found is not None else ""
            if found is None or not phrase:
                raise InputError(f'{path}:{number}: not a line of sequence, object and "phrase"')
            sequence = _DAVIS_MISSPELLED.get(found[1], found[1])
            phrases.setdefault(sequence, []).append((int(found[2]), text, phrase))
    if not phrases:
        raise InputError(f"{folder} has none of the files Davis17_annot1.txt, Davis17_annot1_full_video.txt, ...")
    return phrases


def _videos(path: Path) -> dict[str, dict[str, Any]]:
    videos = _read_json(path).get("videos")
    if not isinstance(videos, dict) or not all(isinstance(fields, dict) for fields in videos.values()):
        raise InputError(f'{path} has no "videos" by name')
    return videos


def _expressions(fields: dict[str, Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    expressions = fields.get("expressions")
    if not isinstance(expressions, dict):
        raise InputError(f"{where} has no expressions")
    for key, expression in expressions.items():
        if not isinstance(expression, dict) or not isinstance(expression.get("exp"), str) or not expression["exp"]:
            raise InputError(f"{where}: expression {key}: exp must be a text that is not empty")
    return list(expressions.items())


def _runs(annotations: dict[str, Any], numbers: list[Any], count: int, path: Path) -> MaskRuns:
    tracks: list[list[RunLength | None]] = []
    for number in numbers:
        track = annotations.get(str(number))
        if not isinstance(track, list) or len(track) != count or not all(map(_is_run_or_null, track)):
            raise InputError(f"{path}: annotation {number} is not a list of {count} COCO run lengths or null")
        tracks.append(track)
    return MaskRuns(
        tuple(tuple(run for track in tracks if (run := track[index]) is not None) for index in range(count))
    )


def _is_run_or_null(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and isinstance(value.get("counts"), str)
        and isinstance(size := value.get("size"), list)
        and len(size) == 2
        and all(type(side) is int and side > 0 for side in size)
    )


def _named_frames(fields: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    names = fields.get("frames")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    if not isinstance(names, list) or not names:
        return _pictures(folder)
    return tuple(folder / f"{name}.jpg" for name in names)


def _pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures in a folder; of names that differ in a number, a shorter one has the smaller number."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path")
    paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.name[0] != "."]
    if not paths:
        raise InputError(f"{folder}: no pictures in this folder")
    return tuple(sorted(paths, key=lambda path: (len(path.stem), path.name)))


def _masks(folder: Path, frames: tuple[Path, ...]) -> tuple[Path, ...]:
    masks, missing = _pair(folder, frames)
    if missing is not None:
        raise InputError(f"{missing}: no such mask; each frame needs one of its name")
    return masks


def _pair(folder: Path, frames: tuple[Path, ...]) -> tuple[tuple[Path, ...], Path | None]:
    """The mask of each frame, and the first of them that does not exist."""
    masks = tuple(folder / f"{frame.stem}.png" for frame in frames)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return masks, next((mask for mask in masks if mask.name not in names), None)


def _read_mask(path: Path, object_id: int | None) -> npt.NDArray[np.bool_]:
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture if picture.mode in ("1", "L", "P", "I;16", "I") else picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:
        raise InputError(f"cannot read mask {path}") from error
    if object_id is not None:
        if pixels.ndim == 3:
            raise InputError(f"mask {path} has colours, not the numbers of objects; save it as an indexed PNG")
        chosen: npt.NDArray[np.bool_] = pixels == object_id
        return chosen
    mask: npt.NDArray[np.bool_] = pixels != 0
    return np.logical_or.reduce(mask, axis=2) if mask.ndim == 3 else mask


def _read_json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no valid JSON: {error.msg} at line {error.lineno}") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} is not a JSON object")
    return fields


def _some(cases: list[VideoCase], folder: Path, limit: int | None) -> list[VideoCase]:
    if not cases:
        raise InputError(f"{folder} has no cases of this split")
    return list(islice(cases, limit))
