"""Where in the picture, or of what size, a phrase says its object is: "the red cup on the left" says LEFT.

A direction word counts when it describes the object itself: before its noun ("left zebra", "the largest goldfish"),
after it ("broccoli top left", "cup below"), or in a phrase of place ("on the left", "in the upper right corner",
"third from the right", "to the left of the ball"). It does not count
- before the noun of another thing: "the ball behind the left chair";
- as a relation to another thing that says nothing about the picture: "a cup under the table", "on top of the box";
- as a part of the body or a gaze: "his left hand", "looking right";
- when left or right mean something else: "right behind", "from left to right".
The first of two opposite directions counts. RefAM defines no rule: this one is ours.
"""

from collections.abc import Sequence
from enum import StrEnum

from groundkit.language.words import ORDINALS, Word, plain, word_set


class Direction(StrEnum):
    """A side of the picture, its middle, or an extreme of size."""

    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"
    MIDDLE = "middle"
    LARGEST = "largest"
    SMALLEST = "smallest"


Directions = tuple[Direction, ...]

_OPPOSITES = (
    {Direction.LEFT, Direction.RIGHT},
    {Direction.TOP, Direction.BOTTOM},
    {Direction.LARGEST, Direction.SMALLEST},
)
SIZES = {Direction.LARGEST, Direction.SMALLEST}
_SIDEWAYS = {Direction.LEFT, Direction.RIGHT}

_SYNONYMS = {
    Direction.LEFT: "left leftmost lefthand west western northwest southwest",
    Direction.RIGHT: "right rightmost righthand east eastern northeast southeast",
    Direction.TOP: "top topmost upper uppermost highest above north northern northwest northeast",
    Direction.BOTTOM: "bottom bottommost lower lowest lowermost below under underneath beneath south southern "
    "southwest southeast",
    Direction.MIDDLE: "middle middlemost center centre central centermost",
    Direction.LARGEST: "largest larger biggest bigger hugest",
    Direction.SMALLEST: "smallest smaller tiniest tinier littlest",
}
_LEXICON: dict[str, Directions] = {
    synonym: tuple(direction for direction, others in _SYNONYMS.items() if synonym in others.split())
    for synonyms in _SYNONYMS.values()
    for synonym in synonyms.split()
}
# Words that are prepositions as soon as a noun phrase follows.
_ADVERBIAL = word_set("above below under underneath beneath")

_LEADS = word_set(
    """
    the a an your my our this that far extreme very most more further furthest farthest way just , -
    """
)
_PLACE_PREPOSITIONS = word_set("on at in to from toward towards by near of along")
_REGIONS = word_set(
    """
    side corner part half portion section area region edge end quadrant third row column
    """
)
_PICTURES = word_set("picture image photo photograph pic frame screen shot scene view")
_BODY = word_set(
    """
    hand handed arm forearm leg foot knee elbow shoulder eye ear cheek hip thigh ankle wrist finger thumb
    """
)
_STATIC_VERBS = word_set(
    """
    standing sitting seated parked located placed positioned lying laying hanging shown pictured seen kneeling
    resting waiting sleeping growing floating
    """
)
# "right behind" and "right in front" only strengthen; "right of" and "right in red" are places.
_STRENGTHENED = word_set(
    """
    next behind beside by above below under underneath beneath over after before there here now near at against
    through outside inside across between beyond along
    """
)
_STRENGTHENED_IN = word_set("front the between")
# Clothes and buildings, not places; so is "top" after any other adjective ("the red top").
_NO_PLACE = word_set(
    """
    crop top, tank top, halter top, top hat, western hat, table top, counter top, shopping center, shopping centre
    """,
    separator=",",
)


def find_directions(words: Sequence[Word]) -> Directions:
    """The directions of the object that ``words`` describe, in order of mention, each once.

    ``words`` carry their part of speech and know the head noun phrase, as those of ``parse_phrase`` do.
    """
    return tuple(dict.fromkeys(direction for found in direction_words(words).values() for direction in found))


def direction_words(words: Sequence[Word]) -> dict[int, Directions]:
    """Index of each word that gives the object's direction, with the directions it gives."""
    reader = _Reader(words)
    counted: dict[int, Directions] = {}
    place_is_relative = False
    for run in reader.runs():
        if not reader.describes_object(run) or (place_is_relative and not words[run[0]].in_head):
            continue
        so_far = {direction for found in counted.values() for direction in found}
        for index in run:
            fresh = tuple(direction for direction in reader.possible[index] if not _contradicts(direction, so_far))
            if fresh:
                counted[index] = fresh
        # In "to the right of the plate on the left", the left is where the plate is.
        place_is_relative |= reader.text(reader.region_end(run)) == "of" and not words[run[0]].in_head
    return counted


def possible_directions(texts: Sequence[str], tags: Sequence[str]) -> dict[int, Directions]:
    """Index of each word that can be a direction word, counted or not. ``texts`` are in lower case."""
    found: dict[int, Directions] = {}
    for index, text in enumerate(texts):
        parts = [part for part in text.split("-") if part not in ("most", "hand", "far", *ORDINALS)]
        if not parts or any(part not in _LEXICON for part in parts):
            continue
        previous, next_tag = texts[index - 1] if index else "", tags[index + 1] if index + 1 < len(tags) else ""
        described = index > 0 and tags[index - 1] == "AJ0" and index - 1 not in found and previous not in _LEADS
        if f"{previous} {text}" in _NO_PLACE or (text == "top" and described and not next_tag.startswith("NN")):
            continue
        found[index] = tuple(direction for part in parts for direction in _LEXICON[part])
    return found


def _contradicts(direction: Direction, others: set[Direction]) -> bool:
    return any(direction in pair and others & (pair - {direction}) for pair in _OPPOSITES)


class _Reader:
    """Reads the words around a run of adjacent direction words, given as its indices."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words
        self.texts = [plain(word.text) for word in words]
        self.possible = possible_directions(self.texts, [word.tag for word in words])
        self.head_is_everything = all(word.in_head for word in words)

    def text(self, index: int) -> str:
        return self.texts[index] if 0 <= index < len(self.texts) else ""

    def tag(self, index: int) -> str:
        return self.words[index].tag if 0 <= index < len(self.words) else ""

    def runs(self) -> list[list[int]]:
        """Direction words that stand together: "upper right", "bottom - left"."""
        runs: list[list[int]] = []
        for index, directions in self.possible.items():
            between = self.texts[runs[-1][-1] + 1 : index] if runs else ["start"]
            if self.text(index) not in _ADVERBIAL and all(text in ("-", "/", "most") for text in between):
                runs[-1].append(index)
            # "from left to right" is an order, not a place.
            elif between == ["to"] and any(_contradicts(d, set(self.possible[runs[-1][-1]])) for d in directions):
                runs.pop()
            else:
                runs.append([index])
        return runs

    def describes_object(self, run: list[int]) -> bool:
        first, end = run[0], self.region_end(run)
        # "his left" and "the man's left" are seen from him, "who left" is a verb; "your left" is the viewer's.
        owned = self.tag(first - 1) in ("POS", "DPS", "PNQ") and self.text(first - 1) not in _LEADS
        if owned or self.text(end).removesuffix("s") in _BODY:
            return False
        names_region = end > run[-1] + 1
        if self._noun_follows(end) and not names_region:
            return self.words[first].in_head and not (self.head_is_everything and self._is_governed(first))
        if SIZES & self._directions(run):
            return not self._is_governed(first)
        if self.text(first) in _ADVERBIAL:
            return self.tag(end) in ("", "PUN", "CJC", "CJT", "PNQ") and self.text(first - 1) not in _PLACE_PREPOSITIONS
        return self._is_place(run, end)

    def region_end(self, run: list[int]) -> int:
        """Index after the run and the region it names: "left hand side", "upper right corner"."""
        end = run[-1] + 1
        end += self.text(end) == "most"
        end += self.text(end) == "hand" and self.text(end + 1) in _REGIONS
        while self.text(end).removesuffix("s") in _REGIONS:
            end += 1
        return end

    def _directions(self, run: list[int]) -> set[Direction]:
        return {direction for index in run for direction in self.possible[index]}

    def _is_place(self, run: list[int], end: int) -> bool:
        """Whether the object is said to be there: "on the left", "left of the ball", "man far right"."""
        if self.text(end) == "of" and not _SIDEWAYS & self._directions(run):
            whole = end + 1 + (self.text(end + 1) in _LEADS)
            if self.text(whole) not in _PICTURES and not self.words[run[0]].in_head:
                return False
        before = self._before_leads(run[0])
        if self.text(before) in _PLACE_PREPOSITIONS:
            return self.text(before) not in ("to", "toward", "towards") or not self._is_motion(before - 1)
        strengthens = self.text(end) in _STRENGTHENED or (
            self.text(end) == "in" and self.text(end + 1) in _STRENGTHENED_IN
        )
        if self.text(run[0]) == "right" and before == run[0] - 1 and strengthens:
            return False
        return not self.tag(before).startswith("PR") and not self._is_motion(before)

    def _before_leads(self, index: int) -> int:
        """Index of the word before the article and words of degree that lead up to ``index``; -1 if there is none."""
        index -= 1
        while self.text(index) in _LEADS:
            index -= 1
        return index

    def _is_motion(self, index: int) -> bool:
        """Whether a gaze or a movement has the direction, not the object: "looking left", "walking to the right"."""
        return self.tag(index).startswith("VV") and self.text(index) not in _STATIC_VERBS

    def _noun_follows(self, index: int) -> bool:
        return self.tag(index).startswith(("NN", "NP", "AJ", "PNI", "CRD", "ORD", "UNC", "VVN")) or (
            self.tag(index) == "VVG" and self.words[index].in_head
        )

    def _is_governed(self, index: int) -> bool:
        """Whether the noun phrase around ``index`` hangs on a preposition or verb."""
        index -= 1
        while self.tag(index).startswith(("AT", "AJ", "DP", "DT", "CRD", "ORD", "AV0", "NN")):
            index -= 1
        return self.tag(index).startswith(("PR", "VV", "TO"))
