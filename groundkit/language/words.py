"""The words of a phrase, and the part each of them plays."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a word or token is to the method.

    CONTENT describes the object, its map is kept; STOP is a stop word or punctuation; MAGNET was appended to draw
    attention away from content; SPECIAL belongs to no word, such as ``</s>`` or a bare ``▁``.
    """

    CONTENT = "content"
    STOP = "stop"
    MAGNET = "magnet"
    SPECIAL = "special"


@dataclass(frozen=True)
class Word:
    """One word, number, pictograph or punctuation mark of a phrase.

    Attributes:
        text: the characters, as written.
        start: index of the first character in the phrase's text.
        end: index after the last character.
        tag: part of speech in the British National Corpus' C5 set, such as ``NN1`` (noun) and ``PRP`` (preposition).
        role: CONTENT or STOP.
        in_head: whether the word belongs to the noun phrase that names the object.
    """

    text: str
    start: int
    end: int
    tag: str
    role: Role = Role.CONTENT
    in_head: bool = False

    def __post_init__(self) -> None:
        if self.end - self.start != len(self.text):
            raise ValueError(
                f"{self.text!r} has {len(self.text)} characters, its span [{self.start}, {self.end}) has not"
            )


def is_punctuation(text: str) -> bool:
    """Whether ``text`` has no letter, no digit and no pictograph (or a character that Unicode has yet to name)."""
    return not any(unicodedata.category(character) in ("So", "Co", "Cn") or character.isalnum() for character in text)


def plain(text: str) -> str:
    """``text`` as word lists spell it: case folded, straight apostrophes."""
    return text.casefold().replace("\u2019", "'")


def word_set(text: str, separator: str | None = None) -> frozenset[str]:
    """The entries of a word list written as running text."""
    return frozenset(" ".join(entry.split()) for entry in text.split(separator))


COLOURS = word_set(
    """
    red orange yellow green blue purple pink brown black white gray grey teal cyan magenta turquoise beige tan
    maroon golden
    """
)
# A pair of trousers is one thing; people are several without an s.
PLURAL_ONLY = word_set(
    """
    glasses eyeglasses sunglasses goggles scissors trousers pants jeans shorts tights leggings overalls pliers tongs
    tweezers binoculars headphones earphones people
    """
)
NUMBERS = {
    **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10},
    **{"eleven": 11, "twelve": 12, "dozen": 12},
}
ORDINALS = {
    **{"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9},
    **{"tenth": 10, "eleventh": 11, "twelfth": 12, "last": -1},
}

# The English list of NLTK's stop-word corpus (Porter et al.), in its edition of 179 words. RefAM names no list: the
# choice is ours.
STOP_WORDS = word_set(
    """
    i me my myself we our ours ourselves you you're you've you'll you'd your yours yourself yourselves he him his
    himself she she's her hers herself it it's its itself they them their theirs themselves what which who whom this
    that that'll these those am is are was were be been being have has had having do does did doing a an the and but
    if or because as until while of at by for with about against between into through during before after above
    below to from up down in out on off over under again further then once here there when where why how all any
    both each few more most other some such no nor not only own same so than too very s t can will just don don't
    should should've now d ll m o re ve y ain aren aren't couldn couldn't didn didn't doesn doesn't hadn hadn't hasn
    hasn't haven haven't isn isn't ma mightn mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't wasn
    wasn't weren weren't won won't wouldn wouldn't
    """
)
