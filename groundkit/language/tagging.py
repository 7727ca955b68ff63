"""Part-of-speech tags of a referring expression, from HanTa's English model.

HanTa learnt from running text. A referring expression is a bare noun phrase ("ring on the left", "person sitting"), so
the tagger is told so, and the few words it still gets wrong there are put right.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from groundkit.language.words import is_punctuation, plain, word_set

# HanTa sums log-probabilities down to a fixed floor, and takes time quadratic in a word's length.
_BLOCK = 1000
_LONGEST_WORD = 40

_DETERMINER_TAGS = ("AT0", "DPS", "DT0", "DTQ", "PNP", "PNI", "PNQ", "AVQ", "EX0")

COMMANDS = word_set(
    """
    find segment show locate detect select mark highlight point get pick mask give look ground click choose identify
    outline
    """
)

# Nouns that end in -ing: every other such word after a noun is taken as its verb ("a camel walking").
_ING_NOUNS = word_set(
    """
    anything awning bearing bedding being bling building carving casing ceiling clothing coating covering crossing
    darling drawing dressing duckling dumpling earring evening everything fencing filling fitting flooring frosting
    herring housing icing king landing lettering lighting lining marking meeting molding morning moulding nothing
    offspring opening painting pudding railing rigging ring scaffolding seasoning shilling sibling siding sling
    something spring starling sting string stuffing swing thing tiling topping viking wedding wing wiring writing
    """
)


_MEASURED = word_set("old tall long high wide deep thick big large heavy")
_UNITS = word_set("day week month year inch foot meter metre mile")
_PARTICLES = word_set("up out off down over")
# A whole or a part of the picture where it ends a phrase without an article: "pizza front".
_PLACES_AT_END = word_set("front back rear background foreground")

_NOUN = ("NN", "NP", "UNC", "ZZ", "PNI")
_NOMINAL = (*_NOUN, "AJ", "CRD", "ORD")
_BEFORE_NOUN = ("AT0", "DPS", "DT0", "AJ", "ORD", "CRD", "AV0")
_VERB = ("VVB", "VVI", "VBI", "VDI", "VHI", "XX0")


def tag_words(words: Sequence[str]) -> list[str]:
    """The C5 part-of-speech tag of each word; ``UNC`` (unclassified) where English has none to offer."""
    tags: list[str] = []
    for start in range(0, len(words), _BLOCK):
        tags += _tag_block(list(words[start : start + _BLOCK]))
    plain_words = [plain(word) for word in words]
    for index in range(len(words)):  # in order: a correction may rest on those before it
        tags[index] = _corrected(plain_words, tags, index)
    return tags


def _tag_block(words: list[str]) -> list[str]:
    english = [word.isascii() and len(word) <= _LONGEST_WORD for word in words]
    known = [_spelled(word) if is_english else "thing" for word, is_english in zip(words, english, strict=True)]
    first_tag: str = _tagger().tag_sent(known[:1], 0, False)[0]
    bare = known[0] not in COMMANDS and not first_tag.startswith(_DETERMINER_TAGS)
    context = ["the"] if bare else []
    tags: list[str] = _tagger().tag_sent(context + known, 0, False)[len(context) :]
    return [tag if is_english else "UNC" for tag, is_english in zip(tags, english, strict=True)]


def _corrected(words: Sequence[str], tags: Sequence[str], index: int) -> str:
    """The tag of one of ``words``, which are in lower case, where those before it are right already."""
    word, tag = words[index], tags[index]
    before, after, later = (_at(tags, place) for place in (index - 1, index + 1, index + 2))
    previous, following = _at(words, index - 1), _at(words, index + 1)
    if word == "'" and previous.endswith("s"):
        return "POS"
    if index and (word == "w" or (previous == "w" and word == "/") or (word == "o" and _at(words, index - 2) == "w")):
        return "PRP"  # "guy w/ hat", "girl w/o shoes"
    if is_punctuation(word):
        return "PUN"
    if word in ("one", "ones", "whoever", "whatever", "whichever"):
        return "PNI"
    if word == "can":
        return _tag_can(tag, before, later if after == "AV0" else after)
    if word.endswith("n't"):
        return "VBZ"
    if _is_from_the_end(words, index):
        return "ORD"
    if word in ("behind", "beside", "near") or (word == "next" and following == "to"):
        return "PRP"
    if word == "half":
        return _tag_half(tag, after, later)
    if tag.startswith("NN") and following in _MEASURED and (before == "CRD" or word in _UNITS):
        return "CRD"  # "3 year old dog"
    if following in _PARTICLES and later.startswith(_NOMINAL) and _is_participle(word, tag) and _is_free(tags, index):
        return "VVN"
    if word in _PARTICLES and before == "VVN" and after.startswith(_NOMINAL) and _is_free(tags, index - 1):
        return "AVP"
    if word in _PLACES_AT_END and before.startswith("NN") and not after and not tags[0].startswith(_DETERMINER_TAGS):
        return "AV0"
    if word == "set" and before.startswith("NN") and not after:
        return "NN1"
    if word.endswith("ed") and not word.endswith("eed") and tag == "VVB":
        return "AJ0"
    if word.endswith("ing") and tag.startswith(("NN", "AJ0")) and word.removesuffix("s") not in _ING_NOUNS:
        return "VVG"
    return tag


def _spelled(word: str) -> str:
    """As the tagger knows it: "t.v." is "tv"."""
    return plain(word) if is_punctuation(word) or word[0].isdigit() else plain(word).replace(".", "")


def _at(values: Sequence[str], index: int) -> str:
    return values[index] if 0 <= index < len(values) else ""


def _is_from_the_end(words: Sequence[str], index: int) -> bool:
    """Whether a word is of "second to last", "second from last" or "next to last", its first one perhaps left out."""
    start = index - 1 if words[index] in ("to", "from") else index - 2 if words[index] == "last" else index
    return (
        start >= 0
        and _at(words, start + 1) in ("to", "from")
        and _at(words, start + 2) == "last"
        and (index > start or words[index] == "next")
    )


def _tag_can(tag: str, before: str, after: str) -> str:
    """The tin after an article, an adjective or a noun ("trash can"), unless a verb or its subject follows."""
    if after == "PNP":
        return "VM0"
    if before.startswith(("AT0", "DPS", "AJ", "ORD", "CRD")):
        return "NN1"
    return "NN1" if before.startswith(("NN", "NP", "VVG")) and not after.startswith(_VERB) else tag


def _tag_half(tag: str, after: str, later: str) -> str:
    """It says how much before an article ("half a pizza"), and how far before a participle ("half eaten pizza")."""
    if after.startswith(("AT0", "DPS", "DT0")):
        return "DT0"
    return "AJ0" if after.startswith(("VVN", "VVD", "AJ0")) and later.startswith(_NOMINAL) else tag


def _is_participle(word: str, tag: str) -> bool:
    return tag in ("VVN", "VVD") or word == "cut" or (word.endswith("ed") and tag.startswith(("VV", "AJ")))


def _is_free(tags: Sequence[str], index: int) -> bool:
    """Whether a word at ``index`` would describe a noun that comes: none is there yet."""
    return index == 0 or tags[index - 1].startswith(_BEFORE_NOUN)


def lemma(noun: str) -> str:
    """The singular of an English noun, in lower case."""
    word = plain(noun)
    if word in _LEMMAS:
        return _LEMMAS[word]
    found: str = _tagger().analyze(word, casesensitive=False)[0] if word.isascii() and word.isalpha() else word
    return plain(found)


# What HanTa takes for forms of other words.
_LEMMAS = {"skis": "ski", "toaster": "toaster", "toasters": "toaster", "leaves": "leaf"}


@cache
def _tagger() -> Any:
    from HanTa import HanoverTagger

    return HanoverTagger.HanoverTagger("morphmodel_en.pgz")
