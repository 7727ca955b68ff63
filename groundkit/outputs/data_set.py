"""What formats for training and annotating share: pictures, each with its labelled objects, kept over several runs."""

from __future__ import annotations

import json
import os
import random
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from groundkit.errors import ConfigError
from groundkit.masks.rle import RunLength, decode
from groundkit.media.inputs import STDIN
from groundkit.outputs.atomic import os_errors_as_input_errors, temporary_name, write_text
from groundkit.outputs.formats.base import Source
from groundkit.outputs.locks import locked
from groundkit.outputs.names import UniqueNames
from groundkit.results import Discovery, Grounding

_STORE = "groundkit.json"


@dataclass(frozen=True)
class Layout:
    """How a data set is written.

    Attributes:
        held_out: share of the pictures that are held out for validation, 0 (none) to below 1.
        seed: chooses which.
        tolerance: how far polygons may lie from the masks' outlines, in pixels; 0 is exact.
        polygons: whether COCO's masks are polygons instead of run lengths.

    Raises:
        ConfigError: a value outside its range.
    """

    held_out: float = 0.0
    seed: int = 0
    tolerance: float = 1.0
    polygons: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"--val must be a share of the pictures from 0 to below 1, got {self.held_out}")
        if not 0 <= self.tolerance <= 100:
            raise ConfigError(f"--tolerance must be 0 to 100 pixels, got {self.tolerance}")


@dataclass(frozen=True)
class Labelled:
    """An object: its class, its mask, its score in [0, 1], and what was asked for."""

    label: str
    mask: RunLength
    score: float
    phrase: str


@dataclass
class Pictured:
    """A picture with what was found in it.

    Attributes:
        stem: a name that no other picture of the data set has.
        place: the absolute path of the picture; empty or ``-`` where it has no file.
        size: (height, width).
        found: objects by the phrase that they were found by.
        model: what read the picture.
        labels: classes, of objects or not, in the order in which they came.
    """

    stem: str
    place: str
    size: tuple[int, int]
    found: dict[str, list[Labelled]] = field(default_factory=dict)
    model: str = ""
    labels: list[str] = field(default_factory=list)

    @property
    def objects(self) -> list[Labelled]:
        return [each for objects in self.found.values() for each in objects]

    @property
    def file_name(self) -> str:
        """Its file's name in a data set: the stem with the suffix of the file."""
        return self.stem + (Path(self.place).suffix.lower() or ".png")


@dataclass(frozen=True)
class DataSet:
    """Pictures in the order in which they came, and the classes, whose numbers are their places."""

    pictures: list[Pictured]
    classes: list[str]
    layout: Layout

    def parts(self) -> dict[str, list[Pictured]]:
        """``train`` and, where some are held out, ``val``.

        The same pictures and the same seed give the same parts, in whatever order they come. With two pictures or more
        neither part is empty.
        """
        if not self.layout.held_out or len(self.pictures) < 2:
            return {"train": self.pictures}
        stems = sorted(each.stem for each in self.pictures)
        random.Random(self.layout.seed).shuffle(stems)
        count = min(len(stems) - 1, max(1, round(self.layout.held_out * len(stems))))
        held = set(stems[:count])
        return {
            "train": [each for each in self.pictures if each.stem not in held],
            "val": [each for each in self.pictures if each.stem in held],
        }


class DataSetRun(ABC):
    """A folder for all results of a run, see ``RunFormat``.

    The folder keeps what it was written from in ``groundkit.json``: later runs of the same command add to it, and files
    that are no longer true are removed. Files of others stay.
    """

    file: ClassVar[str]
    layout: Layout = Layout()

    def __init__(self, command: str, categories: Sequence[str] = (), *, whole: bool = False) -> None:
        self.command = command
        self._classes = list(categories)
        self._whole = whole
        self._pictures: dict[str, Pictured] = {}
        self._replaced: set[str] = set()  # pictures of which nothing else is true

    @abstractmethod
    def write(self, data: DataSet, folder: Path) -> list[Path]:
        """Write the data set, and return all its files."""

    def check(self, path: Path) -> None:
        self._earlier(path)

    def add(self, result: Grounding | Discovery, source: Source) -> None:
        new = pictured(result, source)
        key = new.place if new.place not in ("", STDIN) else f"{STDIN}{new.stem}"
        if isinstance(result, Discovery):
            self._replaced.add(key)
        _merge(self._pictures, key, new, replaced=isinstance(result, Discovery))

    def finish(self, path: Path) -> list[Path]:
        if not self._pictures:
            return []
        with locked(path):
            pictures, classes, files = self._earlier(path)
            if self._whole:
                pictures, classes = {}, []
            for key, new in self._pictures.items():
                _merge(pictures, key, new, replaced=key in self._replaced)
            names = UniqueNames()
            for each in pictures.values():
                each.stem = names.take(each.stem)
            labels = (label for each in pictures.values() for label in each.labels)
            classes = list(dict.fromkeys([*classes, *self._classes, *labels]))
            with os_errors_as_input_errors(path):
                path.mkdir(parents=True, exist_ok=True)
                written = self.write(DataSet(list(pictures.values()), classes, self.layout), path)
                told = [file.relative_to(path).as_posix() for file in written]
                self._store(path, pictures, classes, told)
                for old in files - set(told):
                    (path / old).unlink(missing_ok=True)
        return [path]

    def _store(self, path: Path, pictures: Mapping[str, Pictured], classes: list[str], files: list[str]) -> None:
        told = [
            {
                **vars(each),
                "key": key,
                "found": {name: [vars(one) for one in ones] for name, ones in each.found.items()},
            }
            for key, each in pictures.items()
        ]
        kept = {"made_by": self.command, "classes": classes, "files": files, "pictures": told}
        write_text(path / _STORE, json.dumps(kept))

    def _earlier(self, path: Path) -> tuple[dict[str, Pictured], list[str], set[str]]:
        """Pictures, classes and files of earlier runs. Raises ConfigError for a folder of others."""
        store = path / _STORE
        with os_errors_as_input_errors(path, "read"):
            if not store.exists() and not (path.exists() and (not path.is_dir() or any(path.iterdir()))):
                return {}, [], set()
        try:
            kept: dict[str, Any] = json.loads(store.read_text(encoding="utf-8"))
            if kept["made_by"] != self.command:
                raise ValueError
            pictures = {}
            for each in kept["pictures"]:
                found = {name: [Labelled(**one) for one in ones] for name, ones in each["found"].items()}
                rest = {name: each[name] for name in ("stem", "place", "model", "labels")}
                pictures[str(each["key"])] = Pictured(size=tuple(each["size"]), found=found, **rest)
            files = {str(file) for file in kept["files"]}
            if any(Path(file).is_absolute() or ".." in Path(file).parts for file in files):
                raise ValueError
            return pictures, [str(name) for name in kept["classes"]], files
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"{path} was not written by {self.command}: give another --output, or move it away"
            ) from error


def pictured(result: Grounding | Discovery, source: Source) -> Pictured:
    """One result as a picture of a data set."""
    height, width = result.image.shape[:2]
    each = Pictured(source.stem or "picture", source.place, (height, width), model=result.model)
    for one in result.groundings() if isinstance(result, Discovery) else [result]:
        label = source.label or one.phrase
        each.labels.append(label)
        each.found[one.phrase] = [
            Labelled(label, mask, round(float(score), 6), one.phrase)
            for mask, score in zip(one.run_lengths, one.scores, strict=True)
        ]
    each.labels = list(dict.fromkeys(each.labels))
    return each


def link_picture(picture: Pictured, folder: Path) -> list[Path]:
    """Put a picture's file into a folder of a data set, and return it; nothing where there is none.

    It is a symbolic link, or a copy where the system allows none.
    """
    place, path = Path(picture.place), folder / picture.file_name
    if picture.place in ("", STDIN) or not place.is_file():
        return []
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / temporary_name(path.suffix)
    try:
        temporary.symlink_to(os.path.relpath(place, folder.resolve()))
    except (OSError, ValueError):  # Windows without developer mode, another drive
        shutil.copyfile(place, temporary)
    temporary.replace(path)
    return [path]


def boxed(mask: RunLength) -> tuple[int, int, int, int]:
    """The box of a mask: x1, y1, x2, y2 in pixels, the last two exclusive."""
    from groundkit.masks.rle import box

    x, y, width, height = (round(side) for side in box(mask))
    return x, y, x + width, y + height


def overlaid(masks: Iterable[tuple[int, RunLength]], size: tuple[int, int]) -> Any:
    """Numbers of objects per pixel, uint8 or uint16 ``size``; where several overlap, the smallest object counts."""
    import numpy as np

    from groundkit.masks.rle import area

    drawn = sorted(masks, key=lambda each: -area(each[1]))
    highest = max((number for number, _ in drawn), default=0)
    picture = np.zeros(size, np.uint8 if highest < 256 else np.uint16)
    for number, mask in drawn:
        picture[decode(mask)] = number
    return picture


def _merge(pictures: dict[str, Pictured], key: str, new: Pictured, *, replaced: bool) -> None:
    old = pictures.get(key)
    if old is None or replaced or tuple(old.size) != tuple(new.size):
        pictures[key] = new
        return
    for phrase, objects in new.found.items():
        old.found.pop(phrase, None)  # what is new stands last
        old.found[phrase] = objects
    old.labels = list(dict.fromkeys([*old.labels, *new.labels]))
    old.model = new.model
