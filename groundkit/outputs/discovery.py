"""Everything found in a picture, as JSON-ready values and as files."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundkit.errors import ConfigError
from groundkit.masks.rle import encode
from groundkit.media.inputs import Input, unique_stems
from groundkit.outputs.atomic import prepare_folder, write_text
from groundkit.outputs.formats.coco import CocoDataset
from groundkit.outputs.formats.png import write_png
from groundkit.outputs.names import UniqueNames, shorten, slug
from groundkit.outputs.ours import owner, owner_of, tell_other_owner
from groundkit.outputs.record import made_with
from groundkit.outputs.save import file_names, names_a_file, write_files
from groundkit.results import Discovery

DISCOVERY_FORMATS = ("overlay", "png", "cutout", "json", "coco")


def discovery_record(discovery: Discovery, source: str) -> dict[str, Any]:
    """What was found, as values for JSON.

    Returns:
        ``input``, ``pipeline``, ``model``, ``segmenter``, ``version`` (of groundkit), ``device``, ``dtype`` and
        ``objects``, the best first: ``label``, ``mask`` (COCO run-length encoding), ``box`` (XYXY pixels), ``score``
        and ``points`` (``[x, y, label]``) each.
    """
    return {
        "input": source,
        "pipeline": discovery.pipeline,
        "model": discovery.model,
        "segmenter": discovery.segmenter,
        **made_with(discovery),
        "objects": [
            {
                "label": label,
                "mask": encode(mask),
                "box": [float(side) for side in box],
                "score": round(float(score), 6),
                "points": [[float(x), float(y), int(positive)] for x, y, positive in points],
            }
            for label, mask, box, score, points in zip(
                discovery.labels, discovery.masks, discovery.boxes, discovery.scores, discovery.points, strict=True
            )
        ],
    }


class DiscoveryWriter:
    """Writes what was found in each picture of a run, no two files under the same name.

    ``<stem>-overlay.png`` and ``<stem>.json`` for a picture, ``<stem>-<label>.png`` and ``<stem>-<label>-cutout.png``
    for a name; the ``coco`` format becomes one file for the whole run, ``coco.json``, written by ``finish``; of
    pictures that earlier runs of ``groundkit discover`` have put there, those of this run are replaced.

    Args:
        folder: where the files go, made if missing.
        formats: of ``DISCOVERY_FORMATS``.
        inputs: the pictures of the run; their names are given out before any object's.
        categories: given ones, which the COCO file lists in their order, found or not.

    Raises:
        ConfigError: for the name of a file, or a ``coco.json`` of another command.
        InputError: when the folder cannot be made or written to.
    """

    def __init__(
        self, folder: Path, formats: Sequence[str], inputs: Sequence[Input], categories: Sequence[str] = ()
    ) -> None:
        if names_a_file(folder):
            raise ConfigError(f"{folder} is one file, and discovery writes several: give a folder")
        prepare_folder(folder)
        self._folder = folder
        self._formats = formats
        self._names = UniqueNames()
        self._coco = CocoDataset("groundkit discover", categories) if "coco" in formats else None
        if self._coco is not None:
            self._names.take("coco")
            self._coco.check(folder / "coco.json")
        stems = unique_stems(inputs)
        self._stems = {item: self._names.take(shorten(stem)) for item, stem in zip(inputs, stems, strict=True)}

    def write(self, item: Input, discovery: Discovery, record: Mapping[str, Any]) -> list[Path]:
        """Write one picture's objects, and return the files. ``record`` is its ``discovery_record``.

        Raises:
            InputError: when the place cannot be written to.
        """
        stem, written, ours = self._stems[item], [], owner("discover", item, self._folder)
        if "overlay" in self._formats:
            overlay = self._folder / f"{stem}-overlay.png"
            tell_other_owner([overlay], ours)
            written.append(write_png(overlay, discovery.overlay(), ours))
        if "json" in self._formats:
            written.append(write_text(self._folder / f"{stem}.json", json.dumps(record, indent=2) + "\n"))
        single = [name for name in self._formats if name in ("png", "cutout")]
        for grounding in discovery.groundings():
            base = self._names.take(f"{stem}-{slug(grounding.phrase)}")
            files = write_files(grounding, file_names(self._folder, base, single), item.name, ours)
            written += [file for each in files.values() for file in each]
        for path in self._earlier(stem):
            if path not in written and owner_of(path) == ours:  # of an object that is not found any more
                path.unlink(missing_ok=True)
        if self._coco is not None:
            height, width = discovery.image.shape[:2]
            self._coco.add_picture(item.place, (height, width))
            for grounding in discovery.groundings():
                self._coco.add(grounding, item.place)
        return written

    def _earlier(self, stem: str) -> list[Path]:
        """The pictures that an earlier run can have written in the formats of this one."""
        ending = re.compile(r"-(overlay|cutout)(-mask\d+)?$")
        kinds = {path: ending.search(path.stem) for path in self._folder.glob(f"{glob.escape(stem)}-*.png")}
        return [path for path, kind in sorted(kinds.items()) if (kind[1] if kind else "png") in self._formats]

    def finish(self) -> list[Path]:
        """Write what covers the whole run, and return those files."""
        if self._coco is None or not self._stems:
            return []
        return [self._coco.merge_into(self._folder / "coco.json", whole_pictures=True)]
