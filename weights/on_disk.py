"""Which checkpoints of the catalog are on this machine. Nothing here fails, whatever the disk holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from groundkit.errors import ModelError
from groundkit.weights import catalog
from groundkit.weights.catalog import Entry, nano_folder


@dataclass(frozen=True)
class OnDisk:
    """Where a checkpoint lies, and its gigabytes there."""

    path: Path
    size_gb: float


def find_on_disk() -> tuple[dict[str, OnDisk], list[str]]:
    """Models in the Hugging Face cache by their Hub id, and what could not be looked at, with the reason."""
    from huggingface_hub import constants

    cache = Path(os.path.expanduser(constants.HF_HUB_CACHE))  # noqa: PTH111, which without a home raises
    found: dict[str, OnDisk] = {}
    problems: list[str] = []
    try:
        folders = sorted(cache.iterdir())
    except FileNotFoundError:
        return found, problems
    except OSError as error:
        return found, [f"{cache}: {error.strerror}"]
    for folder in folders:
        kind, *parts = folder.name.split("--")
        if kind == "models" and parts:
            size = _size(folder, problems)
            found["/".join(parts)] = OnDisk(folder, size / 1e9)
    return found, problems


def place_of(entry: Entry, cached: dict[str, OnDisk]) -> OnDisk | None:
    """Where an entry is: in the cache, with groundkit, or as a file in the current folder."""
    if entry.source in cached:
        return cached[entry.source]
    try:
        place = nano_folder(entry.embedded) if entry.embedded else Path(entry.source)
        size = place.stat().st_size if place.is_file() else _size(place, [])
    except (ModelError, OSError):
        return None
    return OnDisk(place, size / 1e9) if size else None


def segmenters_on_disk() -> list[str]:
    """The segmenters of the catalog that were downloaded whole, as ``--segmenter`` takes them."""
    cached, _ = find_on_disk()
    known = [entry for entry in catalog.entries() if entry.kind == "segmenter" and not entry.embedded]
    places = {entry: place_of(entry, cached) for entry in known}
    return [entry.source for entry, place in places.items() if place and place.size_gb > 0.9 * (entry.size_gb or 0)]


def _size(folder: Path, problems: list[str]) -> int:
    """Bytes of all files below a folder, links not followed."""

    def tell(error: OSError) -> None:
        problems.append(f"{error.filename}: {error.strerror}")

    size = 0
    for parent, _, names in os.walk(folder, onerror=tell):
        for name in names:
            try:
                size += os.lstat(Path(parent, name)).st_size if not Path(parent, name).is_symlink() else 0
            except OSError as error:
                tell(error)
    return size
