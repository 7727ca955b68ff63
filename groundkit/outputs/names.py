"""File names for results: readable, safe on every file system, never the same twice in one run."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import cache
from pathlib import Path

from groundkit.outputs.formats import working_formats

_LONGEST = 80  # bytes of UTF-8; with a stem and an ending a name stays below the usual limit of 255


@cache
def _ending() -> re.Pattern[str]:
    """What formats, numbers of masks and ``explain`` add to a base name."""
    added = {Path(f"name{each.ending}").stem.removeprefix("name-") for each in working_formats().values()} - {"name"}
    return re.compile(rf"(-({'|'.join([*map(re.escape, sorted(added)), 'explain', 'mask[0-9]+'])}))+$")


def slug(text: str) -> str:
    """Turn a phrase into a piece of a file name: ``"The red cup"`` becomes ``the-red-cup``.

    Letters and digits of any script stay, in lower case, and so do hyphens between them. A phrase with other signs, one
    that is cut, and one that ends like a file of ours gets a short digest, so that two phrases have two names.
    """
    text = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    # Marks belong to the letters before them (Devanagari and Thai vowels): isalnum alone would tear words apart.
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else "-" for c in text)
    name = re.sub("-+", "-", kept).strip("-")
    if name == text.replace(" ", "-") and name and not _ending().search(f"-{name}"):
        return shorten(name)
    return f"{shorten(name) or 'phrase'}-{_digest(text)}"


def shorten(name: str) -> str:
    """Cut a name that is too long for a part of a file name, and add a digest of the whole."""
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= _LONGEST:
        return name
    return f"{encoded[:_LONGEST].decode(errors='ignore').rstrip('-')}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


class UniqueNames:
    """Hands out base names of which no two can lead to the same file, whatever ending a format adds."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """Return ``name``, or ``name-2``, ``name-3`` and so on if an earlier one could lead to the same files."""
        candidate, number = name, 1
        while self._key(candidate) in self._taken:
            number += 1
            candidate = f"{name}-{number}"
        self._taken.add(self._key(candidate))
        return candidate

    @staticmethod
    def _key(name: str) -> str:
        """What stays of a name without endings, capitals (Windows, macOS) and ways to write an accent (macOS)."""
        return _ending().sub("", unicodedata.normalize("NFC", name).casefold())
