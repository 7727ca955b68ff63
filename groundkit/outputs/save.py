"""One result as files, in the formats that were asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from groundkit.errors import ConfigError, unknown
from groundkit.media.inputs import VIDEO_SUFFIXES
from groundkit.outputs.atomic import write_text
from groundkit.outputs.formats.coco import CocoDataset
from groundkit.outputs.formats.cutout import cut_out
from groundkit.outputs.formats.heatmap import draw_heatmap
from groundkit.outputs.formats.png import write_mask, write_png
from groundkit.outputs.names import slug
from groundkit.outputs.ours import earlier_masks, remove_ours, tell_other_owner
from groundkit.outputs.record import full_record
from groundkit.results import Grounding

# What a format adds to the base name.
ENDINGS = {
    "png": ".png",
    "overlay": "-overlay.png",
    "cutout": "-cutout.png",
    "heatmap": "-heatmap.png",
    "json": ".json",
    "coco": "-coco.json",
}


def save_grounding(grounding: Grounding, path: Path, formats: str | Sequence[str]) -> list[Path]:
    """What ``Grounding.save`` promises."""
    names = file_names(path, slug(grounding.phrase), formats)
    return [file for files in write_files(grounding, names).values() for file in files]


def check_formats(formats: str | Sequence[str], known: Collection[str] = tuple(ENDINGS)) -> tuple[str, ...]:
    """Return the formats without repeats, of which a text is one; raises ConfigError for one that does not exist."""
    formats = [formats] if isinstance(formats, str) else formats
    for name in formats:
        if name not in known:
            raise ConfigError(unknown("format", name, known))
    return tuple(dict.fromkeys(formats))


def names_a_file(path: Path) -> bool:
    """Whether an output path means one file: it ends like a picture, a film or JSON, and is no folder."""
    suffix = path.suffix.lower()
    known = suffix == ".json" or suffix in VIDEO_SUFFIXES or suffix in Image.registered_extensions()
    return known and not path.is_dir()


def names_a_film(path: Path) -> bool:
    """Whether an output path means the one film of a video."""
    return path.suffix.lower() == ".mp4" and not path.is_dir()


def file_names(path: Path, base: str, formats: str | Sequence[str]) -> dict[str, Path]:
    """Say where each format goes.

    Args:
        path: a folder, or the name of a file.
        base: the base name, without suffix, of files in a folder.
        formats: names of formats.

    Returns:
        One path a format. A file name is used as it is when there is one format, and as the base name otherwise.

    Raises:
        ConfigError: for an unknown format, or a file name whose suffix is not that of a format's files.
    """
    formats = check_formats(formats)
    if not names_a_file(path):
        return {name: path / f"{base}{ENDINGS[name]}" for name in formats}
    suffixes = sorted({Path(f"name{ENDINGS[name]}").suffix for name in formats})
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{path} cannot hold {', '.join(formats)}: give a folder, or a name in {' or '.join(suffixes)}"
        )
    if len(formats) == 1:
        return {formats[0]: path}
    return {name: path.with_name(path.stem + ENDINGS[name]) for name in formats}


def mask_names(path: Path, count: int) -> list[Path]:
    """One path a mask: ``path`` itself for a single one, ``cup-mask1.png``, ``cup-mask2.png`` and so on for several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-mask{number}{path.suffix}") for number in range(1, count + 1)]


def write_files(
    grounding: Grounding, names: Mapping[str, Path], source: str = "", owner: str = ""
) -> dict[str, list[Path]]:
    """Write one result, each format to its path from ``file_names``.

    ``png`` and ``cutout`` give one file a mask, and none when nothing was found. Those of an earlier result with other
    masks that groundkit has written under these names are removed. A warning tells of one of another input.

    Args:
        grounding: the result.
        names: one path a format.
        source: the input as the user named it, for the formats that tell.
        owner: of which input pictures are, see ``ours.owner``.

    Returns:
        The files of each format.

    Raises:
        InputError: when the place cannot be written to.
    """
    if owner:
        masks = [earlier_masks(names[name]) for name in ("png", "cutout") if name in names]
        tell_other_owner([*names.values(), *chain(*masks)], owner)
    return {name: _WRITERS[name](grounding, names, source, owner) for name in names}


def _png(grounding: Grounding, names: Mapping[str, Path], source: str, owner: str) -> list[Path]:
    files = mask_names(names["png"], len(grounding.masks))
    for file, mask in zip(files, grounding.masks, strict=True):
        write_mask(file, mask, owner)
    remove_ours(earlier_masks(names["png"]), files)
    return files


def _cutout(grounding: Grounding, names: Mapping[str, Path], source: str, owner: str) -> list[Path]:
    files = mask_names(names["cutout"], len(grounding.masks))
    for file, mask in zip(files, grounding.masks, strict=True):
        write_png(file, cut_out(grounding.image, mask), owner)
    remove_ours(earlier_masks(names["cutout"]), files)
    return files


def _overlay(grounding: Grounding, names: Mapping[str, Path], source: str, owner: str) -> list[Path]:
    return [write_png(names["overlay"], grounding.overlay(), owner)]


def _heatmap(grounding: Grounding, names: Mapping[str, Path], source: str, owner: str) -> list[Path]:
    if np.isnan(grounding.heatmap).all():
        raise ConfigError("heatmap: discovered objects have no heatmap; choose another format")
    return [write_png(names["heatmap"], draw_heatmap(grounding.image, grounding.heatmap), owner)]


def _json(grounding: Grounding, names: Mapping[str, Path], source: str, owner: str) -> list[Path]:
    mask_files = mask_names(names["png"], len(grounding.masks)) if "png" in names else []
    return [write_text(names["json"], json.dumps(full_record(grounding, source, mask_files), indent=2) + "\n")]


def _coco(grounding: Grounding, names: Mapping[str, Path], source: str, owner: str) -> list[Path]:
    dataset = CocoDataset()
    dataset.add(grounding, source)
    return [dataset.write(names["coco"])]


_WRITERS: dict[str, Callable[[Grounding, Mapping[str, Path], str, str], list[Path]]] = {
    "png": _png,
    "overlay": _overlay,
    "cutout": _cutout,
    "heatmap": _heatmap,
    "json": _json,
    "coco": _coco,
}
