"""Several phrases in one text, as Grounding DINO is asked: "red cup . blue ball", "red cup; blue ball"."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from groundkit.language.direction import possible_directions
from groundkit.language.splitting import normalise, word_spans
from groundkit.language.tagging import tag_words
from groundkit.language.words import is_punctuation, plain, word_set

_PLACES = word_set("front back rear row side corner background foreground end edge")


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


def listed_objects(text: str) -> list[str]:
    """The objects of a comma-separated list such as "cup, lamp and red ball" or "cup/lamp"; empty if it is no list.

    Every item has to be a short noun phrase without a place: "the man, left" and "red, shiny cup" are no lists.
    """
    if "," not in text and not re.search(r"\w/\w\w", text):  # "cup and lamp" and "girl w/ hat" are no lists
        return []
    items = [item.strip() for item in re.split(r",(?: and | or )?|/| and | or ", text)]
    return items if all(map(_is_bare_noun_phrase, items)) else []


def _is_bare_noun_phrase(text: str) -> bool:
    words = [text[start:end] for start, end in word_spans(text)]
    if not 0 < len(words) <= 3 or _PLACES & set(map(plain, words)):
        return False
    *before, last = tags = tag_words(words)
    adjectival = all(tag.startswith(("AT0", "AJ", "NN", "DPS")) for tag in before)
    return adjectival and last.startswith("NN") and not possible_directions([plain(word) for word in words], tags)
