"""The head noun phrase: the words that name the object, without those that relate it to other things.

"the red cup on the left of the blue ball" is about "the red cup". RefAM filters by noun phrase without saying how;
its baselines take the noun chunk at the root of a dependency parse. Here a few rules over part-of-speech tags find the
first base noun phrase that hangs on no preposition, and stop at whatever follows its noun.
"""

from collections.abc import Container, Sequence

from groundkit.language.direction import possible_directions
from groundkit.language.tagging import COMMANDS
from groundkit.language.words import COLOURS, is_punctuation, plain, word_set

# "a slice of pizza" is pizza: the noun after "of" belongs to the head.
_TRANSPARENT = word_set(
    """
    piece slice pair bunch group set half side part portion section end corner edge front back rear layer kind type row
    stack pile herd flock couple lot number one bit chunk
    """
)
# An -ing word after a noun is its verb ("man eating pizza"), but not in these.
_ING_COMPOUNDS = word_set(
    """
    dining table, dining room, dining chair, frying pan, cutting board, parking lot, parking meter, swimming pool,
    washing machine, sewing machine, running shoe, rolling pin, baking sheet, baking tray, baking dish, rocking chair,
    shopping cart, shopping bag, shopping center, shopping centre, steering wheel, fishing rod, fishing pole,
    mixing bowl, serving dish, drinking glass
    """,
    separator=",",
)
# "second row third donut": the row says where.
_ROWS = word_set("row column")
_OBJECT_PRONOUNS = word_set("i me you we us")

_NOUN = ("NN", "NP", "PNI", "UNC", "ZZ")
_ADJECTIVE = ("AJ", "ORD", "CRD")
_MODIFIER = (*_ADJECTIVE, "AV0", "VVG", "VVN", "VVD")
_DETERMINER = ("AT0", "DT0", "DPS", "DTQ")
_VERB = ("VVB", "VVI", "VVZ", "VVD", "VM0")
_PREPOSITION = ("PR", "TO0")


def head_span(words: Sequence[str], tags: Sequence[str]) -> tuple[int, int]:
    """First and last-plus-one index of the head noun phrase among ``words``; the whole phrase if there is none."""
    whole = (0, len(words))
    chunker = _Chunker(words, tags)
    index = 0
    while index < len(words):
        if tags[index] == "PNP" and chunker.texts[index] not in _OBJECT_PRONOUNS:
            return whole
        end, has_noun = chunker.chunk(index)
        if end == index:
            index += 1
        elif chunker.is_governed(index):
            index = end
        elif chunker.is_row_of_next(end):
            index = end + (chunker.text(end) == ",")
        else:
            return (index, chunker.extended(end)) if has_noun or chunker.text(end) == "of" else whole
    return whole


def head_noun(words: Sequence[str], tags: Sequence[str], span: tuple[int, int]) -> int:
    """Index of the noun that the head noun phrase ``span`` is about: of its "cup" in "the big cup", "cup number 2"."""
    first, last = span
    nouns = [
        index for index in range(first, last) if tags[index].startswith(_NOUN) and not is_punctuation(words[index])
    ]
    if not nouns or (tags[first] in ("PNP", "DT0") and tags[min(first + 1, last - 1)].startswith(("PRP", "VB"))):
        pronouns = [index for index in range(first, last) if tags[index] in ("PNP", "PNQ", "DT0")]
        return (pronouns or [last - 1])[0]  # "those on the left"
    if words[nouns[-1]].casefold() in ("number", "no", "no.") and tags[last - 1] == "CRD" and len(nouns) > 1:
        return nouns[-2]  # player number 12
    return nouns[-1]


def noun_phrases(words: Sequence[str], tags: Sequence[str]) -> list[tuple[int, int]]:
    """First and last-plus-one index of every base noun phrase, whatever it hangs on."""
    chunker = _Chunker(words, tags)
    found, index = [], 0
    while index < len(words):
        end, has_noun = chunker.chunk(index)
        if has_noun:
            found.append((index, end))
        index = max(end, index + 1)
    return found


class _Chunker:
    """Reads base noun phrases: determiner, modifiers, nouns."""

    def __init__(self, words: Sequence[str], tags: Sequence[str]) -> None:
        self.texts = [plain(word) for word in words]
        self.tags = tags
        self.directions: Container[int] = possible_directions(self.texts, tags)

    def text(self, index: int) -> str:
        return self.texts[index] if 0 <= index < len(self.texts) else ""

    def tag(self, index: int) -> str:
        return self.tags[index] if 0 <= index < len(self.tags) else ""

    def chunk(self, start: int) -> tuple[int, bool]:
        """End of the base noun phrase from ``start`` (``start`` itself if there is none), and whether it has a noun."""
        index = start
        while self.tag(index).startswith((*_DETERMINER, "AV0")) and index not in self.directions:
            index += 1
        opened = index
        while self._is_modifier(index, opened):
            index += 1
        if self._is_noun(index):
            return self._after_nouns(index), True
        # "the remote", "the red ring": what should describe a noun, or looks like a verb, is the noun.
        last = index if self._is_verb_for_noun(index, start) else index - 1
        if last >= opened and last not in self.directions and self.tag(last).startswith(("AJ0", *_VERB)):
            return last + 1, True
        if last >= opened and self.tag(last) == "ORD" and self.tag(last + 1)[:2] in ("", "PR"):
            return last + 1, True  # "third from the left"
        names_something = any(not self.tag(place).startswith(("AV0", "VV")) for place in range(start, index))
        return (index if names_something else start), False

    def extended(self, end: int) -> int:
        """``end`` moved past the noun of "a slice of pizza", "the man's hat"."""
        while True:
            owner = self._place_owner(end)
            if owner:
                end = owner
                continue
            last = end - 1
            is_transparent = self.text(last).removesuffix("s") in _TRANSPARENT or not self._is_noun(last)
            if not (self.tag(end) == "POS" or (self.text(end) == "of" and is_transparent)):
                return end
            inner_end, has_noun = self.chunk(end + 1)
            if not has_noun:
                return end
            end = inner_end

    def is_row_of_next(self, end: int) -> bool:
        """Whether the noun phrase that ends says in which row the next one is: "second row third donut"."""
        return self.text(end - 1) in _ROWS and self.chunk(end + (self.text(end) == ","))[1]

    def _place_owner(self, end: int) -> int:
        """``end`` moved to the 's of "the man on the left's hat": a place or a colour owns nothing; else 0."""
        if not self.tag(end).startswith(_PREPOSITION):
            return 0
        place = end + 1 + (self.tag(end + 1) in _DETERMINER)
        owns_nothing = place in self.directions or self.text(place) in COLOURS
        return place + 1 if owns_nothing and self.tag(place + 1) == "POS" else 0

    def is_governed(self, index: int) -> bool:
        """Whether the noun phrase at ``index`` hangs on a preposition, other than that of "look for"."""
        return self.tag(index - 1).startswith(_PREPOSITION) and not self._is_command(index - 2)

    def _is_command(self, index: int) -> bool:
        """Whether a verb at the start, or after "please" or "can you", tells what to do with the rest."""
        asked = self.text(index - 1) == "please" or (self.tag(index - 1) == "PNP" and self.tag(index - 2) == "VM0")
        return self.text(index) in COMMANDS and (index == 0 or asked)

    def _is_verb_for_noun(self, index: int, start: int) -> bool:
        """Whether a verb stands where only a noun can: after a determiner or adjective, or at the phrase's start."""
        opens_phrase = index == 0 and not self.tag(1).startswith((*_DETERMINER, "PNP"))
        return self.tag(index).startswith(_VERB) and (index > start or opens_phrase) and not self._is_command(index)

    def _is_modifier(self, index: int, opened: int) -> bool:
        if index in self.directions:
            return True
        if self.text(index) in COLOURS:
            # A colour with nothing to colour is the noun itself: "the orange".
            return self.tag(index + 1).startswith((*_MODIFIER, *_NOUN)) or self.text(index + 1) in (
                "and",
                "or",
                "/",
                "&",
            )
        if self.tag(index) == "AVP":
            return self.tag(index - 1) == "VVN" and index > opened
        if self.tag(index) in ("PUN", "CJC"):
            joins = self._describes(index + 1) or self._is_noun(index + 1)
            return index > opened and self._describes(index - 1) and joins
        return self.tag(index).startswith(_MODIFIER)

    def _describes(self, index: int) -> bool:
        return self.tag(index).startswith("AJ") or self.text(index) in COLOURS or index in self.directions

    def _is_noun(self, index: int) -> bool:
        return self.tag(index).startswith(_NOUN) and index not in self.directions and not self._is_command(index)

    def _after_nouns(self, index: int) -> int:
        """End of the compound that starts at ``index``: "cell phone", "number 12 jersey", "wood dining table"."""
        while True:
            index += 1
            pair = f"{self.text(index)} {self.text(index + 1).removesuffix('s')}"
            if not (
                (self._is_noun(index) and self.text(index) not in COLOURS)
                or (self.tag(index) == "CRD" and self.text(index)[:1].isdigit())
                or pair in _ING_COMPOUNDS
                or (self.text(index) == "&" and self.tag(index - 1) == "NP0" == self.tag(index + 1))
            ):
                return index
