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
    find segment show locate detect select mark highlight point get pick mask give look ground
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


def tag_words(words: Sequence[str]) -> list[str]:
    """The C5 part-of-speech tag of each word; ``UNC`` (unclassified) where English has none to offer."""
    tags: list[str] = []
    for start in range(0, len(words), _BLOCK):
        tags += _tag_block(list(words[start : start + _BLOCK]))
    return [_corrected(words, tags, index) for index in range(len(words))]


def _tag_block(words: list[str]) -> list[str]:
    english = [word.isascii() and len(word) <= _LONGEST_WORD for word in words]
    known = [plain(word) if is_english else "thing" for word, is_english in zip(words, english, strict=True)]
    first_tag: str = _tagger().tag_sent(known[:1], 0, False)[0]
    bare = known[0] not in COMMANDS and not first_tag.startswith(_DETERMINER_TAGS)
    context = ["the"] if bare else []
    tags: list[str] = _tagger().tag_sent(context + known, 0, False)[len(context) :]
    return [tag if is_english else "UNC" for tag, is_english in zip(tags, english, strict=True)]


def _corrected(words: Sequence[str], tags: Sequence[str], index: int) -> str:
    word, tag = plain(words[index]), tags[index]
    if word == "'" and index and plain(words[index - 1]).endswith("s"):
        return "POS"
    if is_punctuation(word):
        return "PUN"
    if word in ("one", "ones"):
        return "PNI"
    if word == "can" and index and tags[index - 1].startswith(("AT0", "DPS", "AJ", "ORD", "CRD")):
        return "NN1"
    if word.endswith("n't"):
        return "VBZ"
    if word in ("behind", "beside", "near") or (
        word == "next" and plain(words[min(index + 1, len(words) - 1)]) == "to"
    ):
        return "PRP"
    if word.endswith("ing") and tag.startswith(("NN", "AJ0")) and word.removesuffix("s") not in _ING_NOUNS:
        return "VVG"
    return tag


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
