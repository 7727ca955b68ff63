"""Which of the objects that a phrase describes are meant: one, the second from the left, two, the smallest, or all.

Without a word of number a singular noun means one object and a plural noun all of them. Ordinals count along the side
that the phrase names ("second cup from the left"), else from the left, or by size ("second largest").
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from groundkit.errors import PhraseError
from groundkit.language.direction import SIZES, Direction, Directions
from groundkit.language.words import NUMBERS, ORDINALS, PLURAL_ONLY, Word, plain, word_set

_ALL = word_set("all every each several few many some multiple various lots lot number those these")
_ONE = word_set("one 1 either any which whichever")
_PAIRS = word_set("pair couple")
# "the second floor window": the ordinal names a floor.
_NUMBERED = word_set("base floor hand place class aid story storey half gear grade row column shelf")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Selection:
    """``count`` objects from the ``rank``-th on, sorted by ``by`` (by score without it).

    Attributes:
        count: how many; None for all.
        rank: 1 for the first, -1 for the last.
        by: the side of the picture from which the objects are sorted, or largest or smallest.
    """

    count: int | None = 1
    rank: int = 1
    by: Direction | None = None

    @property
    def is_best(self) -> bool:
        """Whether one object is meant, and nothing but the map says which."""
        return self == BEST

    def without_sizes(self) -> Selection:
        """The same where sizes choose nothing."""
        return replace(self, rank=1, by=None) if self.by in SIZES else self

    def of(self, count: int) -> slice:
        """Which of ``count`` sorted objects are meant; none where there are fewer than the rank asks for."""
        start = self.rank - 1 if self.rank > 0 else count + self.rank
        if not 0 <= start < count:
            return slice(0, 0)
        return slice(start, None if self.count is None else start + self.count)


BEST = Selection()


def find_selection(words: Sequence[Word], noun: int, directions: Directions) -> tuple[Selection, frozenset[int]]:
    """The selection that a phrase asks for, and the indices of the words that say so, those of size left out.

    Args:
        words: of the phrase, with their part of speech.
        noun: index of the word that the head noun phrase is about.
        directions: of the phrase.

    Raises:
        PhraseError: an ordinal that counts by what cannot be seen in a mask, such as "the second oldest man".
    """
    texts = [plain(word.text) for word in words]
    size = next((each for each in directions if each in SIZES), None)
    count, counting = _count(words, texts, noun)
    place = _ordinal(words, texts)
    if place is None:
        return Selection(count, by=size), counting
    if place + 1 < len(words) and words[place + 1].tag == "AJS" and size is None:
        raise PhraseError(f"objects are not ordered by {texts[place + 1]!r}: count from a side, or by size")
    rank, length = _rank(texts, place)
    sides = [each for each in directions if each not in SIZES]
    side = size or next(iter(sides), None)
    if side is None:
        warnings.warn(f"{' '.join(texts)!r} says no side to count from: counted from the left", stacklevel=2)
        side = Direction.LEFT
    if rank == -1 and sides and "from" not in texts:
        rank = 1  # the last one on the right
    number = count if any(_value(texts[index]) for index in counting) else 1
    return Selection(number, rank, side), counting | frozenset(range(place, place + length))


def _ordinal(words: Sequence[Word], texts: Sequence[str]) -> int | None:
    """Index of the ordinal of the object: "second cup", "cup second from the left"."""
    for index, text in enumerate(texts):
        if ordinal_value(text) is None and not (text == "next" and texts[index + 1 : index + 3] == ["to", "last"]):
            continue
        following = texts[index + 1] if index + 1 < len(texts) else ""
        if following in ("from", "in") or (words[index].in_head and following not in _NUMBERED):
            return index
    return None


def _rank(texts: Sequence[str], place: int) -> tuple[int, int]:
    """What an ordinal counts, from 1, or from -1 at the end, and of how many words it is."""
    if list(texts[place + 1 : place + 3]) in (["to", "last"], ["from", "last"]):
        return -(ordinal_value(texts[place]) or 2), 3
    return ordinal_value(texts[place]) or 1, 1


def ordinal_value(text: str) -> int | None:
    """2 of "second", "2nd" and "second-largest", -1 of "last"; None of other words."""
    first = text.partition("-")[0]
    digits = re.fullmatch(r"(\d+)(?:st|nd|rd|th)", first)
    return int(digits[1]) if digits and int(digits[1]) else ORDINALS.get(first)


def _value(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else NUMBERS.get(text)


def _count(words: Sequence[Word], texts: Sequence[str], noun: int) -> tuple[int | None, frozenset[int]]:
    """How many objects are meant, None for all, and the words that say so."""
    head = [index for index, word in enumerate(words) if word.in_head and index <= noun]
    partitive = next((index for index in head if texts[index] == "of"), None)
    if partitive is not None:
        count, counting = _count_before_of(words, texts, [index for index in head if index < partitive], noun)
        whole = {index for index in head if index > partitive and _value(texts[index]) and _counts(words, texts, index)}
        return count, counting | whole
    for index in head:
        value = _value(texts[index])
        if value and index < noun and _counts(words, texts, index):
            return value, frozenset({index})
        if texts[index] in _ALL or texts[index] == "both":
            number = next((i for i in head if i > index and _value(texts[i]) and _counts(words, texts, i)), None)
            if number is not None:
                return _value(texts[number]), frozenset({index, number})
            if texts[index] == "both":
                return 2, frozenset({index})
            if texts[index] in ("all", "every", "each") or is_plural(words[noun]):
                return None, frozenset({index})
    return (None if is_plural(words[noun]) else 1), frozenset()


def _count_before_of(
    words: Sequence[Word], texts: Sequence[str], before: Sequence[int], noun: int
) -> tuple[int | None, frozenset[int]]:
    """The same of "one of the dogs", "a pair of shoes", "two slices of cake"."""
    for index in before:
        text = texts[index]
        if text in _PAIRS:
            return (1 if texts[noun] in PLURAL_ONLY else 2), frozenset({index})
        if text in _ALL and text not in ("those", "these"):
            return None, frozenset({index})
        if text == "both":
            return 2, frozenset({index})
        if text in _ONE:
            return 1, frozenset({index})
        if _value(text):
            return _value(text), frozenset({index})
    return (None if before and words[before[-1]].tag == "NN2" else 1), frozenset()


def _counts(words: Sequence[Word], texts: Sequence[str], index: int) -> bool:
    """Whether a number counts the object: not in "3 year old dogs", "number 12 jerseys" or "4 door cars"."""
    if index and (words[index - 1].tag.startswith("NN") or texts[index - 1] in ("#", "no", "no.", "number")):
        return False
    following = words[index + 1]
    is_unit = following.tag == "CRD" and _value(texts[index + 1]) is None
    return not is_unit and not (texts[index].isdigit() and following.tag == "NN1")


def is_plural(noun: Word) -> bool:
    """Whether a noun means several objects; "scissors" and "sheep" may mean one."""
    text = plain(noun.text)
    return (noun.tag == "NN2" or text == "people") and text not in PLURAL_ONLY - {"people"}
