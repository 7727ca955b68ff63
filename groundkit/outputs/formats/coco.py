"""Results as one COCO data set."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from groundkit.errors import ConfigError
from groundkit.masks.polygons import polygons, rasterised
from groundkit.masks.rle import RunLength, area, box, decode, encode
from groundkit.media.inputs import STDIN
from groundkit.outputs.atomic import os_errors_as_input_errors, write_text
from groundkit.outputs.data_set import Layout
from groundkit.outputs.formats.base import Format, Source
from groundkit.outputs.locks import locked
from groundkit.results import Discovery, Grounding
from groundkit.version import __version__


@dataclass(frozen=True)
class _Found:
    """What was found of one phrase in one picture, and by what."""

    masks: Sequence[RunLength]
    scores: Sequence[float]
    pipeline: str
    model: str
    label: str


def to_coco(grounding: Grounding, file_name: str = "") -> dict[str, Any]:
    """A data set of one picture and phrase."""
    dataset = CocoDataset()
    dataset.add(grounding, file_name)
    return dataset.to_dict()


class CocoDataset:
    """Collects groundings: pictures become images, phrases categories, masks annotations with a ``score``.

    All ids count from 1. Boxes are XYWH pixels around the mask, ``area`` is its number of pixels, ``segmentation`` is
    compressed RLE with ``counts`` as str. Pictures in which nothing was found are listed without annotations. A
    ``file_name`` that was added as an absolute path is written relative to the common folder of all such pictures, in
    POSIX form; the folder itself is ``info["folder"]``. ``info`` also has the version of groundkit, the pipeline and
    the model.

    Args:
        description: what made the data set, such as ``groundkit segment``.
        categories: those that are known before, numbered in their order; further ones follow as they come.
    """

    def __init__(self, description: str = "groundkit", categories: Iterable[str] = ()) -> None:
        self._description = description
        self._given = tuple(categories)
        self._categories = dict.fromkeys(self._given)
        self._sizes: dict[str, tuple[int, int]] = {}
        self._found: dict[tuple[str, str], _Found] = {}
        self._replaced: set[str] = set()  # pictures of which nothing else is true

    def add(self, grounding: Grounding, file_name: str, label: str = "") -> None:
        """Add one picture and phrase, whose category is ``label``, or the phrase where that is empty.

        The same ``file_name`` again means the same picture, and with the same phrase replaces what was there.
        """
        height, width = grounding.image.shape[:2]
        self.add_picture(file_name, (height, width))
        label = label or grounding.phrase
        self._categories.setdefault(label)
        self._found[file_name, grounding.phrase] = _Found(
            list(grounding.run_lengths),
            [float(score) for score in grounding.scores],
            grounding.pipeline,
            grounding.model,
            label,
        )

    def add_discovery(self, discovery: Discovery, file_name: str) -> None:
        """Add one picture with all its labels, which replace everything that is known of it."""
        height, width = discovery.image.shape[:2]
        self._forget(file_name)
        self._replaced.add(file_name)
        self.add_picture(file_name, (height, width))
        for grounding in discovery.groundings():
            self.add(grounding, file_name)

    def add_picture(self, file_name: str, size: tuple[int, int]) -> None:
        """Add one picture, its ``(height, width)``. One of another size than before is another picture."""
        if self._sizes.get(file_name, size) != size:
            self._forget(file_name)
        self._sizes[file_name] = size

    def merge_into(self, path: Path) -> Path:
        """Add this data set to the one in ``path``, if there is one, and return ``path``.

        Pictures and phrases of this data set replace those in the file, and all others stay.

        Raises:
            ConfigError: when the file is no COCO data set with the same description.
            InputError: when it cannot be read or written.
        """
        with locked(path):
            merged = CocoDataset(self._description, self._given)
            merged._read(path)
            for file_name, size in self._sizes.items():
                if file_name in self._replaced:
                    merged._forget(file_name)
                merged.add_picture(file_name, size)
            merged._categories.update(self._categories)
            merged._found.update(self._found)
            return merged.write(path)

    def check(self, path: Path) -> None:
        """Raise what ``merge_into`` would, before any work is done."""
        CocoDataset(self._description)._read(path)

    def to_dict(self) -> dict[str, Any]:
        """The data set as JSON-ready values."""
        folder = _common_folder(self._sizes)
        images = {name: number for number, name in enumerate(self._sizes, start=1)}
        categories = {name: number for number, name in enumerate(self._categories, start=1)}
        annotations = [
            {
                "image_id": images[file_name],
                "category_id": categories[found.label],
                **({} if phrase == found.label else {"phrase": phrase}),
                "segmentation": mask,
                "bbox": box(mask),
                "area": float(area(mask)),
                "iscrowd": 0,
                "score": score,
            }
            for (file_name, phrase), found in self._found.items()
            for mask, score in zip(found.masks, found.scores, strict=True)
        ]
        return {
            "info": self._info(folder),
            "licenses": [],
            "images": [
                {"id": images[name], "file_name": _relative(name, folder), "width": width, "height": height}
                for name, (height, width) in self._sizes.items()
            ],
            "annotations": [{"id": number, **each} for number, each in enumerate(annotations, start=1)],
            "categories": [{"id": number, "name": phrase} for phrase, number in categories.items()],
        }

    def write(self, path: Path, layout: Layout | None = None) -> Path:
        """Write the data set, which ``pycocotools.coco.COCO(path)`` reads, and return ``path``.

        Where ``layout`` asks for polygons, ``segmentation`` is a list of them, along the edges of pixels, and holes are
        joined to the outlines; ``area`` and ``bbox`` stay those of the mask.
        """
        told = self.to_dict()
        if layout and layout.polygons:
            for each in told["annotations"]:
                outlines = polygons(decode(each["segmentation"]), layout.tolerance)
                each["segmentation"] = [[float(value) for value in outline.ravel()] for outline in outlines]
        return write_text(path, json.dumps(told))

    def _info(self, folder: str) -> dict[str, str]:
        found = self._found.values()
        return {
            "description": self._description,
            "version": __version__,
            "pipeline": _joined_names(each.pipeline for each in found),
            "model": _joined_names(each.model for each in found),
            "folder": folder,
        }

    def _forget(self, file_name: str) -> None:
        self._sizes.pop(file_name, None)
        for key in [key for key in self._found if key[0] == file_name]:
            del self._found[key]

    def _read(self, path: Path) -> None:
        """Take in what an earlier run of the same command has written."""
        with os_errors_as_input_errors(path, "read"):
            if not path.exists():
                return
            text = path.read_text(encoding="utf-8", errors="replace")
        try:
            data = json.loads(text)
            info = data["info"]
            if info["description"] != self._description:
                raise ValueError
            # An absolute name stays what it is when it is joined to a folder.
            names = {each["id"]: _joined(info["folder"], each["file_name"]) for each in data["images"]}
            phrases = {each["id"]: each["name"] for each in data["categories"]}
            for each in data["images"]:
                self.add_picture(names[each["id"]], (each["height"], each["width"]))
            self._categories.update(dict.fromkeys(phrases.values()))
            found: dict[tuple[str, str], _Found] = {}
            for each in data["annotations"]:
                label = phrases[each["category_id"]]
                key = names[each["image_id"]], str(each.get("phrase", label))
                mask = each["segmentation"]
                if isinstance(mask, list):
                    outlines = [list(zip(one[::2], one[1::2], strict=True)) for one in mask]
                    mask = encode(rasterised(outlines, self._sizes[key[0]]))
                if tuple(mask["size"]) != self._sizes[key[0]] or not isinstance(mask["counts"], str):
                    raise ValueError
                empty = _Found([], [], info["pipeline"], info["model"], label)
                before = found.get(key, empty)
                found[key] = _Found(
                    [*before.masks, mask],
                    [*before.scores, float(each["score"])],
                    info["pipeline"],
                    info["model"],
                    label,
                )
            self._found.update(found)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f"{path} was not written by {self._description}: give another --output, or move it away"
            ) from error


class CocoRun:
    """The results of a run as one data set."""

    file: ClassVar[str] = "coco.json"
    layout: Layout = Layout()

    def __init__(self, command: str, categories: Sequence[str] = (), *, whole: bool = False) -> None:
        self._dataset = CocoDataset(command, categories)
        self._whole = whole
        self._empty = True

    def check(self, path: Path) -> None:
        self._dataset.check(path)

    def add(self, result: Grounding | Discovery, source: Source) -> None:
        self._empty = False
        if isinstance(result, Discovery):
            self._dataset.add_discovery(result, source.place)
        else:
            self._dataset.add(result, source.place, source.label)

    def finish(self, path: Path) -> list[Path]:
        if self._empty:
            return []
        return [self._dataset.write(path, self.layout) if self._whole else self._dataset.merge_into(path)]


class Coco(Format):
    """A COCO data set; one for all results of a run."""

    ending = "-coco.json"
    run = CocoRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        run = CocoRun("groundkit", whole=True)
        run.add(result, Source(place=source.place or source.name, label=source.label))
        return run.finish(path)


FORMAT = Coco()


def _joined_names(names: Iterable[str]) -> str:
    """Each once; what was read from a file may be several names already."""
    return ", ".join(sorted({part for name in names for part in name.split(", ")}))


def _common_folder(names: Iterable[str]) -> str:
    """The folder that all absolute names share, in POSIX form; empty where there is none, as on two drives."""
    folders = [os.path.dirname(name) for name in names if os.path.isabs(name)]  # noqa: PTH117, PTH120 - str to str
    try:
        return Path(os.path.commonpath(folders)).as_posix() if folders else ""
    except ValueError:
        return ""


def _relative(name: str, folder: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        return name
    return (path.relative_to(folder) if folder else path).as_posix()


def _joined(folder: str, name: str) -> str:
    return str(Path(folder) / name) if folder and name != STDIN else name
