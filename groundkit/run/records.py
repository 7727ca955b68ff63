"""One result as a record of a run, and back: what a manifest keeps, and what people are shown."""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from groundkit.errors import InputError
from groundkit.masks.evidence import Evidence
from groundkit.masks.geometry import boxes_of
from groundkit.masks.rle import area, decode, encode
from groundkit.outputs.formats import known_formats
from groundkit.outputs.record import discovery_record, made_with, record
from groundkit.outputs.save import folder_of
from groundkit.report.layers import LONGEST_HEAT, shrink_heat
from groundkit.results import Discovery, FrameMask, Grounding, VideoGrounding
from groundkit.run.manifest import Record
from groundkit.run.plan import Task, Unit

_DETAILS = {"heat", "rle", "indices", "frame_scores", "evidence_parts", "stem"}
_OF_RUN = {"name", "path", "files", "formats", "size", "bytes", "modified", "digest"}
Picture = npt.NDArray[np.uint8]


def record_of(
    found: Grounding | Discovery,
    unit: Unit,
    task: Task,
    files: Mapping[str, Sequence[Path]],
    output: Path,
    *,
    kept: bool,
) -> Record:
    """The record of a picture's result.

    Args:
        found: the result.
        unit, task: what was done.
        files: what was written, by format.
        output: where; files are named relative to the folder of the results.
        kept: whether the record holds the masks and the heatmap at the size of reports.
    """
    names = {kind: _relative(paths, output) for kind, paths in files.items()}
    if isinstance(found, Grounding):
        told = record(found, unit.item.name, names.get("png", []))
        if kept:
            told |= {**_heat(found), **_parts(found), "rle": list(found.run_lengths)}
    else:
        told = {**discovery_record(found, unit.item.name), "phrase": None}
    return {
        **told,
        "name": task.name,
        "stem": unit.stem,
        "formats": list(names),
        "files": [name for each in names.values() for name in each],
        "size": list(found.image.shape[:2]),
    }


def video_record(
    found: VideoGrounding, unit: Unit, task: Task, files: Sequence[Path], output: Path, *, kept: bool
) -> Record:
    """The same for a video, whose masks are in its lines of run lengths."""
    key = found.key
    told: Record = {
        "input": unit.item.name,
        "phrase": found.phrase,
        "pipeline": found.pipeline,
        "model": found.model,
        "segmenter": key.segmenter,
        **made_with(key),
        "tracker": found.tracker,
        "frames": len(found.frames),
        "seen": sum(area(frame.rle) > 0 for frame in found.frames),
        "key_frame": found.key_frame,
        "grounded": [frame.index for frame in found.frames if frame.grounded],
        **({} if kept else {"seconds": round(found.seconds, 3)}),
        **({} if key.evidence is None else {"evidence": round(key.evidence.score, 4)}),
        **({"mask_score": round(float(key.scores.max()), 6)} if len(key.scores) else {}),
        "name": task.name,
        "stem": unit.stem,
        "files": _relative(files, output),
    }
    if not kept:
        return told
    return {
        **told,
        **_heat(key),
        **_parts(key),
        "size": list(key.image.shape[:2]),
        "points": [[float(x), float(y), int(label)] for x, y, label in key.points],
        "indices": [frame.index for frame in found.frames],
        "frame_scores": [round(frame.score, 6) for frame in found.frames],
    }


def without_details(record: Record) -> Record:
    """A record of a manifest as it is shown to people: without what is kept for files and reports."""
    return {key: value for key, value in record.items() if key not in _DETAILS}


def shown(record: Record, output: Path) -> Record:
    """A record of a run without a manifest as it is shown to people, with the paths of masks."""
    told = {key: value for key, value in record.items() if key not in _DETAILS | _OF_RUN}
    if record["phrase"] is None:
        del told["phrase"]
    if "masks" in told:
        told["masks"] = [str(folder_of(output) / name) for name in told["masks"]]
    return told


def written(record: Record, output: Path) -> list[Path]:
    """The files of a record; none of a failure."""
    return [folder_of(output) / name for name in record.get("files", ())]


def is_empty(record: Record) -> bool:
    """Whether nothing was found, without a failure."""
    return "error" not in record and not record.get("seen", record.get("scores", record.get("objects")))


def is_video(record: Record) -> bool:
    return "frames" in record


def is_sound(record: Record) -> bool:
    """Whether a record that went well has all that is kept, of the right kind: a manifest may have been changed."""
    try:
        height, width = (int(side) for side in record["size"])
        told = ["path", "stem", "pipeline", "model", "segmenter", "version", "device", "dtype"]
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


def restored_discovery(record: Record) -> Discovery:
    """What was discovered, over a black picture and without the model's answers."""
    height, width = record["size"]
    objects = record["objects"]
    return Discovery(
        image=np.zeros((height, width, 3), np.uint8),
        labels=tuple(each["label"] for each in objects),
        masks=np.array([decode(each["mask"]) for each in objects], np.bool_).reshape(-1, height, width),
        scores=np.array([each["score"] for each in objects], np.float32),
        points=tuple(np.array(each["points"], np.float32).reshape(-1, 3) for each in objects),
        answers=(),
        pipeline=record["pipeline"],
        model=record["model"],
        seconds=math.nan,
    )


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
        origins=record.get("origins", {}),
    )


def restored_video(record: Record, output: Path) -> VideoGrounding:
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
        seconds=math.nan,
    )


def _evidence(record: Record) -> Evidence | None:
    return Evidence(**record["evidence_parts"]) if "evidence" in record else None


def _parts(found: Grounding) -> Record:
    return {} if found.evidence is None else {"evidence_parts": asdict(found.evidence)}


def _heat(found: Grounding) -> Record:
    """The heatmap at the size of reports, a PNG as text; nothing of one that is flat."""
    heat = shrink_heat(found.heatmap)
    if heat is None:
        return {}
    file = io.BytesIO()
    Image.fromarray(heat).save(file, format="PNG")
    return {"heat": base64.b64encode(file.getvalue()).decode("ascii")}


def heat_of(record: Record) -> npt.NDArray[np.uint8] | None:
    """What was kept of the heatmap, see ``shrink_heat``."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(record["heat"]))) as picture:
            small = picture.mode == "L" and max(picture.size) <= LONGEST_HEAT
            return np.array(picture, np.uint8) if small else None
    except (KeyError, TypeError, ValueError, OSError):  # none, or changed by others
        return None


def _relative(paths: Sequence[Path], output: Path) -> list[str]:
    return [Path(os.path.relpath(path, folder_of(output))).as_posix() for path in paths]
