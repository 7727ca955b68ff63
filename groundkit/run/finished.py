"""A finished result: what its record keeps, and the files and reports that are made of it without grounding again."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import asdict, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.errors import GroundkitError, InputError
from groundkit.masks.evidence import Evidence
from groundkit.masks.geometry import boxes_of
from groundkit.masks.rle import decode, encode
from groundkit.media.ahead import map_ahead
from groundkit.media.videos import read_video
from groundkit.outputs.formats import known_formats, load_format
from groundkit.outputs.formats.base import Source, mask_names
from groundkit.outputs.names import slug
from groundkit.outputs.ours import owner
from groundkit.outputs.save import file_names, per_result, write_result
from groundkit.pipelines.video import FrameMask, VideoGrounding
from groundkit.report.layers import LONGEST_HEAT, shrink_heat
from groundkit.report.page import ReportWriter, failure_entry, picture_entry, video_entry
from groundkit.results import Grounding
from groundkit.run.manifest import Manifest, Record
from groundkit.run.plan import Task, Unit

_DETAILS = {"heat", "rle", "indices", "frame_scores", "evidence_parts"}
Picture = npt.NDArray[np.uint8]


def details(found: Grounding) -> Record:
    """What a record keeps for later files and reports: the masks, and the heatmap at the size of reports."""
    return {**_heat(found), **_parts(found), "rle": [encode(mask) for mask in found.masks]}


def video_details(found: VideoGrounding) -> Record:
    """The same for a video, whose masks are in its lines of run lengths."""
    return {
        **_heat(found.key),
        **_parts(found.key),
        "points": [[float(x), float(y), int(label)] for x, y, label in found.key.points],
        "indices": [frame.index for frame in found.frames],
        "frame_scores": [round(frame.score, 6) for frame in found.frames],
    }


def without_details(record: Record) -> Record:
    """The record as it is shown to people: without what is kept for files and reports."""
    return {key: value for key, value in record.items() if key not in _DETAILS}


def is_video(record: Record) -> bool:
    return "frames" in record


def is_sound(record: Record) -> bool:
    """Whether a record that went well has all that is kept, of the right kind: a manifest may have been changed."""
    try:
        height, width = (int(side) for side in record["size"])
        told = ["path", "pipeline", "model", "segmenter", "version", "device", "dtype"]
        told += ["tracker"] if is_video(record) else []
        points = np.array(record["points"], np.float32)
        if "evidence" in record:
            float(record["evidence"]), float(Evidence(**record["evidence_parts"]).score)
        if points.size != 3 * len(record["points"]) or not all(isinstance(record[key], str) for key in told):
            return False
        if not (isinstance(record["points"], list) and isinstance(record.get("settings", {}), dict)):
            return False
        if is_video(record):
            lists = (record["files"], record["indices"], record["grounded"], record["frame_scores"])
            named = [file for file in record["files"] if file.endswith(".jsonl")]
            listed = all(isinstance(each, list) for each in lists) and len(named) == 1
            return listed and record["key_frame"] in record["indices"] and len(record["indices"]) > 0
        masks, scores = record["rle"], [float(score) for score in record["scores"]]
        sizes = [each["size"] == [height, width] and isinstance(each["counts"], str) for each in masks]
        return all(sizes) and len(masks) == len(scores) and set(record["formats"]) <= set(known_formats())
    except (KeyError, TypeError, ValueError):
        return False


def with_formats(record: Record, formats: Collection[str]) -> Record:
    """The record of a picture with the names of its files in these formats."""
    kinds = in_order(formats)
    files = {kind: _files_of(record, kind) for kind in kinds}
    told = {
        "masks": files.get("png", []),
        "formats": list(kinds),
        "files": [file for kind in kinds for file in files[kind]],
    }
    return {**record, **told}


def needs_grounding(record: Record, output: Path, formats: Collection[str]) -> bool:
    """Whether files are missing that cannot be made of the record: those of a video, and the heatmap."""
    if not is_sound(record):
        return True
    if is_video(record):
        return not all((output / file).exists() for file in record["files"])
    lost = [kind for kind in per_result(formats) if load_format(kind).needs & {"heatmap", "trace"}]
    return not set(lost) <= set(_there(record, output))


def complete(manifest: Manifest, units: Iterable[Unit], output: Path, formats: Collection[str], jobs: int) -> int:
    """Make the files of pictures that are missing, and return how many results had to be completed.

    Raises:
        GroundkitError: when a picture cannot be read any more, or the place cannot be written to.
    """

    def work(lack: tuple[Unit, list[Record]]) -> list[Record]:
        unit, records = lack
        picture: Picture | None = None
        done = []
        for record in records:
            there = _there(record, output)
            # What is made of the record alone is written again: it may name the files of other formats.
            kinds = in_order({*there, *formats})
            missing = [kind for kind in kinds if kind not in there or not load_format(kind).needs]
            if picture is None and any("image" in load_format(kind).needs for kind in missing):
                picture = unit.item.read()
            source = source_of(record, unit, output, kinds)
            write_result(restored(record, picture), output, record["name"], missing, source)
            done.append(with_formats(record, kinds))
        return done

    lacking: list[tuple[Unit, list[Record]]] = []
    for unit in units:
        records = [record for task in unit.tasks if (record := _picture_record(manifest, unit, task)) is not None]
        records = [each for each in records if in_order({*_there(each, output), *formats}) != _whole(each, output)]
        if records:
            lacking.append((unit, records))
    with closing(map_ahead(work, lacking, jobs)) as completed:
        for records in completed:
            for record in records:
                manifest.append(record)
    return sum(len(records) for _, records in lacking)


def source_of(record: Record, unit: Unit, output: Path, formats: tuple[str, ...] = ()) -> Source:
    """What formats are told of the input of a record."""
    return Source(record["input"], unit.item.place, unit.stem, owner("batch", unit.item.place, output), formats)


def stem_of(record: Record) -> str:
    """The ``Unit.stem`` of the input of a record: its name goes on with the phrase."""
    return str(record["name"]).removesuffix(f"-{slug(record['phrase'])}")


def add_entries(
    report: ReportWriter,
    manifest: Manifest,
    units: Iterable[Unit],
    output: Path,
    jobs: int,
    *,
    stride: int = 1,
    max_frames: int | None = None,
) -> None:
    """Put the entries of a run together, in the order of the plan and failures among them."""

    def entries(unit: Unit) -> list[str]:
        picture: Picture | None = None
        made = []
        for task in unit.tasks:
            record = manifest.record_of(unit, task)
            if record is None:
                continue
            error = record.get("error")
            try:
                if error is None and is_video(record):
                    assert unit.item.path is not None
                    frames = partial(read_video(unit.item.path).frames, stride, max_frames)
                    found = _restored_video(record, output)
                    made.append(video_entry(record["input"], task.phrase, found, frames, heat=_unpack(record)))
                elif error is None:
                    picture = unit.item.read() if picture is None else picture
                    found_here = restored(record, picture)
                    made.append(picture_entry(record["input"], task.phrase, found_here, _unpack(record)))
            except GroundkitError as refusal:
                error = str(refusal)
            if error is not None:
                made.append(failure_entry(record["input"], task.phrase, error))
        return made

    with closing(map_ahead(entries, units, jobs)) as made:
        for each in made:
            for entry in each:
                report.add(entry)


def _picture_record(manifest: Manifest, unit: Unit, task: Task) -> Record | None:
    record = manifest.record_of(unit, task)
    return None if record is None or "files" not in record or is_video(record) else record


def in_order(formats: Collection[str]) -> tuple[str, ...]:
    """Those with a file per result, in the order in which the files of a batch are listed."""
    return tuple(sorted(per_result(formats)))


def _files_of(record: Record, kind: str) -> list[str]:
    path = file_names(Path(), record["name"], [kind])[kind]
    paths = mask_names(path, len(record["scores"])) if load_format(kind).per_label else [path]
    return [path.as_posix() for path in paths]


def _there(record: Record, output: Path) -> list[str]:
    return [kind for kind in record["formats"] if all((output / each).exists() for each in _files_of(record, kind))]


def _whole(record: Record, output: Path) -> tuple[str, ...] | None:
    """The formats of a record of which no file is missing."""
    formats: list[str] = record["formats"]
    return tuple(formats) if _there(record, output) == formats else None


def restored(record: Record, picture: Picture | None) -> Grounding:
    """The grounding without its heatmap; black where the picture is not needed."""
    height, width = record["size"]
    if picture is not None and picture.shape[:2] != (height, width):
        raise InputError(f"the record of {record['input']} is of a picture of another size: delete the manifest")
    masks = np.array([decode(mask) for mask in record["rle"]], np.bool_).reshape(-1, height, width)
    return Grounding(
        image=np.zeros((height, width, 3), np.uint8) if picture is None else picture,
        phrase=record["phrase"],
        masks=masks,
        scores=np.array(record["scores"], np.float32),
        boxes=boxes_of(masks),
        points=np.array(record["points"], np.float32).reshape(-1, 3),
        heatmap=np.full((height, width), np.nan, np.float32),
        pipeline=record["pipeline"],
        model=record["model"],
        seconds=math.nan,
        evidence=_evidence(record),
        segmenter=record["segmenter"],
        device=record["device"],
        dtype=record["dtype"],
        settings=record.get("settings", {}),
    )


def _restored_video(record: Record, output: Path) -> VideoGrounding:
    height, width = record["size"]
    empty = encode(np.zeros((height, width), np.bool_))
    (lines,) = (output / file for file in record["files"] if file.endswith(".jsonl"))
    frames = []
    try:
        with lines.open(encoding="utf-8") as file:
            for line, index, score in zip(file, record["indices"], record["frame_scores"], strict=True):
                told: dict[str, Any] = json.loads(line)
                mask = told["objects"][0]["rle"] if told["objects"] else empty
                grounded = index in record["grounded"]
                seconds = Fraction(told["seconds"])
                frames.append(FrameMask(int(index), seconds, str(told["frame"]), mask, float(score), grounded))
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise InputError(f"{lines} is missing or damaged: delete it, and the video is followed again") from error
    key = restored({**record, "rle": [], "scores": []}, None)
    return VideoGrounding(
        phrase=record["phrase"],
        frames=tuple(frames),
        key_frame=record["key_frame"],
        key=replace(key, evidence=_evidence(record)),
        pipeline=record["pipeline"],
        model=record["model"],
        tracker=record["tracker"],
        seconds=0.0,
    )


def _evidence(record: Record) -> Evidence | None:
    return Evidence(**record["evidence_parts"]) if "evidence" in record else None


def _parts(found: Grounding) -> Record:
    return {} if found.evidence is None else {"evidence_parts": asdict(found.evidence)}


def _heat(found: Grounding) -> Record:
    """The size of the picture and its ``heat``, a PNG as text."""
    heat, size = shrink_heat(found.heatmap), list(found.image.shape[:2])
    if heat is None:
        return {"size": size}
    file = io.BytesIO()
    Image.fromarray(heat).save(file, format="PNG")
    return {"size": size, "heat": base64.b64encode(file.getvalue()).decode("ascii")}


def _unpack(record: Record) -> npt.NDArray[np.uint8] | None:
    try:
        with Image.open(io.BytesIO(base64.b64decode(record["heat"]))) as picture:
            small = picture.mode == "L" and max(picture.size) <= LONGEST_HEAT
            return np.array(picture, np.uint8) if small else None
    except (KeyError, TypeError, ValueError, OSError):  # none, or changed by others
        return None
