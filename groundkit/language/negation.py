"""What a phrase says that its object is not: "the cup that is not red" is a cup, and not the red cup.

Models read "not red" as "red". So the phrase is cut in two: what to look for, and what of it to leave out. The second
is read as a phrase of its own, and its map is subtracted from the first one's.

- A quality: "the cup that is not red", "the non-striped tie", "giraffe not eating" leave out "the red cup", "the
  striped tie", "giraffe eating".
- What it lacks: "the man without a hat", "girl w/o shoes", "cup with no handle" leave out "the man with a hat", ...
- Another thing: "cows, not the horse", "all the sheep except the black one" leave out "the horse", "the black sheep".

A phrase that says only what it is not ("not the red cup", "everything except the cup", "none of the cups") names
nothing to look for, and is refused; so is any other negation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from groundkit.errors import PhraseError
from groundkit.language.words import COLOURS, plain, word_set

_NOT = word_set("not cannot never isnt arent wasnt doesnt dont didnt cant")
_NO = word_set("no zero")
_REFUSED = word_set("neither nor none nobody nothing nowhere noone")
_EXCEPT = word_set("except excluding excepting")
_EXCEPT_OF_TWO = word_set("other than, rather than, instead of, apart from, aside from, but not", separator=",")
_ANY = word_set("any all every each everything everyone everybody anything anyone anybody")
# What names no kind of object.
_ANYTHING = word_set("everything everyone everybody anything anyone anybody all any each every something thing things")
_RELATIVES = word_set("that who which whose where whom")
_NOT_SIMPLE = word_set("whose where whom")
_AUXILIARIES = word_set("is are was were am be been being does do did has have had can could will would")
_SIGNS = word_set("sign symbol label sticker poster logo")
_DETERMINERS = ("AT0", "DPS", "DT0")
_NOUNS = ("NN", "NP", "PNI")
_ADJECTIVAL = ("AV0", "AJ", "ORD")


@dataclass(frozen=True)
class Parted:
    """The two parts of a negated phrase, as words.

    Attributes:
        wanted: what to look for: "the", "cup".
        negated: what of it to leave out, a phrase of its own: "the", "red", "cup".
        inside: indices of the words of ``negated`` that tell it from ``wanted``: that of "red".
    """

    wanted: tuple[str, ...]
    negated: tuple[str, ...]
    inside: frozenset[int]


def part_negation(
    text: str, words: Sequence[str], tags: Sequence[str], noun: int, places: Collection[int]
) -> Parted | None:
    """Cut a phrase in what is wanted and what is not; None without a negation.

    Args:
        text, words, tags: of the phrase.
        noun: index of the word that the head noun phrase is about.
        places: indices of direction words.

    Raises:
        PhraseError: a negation that leaves nothing to look for, or is not understood.
    """
    reader = _Reader(words, tags, noun, places)
    found = next(filter(None, map(reader.negator, range(len(words)))), None)
    if found is None:
        return None
    kind, start, after = found
    parted = reader.part(kind, start, after)
    if parted is None or not any(reader.names_something(word) for word in parted.wanted):
        raise PhraseError(
            f"{text!r} says what to leave out, not what to look for: "
            "say both, such as 'the cup that is not red' or 'the cups except the red one'"
        )
    return parted


class _Reader:
    def __init__(self, words: Sequence[str], tags: Sequence[str], noun: int, places: Collection[int]) -> None:
        self.words, self.tags, self.noun, self.places = list(words), tags, noun, set(places)
        self.texts = [plain(word) for word in words]

    def text(self, index: int) -> str:
        return self.texts[index] if 0 <= index < len(self.texts) else ""

    def tag(self, index: int) -> str:
        return self.tags[index] if 0 <= index < len(self.tags) else ""

    def names_something(self, word: str) -> bool:
        return plain(word) not in _ANYTHING and any(
            tag.startswith((*_NOUNS, "UNC", "ZZ", "AJ", "CRD", "ORD", "VV"))
            for text, tag in zip(self.words, self.tags, strict=True)
            if text == word
        )

    def negator(self, index: int) -> tuple[str, int, int] | None:
        """Kind of the negation at ``index``, where it starts, and where what it negates starts."""
        text, pair = self.text(index), f"{self.text(index)} {self.text(index + 1)}"
        if self.text(self.noun).removesuffix("s") in _SIGNS and index < self.noun:
            return None  # "no parking sign"
        if text in _REFUSED:
            return "refused", index, index + 1
        if text.startswith("non-"):
            return "prefix", index, index
        if pair in _EXCEPT_OF_TWO and not (text == "but" and self._describes(index + 2)):
            return "except", index, index + 2
        if text in _EXCEPT:
            return "except", index, index + 1 + (self.text(index + 1) == "for")
        if text == "but" and self.text(0) in _ANY and self.text(index + 1) != "not":
            return "except", index, index + 1
        if text == "without" or (text == "with" and self.text(index + 1) in _NO):
            return "lacking", index, index + 1 + (text == "with")
        if text == "w" and self.text(index + 1) == "/":
            if self.text(index + 2) == "o":
                return "lacking", index, index + 3
            return ("lacking", index, index + 3) if self.text(index + 2) in _NO else None
        if text == "non":
            return "not", index, index + 1 + (self.text(index + 1) == "-")
        if text == "no" and not self.text(index + 1)[:1].isdigit():
            return "lacking", index, index + 1
        if text in _NOT or text.endswith("n't"):
            return "not", index, index + 1
        return None

    def part(self, kind: str, start: int, after: int) -> Parted | None:
        """The two parts of the phrase; None where one of them would say nothing."""
        if kind == "refused" or any(map(self.negator, range(max(after, start + 1), len(self.words)))):
            return None
        if kind == "prefix":
            bare = self.words[start][len("non-") :]
            wanted = [*self.words[:start], *self.words[start + 1 :]]
            return (
                self._parted(wanted, [*self.words[:start], bare, *self.words[start + 1 :]], start, 1) if bare else None
            )
        if start < self.noun and kind == "not" and self._describes(after):
            return self._before_noun(start, after)
        if start <= self.noun and not any(tag.startswith(_NOUNS) for tag in self.tags[:start]):
            return self._after_not(after) if kind == "not" and start == 0 else None
        begin = self._clause_start(start)
        if begin is None:
            return None
        is_verbal = self.text(start).endswith("n't") or self.text(start - 1) in _AUXILIARIES
        if kind == "except" or (kind == "not" and self._is_thing(after, named=is_verbal)):
            return self._another_thing(begin, after)
        return self._quality(kind, begin, after)

    def _before_noun(self, start: int, after: int) -> Parted | None:
        """ "The not red cup"; "the red but not striped shirt"."""
        end = after
        while self._describes(end) and end < self.noun:
            end += 1
        if start == 0:
            return None
        begin = start - (self.text(start - 1) in ("but", "and", ","))
        before, scope, rest = self.words[:begin], self.words[after:end], self.words[end:]
        return self._parted([*before, *rest], [*before, *scope, *rest], len(before), len(scope))

    def _after_not(self, after: int) -> Parted | None:
        """ "Not the red cup but the blue one": what comes after is wanted."""
        middle = next((i for i in range(after, len(self.words)) if self.text(i) in ("but", ",")), None)
        if middle is None:
            return None
        negated, wanted = self.words[after:middle], self.words[middle + 1 :]
        named = [i for i in range(after, middle) if self.tag(i).startswith(("NN", "NP"))]
        if not named or not wanted:
            return None
        wanted = [self.words[named[-1]] if plain(word) in ("one", "ones") else word for word in wanted]
        return self._parted(wanted, negated, 0, len(negated))

    def _another_thing(self, start: int, after: int) -> Parted | None:
        wanted, negated = self._trimmed(start), self.words[after:]
        noun = self.words[self.noun]
        if self.noun < start and self.text(self.noun) not in _ANYTHING:
            negated = [noun if plain(word) in ("one", "ones") else word for word in negated]
        if not any(tag.startswith((*_NOUNS, "UNC")) for tag in self.tags[after:]):
            negated = [*negated, noun]  # "the cups except the red"
        return self._parted(wanted, negated, 0, len(negated))

    def _clause_start(self, start: int) -> int | None:
        """Where the clause that holds the negation starts: at "that" of "that is not red"; None if it is not simple."""
        begin = start
        while begin > self.noun + 1 and (self.text(begin - 1) in _AUXILIARIES or self.tag(begin - 1) == "AV0"):
            begin -= 1
        relative = next((i for i in range(begin - 1, self.noun, -1) if self.text(i) in _RELATIVES), None)
        if relative is None:
            return begin
        return None if self.text(relative) in _NOT_SIMPLE or relative + 1 < begin else relative

    def _quality(self, kind: str, begin: int, after: int) -> Parted | None:
        """What follows the noun: "that is not red", "not wearing a hat", "without a hat"."""
        wanted, end = self._trimmed(begin), self._scope_end(after)
        scope, rest = self.words[after:end], self.words[end:]
        if not scope or not wanted:
            return None
        if kind == "not" and all(self._describes(index) for index in range(after, end)):
            negated = [*wanted[: self.noun], *scope, *wanted[self.noun :], *rest]  # "the red cup"
            return self._parted([*wanted, *rest], negated, self.noun, len(scope))
        joint = ["with"] if kind == "lacking" else []
        negated = [*wanted, *joint, *scope, *rest]
        return self._parted([*wanted, *rest], negated, len(wanted), len(joint) + len(scope))

    def _scope_end(self, after: int) -> int:
        """Where what is negated ends: at a comma, or at a place that is said of the object ("not red on the left")."""
        for index in range(after + 1, len(self.words)):
            if self.text(index) == ",":
                return index
            if self.tag(index).startswith("PR") and {index + 1, index + 2} & self.places:
                return index
        return len(self.words)

    def _trimmed(self, end: int) -> list[str]:
        """The words before ``end``, without the comma or conjunction that led on."""
        while end and self.text(end - 1) in (",", "and", "but", ";"):
            end -= 1
        return self.words[:end]

    def _describes(self, index: int) -> bool:
        is_adjective = (
            self.tag(index).startswith(_ADJECTIVAL) or self.tag(index) == "VVN" or self.text(index) in COLOURS
        )
        return is_adjective and self.text(index) not in ("one", "ones")

    def _is_thing(self, index: int, *, named: bool) -> bool:
        """Whether a noun phrase is negated, and not a quality: "the cows, not the horse".

        After a verb ("is not") only what is ``named`` by an article is a thing.
        """
        if self.tag(index).startswith(_DETERMINERS):
            return True
        while self._describes(index):
            index += 1
        return not named and self.tag(index).startswith(_NOUNS)

    @staticmethod
    def _parted(wanted: Sequence[str], negated: Sequence[str], start: int, count: int) -> Parted | None:
        if not wanted or not negated:
            return None
        return Parted(tuple(wanted), tuple(negated), frozenset(range(start, start + count)))
