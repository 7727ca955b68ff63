"""Several phrases in one text, as Grounding DINO is asked: "red cup . blue ball", "red cup; blue ball"."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from groundkit.language.splitting import normalise, word_spans
from groundkit.language.words import is_punctuation


def split_phrases(texts: Iterable[str]) -> list[str]:
    """Phrases in their order, each once, those that a full stop or a semicolon parts each for itself.

    What is parted and what is given twice is told in a warning. Full stops within abbreviations and numbers part
    nothing, and a text of a single phrase stays as it is.
    """
    found: dict[str, str] = {}
    twice: set[str] = set()
    for text in texts:
        parts = parts_of(text)
        if len(parts) > 1:
            warnings.warn(f"{text!r} is read as {len(parts)} phrases: {', '.join(map(repr, parts))}", stacklevel=2)
        for part in parts if len(parts) > 1 else [text]:
            key = normalise(part)
            if key in found and key not in twice:
                twice.add(key)
                warnings.warn(f"{part!r} is given more than once and counts once", stacklevel=2)
            found.setdefault(key, part)
    return list(found.values())


def parts_of(text: str) -> list[str]:
    """The phrases of a text, none of them empty: "red cup" and "blue ball" of "red cup . blue ball ."."""
    cleaned = normalise(text)
    parts, start = [], 0
    for begin, end in [*word_spans(cleaned), (len(cleaned), len(cleaned))]:
        ends_sentence = cleaned[begin:end] == "." and cleaned[end : end + 1] in ("", " ")
        if begin == end or ends_sentence or cleaned[begin:end] == ";":
            parts.append(cleaned[start:begin].strip())
            start = end
    return [part for part in parts if not is_punctuation(part)]
