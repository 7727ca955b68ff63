"""A phrase's text, cleaned, and cut into words by the Unicode class of its characters, whatever the script."""

import re
import unicodedata
from collections.abc import Iterator

# Characters of class Cf that hold a word or an emoji together; every other one (byte-order mark, soft hyphen, direction
# marks, zero-width space) is invisible and only hides a word from the tagger.
_JOINERS = "\u200c\u200d"

# One letter for each character (see _kind): words, with inner apostrophes and hyphens; emoji; a run of punctuation.
_WORD = re.compile(r"w[wm]*(?:jw[wm]*)*|s[sm]*|[pjm]+")
_POSSESSIVE = re.compile("(?<=.)['\u2019][sS]$", re.DOTALL)
# Dots that end no sentence, and commas within a number: "t.v.", "Dr. Pepper", "1.5".
_ABBREVIATION = re.compile(
    r"\b(?:[^\W\d_]\.(?=[^\W\d_]\b))+[^\W\d_]\.?|\b(?:Dr|Jr|Mr|Mrs|Ms|Mt|No|Sr|St|vs)\.(?=\s*\w)|\d[.,]\d",
    re.IGNORECASE,
)


def normalise(text: str) -> str:
    """``text`` in Unicode form NFC, without control characters, and with single spaces between its words."""
    cleaned = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Cc", "Cs"):
            cleaned.append(" ")
        elif category != "Cf" or character in _JOINERS or _is_tag(character):
            cleaned.append(character)
    return " ".join("".join(cleaned).split())


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each word of ``text``; together they cover every character but the spaces.

    A possessive ``'s`` is a word of its own, as taggers expect; ``don't``, ``t-shirt``, ``t.v.``, ``1.5`` and an emoji
    are one word each.
    """
    kinds = list(map(_kind, text))
    for match in _ABBREVIATION.finditer(text):
        kinds[match.start() : match.end()] = "w" * len(match[0])
    for match in _WORD.finditer("".join(kinds)):
        start, end = match.span()
        possessive = _POSSESSIVE.search(text[start:end])
        if possessive:
            yield start, start + possessive.start()
            start += possessive.start()
        yield start, end


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category[0] == "M" or category == "Cf" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return "m"
    if category[0] in "LN":
        return "w"
    # Unassigned characters are mostly emoji younger than this Python.
    if category in ("So", "Co", "Cn"):
        return "s"
    return "j" if character in "'\u2019-\u2010" else "p"


def _is_tag(character: str) -> bool:
    """Tag characters spell the flags of England, Scotland and Wales."""
    return "\U000e0020" <= character <= "\U000e007f"
