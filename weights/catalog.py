"""Checkpoints that groundkit is made for: where they are, how large, under which licence."""

import difflib
import functools
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundkit.errors import ModelError
from groundkit.media.paths import expand_home

NANO = Path(__file__).parent / "nano"
CATALOG = Path(__file__).parent / "catalog.toml"
NanoPart = Literal["flux", "llava", "sam"]
Kind = Literal["pipeline", "segmenter", "tracker"]
REAL_READER = "HuggingFaceTB/SmolVLM-500M-Instruct"  # the one to begin with
REAL_SEGMENTER = "facebook/sam-vit-base"


@dataclass(frozen=True)
class Entry:
    """One checkpoint.

    Attributes:
        name: for people.
        kind: ``pipeline`` for what ``--model`` takes, ``segmenter`` and ``tracker`` for what the options of these names
            take.
        source: hub id, or the word that the option takes.
        licence: its licence.
        size_gb: download size in gigabytes, to plan by: as published, or computed from the number of parameters; None
            where we know of no figure.
        needs: the kind of machine that can be expected to run it: laptop or GPU.
        note: what to know before use.
        alias: a short name that options take for the source; empty for none.
        sha256: first digits of the file's SHA-256 where its publisher states them.
        embedded: for a model that comes with groundkit, its part of nano.
    """

    name: str
    kind: Kind
    source: str
    licence: str
    size_gb: float | None = None
    needs: Literal["laptop", "GPU"] = "laptop"
    note: str = ""
    alias: str = ""
    sha256: str = ""
    embedded: NanoPart | None = None


def nano_folder(part: NanoPart) -> Path:
    """Folder of an embedded model.

    Raises:
        ModelError: this installation has none.
    """
    folder = NANO / part
    if not folder.is_dir():
        raise ModelError(f"nano's weights are missing from {NANO}: install groundkit again, or name a model")
    return folder


def is_embedded(name: str | Path) -> bool:
    """Whether a name stands for embedded models."""
    return str(name) == "nano"


def source_of(name: str | Path, part: NanoPart) -> str | Path:
    """The folder or Hub id that a name stands for: for ``nano`` the folder of a part; ``~/`` is the home folder.

    Raises:
        ModelError: this installation has no embedded models.
    """
    return nano_folder(part) if is_embedded(name) else expand_home(name) if str(name).startswith("~") else name


def default_segmenter(model: str | Path) -> str:
    """The segmenter that goes with a model, or with several joined by commas, where none is named."""
    return "nano" if all(map(is_embedded, str(model).split(","))) else REAL_SEGMENTER


def entries() -> list[Entry]:
    """Every checkpoint of the catalog, the embedded ones first."""
    return [
        _embedded("nano FLUX", "pipeline", "flux", "for refam; synthetic scenes only"),
        _embedded("nano LLaVA", "pipeline", "llava", "for vlsam, decaf; synthetic scenes only"),
        _embedded("nano SAM", "segmenter", "sam", "synthetic scenes only"),
        *_listed(),
    ]


@functools.cache
def _listed() -> tuple[Entry, ...]:
    with CATALOG.open("rb") as file:
        return tuple(Entry(**each) for each in tomllib.load(file)["checkpoint"])


def full_name(name: str) -> str:
    """The Hub id that an alias stands for, each of several joined by commas; other names, and folders, as they are."""
    aliases = {entry.alias: entry.source for entry in entries() if entry.alias}
    names = name.split(",")
    # A Path raises where a name is too long for the file system.
    return ",".join(each if os.path.exists(each) else aliases.get(each, each) for each in names)  # noqa: PTH110


def find(source: str) -> Entry | None:
    """The entry of a Hub id, None for one that the catalog does not have."""
    return next((entry for entry in entries() if entry.source == source and entry.embedded is None), None)


def similar(name: str) -> Entry | None:
    """The checkpoint that a misspelt or shortened name stands for: "flux", "black-forest-labs/FLUX.1-schnel"."""

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    spellings: dict[str, Entry] = {}
    for entry in entries():
        if entry.embedded is None:
            for spelling in (entry.source, entry.source.rpartition("/")[2], entry.name, entry.alias or entry.name):
                spellings.setdefault(plain(spelling), entry)
    for wanted in (plain(name), plain(name.rpartition("/")[2])):
        containing = [known for known in spellings if len(wanted) > 2 and wanted in known]
        close = containing or difflib.get_close_matches(wanted, spellings, n=1, cutoff=0.75)
        if close:
            return spellings[close[0]]
    return None


def _embedded(name: str, kind: Kind, part: NanoPart, note: str) -> Entry:
    size = sum(file.stat().st_size for file in (NANO / part).rglob("*")) / 1e9
    return Entry(name, kind, "nano", "Apache-2.0", round(size, 3), note=f"embedded; {note}", embedded=part)
